//! MNPO: mirror descent against several past policies at once.

use inpo_game::{PreferenceGame, Strategy};
use num_complex::Complex64;
use serde::{Deserialize, Serialize};

use crate::caution::{grows, growth, rotation};
use crate::mirror::{ask, check_tally};
use crate::policy::Buffer;
use crate::{
    Algorithm, Caution, Choice, Feedback, FromChoice, LogPolicy, Plays, Problem, Reads, Solver,
    SolverError, State, StepSize, Tally,
};

/// Whom MNPO's win rates are taken against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opponents {
    /// All anchors, with their weights: the update of the paper's text.
    #[default]
    History,
    /// pi_t alone: what its training code does, whose pairs are sampled from pi_t.
    Current,
}

/// Multiplayer NPO with a history of opponents, MNPO (TD) (arXiv 2509.23102):
///
/// ```text
/// pi_{t+1}(y)  is proportional to
///     prod_j pi_{t-j}(y)^(lambda_j)  exp( (1/eta) sum_j lambda_j P(y > pi_{t-j}) ),   j = 0, 1, ..
/// ```
///
/// the geometric mean of the last policies, times their mean win rate. eta is the INVERSE step size.
/// Where fewer policies than weights exist, the weights of those that do are divided by their sum.
/// One weight is [`Sppo`](crate::Sppo).
///
/// **Requires** tau = 0 (the plain game), eta > 0, weights that are not negative and add to 1; a
/// start with the zeros of the reference.
///
/// **Guarantees** (paper): average iterate O(1/sqrt(T)).
///
/// **Costs** one oracle call an iteration: the win rates against earlier policies are remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mnpo {
    /// eta, the INVERSE step size, of every update.
    pub step_size: StepSize,
    /// lambda_j, the newest policy first.
    pub weights: Vec<f64>,
    /// Whom the win rates are taken against.
    pub opponents: Opponents,
}

impl Mnpo {
    /// MNPO with this step size and weights (the newest policy first), against the whole history.
    #[must_use]
    pub fn new(step_size: StepSize, weights: Vec<f64>) -> Self {
        Self {
            step_size,
            weights,
            opponents: Opponents::History,
        }
    }
}

/// MNPO's state: the policy and the last few, each with the advantages seen against it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MnpoState {
    tally: Tally,
    policy: LogPolicy,
    /// The newest first.
    history: Vec<Past>,
    #[serde(skip)]
    rates: Buffer,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Past {
    log_ratio: Vec<f64>,
    /// P(y > this policy) - 1/2.
    advantages: Vec<f64>,
}

impl State for MnpoState {
    fn at<G: PreferenceGame>(problem: &Problem<G>, start: &Strategy) -> Result<Self, SolverError> {
        Ok(Self {
            policy: LogPolicy::new(problem, start)?,
            tally: Tally::new(start),
            history: Vec::new(),
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
        let expected = problem.game().num_actions();
        let lengths = self
            .history
            .iter()
            .flat_map(|past| [past.log_ratio.len(), past.advantages.len()]);
        match lengths.into_iter().find(|&got| got != expected) {
            Some(got) => Err(SolverError::Length {
                what: "state's history",
                got,
                expected,
            }),
            None => Ok(()),
        }
    }
}

impl Solver for Mnpo {
    type State = MnpoState;

    const ALGORITHMS: &'static [Algorithm] = &[Algorithm {
        name: "mnpo",
        help: "Against several past policies; plain game",
        plays: Plays::Plain,
        reads: Reads {
            history_weights: Some(&[0.5, 0.3, 0.2]),
            ..Reads::STEP_SIZE
        },
        ..Algorithm::DEFAULT
    }];

    fn step_size(&self) -> Option<StepSize> {
        Some(self.step_size)
    }

    fn validate<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError> {
        let sum: f64 = self.weights.iter().sum();
        let fit = self.weights.iter().all(|&w| w >= 0.0) && (sum - 1.0).abs() <= 1e-9;
        // The newest policy is always there; without its weight the first step has nothing to average.
        if !fit || self.weights.first() == Some(&0.0) {
            return Err(SolverError::Weights { sum });
        }
        self.algorithm().check(problem.tau(), self.step_size())
    }

    fn step<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        feedback: &mut impl Feedback,
        state: &mut MnpoState,
    ) -> Result<(), SolverError> {
        let MnpoState {
            tally,
            policy,
            history,
            rates,
        } = state;
        let update = tally.iteration() + 1;
        let eta = self.step_size.eta(update, 0.0);
        let advantages = ask(feedback, policy.strategy(), rates)?;

        // Before the step is known to succeed, the newest stands beside the history.
        let kept = history.len().min(self.weights.len() - 1);
        let whole: f64 = self.weights[..=kept].iter().sum();
        let against = |past: &Past, y: usize| match self.opponents {
            Opponents::History => past.advantages[y],
            Opponents::Current => advantages[y],
        };
        // Lends each past policy its weight; the newest first.
        let pasts = || self.weights[1..].iter().zip(history.iter());
        policy.propose(problem, update, |y, ratio| {
            let newest = self.weights[0] * (ratio + advantages[y] / eta);
            let older: f64 = pasts()
                .map(|(w, past)| w * (past.log_ratio[y] + against(past, y) / eta))
                .sum();
            (newest + older) / whole
        })?;

        if self.weights.len() > 1 {
            if history.len() < self.weights.len() - 1 {
                history.push(Past {
                    log_ratio: vec![0.0; advantages.len()],
                    advantages: vec![0.0; advantages.len()],
                });
            }
            history.rotate_right(1);
            history[0].log_ratio.copy_from_slice(policy.log_ratio());
            history[0].advantages.copy_from_slice(advantages);
        }
        tally.leave(policy.strategy(), feedback.calls());
        policy.accept(problem);
        Ok(())
    }

    fn caution<G: PreferenceGame>(&self, problem: &Problem<G>, nash: &Strategy) -> Option<Caution> {
        let turn = rotation(problem, nash) / self.step_size.constant()?;
        if turn == 0.0 {
            return None;
        }
        let coefficient = |(lag, weight): (usize, &f64)| {
            let turned = match self.opponents {
                Opponents::History => weight * turn,
                Opponents::Current if lag == 0 => turn,
                Opponents::Current => 0.0,
            };
            Complex64::new(*weight, turned)
        };
        let coefficients: Vec<Complex64> =
            self.weights.iter().enumerate().map(coefficient).collect();
        grows(self.name(), growth(&coefficients))
    }
}

impl FromChoice for Mnpo {
    fn from_choice(choice: &Choice<'_>) -> Result<Self, SolverError> {
        Ok(Self::new(choice.step_size()?, choice.history_weights()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Executor, Sppo};
    use inpo_game::games::cyclic_three;

    fn plain() -> Problem<inpo_game::MatrixGame> {
        Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap()
    }

    #[test]
    fn one_opponent_is_multiplicative_weights() {
        let (problem, step) = (plain(), StepSize::Constant(1.0));
        let sppo = Executor::new(&problem, Sppo::new(step)).run().unwrap();
        for opponents in [Opponents::History, Opponents::Current] {
            let mnpo = Mnpo {
                opponents,
                ..Mnpo::new(step, vec![1.0])
            };
            let mnpo = Executor::new(&problem, mnpo).run().unwrap();
            assert_eq!(mnpo.history, sppo.history);
        }
    }

    #[test]
    fn three_steps_by_hand() {
        // lambda = (0.5, 0.3, 0.2), eta = 0.5, transcribed from the definition in probabilities.
        let problem = plain();
        let (lambda, eta) = ([0.5, 0.3, 0.2], 0.5);
        for opponents in [Opponents::History, Opponents::Current] {
            let mut played = vec![[1.0 / 3.0; 3]];
            for _ in 0..3 {
                let rates: Vec<Vec<f64>> = played
                    .iter()
                    .map(|pi| problem.game().win_rates(pi))
                    .collect();
                let newest = played.len() - 1;
                let whole: f64 = lambda[..=newest].iter().sum();
                let weight = |y: usize| {
                    (0..=newest)
                        .map(|j| {
                            let share = lambda[j] / whole;
                            let against = match opponents {
                                Opponents::History => &rates[newest - j],
                                Opponents::Current => &rates[newest],
                            };
                            played[newest - j][y].powf(share) * (share * against[y] / eta).exp()
                        })
                        .product::<f64>()
                };
                let sum: f64 = (0..3).map(weight).sum();
                played.push([0, 1, 2].map(|y| weight(y) / sum));
            }
            let solver = Mnpo {
                opponents,
                ..Mnpo::new(StepSize::Constant(eta), lambda.to_vec())
            };
            let run = Executor::new(&problem, solver).iterations(3).run().unwrap();
            for (got, want) in run.state.strategy().iter().zip(played[3]) {
                assert!(
                    (got - want).abs() < 1e-14,
                    "{opponents:?}: {got} is not {want}"
                );
            }
            assert_eq!(run.state.oracle_calls(), 3);
        }
    }

    #[test]
    fn the_caution_is_what_the_last_iterate_does() {
        // Against the history it moves outwards; against the newest alone the old anchors damp it.
        let problem = plain();
        let nash = problem.nash().unwrap();
        for (opponents, converges) in [(Opponents::History, false), (Opponents::Current, true)] {
            let solver = Mnpo {
                opponents,
                ..Mnpo::new(StepSize::Constant(1.0), vec![0.4, 0.2, 0.4])
            };
            assert_eq!(solver.caution(&problem, &nash).is_none(), converges);
            let run = Executor::new(&problem, solver)
                .iterations(30_000)
                .stride(30_000);
            let gap = run.run().unwrap().history[1].duality_gap;
            assert_eq!(gap < 1e-6, converges, "{opponents:?}: {gap}");
        }
    }

    #[test]
    fn weights_that_do_not_fit_are_refused() {
        for weights in [vec![], vec![0.5], vec![1.5, -0.5], vec![0.0, 1.0]] {
            let solver = Mnpo::new(StepSize::Constant(1.0), weights);
            let error = solver.init(&plain(), &Strategy::uniform(3)).unwrap_err();
            assert!(
                error.to_string().starts_with("the history weights add to"),
                "{error}"
            );
        }
    }
}
