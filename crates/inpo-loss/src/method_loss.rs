//! What the `init` of every method makes.

use crate::{Exploration, MeanPairLoss, PairLoss};

/// A loss on log-prob sums, or its length-normalised variant.
#[derive(Debug, Clone, PartialEq)]
pub enum Loss {
    /// On sums.
    Sum(PairLoss),
    /// On means over tokens.
    Mean(MeanPairLoss),
}

impl Loss {
    /// The loss's name, anchors and kernel.
    pub fn pair_loss(&self) -> &PairLoss {
        match self {
            Self::Sum(loss) => loss,
            Self::Mean(loss) => loss.inner(),
        }
    }
}

/// The loss of a method, with the exploration term where the method has one.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodLoss {
    /// The loss of the pairs.
    pub loss: Loss,
    /// The exploration term.
    pub exploration: Option<Exploration>,
}

impl From<PairLoss> for MethodLoss {
    fn from(loss: PairLoss) -> Self {
        Self {
            loss: Loss::Sum(loss),
            exploration: None,
        }
    }
}

impl From<MeanPairLoss> for MethodLoss {
    fn from(loss: MeanPairLoss) -> Self {
        Self {
            loss: Loss::Mean(loss),
            exploration: None,
        }
    }
}

impl From<(PairLoss, Exploration)> for MethodLoss {
    fn from((loss, exploration): (PairLoss, Exploration)) -> Self {
        Self {
            loss: Loss::Sum(loss),
            exploration: Some(exploration),
        }
    }
}
