use serde::{Deserialize, Serialize};

use super::regularised;
use crate::{LossError, PairLoss};

/// INPO (arXiv 2407.00617, equation 8): `mean((h_t - 1/(2 eta))^2)` with
///
/// ```text
/// h_t = D log pi - (tau/eta) D log ref - (1 - tau/eta) D log pi_t,    D f = f(chosen) - f(rejected)
/// ```
///
/// Pairs are drawn from pi_t. With a soft label p the target is `(p - 1/2)/eta`: the hard label's loss
/// averaged over its draw, less `p (1 - p)/eta^2`. Its minimiser is
/// `ref^(tau/eta) pi_t^(1 - tau/eta) exp(P(y > pi_t)/eta)` up to its normaliser. At tau = eta it is IPO,
/// at tau = 0 iterative IPO from pi_t.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InpoLossConfig {
    /// INVERSE step size of mirror descent, in 1/nats. The paper's value for language models is
    /// 0.005.
    pub eta: f64,
    /// KL weight of the game, `0 <= tau <= eta`; 0 is the paper's ablation without a reference. The
    /// paper uses `eta / 3`.
    pub tau: f64,
}

impl InpoLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// `eta` not positive, `tau` negative or above `eta`.
    pub fn init(self) -> Result<PairLoss, LossError> {
        regularised("inpo", self.eta, self.tau)
    }
}
