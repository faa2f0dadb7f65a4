//! A policy in log space, the coordinates of every mirror descent.

use inpo_game::{PreferenceGame, Strategy};
use serde::{Deserialize, Serialize};

use crate::problem::check_length;
use crate::{Problem, SolverError};

/// How far a saved policy may be from the reference times its saved ratio.
const CONSISTENT: f64 = 1e-9;

/// A policy kept as log(pi / ref), with its probabilities beside it.
///
/// Mirror descent with the KL adds to logits. Kept so, an action whose probability underflows is
/// not lost: its ratio lives on and can come back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPolicy {
    /// log(pi / ref), normalised; 0 where the reference is 0.
    log_ratio: Vec<f64>,
    strategy: Strategy,
    #[serde(skip)]
    proposed: Buffer,
    #[serde(skip)]
    logits: Buffer,
}

/// Room (for n numbers, or a strategy) that is kept from step to step and has no content between two
/// of them: it is not saved and does not count in comparisons.
#[derive(Clone, Default)]
pub(crate) struct Buffer<T = Vec<f64>>(T);

impl Buffer {
    /// The room, resized to n entries; their values are left over from earlier.
    pub(crate) fn sized(&mut self, n: usize) -> &mut [f64] {
        self.0.resize(n, 0.0);
        &mut self.0
    }

    /// The numbers written last.
    pub(crate) fn as_slice(&self) -> &[f64] {
        &self.0
    }
}

impl Buffer<Option<Strategy>> {
    /// A copy of `strategy`; only the first allocates.
    pub(crate) fn copy_of(&mut self, strategy: &Strategy) -> &mut Strategy {
        let copy = self.0.get_or_insert_with(|| strategy.clone());
        copy.copy_from(strategy);
        copy
    }
}

impl<T> std::fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Buffer")
    }
}

impl<T> PartialEq for Buffer<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl LogPolicy {
    /// The policy `start`, which must have the zeros of the reference.
    ///
    /// # Errors
    /// [`SolverError::Length`] or [`SolverError::StartSupport`].
    pub fn new<G: PreferenceGame>(
        problem: &Problem<G>,
        start: &Strategy,
    ) -> Result<Self, SolverError> {
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
        Ok(Self {
            log_ratio,
            strategy: start.clone(),
            proposed: Buffer::default(),
            logits: Buffer::default(),
        })
    }

    /// Checks that a policy read from outside is of this problem's size.
    pub(crate) fn check<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError> {
        check_length("state", &self.strategy, problem.game())?;
        let (got, expected) = (self.log_ratio.len(), problem.game().num_actions());
        if got != expected {
            let what = "state's log-ratio";
            return Err(SolverError::Length {
                what,
                got,
                expected,
            });
        }
        // Ratios are to the reference they were made with.
        let miss = |action: &usize| {
            let log = problem.log_reference()[*action] + self.log_ratio[*action];
            (self.strategy[*action] - log.exp()).abs() > CONSISTENT
        };
        match (0..got).find(miss) {
            Some(action) => Err(SolverError::OtherReference { action }),
            None => Ok(()),
        }
    }

    /// log(pi(y) / ref(y)), in nats: the quantity whose largest modulus is the paper's B. 0 where
    /// the reference is 0.
    #[must_use]
    pub fn log_ratio(&self) -> &[f64] {
        &self.log_ratio
    }

    /// The probabilities.
    #[must_use]
    pub fn strategy(&self) -> &Strategy {
        &self.strategy
    }

    /// Becomes a copy of `other`, without allocating.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.log_ratio.copy_from_slice(&other.log_ratio);
        self.strategy.copy_from(&other.strategy);
    }

    /// Works out the policy ref(y) exp(ratio(y, log_ratio[y])) up to its normaliser, without moving
    /// to it. `update` is the number of the update, for the error.
    pub(crate) fn propose<G>(
        &mut self,
        problem: &Problem<G>,
        update: u64,
        ratio: impl Fn(usize, f64) -> f64,
    ) -> Result<(), SolverError> {
        let n = self.log_ratio.len();
        let (next, logits) = (self.proposed.sized(n), self.logits.sized(n));
        for (action, (&old, log_reference)) in self
            .log_ratio
            .iter()
            .zip(problem.log_reference())
            .enumerate()
        {
            next[action] = ratio(action, old);
            logits[action] = if *log_reference == f64::NEG_INFINITY {
                f64::NEG_INFINITY
            } else {
                log_reference + next[action]
            };
        }
        // Minus infinity too would be lost: it cannot be saved, and nothing comes back from it.
        let lost =
            |action: &usize| !next[*action].is_finite() && problem.reference()[*action] > 0.0;
        match (0..n).find(lost) {
            Some(action) => Err(SolverError::NotFinite {
                iteration: update,
                action,
                value: next[action],
            }),
            None => Ok(()),
        }
    }

    /// Moves to the last proposal.
    pub(crate) fn accept<G>(&mut self, problem: &Problem<G>) {
        // The logits are finite where the reference is positive, and minus infinity elsewhere.
        let log_sum = self
            .strategy
            .set_logits(self.logits.as_slice())
            .expect("checked when proposed");
        for ((ratio, next), &reference) in self
            .log_ratio
            .iter_mut()
            .zip(self.proposed.as_slice())
            .zip(problem.reference().iter())
        {
            *ratio = if reference > 0.0 { next - log_sum } else { 0.0 };
        }
    }

    /// [`propose`](Self::propose) and [`accept`](Self::accept).
    pub(crate) fn set<G>(
        &mut self,
        problem: &Problem<G>,
        update: u64,
        ratio: impl Fn(usize, f64) -> f64,
    ) -> Result<(), SolverError> {
        self.propose(problem, update, ratio)?;
        self.accept(problem);
        Ok(())
    }
}
