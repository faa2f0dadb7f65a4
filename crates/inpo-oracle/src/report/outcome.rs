//! What a comparison comes to when its probability is read as a verdict.

use serde::{Deserialize, Serialize};

/// Who wins a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The first response, P > 1/2.
    First,
    /// Neither, P = 1/2.
    Tie,
    /// The second response, P < 1/2.
    Second,
}

impl Outcome {
    /// The outcome of P(first beats second).
    #[must_use]
    pub fn of(probability: f64) -> Self {
        if probability > 0.5 {
            Self::First
        } else if probability < 0.5 {
            Self::Second
        } else {
            Self::Tie
        }
    }

    /// The outcome of the same comparison with its responses exchanged.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Tie => Self::Tie,
            Self::Second => Self::First,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_a_strict_majority() {
        assert_eq!(
            [0.51, 0.5, 0.49].map(Outcome::of),
            [Outcome::First, Outcome::Tie, Outcome::Second]
        );
        assert_eq!(
            [Outcome::First, Outcome::Tie, Outcome::Second].map(Outcome::mirrored),
            [Outcome::Second, Outcome::Tie, Outcome::First]
        );
    }
}
