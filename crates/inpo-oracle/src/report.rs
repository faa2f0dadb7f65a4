//! What a judge's answers say about the judge: the statistics of a trust report.
//!
//! Free functions on [`Answers`] and on outcomes; none of them asks anything. Each says its equation, its unit and its
//! source. A comparison that was not asked is left out, never filled in. Probabilities are taken as checked;
//! [`cycles::cycle_rate`] names a matrix that is none.
//!
//! - [`agreement`]: how often judges say the same, beyond chance: raw share, Cohen's kappa, Krippendorff's alpha.
//! - [`cycles`]: the share of cyclic triples, with an interval.
//! - [`weak_order`]: how many answers must change until a prompt's responses are ranked.
//! - [`length`]: how much the longer response wins.
//! - [`adequacy`]: whether scores explain the answers, or the preference is cyclic beyond noise.

pub mod adequacy;
pub mod agreement;
pub mod cycles;
pub mod length;
pub mod summary;
pub mod weak_order;

mod bootstrap;
mod outcome;

pub use bootstrap::{BootstrapConfig, BootstrapConfigError};
pub use outcome::Outcome;

use serde::{Deserialize, Serialize};

use crate::Answers;

/// An interval of confidence, in the unit of its estimate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The comparisons of one prompt that were asked: (i, j, P(i beats j)) with i < j. The entry above the diagonal is
/// read; the other is its complement.
fn asked(answers: &Answers) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
    let count = answers.count();
    let pairs = (0..count).flat_map(move |i| (i + 1..count).map(move |j| (i, j)));
    pairs.filter_map(|(i, j)| answers.get((i, j)).map(|p| (i, j, p)))
}
