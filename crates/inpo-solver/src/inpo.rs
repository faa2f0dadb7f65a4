//! INPO: online mirror descent on the KL-regularised preference game.

use inpo_game::{PreferenceGame, Strategy, stability_threshold};
use serde::{Deserialize, Serialize};

use crate::problem::check_length;
use crate::{Feedback, Problem, Solver, SolverError, State, StepSize};

/// INPO's exact step, equation (5) of arXiv 2407.00617:
///
/// ```text
/// pi_{t+1}(y)  is proportional to  exp(P(y > pi_t) / eta) ref(y)^(tau/eta) pi_t(y)^(1 - tau/eta)
/// ```
///
/// where eta is the INVERSE step size. The paper shows that minimising its squared loss over all
/// policies, with pairs drawn from pi_t, lands exactly there.
///
/// **Computed** in log space on r_t = log(pi_t / ref), for which the step is
/// r_{t+1} = P pi_t / eta + (1 - tau/eta) r_t up to a constant. Powers of small probabilities never
/// occur, and an action that underflows can come back.
///
/// **Requires** eta > 0 and 0 <= tau <= eta; a start with the zeros of the reference.
///
/// **Guarantees** (paper): the average iterate's gap is O(1/sqrt(T)) with eta = C sqrt(T / D)
/// (Theorem 3); the last iterate has KL(pi*, pi_T) <= 32 C^2 / (tau^2 (T + 1)) with
/// [`StepSize::Theory`] (Theorem 4). With a constant eta the last iterate converges locally if and
/// only if eta > tau/2 + s^2/(2 tau), see [`stability_threshold`]; with tau = 0 it circles, and
/// only the average converges.
///
/// **Costs** one oracle call (one win-rate vector) an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inpo {
    /// eta, the INVERSE step size, of every update.
    pub step_size: StepSize,
}

/// The state of a mirror descent: where it is and what it has visited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OmdState {
    /// Updates made.
    iteration: u64,
    /// Win-rate vectors asked for.
    oracle_calls: u64,
    /// log(pi / ref), normalised; 0 where the reference is 0.
    log_ratio: Vec<f64>,
    /// pi_{n+1}.
    strategy: Strategy,
    /// Mean of pi_1 .. pi_n.
    average: Strategy,
}

impl OmdState {
    /// log(pi(y) / ref(y)) of the last iterate, in nats: the quantity whose largest modulus is the
    /// paper's B. 0 where the reference is 0.
    #[must_use]
    pub fn log_ratio(&self) -> &[f64] {
        &self.log_ratio
    }
}

impl State for OmdState {
    fn iteration(&self) -> u64 {
        self.iteration
    }

    fn strategy(&self) -> &Strategy {
        &self.strategy
    }

    fn average(&self) -> &Strategy {
        &self.average
    }

    fn oracle_calls(&self) -> u64 {
        self.oracle_calls
    }
}

/// A constant eta with which INPO's iteration does not settle at the regularised Nash policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnstableStep {
    /// The inverse step size.
    pub eta: f64,
    /// It would have to be above this.
    pub threshold: f64,
}

impl std::fmt::Display for UnstableStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { eta, threshold } = self;
        if threshold.is_infinite() {
            return write!(
                f,
                "with tau = 0 no constant eta is stable in this game: the last iterate will circle \
                 and only the average converges"
            );
        }
        write!(
            f,
            "eta = {eta} is below the stability threshold {threshold:.6} of this game: the last \
             iterate will circle instead of converging"
        )
    }
}

impl Inpo {
    /// INPO with this step size.
    #[must_use]
    pub fn new(step_size: StepSize) -> Self {
        Self { step_size }
    }

    /// Whether a constant eta is too small to converge locally to `nash`, the Nash policy of
    /// `problem`. `None` for the theory schedule, which grows past every threshold. At tau = 0 every
    /// constant eta is, unless nothing rotates around `nash`.
    #[must_use]
    pub fn unstable_step<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        nash: &Strategy,
    ) -> Option<UnstableStep> {
        let StepSize::Constant(eta) = self.step_size else {
            return None;
        };
        let threshold = stability_threshold(problem.game(), nash, problem.tau());
        (eta <= threshold).then_some(UnstableStep { eta, threshold })
    }
}

impl Solver for Inpo {
    type State = OmdState;

    fn name(&self) -> &'static str {
        "inpo"
    }

    fn init<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        start: &Strategy,
    ) -> Result<OmdState, SolverError> {
        self.step_size.validate(problem.tau())?;
        check_length("start", start, problem.game())?;
        let mut log_ratio = vec![0.0; start.num_actions()];
        for (action, (&start, &reference)) in
            start.iter().zip(problem.reference().iter()).enumerate()
        {
            if (start == 0.0) != (reference == 0.0) {
                return Err(SolverError::StartSupport {
                    action,
                    start,
                    reference,
                });
            }
            if start > 0.0 {
                log_ratio[action] = start.ln() - reference.ln();
            }
        }
        Ok(OmdState {
            iteration: 0,
            oracle_calls: 0,
            log_ratio,
            strategy: start.clone(),
            average: start.clone(),
        })
    }

    fn resume<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        state: &OmdState,
    ) -> Result<(), SolverError> {
        self.step_size.validate(problem.tau())?;
        check_length("state", &state.strategy, problem.game())?;
        check_length("state's average", &state.average, problem.game())?;
        let (got, expected) = (state.log_ratio.len(), problem.game().num_actions());
        if got != expected {
            let what = "state's log-ratio";
            return Err(SolverError::Length {
                what,
                got,
                expected,
            });
        }
        Ok(())
    }

    fn step<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        feedback: &mut impl Feedback,
        state: &mut OmdState,
    ) -> Result<(), SolverError> {
        let update = state.iteration + 1;
        let tau = problem.tau();
        let eta = self.step_size.eta(update, tau);
        let reference = problem.reference();

        let mut next = vec![0.0; state.log_ratio.len()];
        feedback.win_rates_into(&state.strategy, &mut next);
        state.oracle_calls = feedback.calls();
        // 1/2 is common to all actions; without it the exponents stay small.
        for (next, ratio) in next.iter_mut().zip(&state.log_ratio) {
            *next = (*next - 0.5) / eta + (1.0 - tau / eta) * ratio;
        }
        let logits: Vec<f64> = reference
            .iter()
            .zip(&next)
            .map(|(r, n)| r.ln() + n)
            .collect();
        let strategy = Strategy::from_logits(&logits).map_err(|reason| SolverError::NotFinite {
            iteration: update,
            reason,
        })?;

        // The normaliser, from the likeliest action: it is the same for all of them.
        let likeliest = (0..strategy.num_actions())
            .max_by(|&i, &j| strategy[i].total_cmp(&strategy[j]))
            .unwrap_or(0);
        let log_sum = logits[likeliest] - strategy[likeliest].ln();
        for (next, &reference) in next.iter_mut().zip(reference.iter()) {
            *next = if reference > 0.0 {
                *next - log_sum
            } else {
                0.0
            };
        }

        state.average.mix_in(&state.strategy, 1.0 / update as f64);
        state.log_ratio = next;
        state.strategy = strategy;
        state.iteration = update;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExactFeedback;
    use inpo_game::games::cyclic_three;

    /// `inpo.md` 11.2 gives the step to all digits of f64.
    const TABLE: f64 = 1e-12;

    fn strategy(p: [f64; 3]) -> Strategy {
        Strategy::new(p.to_vec()).unwrap()
    }

    #[test]
    fn one_step_by_hand() {
        let reference = strategy([0.25, 0.45, 0.30]);
        let problem = Problem::new(cyclic_three(), reference.clone(), 0.2).unwrap();
        let inpo = Inpo::new(StepSize::Constant(0.5));
        let pi_t = strategy([0.5, 0.3, 0.2]);
        let mut state = inpo.init(&problem, &pi_t).unwrap();
        let mut feedback = ExactFeedback::new(problem.game(), 0);
        inpo.step(&problem, &mut feedback, &mut state).unwrap();

        let want = [0.3340341277183885, 0.44579645024419245, 0.2201694220374191];
        for (y, want) in want.into_iter().enumerate() {
            assert!((state.strategy()[y] - want).abs() < TABLE);
            let ratio = (want / reference[y]).ln();
            assert!((state.log_ratio()[y] - ratio).abs() < TABLE);
        }
        assert_eq!((state.iteration(), state.oracle_calls()), (1, 1));
        assert_eq!(state.average(), &pi_t);

        // Equation (6): h_t(a, b) = (0.44 - 0.62) / 0.5, h_t(a, c) = (0.44 - 0.47) / 0.5.
        let h = |y: usize, z: usize| {
            let next = state.strategy();
            (next[y] / next[z]).ln()
                - 0.4 * (reference[y] / reference[z]).ln()
                - 0.6 * (pi_t[y] / pi_t[z]).ln()
        };
        assert!((h(0, 1) + 0.36).abs() < TABLE);
        assert!((h(0, 2) + 0.06).abs() < TABLE);
    }

    #[test]
    fn the_start_must_have_the_zeros_of_the_reference() {
        let inpo = Inpo::new(StepSize::Constant(1.0));
        let problem = Problem::new(cyclic_three(), Strategy::uniform(3), 0.1).unwrap();
        let error = inpo.init(&problem, &Strategy::pure(3, 0)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "action 1 has probability 0 in the start but 0.3333333333333333 in the reference: \
             the two must have the same zeros"
        );
        let error = inpo.init(&problem, &Strategy::uniform(2)).unwrap_err();
        assert!(error.to_string().contains("the start has 2 entries"));
    }

    #[test]
    fn zeros_of_the_reference_stay_even_at_tau_equal_eta() {
        let reference = strategy([0.5, 0.0, 0.5]);
        let problem = Problem::new(cyclic_three(), reference.clone(), 0.3).unwrap();
        let inpo = Inpo::new(StepSize::Constant(0.3));
        let mut state = inpo.init(&problem, &reference).unwrap();
        let mut feedback = ExactFeedback::new(problem.game(), 0);
        for _ in 0..3 {
            inpo.step(&problem, &mut feedback, &mut state).unwrap();
        }
        assert_eq!(state.strategy()[1], 0.0);
        assert!(
            serde_json::to_string(&state)
                .unwrap()
                .find("null")
                .is_none()
        );
    }

    #[test]
    fn an_action_that_underflows_comes_back() {
        // At tau = 0 and eta = 1e-4 the ratios reach thousands of nats and probabilities are 0.
        let problem = Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap();
        let inpo = Inpo::new(StepSize::Constant(1e-4));
        let mut state = inpo.init(&problem, &Strategy::uniform(3)).unwrap();
        let mut feedback = ExactFeedback::new(problem.game(), 0);
        let mut leaders = [false; 3];
        for _ in 0..40 {
            inpo.step(&problem, &mut feedback, &mut state).unwrap();
            for (seen, p) in leaders.iter_mut().zip(state.strategy().iter()) {
                *seen |= *p > 0.9;
            }
        }
        assert_eq!(leaders, [true; 3], "the leader goes round");
    }

    #[test]
    fn a_step_beyond_f64_is_an_error_and_no_nan() {
        let problem = Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap();
        let inpo = Inpo::new(StepSize::Constant(1e-320));
        let mut state = inpo.init(&problem, &Strategy::uniform(3)).unwrap();
        let mut feedback = ExactFeedback::new(problem.game(), 0);
        let error = inpo.step(&problem, &mut feedback, &mut state).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the step of iteration 1 is not finite")
        );
        assert_eq!(state.strategy(), &Strategy::uniform(3));
    }

    #[test]
    fn small_constant_steps_are_called_unstable() {
        let problem = Problem::new(cyclic_three(), Strategy::uniform(3), 0.1).unwrap();
        let nash = problem.nash().unwrap();
        let check = |step| Inpo::new(step).unstable_step(&problem, &nash);
        // The threshold is 0.269359.
        assert!(check(StepSize::Constant(0.27)).is_none());
        assert!(check(StepSize::Theory).is_none());
        let text = check(StepSize::Constant(0.26)).unwrap().to_string();
        assert!(
            text.contains("below the stability threshold 0.269359"),
            "{text}"
        );

        let plain = Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap();
        let nash = plain.nash().unwrap();
        let text = Inpo::new(StepSize::Constant(9.0))
            .unstable_step(&plain, &nash)
            .unwrap();
        assert!(text.to_string().contains("only the average converges"));
    }
}
