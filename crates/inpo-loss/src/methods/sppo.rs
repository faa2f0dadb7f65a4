use serde::{Deserialize, Serialize};

use super::towards;
use crate::{Kernel, LossError, PairLoss, Role};

/// SPPO (arXiv 2405.00675): each response of a pair by itself,
///
/// ```text
/// mean( (r(chosen) - t_w)^2 + (r(rejected) - t_l)^2 ),    r(y) = log pi(y) - log pi_t(y)
/// t_y = (s_y - 1/2)/eta,    s_y an estimate of P(y > pi_t)
/// ```
///
/// A hard label has `t = +-1/(2 eta)`, TRL's `sppo_hard`. The paper's step gamma (its eta, TRL's 1/beta) is
/// `1/eta`: **here eta is the INVERSE step size**.
///
/// The target of `pi_t exp(P(y > pi_t)/eta)` is `t_y` less a log-normaliser, which the loss leaves out; the two agree to
/// first order in 1/eta, and exactly for log-probs that need not be normalised (derived in this project).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SppoLossConfig {
    /// INVERSE step size; the published code's value is 0.001.
    pub eta: f64,
}

impl SppoLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// `eta` not positive.
    pub fn init(self) -> Result<PairLoss, LossError> {
        let kernel = Kernel::SquaredEach { eta: self.eta };
        towards(Role::Previous, "sppo", kernel, "eta")
    }
}
