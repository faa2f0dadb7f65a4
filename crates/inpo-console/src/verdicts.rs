//! The verdicts of a run's oracle, counted as they come.

use std::sync::{Arc, Mutex, PoisonError};

use inpo_core::oracle::Progress;

use crate::meter::Meter;

/// Counts the verdicts of a run's oracle on the meter of the stage that asks for them. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Verdicts(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    meter: Option<Meter>,
    /// Verdicts of a comparison, and those that were heard of the next one.
    votes: u32,
    heard: u32,
}

impl Verdicts {
    /// What the oracle tells each verdict.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let verdicts = self.clone();
        Arc::new(move || {
            verdicts.change(|state| {
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
        self.change(|state| state.votes = votes);
    }

    /// Counts what comes from now on on `meter`, or nowhere.
    pub(crate) fn count_on(&self, meter: Option<Meter>) {
        self.change(|state| {
            state.meter = meter;
            state.heard = 0;
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
