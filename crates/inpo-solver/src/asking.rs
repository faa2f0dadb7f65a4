//! How a run asks for win rates: exactly, or by comparisons that an oracle answers.

use inpo_game::{MatrixOracle, PreferenceGame, PreferenceOracle, Strategy};
use serde::{Deserialize, Serialize};

use crate::{ExactFeedback, Feedback, SampledFeedback, Solver, SolverError};

/// How a run asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asking {
    /// [`ExactFeedback`](crate::ExactFeedback).
    #[default]
    Exact,
    /// [`SampledFeedback`](crate::SampledFeedback).
    Sampled {
        /// Comparisons a query, 1 or more.
        comparisons: u64,
        /// Of the generator.
        seed: u64,
    },
}

impl Asking {
    /// Checks that `solver` can be run so.
    pub(crate) fn check(self, solver: &impl Solver) -> Result<(), SolverError> {
        match self {
            Self::Sampled { comparisons: 0, .. } => Err(SolverError::Comparisons),
            Self::Sampled { .. } if solver.exact_only() => Err(SolverError::ExactOnly {
                algorithm: solver.name(),
            }),
            _ => Ok(()),
        }
    }
}

/// The feedback of a run, and the exact win rates that its measures need.
#[derive(Debug)]
pub(crate) struct RunFeedback<'a, G> {
    exact: ExactFeedback<'a, G>,
    sampled: Option<SampledFeedback<Box<Oracle<'a>>>>,
}

/// The oracle of a sampled run.
pub(crate) type Oracle<'a> = dyn PreferenceOracle<(), usize> + 'a;

impl<'a, G: PreferenceGame> RunFeedback<'a, G> {
    /// Sampled comparisons are answered by `oracle`, or without one by the game itself.
    pub(crate) fn new(
        game: &'a G,
        asking: Asking,
        oracle: Option<&'a Oracle<'a>>,
        calls: u64,
    ) -> Self {
        let sampled = match asking {
            Asking::Exact => None,
            Asking::Sampled { comparisons, seed } => {
                let oracle: Box<Oracle<'a>> = match oracle {
                    Some(oracle) => Box::new(oracle),
                    None => Box::new(MatrixOracle::new(game)),
                };
                Some(SampledFeedback::new(oracle, comparisons, seed, calls))
            }
        };
        Self {
            exact: ExactFeedback::new(game, calls),
            sampled,
        }
    }

    pub(crate) fn measure(&mut self, strategy: &Strategy) -> &[f64] {
        self.exact.measure(strategy)
    }
}

impl<G: PreferenceGame> Feedback for RunFeedback<'_, G> {
    fn win_rates_into(&mut self, opponent: &Strategy, out: &mut [f64]) -> Result<(), SolverError> {
        match &mut self.sampled {
            Some(sampled) => sampled.win_rates_into(opponent, out),
            None => self.exact.win_rates_into(opponent, out),
        }
    }

    fn calls(&self) -> u64 {
        match &self.sampled {
            Some(sampled) => sampled.calls(),
            None => self.exact.calls(),
        }
    }
}
