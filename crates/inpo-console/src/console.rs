//! A run's progress on standard error.

use std::fmt::Display;
use std::time::{Duration, Instant};

use inpo_core::eval::{Evaluation, RunEvaluation};
use inpo_core::train::{Observer, Peak, StepMetrics};
use serde_json::json;

use crate::clock::RunClock;
use crate::form::{Form, event, form, tell_as};
use crate::interrupt::{is_asked, shows, stage_stops, take_signals};
use crate::meter::Meter;
use crate::verdicts::Verdicts;

/// The stages whose verdicts are counted as they come, and the one that an iteration begins with.
const JUDGING: [&str; 2] = ["judge", "eval_judge"];
const FIRST: &str = "generate";

/// Stages that look, between two steps or rounds, whether to stop.
const STOPPING: [&str; 4] = ["generate", "optimise", "evaluate", "evaluate_start"];

/// Progress on standard error: a bar per stage on a terminal, a line per stage elsewhere; an object per event for a program.
/// Which policy to ship is said last, when the console is dropped.
#[derive(Debug, Default)]
pub struct Console {
    meter: Option<Meter>,
    clock: RunClock,
    verdicts: Verdicts,
    conclusion: Option<RunEvaluation>,
}

impl Console {
    /// One that stops a run which can be resumed on Ctrl-C, SIGTERM and SIGHUP: when what is under way is saved, or, at the
    /// second signal, at once.
    #[must_use]
    pub fn interruptible() -> Self {
        take_signals();
        Self::default()
    }

    /// Says how many iterations the run has, so that the time left of it can be told.
    #[must_use]
    pub fn with_iterations(mut self, iterations: usize) -> Self {
        self.clock = RunClock::new(iterations);
        self
    }

    /// Counts the verdicts of the run's oracle.
    #[must_use]
    pub fn with_verdicts(mut self, verdicts: Verdicts) -> Self {
        self.verdicts = verdicts;
        self
    }

    fn finish(&mut self) {
        self.verdicts.count_on(None);
        shows(None);
        if let Some(meter) = self.meter.take() {
            meter.finish();
        }
    }

    /// Tells a line above the bar.
    fn tell_above(&self, name: &str, text: &str) {
        match &self.meter {
            Some(meter) => meter.suspend(|| tell_as(name, text)),
            None => tell_as(name, text),
        }
    }

    /// The time left of the run, behind a comma.
    fn run_left(&self) -> String {
        match self.clock.left(Instant::now()) {
            Some(left) => format!(", run {} left", whole_seconds(left)),
            None => String::new(),
        }
    }
}

/// A time in whole seconds, as the bars show it.
fn whole_seconds(time: Duration) -> impl Display {
    indicatif::HumanDuration(Duration::from_secs(time.as_secs()))
}

impl Observer for Console {
    fn header(&mut self, header: &dyn Display) {
        tell_as("header", &header.to_string());
    }

    fn note(&mut self, text: &str) {
        self.finish();
        tell_as("note", &format!("note: {text}"));
    }

    fn peak(&mut self, peak: &Peak) {
        self.finish();
        tell_as("peak", &peak.to_string());
    }

    fn warning(&mut self, sentence: &str) {
        self.tell_above("warning", &format!("warning: {sentence}"));
    }

    fn stage(&mut self, iteration: usize, name: &str, total: usize) {
        self.finish();
        let now = Instant::now();
        self.clock.stage(iteration, name == FIRST, now);
        stage_stops(STOPPING.contains(&name));
        let mut of = json!({ "event": "stage", "iteration": iteration, "stage": name });
        if let Some(left) = self.clock.left(now) {
            of["run_seconds_left"] = left.as_secs_f64().into();
        }
        if form() == Form::Json {
            let mut begins = of.clone();
            begins["total"] = total.into();
            event(begins);
        } else {
            let left = self.run_left();
            tell_as(
                "stage",
                &format!("iteration {iteration}: {name} ({total}){left}"),
            );
        }
        of["event"] = "progress".into();
        let template = "  {bar:40} {pos}/{len} {elapsed}, {per_sec}, {eta} left{msg}";
        let meter = Meter::of(of, template, total as u64).ticking();
        meter.show(self.run_left());
        if JUDGING.contains(&name) {
            self.verdicts.count_on(Some(meter.clone()));
        }
        shows(Some(meter.clone()));
        self.meter = Some(meter);
    }

    fn advance(&mut self, units: usize) {
        if let Some(meter) = &self.meter {
            meter.add(units as u64);
            if meter.is_full() {
                // What follows, such as the judging of an evaluation, does not look whether to stop.
                stage_stops(false);
            }
        }
    }

    fn resumed(&mut self, iteration: usize, [done, total]: [usize; 2]) {
        self.clock.resumed();
        if form() == Form::Json {
            event(
                json!({ "event": "resumed", "iteration": iteration, "done": done, "total": total }),
            );
        } else {
            self.tell_above("resumed", &format!("  resumed at {done} of {total}"));
        }
        if let Some(meter) = &self.meter {
            meter.resume(done as u64);
        }
    }

    fn is_interrupted(&mut self) -> bool {
        is_asked()
    }

    fn step(&mut self, iteration: usize, metrics: &StepMetrics) {
        if form() == Form::Json {
            let mut row = metrics.row(None);
            row.insert("event".to_owned(), "step".into());
            row.insert("iteration".to_owned(), iteration.into());
            row.insert("steps".to_owned(), metrics.progress.steps.into());
            event(row.into());
        }
        if let Some(meter) = &self.meter {
            let batch = &metrics.batch;
            let left = self.run_left();
            meter.show(format!(
                "{left}, loss {:.3} h {:+.3}",
                batch.loss, batch.h_mean
            ));
            meter.add(1);
        }
    }

    fn evaluated(&mut self, evaluation: &Evaluation) {
        self.finish();
        if form() == Form::Json {
            event(json!({ "event": "evaluated", "evaluation": evaluation }));
        } else {
            tell_as("evaluated", &evaluation.to_string());
        }
    }

    fn concluded(&mut self, evaluation: &RunEvaluation) {
        self.finish();
        self.conclusion = Some(evaluation.clone());
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.finish();
        let Some(evaluation) = self.conclusion.take() else {
            return;
        };
        let recommendation = evaluation.recommendation;
        if form() == Form::Json {
            event(json!({ "event": "concluded", "recommendation": recommendation }));
        } else {
            tell_as("concluded", &recommendation.to_string());
        }
    }
}
