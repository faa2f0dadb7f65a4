use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// What is known of the outcome of each pair.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "one label exists per batch; its tensors are handles"
)]
pub enum Label {
    /// `chosen` won one draw of the oracle.
    Hard,
    /// `P(chosen beats rejected)`, `[pairs]`; a tie is 1/2.
    Soft(Tensor<1>),
    /// What each response is worth, each `[pairs]`: a (Monte-Carlo) estimate of its win rate against the
    /// policy that the pairs were sampled from, or a reward.
    Scores {
        /// Of the preferred response.
        chosen: Tensor<1>,
        /// Of the other response.
        rejected: Tensor<1>,
    },
}

impl Label {
    /// Which kind it is.
    pub fn kind(&self) -> LabelKind {
        match self {
            Self::Hard => LabelKind::Hard,
            Self::Soft(_) => LabelKind::Soft,
            Self::Scores { .. } => LabelKind::Scores,
        }
    }
}

/// The kinds of [`Label`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    /// One draw of the oracle.
    Hard,
    /// A probability.
    Soft,
    /// A win rate or a reward for each response.
    Scores,
}

impl std::fmt::Display for LabelKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hard => "hard",
            Self::Soft => "soft",
            Self::Scores => "scores",
        })
    }
}
