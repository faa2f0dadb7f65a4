//! What every method keeps beside its last iterate: counts and averages.

use inpo_game::Strategy;
use serde::{Deserialize, Serialize};

/// Counts of updates and of oracle calls, and the two averages of the iterates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    iteration: u64,
    oracle_calls: u64,
    average: Strategy,
    weighted_average: Strategy,
}

impl Tally {
    /// Nothing done yet; both averages are the start pi_1.
    #[must_use]
    pub fn new(start: &Strategy) -> Self {
        Self {
            iteration: 0,
            oracle_calls: 0,
            average: start.clone(),
            weighted_average: start.clone(),
        }
    }

    /// Counts the update away from pi_n and takes pi_n into the averages.
    pub fn leave(&mut self, strategy: &Strategy, oracle_calls: u64) {
        self.iteration += 1;
        self.oracle_calls = oracle_calls;
        let n = self.iteration as f64;
        self.average.mix_in(strategy, 1.0 / n);
        // Weights 1, 2, .., n add to n (n + 1) / 2.
        self.weighted_average.mix_in(strategy, 2.0 / (n + 1.0));
    }

    /// Updates made.
    #[must_use]
    pub fn iteration(&self) -> u64 {
        self.iteration
    }

    /// The calls paid so far; see [`Feedback::calls`](crate::Feedback::calls) for the unit.
    #[must_use]
    pub fn oracle_calls(&self) -> u64 {
        self.oracle_calls
    }

    /// The mean of pi_1 .. pi_n.
    #[must_use]
    pub fn average(&self) -> &Strategy {
        &self.average
    }

    /// The mean of pi_1 .. pi_n with weights 1 .. n.
    #[must_use]
    pub fn weighted_average(&self) -> &Strategy {
        &self.weighted_average
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_averages_are_the_means_they_claim_to_be() {
        let points = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]];
        let mut tally = Tally::new(&Strategy::uniform(2));
        for (calls, point) in (1..).zip(points) {
            tally.leave(&Strategy::new(point.to_vec()).unwrap(), 2 * calls);
        }
        assert!((tally.average()[0] - 0.5).abs() < 1e-15); // (1 + 0 + 0.5) / 3
        // (1 * 1 + 2 * 0 + 3 * 0.5) / 6
        assert!((tally.weighted_average()[0] - 2.5 / 6.0).abs() < 1e-15);
        assert_eq!((tally.iteration(), tally.oracle_calls()), (3, 6));
    }
}
