use serde::{Deserialize, Serialize};

use super::towards;
use crate::{Kernel, LossError, PairLoss, Role};

/// ONPO, optimistic mirror descent (arXiv 2502.16852): two steps on the same pairs from pi_t, both
///
/// ```text
/// mean( (D log pi - D log aux - 1/(2 eta))^2 )
/// ```
///
/// Step 1 has aux_t as its anchor and ends at `aux_{t+1} = aux_t exp(P(y > pi_t)/eta)`; step 2 has
/// aux_{t+1} and ends at `pi_{t+1} = aux_{t+1} exp(P(y > pi_t)/eta)`. aux_1 = pi_1. With pi_t in the place of aux it is
/// INPO at tau = 0. The paper's eta is the step `1/eta`: **here eta is the INVERSE step size**.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnpoLossConfig {
    /// INVERSE step size of both steps.
    pub eta: f64,
}

impl OnpoLossConfig {
    /// Checks the settings. The loss of either step: [`Role::Auxiliary`] is aux_t in step 1, aux_{t+1}
    /// in step 2.
    ///
    /// # Errors
    ///
    /// `eta` not positive.
    pub fn init(self) -> Result<PairLoss, LossError> {
        let kernel = Kernel::Squared { eta: self.eta };
        towards(Role::Auxiliary, "onpo", kernel, "eta")
    }
}
