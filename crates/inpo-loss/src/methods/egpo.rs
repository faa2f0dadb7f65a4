use serde::{Deserialize, Serialize};

use super::regularised;
use crate::{LossError, PairLoss};

/// EGPO, extragradient (arXiv 2503.08942): two steps with INPO's loss and anchors, both from pi_t,
///
/// ```text
/// A_t       =  ref^(tau/eta) pi_t^(1 - tau/eta)
/// half_t    =  A_t exp(P(y > pi_t)/eta)        pairs from pi_t: one INPO step
/// pi_{t+1}  =  A_t exp(P(y > half_t)/eta)      pairs from half_t
/// ```
///
/// each up to its normaliser. The squared form of the steps is derived in this project. The paper's step is
/// `1/eta` and its beta is tau: **here eta is the INVERSE step size**.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgpoLossConfig {
    /// INVERSE step size of both steps.
    pub eta: f64,
    /// KL weight of the game, `0 <= tau <= eta`.
    pub tau: f64,
}

impl EgpoLossConfig {
    /// Checks the settings. The loss of either step; what differs is whom the pairs are sampled from.
    ///
    /// # Errors
    ///
    /// `eta` not positive, `tau` negative or above `eta`.
    pub fn init(self) -> Result<PairLoss, LossError> {
        regularised("egpo", self.eta, self.tau)
    }
}
