//! What is measured of a policy: win rates with bootstrap intervals, the divergence from a reference, lengths, and how
//! cyclic the judge is on its samples.
//!
//! Measures are free functions over the records of sampled responses ([`inpo_data::ResponseRecord`]) and an oracle.
//! [`Evaluation`] is what a training loop writes of each iteration.

mod calibration;
mod evaluation;
mod measures;

pub use calibration::{JudgeQuality, ReliabilityBin, Scored, fit_temperature};
pub use evaluation::{Evaluation, Interval};
#[cfg(feature = "models")]
pub use measures::kl_to_reference;
pub use measures::{bootstrap, cycles, lengths, win_rates};
