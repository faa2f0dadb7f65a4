//! How many requests may be in flight: fewer when the server is busy, more again when it answers.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Additive increase, multiplicative decrease: a busy server halves the number of requests in flight, and as many answers
/// as that number add one to it, up to the configured number.
pub(super) struct Throttle {
    most: usize,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    limit: usize,
    in_flight: usize,
    /// Answers since the limit last changed.
    answers: usize,
    /// How often the limit was halved. Requests sent before the last time do not halve it again.
    cuts: u64,
    /// No request is sent before.
    not_before: Option<Instant>,
}

/// A request in flight.
pub(super) struct Permit<'a> {
    throttle: &'a Throttle,
    cuts: u64,
}

impl Throttle {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            state: Mutex::new(State {
                limit: most,
                in_flight: 0,
                answers: 0,
                cuts: 0,
                not_before: None,
            }),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a request may be sent.
    pub(super) fn enter(&self) -> Permit<'_> {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let pause = state.not_before.filter(|at| *at > now);
            state = if let Some(at) = pause {
                let waited = self.changed.wait_timeout(state, at - now);
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else if state.in_flight >= state.limit {
                let waited = self.changed.wait(state);
                waited.unwrap_or_else(PoisonError::into_inner)
            } else {
                state.in_flight += 1;
                return Permit {
                    throttle: self,
                    cuts: state.cuts,
                };
            };
        }
    }

    /// Sends nothing for this long.
    pub(super) fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut state = self.state();
        state.not_before = state.not_before.max(Some(until));
    }

    /// Requests that may be in flight now.
    pub(super) fn limit(&self) -> usize {
        self.state().limit
    }
}

impl Permit<'_> {
    /// The server answered.
    pub(super) fn answered(self) {
        let mut state = self.throttle.state();
        state.answers += 1;
        if state.answers >= state.limit && state.limit < self.throttle.most {
            state.limit += 1;
            state.answers = 0;
        }
    }

    /// The server has too much to do.
    pub(super) fn busy(self) {
        let mut state = self.throttle.state();
        if self.cuts == state.cuts {
            state.limit = (state.limit / 2).max(1);
            state.cuts += 1;
            state.answers = 0;
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.throttle.state().in_flight -= 1;
        self.throttle.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_halves_once_a_round_and_answers_add_one_a_window() {
        let throttle = Throttle::new(8);
        let round: Vec<Permit<'_>> = (0..8).map(|_| throttle.enter()).collect();
        // All eight were sent at the same limit: one cut.
        round.into_iter().for_each(Permit::busy);
        assert_eq!(throttle.limit(), 4);
        throttle.enter().busy();
        throttle.enter().busy();
        throttle.enter().busy();
        assert_eq!(throttle.limit(), 1, "never none");
        // 1 answer makes it 2, 2 more make it 3, 3 more make it 4.
        for (answers, limit) in [(1, 2), (1, 2), (1, 3), (2, 3), (1, 4)] {
            (0..answers).for_each(|_| throttle.enter().answered());
            assert_eq!(throttle.limit(), limit);
        }
        (0..100).for_each(|_| throttle.enter().answered());
        assert_eq!(throttle.limit(), 8, "never more than configured");
    }

    #[test]
    fn a_request_waits_for_its_turn_and_for_the_end_of_a_pause() {
        let throttle = Throttle::new(1);
        let first = throttle.enter();
        let started = Instant::now();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                throttle.enter().answered();
                started.elapsed()
            });
            std::thread::sleep(Duration::from_millis(50));
            throttle.pause(Duration::from_millis(150));
            first.answered();
            assert!(second.join().unwrap() >= Duration::from_millis(150));
        });
    }
}
