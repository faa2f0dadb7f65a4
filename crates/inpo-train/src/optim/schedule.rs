//! The learning rate.

use crate::config::{Schedule, TrainSection};

/// The learning rate of `step` (from 0) of `total`, a pure function of both.
///
/// It rises linearly from 0 over the warm-up and then follows the schedule, down to 0 at `total` unless
/// that is constant: transformers' `get_scheduler` of `cosine`, `linear` and `constant_with_warmup`. Only
/// a single step, which would have rate 0 there, has the peak here.
pub fn learning_rate(config: &TrainSection, step: usize, total: usize) -> f64 {
    let peak = config.learning_rate;
    if total == 1 {
        return peak;
    }
    let warmup = config.warmup(total);
    if step < warmup {
        return peak * step as f64 / warmup as f64;
    }
    let rest = total.saturating_sub(warmup).max(1) as f64;
    let progress = (step - warmup) as f64 / rest;
    match config.lr_scheduler_type {
        Schedule::Cosine => peak * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        Schedule::Linear => peak * (1.0 - progress).max(0.0),
        Schedule::Constant => peak,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Schedule; 3] = [Schedule::Cosine, Schedule::Linear, Schedule::Constant];

    fn config(lr_scheduler_type: Schedule) -> TrainSection {
        TrainSection {
            learning_rate: 2.0,
            lr_scheduler_type,
            ..TrainSection::default()
        }
    }

    /// Ten steps, warm-up of ceil(0.15 * 10) = 2: 0, 1/2 peak, then half a cosine over eight steps:
    /// peak at 2, half the peak at 6, near 0 at 9: (1 + cos(7 pi / 8))/2 = 0.0380602...
    #[test]
    fn schedules() {
        let at = |schedule, step| {
            let config = TrainSection {
                warmup_ratio: Some(0.15),
                ..config(schedule)
            };
            learning_rate(&config, step, 10)
        };
        for schedule in ALL {
            assert_eq!(at(schedule, 0), 0.0);
            assert_eq!(at(schedule, 1), 1.0);
            assert_eq!(at(schedule, 2), 2.0);
        }
        assert!((at(Schedule::Cosine, 6) - 1.0).abs() < 1e-12);
        assert!((at(Schedule::Cosine, 9) - 2.0 * 0.038_060_233_744_356_62).abs() < 1e-12);
        assert_eq!(at(Schedule::Linear, 6), 1.0);
        assert_eq!(at(Schedule::Constant, 9), 2.0);
    }

    /// The single step has the peak, whatever the warm-up.
    #[test]
    fn a_single_step_has_the_peak() {
        for schedule in ALL {
            for warmup_steps in [None, Some(0.5), Some(4.0)] {
                let config = TrainSection {
                    warmup_steps,
                    ..config(schedule)
                };
                assert_eq!(learning_rate(&config, 0, 1), 2.0);
            }
        }
    }

    /// A warm-up that is longer than the run never gets to the peak; a share above (total - 1)/total
    /// neither: of two steps ceil(0.6 * 2) = 2 are warm-up.
    #[test]
    fn a_long_warm_up_is_cut_off() {
        for schedule in ALL {
            let long = TrainSection {
                warmup_steps: Some(8.0),
                ..config(schedule)
            };
            assert_eq!(learning_rate(&long, 3, 4), 0.75);
            let share = TrainSection {
                warmup_ratio: Some(0.6),
                ..config(schedule)
            };
            assert_eq!(learning_rate(&share, 1, 2), 1.0);
        }
    }
}
