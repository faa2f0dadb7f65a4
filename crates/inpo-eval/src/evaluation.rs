//! What is said of one policy on held-out prompts.

use inpo_oracle::CycleReport;
use serde::{Deserialize, Serialize};

/// A mean with a bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean over prompts.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// What nothing says of a share: 1/2, anywhere from 0 to 1. Unlike NaN it can be written as JSON and read again.
    pub const UNKNOWN: Self = Self {
        mean: 0.5,
        low: 0.0,
        high: 1.0,
    };
}

impl std::fmt::Display for Interval {
    /// Per cent; a width is that of the mean.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [mean, low, high] = [self.mean, self.low, self.high].map(|share| 100.0 * share);
        let width = f.width().unwrap_or(0);
        write!(f, "{mean:width$.1} % [{low:.1}, {high:.1}]")
    }
}

/// `eval.json`: one policy on the held-out prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The iteration whose result was evaluated; 0 is the reference.
    pub iteration: usize,
    /// Held-out prompts.
    pub prompts: usize,
    /// Samples per prompt.
    pub samples: usize,
    /// P(policy beats reference), over prompts and all sample pairs of a prompt.
    pub win_rate_vs_ref: Interval,
    /// P(policy beats the previous policy).
    pub win_rate_vs_prev: Interval,
    /// Monte-Carlo estimate of KL(policy || reference) per response, in nats.
    pub kl_ref: f64,
    /// Mean response length in tokens, end token included.
    pub mean_length: f64,
    /// Share of responses cut off at the limit.
    pub clipped_ratio: f64,
    /// Cyclic triples of the judge among the policy's samples.
    pub cycles: CycleReport,
}

impl std::fmt::Display for Evaluation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "iteration {}: win rate vs reference {:5}, vs previous {:5}, KL {:.2} nats, length {:.1} tokens \
             ({:.0} % cut off), judge cycle rate {:.2} %",
            self.iteration,
            self.win_rate_vs_ref,
            self.win_rate_vs_prev,
            self.kl_ref,
            self.mean_length,
            100.0 * self.clipped_ratio,
            100.0 * self.cycles.rate(),
        )
    }
}
