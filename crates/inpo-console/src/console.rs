//! A run's progress on standard error.

use std::fmt::Display;
use std::time::Duration;

use indicatif::ProgressBar;
use inpo_core::eval::{Evaluation, RunEvaluation};
use inpo_core::train::{Observer, Peak, StepMetrics};

use crate::interrupt::{is_asked, stage_stops, take_signals};
use crate::{bar, tell};

/// Stages that look, between two steps or rounds, whether to stop.
const STOPPING: [&str; 4] = ["generate", "optimise", "evaluate", "evaluate_start"];

/// Progress on standard error: a bar per stage on a terminal, a line per stage elsewhere. Which policy to ship is said last,
/// when the console is dropped.
#[derive(Debug, Default)]
pub struct Console {
    bar: Option<ProgressBar>,
    conclusion: Option<String>,
}

impl Console {
    /// One that stops a run which can be resumed on Ctrl-C, SIGTERM and SIGHUP: when what is under way is saved, or, at the
    /// second signal, at once.
    #[must_use]
    pub fn interruptible() -> Self {
        take_signals();
        Self::default()
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Console {
    fn header(&mut self, header: &dyn Display) {
        tell(&header.to_string());
    }

    fn note(&mut self, text: &str) {
        self.finish();
        tell(&format!("note: {text}"));
    }

    fn peak(&mut self, peak: &Peak) {
        self.finish();
        tell(&peak.to_string());
    }

    fn warning(&mut self, sentence: &str) {
        let warn = || tell(&format!("warning: {sentence}"));
        match &self.bar {
            Some(bar) => bar.suspend(warn),
            None => warn(),
        }
    }

    fn stage(&mut self, iteration: usize, name: &str, total: usize) {
        self.finish();
        tell(&format!("iteration {iteration}: {name} ({total})"));
        stage_stops(STOPPING.contains(&name));
        let template = "  {bar:40} {pos}/{len} {elapsed} eta {eta} {msg}";
        let bar = bar(total as u64, template);
        bar.enable_steady_tick(Duration::from_millis(500));
        self.bar = Some(bar);
    }

    fn advance(&mut self, units: usize) {
        if let Some(bar) = &self.bar {
            bar.inc(units as u64);
            if bar.length() == Some(bar.position()) {
                // What follows, such as the judging of an evaluation, does not look whether to stop.
                stage_stops(false);
            }
        }
    }

    fn resumed(&mut self, _iteration: usize, [done, total]: [usize; 2]) {
        tell(&format!("  resumed at {done} of {total}"));
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            bar.reset_eta();
        }
    }

    fn is_interrupted(&mut self) -> bool {
        is_asked()
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

    fn concluded(&mut self, evaluation: &RunEvaluation) {
        self.conclusion = Some(evaluation.recommendation.to_string());
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.finish();
        if let Some(sentence) = self.conclusion.take() {
            tell(&sentence);
        }
    }
}
