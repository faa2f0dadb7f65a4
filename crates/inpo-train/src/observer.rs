//! Watching a run.

use std::fmt::Display;

use inpo_eval::{Evaluation, RunEvaluation};

use crate::metrics::StepMetrics;
use crate::work::Peak;

/// Someone who watches a run. All methods do nothing by default.
pub trait Observer {
    /// The settings of the run or the training, before anything is computed.
    fn header(&mut self, _header: &dyn Display) {}
    /// Something that its user should know of what comes or of what was seen, a sentence.
    fn warning(&mut self, _sentence: &str) {}
    /// Something to know of the output directory: what is not as it was written, and what becomes of it.
    fn note(&mut self, _text: &str) {}
    /// A stage with `total` units of work begins.
    fn stage(&mut self, _iteration: usize, _name: &str, _total: usize) {}
    /// `units` of the stage are done.
    fn advance(&mut self, _units: usize) {}
    /// The device's speed was measured, before the first optimiser step.
    fn peak(&mut self, _peak: &Peak) {}
    /// An optimiser step is done.
    fn step(&mut self, _iteration: usize, _metrics: &StepMetrics) {}
    /// The stage is resumed: so many units of so many were done by an earlier process.
    fn resumed(&mut self, _iteration: usize, _done_of: [usize; 2]) {}
    /// Whether to stop at the next moment from which the run can be resumed.
    fn is_interrupted(&mut self) -> bool {
        false
    }
    /// A policy was evaluated (iteration 0 is the reference).
    fn evaluated(&mut self, _evaluation: &Evaluation) {}
    /// The whole run was evaluated: which policy to ship, and why.
    fn concluded(&mut self, _evaluation: &RunEvaluation) {}
}

/// An observer that ignores everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}
