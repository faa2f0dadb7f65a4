//! The time that is left of a run.

use std::time::{Duration, Instant};

/// Estimates the time left of a run from its iterations so far.
#[derive(Debug, Default)]
pub(crate) struct RunClock {
    /// How many iterations the run has; 0: not known.
    iterations: usize,
    /// The iteration under way, when it began, and whether it was seen from its first stage on.
    current: Option<(usize, Instant, bool)>,
    /// How long whole iterations took.
    taken: Vec<Duration>,
}

impl RunClock {
    pub(crate) fn new(iterations: usize) -> Self {
        Self {
            iterations,
            ..Self::default()
        }
    }

    /// A stage of `iteration` begins; `first` says whether it is the one that an iteration begins with.
    pub(crate) fn stage(&mut self, iteration: usize, first: bool, now: Instant) {
        match self.current {
            Some((current, ..)) if current == iteration => return,
            Some((current, began, true)) if current > 0 => self.taken.push(now - began),
            _ => {}
        }
        self.current = Some((iteration, now, first));
    }

    /// A part of the stage was done before: the iteration is not seen whole.
    pub(crate) fn resumed(&mut self) {
        if let Some((_, _, whole)) = &mut self.current {
            *whole = false;
        }
    }

    /// The time left, once an iteration was seen whole: the mean of these for each one to come, and what is left of it for
    /// the current one.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        let (iteration, began, _) = self.current?;
        let whole = u32::try_from(self.taken.len())
            .ok()
            .filter(|&count| count > 0)?;
        let mean = self.taken.iter().sum::<Duration>() / whole;
        let to_come = u32::try_from(self.iterations.checked_sub(iteration)?).ok()?;
        Some(mean.saturating_sub(now - began) + mean * to_come)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Iterations of 60 and 100 seconds: 20 seconds into the third of five, 60 of it and two of 80 are left.
    #[test]
    fn what_is_left_is_the_mean_of_whole_iterations() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut clock = RunClock::new(5);
        clock.stage(0, false, at(0));
        assert_eq!(clock.left(at(5)), None);
        clock.stage(1, true, at(10));
        clock.stage(1, false, at(40));
        assert_eq!(clock.left(at(50)), None);
        clock.stage(2, true, at(70));
        assert_eq!(clock.left(at(70)), Some(Duration::from_secs(60 + 3 * 60)));
        clock.stage(3, true, at(170));
        assert_eq!(clock.left(at(190)), Some(Duration::from_secs(60 + 2 * 80)));
        // One that takes longer than the others has nothing left.
        assert_eq!(clock.left(at(300)), Some(Duration::from_secs(2 * 80)));
    }

    /// A run that is resumed within an iteration says nothing of that one's time.
    #[test]
    fn an_iteration_that_was_not_seen_whole_does_not_count() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut clock = RunClock::new(3);
        clock.stage(1, false, at(0));
        clock.stage(2, true, at(1));
        assert_eq!(clock.left(at(2)), None);
        clock.stage(3, true, at(31));
        assert_eq!(clock.left(at(41)), Some(Duration::from_secs(20)));
        let mut clock = RunClock::new(3);
        clock.stage(1, true, at(0));
        clock.resumed();
        clock.stage(2, true, at(1));
        assert_eq!(clock.left(at(2)), None);
        assert_eq!(RunClock::default().left(at(0)), None);
    }
}
