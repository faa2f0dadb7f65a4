use serde::{Deserialize, Serialize};

use super::towards;
use crate::{Kernel, LabelKind, LossError, PairLoss, Role};

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
/// Log-probs that need not be normalised reach `r = t`, which normalises to the exact update
/// `pi_t exp(P(y > pi_t)/eta)`. A policy cannot: with pairs from pi_t the loss is least, over all policies,
/// where `r(y) + c exp(r(y)) = t_y` with one `c >= 0` for all y. That is the exact update to second order in
/// 1/eta only, its log-probs less
///
/// ```text
/// Var(P(y > pi_t)) (P(y > pi_t) - 1/2) / (2 eta^3)  +  O(1/eta^4),    Var over y ~ pi_t
/// ```
///
/// (derived in this project). Steps as large as the published code's are another matter: as eta falls to 0
/// the loss's policy tends to `pi_t(y) max(0, P(y > pi_t) - 1/2)` up to its normaliser, the exact update to the
/// best response.
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
        let loss = towards(Role::Previous, "sppo", kernel, "eta")?;
        Ok(loss.with_labels(&[LabelKind::Scores, LabelKind::Hard, LabelKind::Soft]))
    }
}
