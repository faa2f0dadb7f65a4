//! What to tell about a judge's verdicts.

use inpo_game::Preference;
use serde::{Deserialize, Serialize};

/// Counts over a judge's verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JudgeStats {
    /// Comparisons answered (`judge/calls`).
    pub calls: u64,
    /// Of these, how many were exactly 1/2.
    pub ties: u64,
    /// Sum of |2 P - 1| over the comparisons.
    pub margin: f64,
}

impl JudgeStats {
    /// Counts the verdicts of one batch.
    pub fn record(&mut self, verdicts: &[Preference]) {
        for verdict in verdicts {
            self.calls += 1;
            self.ties += u64::from(verdict.get() == 0.5);
            self.margin += (2.0 * verdict.get() - 1.0).abs();
        }
    }

    /// The share of ties (`judge/tie_rate`); 0 before the first call.
    pub fn tie_rate(&self) -> f64 {
        if self.calls == 0 {
            0.0
        } else {
            self.ties as f64 / self.calls as f64
        }
    }

    /// The mean of |2 P - 1| (`judge/mean_margin`); 0 before the first call.
    pub fn mean_margin(&self) -> f64 {
        if self.calls == 0 {
            0.0
        } else {
            self.margin / self.calls as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_and_margins_are_counted() {
        let mut stats = JudgeStats::default();
        assert_eq!((stats.tie_rate(), stats.mean_margin()), (0.0, 0.0));
        let verdicts: Vec<Preference> = [1.0, 0.5, 0.25, 0.0]
            .into_iter()
            .map(|p| Preference::new(p).unwrap())
            .collect();
        stats.record(&verdicts);
        // Margins 1, 0, 1/2, 1.
        assert_eq!(
            stats,
            JudgeStats {
                calls: 4,
                ties: 1,
                margin: 2.5
            }
        );
        assert_eq!((stats.tie_rate(), stats.mean_margin()), (0.25, 0.625));
    }
}
