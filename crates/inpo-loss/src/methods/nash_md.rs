use serde::{Deserialize, Serialize};

use super::regularised;
use crate::{LossError, PairLoss};

/// Nash-MD (arXiv 2312.00886) in pair form: INPO's loss and anchors, on pairs sampled from the mixture
///
/// ```text
/// mix_t  =  ref^(tau/eta) pi_t^(1 - tau/eta)
/// ```
///
/// so that its minimiser is `mix_t exp(P(y > mix_t)/eta)`, each up to its normaliser. The paper follows a policy
/// gradient; the pair form is derived in this project.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NashMdLossConfig {
    /// INVERSE step size.
    pub eta: f64,
    /// KL weight of the game, `0 <= tau <= eta`.
    pub tau: f64,
}

impl NashMdLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// `eta` not positive, `tau` negative or above `eta`.
    pub fn init(self) -> Result<PairLoss, LossError> {
        regularised("nash_md", self.eta, self.tau)
    }
}
