//! How far a piece of work has come.

use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde_json::{Value, json};

use crate::form::{Form, event, form};

/// Shortest time between two lines of a meter.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

/// Progress of one piece of work, with its rate and the time left: a bar where standard error is a terminal, lines for a
/// program, or nothing. Clones are the same meter.
#[derive(Clone, Debug)]
pub struct Meter {
    bar: ProgressBar,
    /// Where a program is told.
    lines: Option<Arc<Lines>>,
}

/// The lines of a meter.
#[derive(Debug)]
struct Lines {
    /// What each line begins with.
    of: Value,
    state: Mutex<State>,
}

/// Where the work of this process began, and when its last line was.
#[derive(Debug)]
struct State {
    began: Instant,
    before: u64,
    last: Option<Instant>,
}

impl State {
    fn new(before: u64) -> Self {
        Self {
            began: Instant::now(),
            before,
            last: None,
        }
    }

    /// A line of so many units of so many; rate and time left are those of this process.
    fn line(&self, of: &Value, [done, total]: [u64; 2], now: Instant) -> Value {
        let mut line = of.clone();
        line["done"] = done.into();
        line["total"] = total.into();
        let seconds = (now - self.began).as_secs_f64();
        let done_here = done.saturating_sub(self.before);
        if done_here > 0 && seconds > 0.0 {
            let rate = done_here as f64 / seconds;
            line["per_second"] = rate.into();
            line["seconds_left"] = (total.saturating_sub(done) as f64 / rate).into();
        }
        line
    }
}

impl Lines {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter {
    /// A meter of `total` `units` of the work `name`.
    #[must_use]
    pub fn new(name: &str, units: &str, total: u64) -> Self {
        let template =
            format!("  {{bar:40}} {{pos}}/{{len}} {units}, {{per_sec}}, {{eta}} left {{msg}}");
        Self::of(
            json!({ "event": "progress", "stage": name }),
            &template,
            total,
        )
    }

    /// A meter of bytes that are fetched.
    #[must_use]
    pub fn bytes(what: &str, total: u64) -> Self {
        let template = "{msg} [{bar:30}] {bytes}/{total_bytes}, {eta} left";
        let of = json!({ "event": "progress", "stage": "fetch", "what": what });
        let meter = Self::of(of, template, total);
        meter.bar.set_message(what.to_owned());
        meter
    }

    /// A meter whose lines begin with the object `of`; `template` is indicatif's.
    pub(crate) fn of(of: Value, template: &str, total: u64) -> Self {
        let style = ProgressStyle::with_template(template).expect("the template is valid");
        let style = style
            .with_key("per_sec", |state: &ProgressState, to: &mut dyn Write| {
                let _ = to.write_str(&rate(state.per_sec()));
            })
            .with_key("eta", |state: &ProgressState, to: &mut dyn Write| {
                let left = (state.per_sec() > 0.0).then(|| HumanDuration(state.eta()));
                let _ = match left {
                    Some(left) => write!(to, "{left:#}"),
                    None => to.write_str("?"),
                };
            });
        let bar = ProgressBar::new(total).with_style(style);
        if form() != Form::Text {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let lines = (form() == Form::Json).then(|| {
            Arc::new(Lines {
                of,
                state: Mutex::new(State::new(0)),
            })
        });
        Self { bar, lines }
    }

    /// Draws the bar also while nothing is done.
    pub(crate) fn ticking(self) -> Self {
        self.bar.enable_steady_tick(Duration::from_millis(500));
        self
    }

    /// Counts `units` that are done, up to the total.
    pub fn add(&self, units: u64) {
        let left = self.total().saturating_sub(self.bar.position());
        if left > 0 {
            self.bar.inc(units.min(left));
            self.say(false);
        }
    }

    /// Says that `units` are done in all.
    pub fn set(&self, units: u64) {
        self.bar.set_position(units);
        self.say(false);
    }

    /// Says that `units` were done by an earlier process: neither rate nor time left counts them.
    pub(crate) fn resume(&self, units: u64) {
        self.bar.set_position(units);
        // Has the bar's estimate see the new place, before it begins again.
        self.bar.set_length(self.total());
        self.bar.reset_eta();
        if let Some(lines) = &self.lines {
            *lines.state() = State::new(units);
        }
    }

    /// Whether all is done.
    pub(crate) fn is_full(&self) -> bool {
        self.bar.position() >= self.total()
    }

    /// Corrects the total.
    pub fn set_total(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// Shows `text` behind the bar.
    pub fn show(&self, text: String) {
        self.bar.set_message(text);
    }

    /// Runs `tell` with the bar out of the way.
    pub(crate) fn suspend(&self, tell: impl FnOnce()) {
        self.bar.suspend(tell);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if self.bar.position() < self.total() {
            self.say(true);
        }
        self.bar.finish_and_clear();
    }

    fn total(&self) -> u64 {
        self.bar.length().unwrap_or(u64::MAX)
    }

    /// Tells a program where the work is: not more than once a second, but `at_once` and at its end.
    fn say(&self, at_once: bool) {
        let Some(lines) = &self.lines else { return };
        let (done, total) = (self.bar.position(), self.total());
        let mut state = lines.state();
        let recent = state
            .last
            .is_some_and(|last| last.elapsed() < BETWEEN_LINES);
        if recent && done < total && !at_once {
            return;
        }
        state.last = Some(Instant::now());
        event(state.line(&lines.of, [done, total], Instant::now()));
    }
}

/// A rate in units a second, a slow one in seconds a unit.
fn rate(per_second: f64) -> String {
    if per_second >= 10.0 {
        format!("{per_second:.0}/s")
    } else if per_second >= 1.0 {
        format!("{per_second:.1}/s")
    } else if per_second > 0.0 {
        format!("{:.1} s each", 1.0 / per_second)
    } else {
        "?/s".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_rate_is_told_in_seconds() {
        let told = [659.6582, 2.56, 0.4, 0.0].map(rate);
        assert_eq!(told, ["660/s", "2.6/s", "2.5 s each", "?/s"]);
    }

    /// 280 of 300 were done before; 10 more in 20 seconds are half a unit a second, and the last 10 take 20 seconds.
    #[test]
    fn what_an_earlier_process_did_does_not_count() {
        let bar = ProgressBar::with_draw_target(Some(300), ProgressDrawTarget::hidden());
        let lines = Arc::new(Lines {
            of: json!({}),
            state: Mutex::new(State::new(0)),
        });
        let meter = Meter {
            bar,
            lines: Some(Arc::clone(&lines)),
        };
        meter.resume(280);
        assert_eq!(meter.bar.position(), 280);
        let state = lines.state();
        let line = |done, seconds| {
            let now = state.began + Duration::from_secs(seconds);
            state.line(&lines.of, [done, 300], now)
        };
        let known = json!({ "done": 290, "total": 300, "per_second": 0.5, "seconds_left": 20.0 });
        assert_eq!(line(290, 20), known);
        assert_eq!(line(280, 20), json!({ "done": 280, "total": 300 }));
    }
}
