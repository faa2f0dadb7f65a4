//! Where a loop's pairs come from.

use inpo_eval::Evaluation;

use crate::error::TrainError;
use crate::objective::Objective;
use crate::phases::Phase;
use crate::session::{PhasePairs, Session};

/// Where the pairs of each phase come from, and how the result of each iteration is evaluated.
pub trait PairSource {
    /// sha256 of what the pairs are made from: a run is resumed only where it is the same.
    fn digest(&self) -> String;

    /// The pairs of `phase`.
    ///
    /// # Errors
    ///
    /// Those of sampling, judging and reading.
    fn pairs(
        &mut self,
        session: &mut Session<'_>,
        phase: &Phase,
        objective: &Objective,
    ) -> Result<PhasePairs, TrainError>;

    /// What the policy after iteration `t` is worth; iteration 0 is the reference. Nothing by default.
    ///
    /// # Errors
    ///
    /// Those of sampling and judging.
    fn evaluate(
        &mut self,
        session: &mut Session<'_>,
        t: usize,
    ) -> Result<Option<Evaluation>, TrainError> {
        let _ = (session, t);
        Ok(None)
    }

    /// What is left to do after the last iteration, given all evaluations. Nothing by default.
    ///
    /// # Errors
    ///
    /// Files that cannot be written.
    fn conclude(
        &mut self,
        session: &mut Session<'_>,
        evaluations: &[Evaluation],
    ) -> Result<(), TrainError> {
        let _ = (session, evaluations);
        Ok(())
    }
}
