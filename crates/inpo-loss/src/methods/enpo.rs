use serde::{Deserialize, Serialize};

use super::regularised;
use crate::addend::Exploration;
use crate::{LabelKind, LossError, PairLoss};

/// ENPO's step A (arXiv 2606.01382; the step is that of its published code): INPO's anchors with a
/// Monte-Carlo target, and a bonus for what pi_t may also say,
///
/// ```text
/// mean( (h_t - (I_w - I_l)/eta)^2 - alpha log pi(z) ),    z ~ pi_t
/// ```
///
/// `I_y` is the share of a few comparators from pi_t that y beats, given as scores. At alpha = 0 it is
/// INPO's loss of equation 7, target estimated. [`Exploration`] is the second term.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnpoLossConfig {
    /// INVERSE step size.
    pub eta: f64,
    /// KL weight of the game, `0 <= tau <= eta`.
    pub tau: f64,
    /// Weight of the bonus, at least 0; the published code's value is 0.001.
    pub alpha: f64,
}

impl EnpoLossConfig {
    /// Checks the settings: the loss of the pairs and its addend.
    ///
    /// # Errors
    ///
    /// `eta` not positive, `tau` negative or above `eta`, `alpha` negative.
    pub fn init(self) -> Result<(PairLoss, Exploration), LossError> {
        let loss = regularised("enpo", self.eta, self.tau)?;
        let exploration = Exploration::new(self.alpha)?;
        Ok((loss.with_labels(&[LabelKind::Scores]), exploration))
    }
}
