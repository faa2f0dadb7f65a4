use serde::{Deserialize, Serialize};

use super::towards;
use crate::{Kernel, LabelKind, LossError, PairLoss, Role};

/// REBEL (arXiv 2404.16767): regression of reward differences,
///
/// ```text
/// mean( (D log pi - D log pi_t - (reward_w - reward_l)/eta)^2 )
/// ```
///
/// with rewards as scores; its minimiser is `pi_t exp(reward/eta)` up to its normaliser. With win rates against
/// pi_t as rewards it is INPO at tau = 0. The paper's step is `1/eta`: **here eta is the INVERSE step size**.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RebelLossConfig {
    /// INVERSE step size, in units of reward per nat.
    pub eta: f64,
}

impl RebelLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// `eta` not positive.
    pub fn init(self) -> Result<PairLoss, LossError> {
        let kernel = Kernel::Squared { eta: self.eta };
        let loss = towards(Role::Previous, "rebel", kernel, "eta")?;
        Ok(loss.with_labels(&[LabelKind::Scores]))
    }
}
