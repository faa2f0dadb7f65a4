//! Iterative DPO: an exact Bradley-Terry fit to comparisons of the last policy with itself.

use inpo_game::{PreferenceGame, Strategy, bradley_terry};
use serde::{Deserialize, Serialize};

use crate::caution::circles;
use crate::mirror::check_tally;
use crate::policy::Buffer;
use crate::{
    Algorithm, Caution, Choice, Feedback, FromChoice, LogPolicy, Plays, Problem, Reads, Reference,
    Solver, SolverError, State, StepSize, Tally,
};

/// Iterative DPO (DPO: arXiv 2305.18290), with pairs sampled from pi_t and labelled by the
/// preference, solved exactly:
///
/// ```text
/// f_t          =  argmin_f  E_{y,y'~pi_t} [ -P(y > y') log sigmoid(f(y) - f(y')) ]
/// pi_{t+1}(y)  is proportional to  base_t(y) exp(f_t(y) / beta),      base_t = pi_t or ref
/// ```
///
/// DPO's loss is the first line with f = beta log(pi / base), so this is its minimiser over all
/// policies. f_t is the Bradley-Terry score that explains the preferences best, and all that its
/// equations sum_y' pi_t(y') sigmoid(f(y) - f(y')) = P(y > pi_t) ask of the game are the win rates
/// against pi_t: one oracle call, as for the others.
///
/// beta plays the part of the INVERSE step size: near equal preferences f is 4 (P - 1/2), so
/// eta = beta / 4 would be INPO's step.
///
/// **Requires** tau = 0 of the problem (the plain game) and eta = beta > 0; a start with the zeros
/// of the reference; win rates strictly between 0 and 1 that scores can explain, so exact feedback
/// only and no action that wins for certain.
///
/// **Guarantees** under Bradley-Terry preferences only. On a cyclic preference it has none: the
/// scores project the cycle away, and the last iterate circles as [`Sppo`](crate::Sppo)'s does.
///
/// **Costs** one oracle call an iteration, and an n x n factorisation for each of a few Newton
/// steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IterativeDpo {
    /// beta of every update, in the place of an INVERSE step size.
    pub step_size: StepSize,
    /// What DPO's KL is taken to.
    pub reference: Reference,
}

impl IterativeDpo {
    /// Iterative DPO with this beta and reference.
    #[must_use]
    pub fn new(step_size: StepSize, reference: Reference) -> Self {
        Self {
            step_size,
            reference,
        }
    }
}

/// The state of iterative DPO.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DpoState {
    tally: Tally,
    policy: LogPolicy,
    /// f of the last update: where the next fit starts.
    scores: Vec<f64>,
    #[serde(skip)]
    rates: Buffer,
}

impl DpoState {
    /// The Bradley-Terry scores of the last update, with mean 0; all 0 before the first.
    #[must_use]
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }
}

impl State for DpoState {
    fn at<G: PreferenceGame>(problem: &Problem<G>, start: &Strategy) -> Result<Self, SolverError> {
        Ok(Self {
            policy: LogPolicy::new(problem, start)?,
            tally: Tally::new(start),
            scores: vec![0.0; start.num_actions()],
            rates: Buffer::default(),
        })
    }

    fn strategy(&self) -> &Strategy {
        self.policy.strategy()
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn check<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError> {
        self.policy.check(problem)?;
        check_tally(&self.tally, problem)?;
        let (got, expected) = (self.scores.len(), problem.game().num_actions());
        if got == expected {
            Ok(())
        } else {
            let what = "state's scores";
            Err(SolverError::Length {
                what,
                got,
                expected,
            })
        }
    }
}

impl Solver for IterativeDpo {
    type State = DpoState;

    const ALGORITHMS: &'static [Algorithm] = &[Algorithm {
        name: "iterative_dpo",
        aliases: &["iterative-dpo"],
        help: "DPO on the last policy's samples, an exact Bradley-Terry fit; plain game",
        plays: Plays::Plain,
        reads: Reads {
            base: Some(Reference::Previous),
            ..Reads::STEP_SIZE
        },
        ..Algorithm::DEFAULT
    }];

    fn step_size(&self) -> Option<StepSize> {
        Some(self.step_size)
    }

    fn step<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        feedback: &mut impl Feedback,
        state: &mut DpoState,
    ) -> Result<(), SolverError> {
        let update = state.tally.iteration() + 1;
        let beta = self.step_size.eta(update, 0.0);
        let DpoState {
            tally,
            policy,
            scores,
            rates,
        } = state;
        let opponent = policy.strategy();
        let rates = rates.sized(opponent.num_actions());
        feedback.win_rates_into(opponent, rates)?;
        let weight = |_: usize, other: usize| opponent[other];
        let fitted =
            bradley_terry::fit(rates.len(), weight, rates, Some(scores)).map_err(|reason| {
                SolverError::NoFit {
                    iteration: update,
                    reason,
                }
            })?;
        let keep = match self.reference {
            Reference::Previous => 1.0,
            Reference::Fixed => 0.0,
        };
        policy.propose(problem, update, |y, ratio| keep * ratio + fitted[y] / beta)?;
        *scores = fitted;
        tally.leave(policy.strategy(), feedback.calls());
        policy.accept(problem);
        Ok(())
    }

    fn exact_only(&self) -> bool {
        true
    }

    fn caution<G: PreferenceGame>(&self, problem: &Problem<G>, nash: &Strategy) -> Option<Caution> {
        match self.reference {
            // Near the Nash policy the scores are 4 (P - 1/2): multiplicative weights.
            Reference::Previous => circles(self.name(), problem, nash),
            Reference::Fixed => None,
        }
    }
}

impl FromChoice for IterativeDpo {
    fn from_choice(choice: &Choice<'_>) -> Result<Self, SolverError> {
        Ok(Self::new(choice.step_size()?, choice.base()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExactFeedback, Executor};
    use inpo_game::games::cyclic_three;
    use inpo_game::{MatrixGame, ScoreGame};

    fn run(solver: IterativeDpo, problem: &Problem<impl PreferenceGame>, updates: u64) -> DpoState {
        let run = Executor::new(problem, solver).iterations(updates);
        run.run().unwrap().state
    }

    #[test]
    fn under_bradley_terry_one_step_is_the_softmax_of_the_true_scores() {
        // f is the true score but for a constant, whatever pi_t is.
        let truth = [0.3, -1.2, 0.9];
        let game = ScoreGame::bradley_terry(truth.to_vec()).unwrap();
        let reference = Strategy::new(vec![0.25, 0.45, 0.30]).unwrap();
        let problem = Problem::new(game, reference.clone(), 0.0).unwrap();
        for base in [Reference::Previous, Reference::Fixed] {
            let solver = IterativeDpo::new(StepSize::Constant(0.5), base);
            let state = run(solver, &problem, 2);
            let times = if base == Reference::Previous {
                2.0
            } else {
                1.0
            };
            let weights = [0, 1, 2].map(|y| reference[y] * (times * truth[y] / 0.5f64).exp());
            let sum: f64 = weights.iter().sum();
            for (p, w) in state.strategy().iter().zip(weights) {
                assert!((p - w / sum).abs() < 1e-11, "{p} is not {}", w / sum);
            }
        }
    }

    #[test]
    fn the_step_minimises_the_dpo_loss() {
        // The population loss of DPO at beta = 0.7, transcribed; no policy nearby has a lower one.
        let game = cyclic_three();
        let pi_t = Strategy::new(vec![0.5, 0.3, 0.2]).unwrap();
        let problem = Problem::new(game, pi_t.clone(), 0.0).unwrap();
        let solver = IterativeDpo::new(StepSize::Constant(0.7), Reference::Previous);
        let next = run(solver, &problem, 1).strategy().clone();
        let loss = |pi: &[f64]| {
            let reward = |y: usize| 0.7 * (pi[y] / pi_t[y]).ln();
            let mut sum = 0.0;
            for y in 0..3 {
                for z in 0..3 {
                    let p = problem.game().preference(y, z).get();
                    let margin = reward(y) - reward(z);
                    sum += pi_t[y] * pi_t[z] * p * (-margin).exp().ln_1p();
                }
            }
            sum
        };
        let best = loss(&next);
        for y in 0..3 {
            for nudge in [-1e-3, 1e-3] {
                let mut logits: Vec<f64> = next.iter().map(|p| p.ln()).collect();
                logits[y] += nudge;
                let pi = Strategy::from_logits(&logits).unwrap();
                assert!(loss(&pi) > best + 1e-9);
            }
        }
    }

    #[test]
    fn on_the_cyclic_game_the_last_iterate_does_not_settle() {
        let problem = Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap();
        let solver = IterativeDpo::new(StepSize::Constant(4.0), Reference::Previous);
        let run = Executor::new(&problem, solver).iterations(1500);
        let history = run.run().unwrap().history;
        let late = history[500..].iter().map(|r| r.duality_gap);
        assert!(late.fold(f64::INFINITY, f64::min) > 0.1);
    }

    #[test]
    fn a_sure_winner_has_no_scores() {
        let sure = MatrixGame::new(vec![vec![0.5, 1.0], vec![0.0, 0.5]]).unwrap();
        let problem = Problem::new(sure, Strategy::uniform(2), 0.0).unwrap();
        let solver = IterativeDpo::new(StepSize::Constant(1.0), Reference::Previous);
        let mut state = solver.init(&problem, problem.reference()).unwrap();
        let before = state.policy.clone();
        let mut feedback = ExactFeedback::new(problem.game(), 0);
        let error = solver
            .step(&problem, &mut feedback, &mut state)
            .unwrap_err();
        let text = error.to_string();
        let want = "no Bradley-Terry scores explain the win rates of iteration 1: ";
        assert!(text.starts_with(want), "{text}");
        assert!(text.contains("scores more than 33 apart"), "{text}");
        assert_eq!(state.policy, before);
    }

    #[test]
    fn samples_are_refused() {
        let problem = Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap();
        let solver = IterativeDpo::new(StepSize::Constant(1.0), Reference::Previous);
        let error = Executor::new(&problem, solver)
            .sampled(10, 0)
            .run()
            .unwrap_err();
        assert!(
            error.to_string().contains("with exact feedback only"),
            "{error}"
        );
    }
}
