//! A run's progress on standard error.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use inpo_core::eval::Evaluation;
use inpo_core::oracle::Progress;
use inpo_core::train::{Observer, Peak, StepMetrics};
use serde_json::json;

use crate::clock::RunClock;
use crate::form::{Form, event, form, tell_as};
use crate::meter::Meter;

/// The stage whose verdicts are counted as they come, and the one that an iteration begins with.
const JUDGE: &str = "judge";
const FIRST: &str = "generate";

/// Progress on standard error: a bar per stage on a terminal, a line per stage elsewhere; an object per event for a program.
#[derive(Debug, Default)]
pub struct Console {
    meter: Option<Meter>,
    clock: RunClock,
    judging: Arc<Judging>,
}

/// The judge stage under way, of which verdicts are told from wherever they come.
#[derive(Debug, Default)]
struct Judging(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    meter: Option<Meter>,
    /// Verdicts of a comparison, and those that were heard of the next one.
    votes: u32,
    heard: u32,
}

impl Judging {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Console {
    /// Says how many iterations the run has, so that the time left of it can be told.
    #[must_use]
    pub fn with_iterations(mut self, iterations: usize) -> Self {
        self.clock = RunClock::new(iterations);
        self
    }

    /// What the run's oracle tells each verdict.
    #[must_use]
    pub fn verdicts(&self) -> Progress {
        let judging = Arc::clone(&self.judging);
        Arc::new(move || {
            judging.change(|state| {
                let Some(meter) = &state.meter else { return };
                state.heard += 1;
                if state.heard >= state.votes {
                    state.heard = 0;
                    meter.add(1);
                }
            });
        })
    }

    /// Says how many verdicts the oracle gives on a comparison.
    pub fn expect_votes(&self, votes: u32) {
        self.judging.change(|state| state.votes = votes);
    }

    fn finish(&mut self) {
        self.judging.change(|state| state.meter = None);
        if let Some(meter) = self.meter.take() {
            meter.finish();
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
        let warn = || tell_as("warning", &format!("warning: {sentence}"));
        match &self.meter {
            Some(meter) => meter.suspend(warn),
            None => warn(),
        }
    }

    fn stage(&mut self, iteration: usize, name: &str, total: usize) {
        self.finish();
        let now = Instant::now();
        self.clock.stage(iteration, name == FIRST, now);
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
        if name == JUDGE {
            self.judging.change(|state| {
                state.meter = Some(meter.clone());
                state.heard = 0;
            });
        }
        self.meter = Some(meter);
    }

    fn advance(&mut self, units: usize) {
        if let Some(meter) = &self.meter {
            meter.add(units as u64);
        }
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
}

impl Drop for Console {
    fn drop(&mut self) {
        self.finish();
    }
}
