//! The votes on two actions.

/// The votes on two actions, seen from the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PairCounts {
    /// The first was preferred.
    pub wins: u64,
    /// The second was preferred.
    pub losses: u64,
    /// Neither was.
    pub ties: u64,
}

impl PairCounts {
    /// All votes.
    #[must_use]
    pub fn total(self) -> u64 {
        self.wins
            .saturating_add(self.losses)
            .saturating_add(self.ties)
    }

    /// wins + ties / 2: the points of the first.
    #[must_use]
    pub fn points(self) -> f64 {
        self.wins as f64 + 0.5 * self.ties as f64
    }

    /// The same votes seen from the second.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self {
            wins: self.losses,
            losses: self.wins,
            ties: self.ties,
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.wins += other.wins;
        self.losses += other.losses;
        self.ties += other.ties;
    }

    /// The posterior mean of P(first > second), such that the complement law holds to the bit.
    pub(super) fn share(self, prior: f64) -> f64 {
        let (own, other) = (self.points() + prior, self.swapped().points() + prior);
        match own + other {
            0.0 => 0.5,
            total if own >= other => own / total,
            total => 1.0 - other / total,
        }
    }
}

/// The limits of an interval estimate, `low <= high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower limit.
    pub low: f64,
    /// The upper limit.
    pub high: f64,
}
