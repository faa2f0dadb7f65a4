//! Watching a run.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::evaluate::Evaluation;
use crate::header::RunHeader;
use crate::metrics::StepMetrics;
use crate::train::TrainHeader;
use crate::work::Peak;

/// Someone who watches a run. All methods do nothing by default.
pub trait Observer {
    /// The run's settings, before anything is computed.
    fn header(&mut self, _header: &RunHeader) {}
    /// A training phase's settings, before anything is computed.
    fn train_header(&mut self, _header: &TrainHeader) {}
    /// A stage with `total` units of work begins.
    fn stage(&mut self, _iteration: usize, _name: &str, _total: usize) {}
    /// `units` of the stage are done.
    fn advance(&mut self, _units: usize) {}
    /// The device's speed was measured, before the first optimiser step.
    fn peak(&mut self, _peak: &Peak) {}
    /// An optimiser step is done.
    fn step(&mut self, _iteration: usize, _metrics: &StepMetrics) {}
    /// A policy was evaluated (iteration 0 is the reference).
    fn evaluated(&mut self, _evaluation: &Evaluation) {}
}

/// Nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}

/// Progress on standard error: a bar per stage on a terminal, a line per stage elsewhere.
#[derive(Debug, Default)]
pub struct Console {
    bar: Option<ProgressBar>,
}

/// Whoever watches may have gone; the run goes on.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

impl Console {
    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Console {
    fn header(&mut self, header: &RunHeader) {
        tell(&header.to_string());
    }

    fn train_header(&mut self, header: &TrainHeader) {
        tell(&header.to_string());
    }

    fn peak(&mut self, peak: &Peak) {
        self.finish();
        tell(&peak.to_string());
    }

    fn stage(&mut self, iteration: usize, name: &str, total: usize) {
        self.finish();
        tell(&format!("iteration {iteration}: {name} ({total})"));
        let style =
            ProgressStyle::with_template("  {bar:40} {pos}/{len} {elapsed} eta {eta} {msg}");
        let style = style.expect("the template is valid");
        let bar = ProgressBar::new(total as u64).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(500));
        self.bar = Some(bar);
    }

    fn advance(&mut self, units: usize) {
        if let Some(bar) = &self.bar {
            bar.inc(units as u64);
        }
    }

    fn step(&mut self, _iteration: usize, metrics: &StepMetrics) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
            let batch = &metrics.batch;
            bar.set_message(format!("loss {:.3} h {:+.3}", batch.loss, batch.h_mean));
        }
    }

    fn evaluated(&mut self, evaluation: &Evaluation) {
        self.finish();
        tell(&evaluation.to_string());
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.finish();
    }
}
