//! INPO: online mirror descent on the KL-regularised preference game.

use inpo_game::{PreferenceGame, Strategy, stability_threshold};
use serde::{Deserialize, Serialize};

use crate::caution::circles;
use crate::problem::diameter;
use crate::{
    Algorithm, Caution, Choice, Feedback, FromChoice, OmdState, Problem, Reads, Solver,
    SolverError, State, StepSize,
};

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
/// **Guarantees** (paper, with |log(pi/ref)| <= B, C = max(B tau, 1), D = max KL(pi || pi_1)): the
/// average iterate's gap is at most 2 (eta D / T + (4 tau^2 B^2 + 1) / eta), which is
/// O(C sqrt(D / T)) with [`theorem_3`](Self::theorem_3)'s eta; the last iterate has
/// KL(pi*, pi_T) <= 32 C^2 / (tau^2 (T + 1)) with [`StepSize::Theory`] (Theorem 4). With a constant
/// eta the last iterate converges locally if and only if eta > tau/2 + s^2/(2 tau), see
/// [`stability_threshold`]; with tau = 0 it circles, and only the average converges.
///
/// **Costs** one oracle call (one win-rate vector) an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inpo {
    /// eta, the INVERSE step size, of every update.
    pub step_size: StepSize,
}

impl Inpo {
    /// INPO with this step size.
    #[must_use]
    pub fn new(step_size: StepSize) -> Self {
        Self { step_size }
    }

    /// Theorem 3's step for `horizon` updates from `start`: eta = C sqrt(T) / sqrt(D) with
    /// D = log(1 / min start) and C = 1.
    ///
    /// C = max(B tau, 1) is 1 for play that starts at the reference: by induction the unnormalised
    /// ratio stays within 1/(2 tau), and its normaliser too, so B <= 1 / tau.
    ///
    /// A tau above that eta raises it to tau, the least that a step may have.
    #[must_use]
    pub fn theorem_3<G: PreferenceGame>(
        problem: &Problem<G>,
        start: &Strategy,
        horizon: u64,
    ) -> Self {
        let root = (horizon.max(1) as f64).sqrt();
        // A game of one action has nothing to learn, and any scale will do.
        let diameter = diameter(start).max(f64::EPSILON);
        let scale = (1.0 / diameter.sqrt()).max(problem.tau() / root);
        Self::new(StepSize::Sqrt {
            scale,
            horizon: Some(horizon.max(1)),
        })
    }
}

impl Solver for Inpo {
    type State = OmdState;

    const ALGORITHMS: &'static [Algorithm] = &[Algorithm {
        name: "inpo",
        help: "Online mirror descent of the INPO paper",
        theory: true,
        reads: Reads::STEP_SIZE,
        ..Algorithm::DEFAULT
    }];

    fn step_size(&self) -> Option<StepSize> {
        Some(self.step_size)
    }

    fn step<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        feedback: &mut impl Feedback,
        state: &mut OmdState,
    ) -> Result<(), SolverError> {
        let tau = problem.tau();
        let eta = self.step_size.eta(state.iteration() + 1, tau);
        state.descend(problem, feedback, |advantage, ratio| {
            advantage / eta + (1.0 - tau / eta) * ratio
        })
    }

    /// Whether a constant eta is too small to converge locally to `nash`; `None` for a schedule that
    /// grows past every threshold. At tau = 0 every step is, unless nothing rotates around `nash`.
    fn caution<G: PreferenceGame>(&self, problem: &Problem<G>, nash: &Strategy) -> Option<Caution> {
        if problem.tau() == 0.0 {
            return circles(self.name(), problem, nash);
        }
        let eta = self.step_size.constant()?;
        let threshold = stability_threshold(problem.game(), nash, problem.tau());
        (eta <= threshold).then_some(Caution::Eta { eta, threshold })
    }
}

impl FromChoice for Inpo {
    fn from_choice(choice: &Choice<'_>) -> Result<Self, SolverError> {
        Ok(Self::new(choice.step_size()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExactFeedback;
    use inpo_game::games::cyclic_three;

    /// docs/theory.md 11.2 gives the step to all digits of f64.
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
        let check = |step| Inpo::new(step).caution(&problem, &nash);
        // The threshold is 0.269359.
        assert!(check(StepSize::Constant(0.27)).is_none());
        assert!(check(StepSize::Theory).is_none());
        let text = check(StepSize::Constant(0.26)).unwrap().to_string();
        assert!(
            text.contains("not above the stability threshold 0.269359"),
            "{text}"
        );

        let plain = Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap();
        let nash = plain.nash().unwrap();
        let text = Inpo::new(StepSize::Constant(9.0))
            .caution(&plain, &nash)
            .unwrap();
        assert!(text.to_string().contains("only the average converges"));
    }
}
