use serde::{Deserialize, Serialize};

use crate::loss::WEIGHT_TOLERANCE;
use crate::{Anchor, Kernel, LossError, PairLoss, Role};

/// MNPO with a history of opponents, TD (arXiv 2509.23102):
///
/// ```text
/// mean( (D log pi - sum_j lambda_j D log pi_{t-j} - 1/(2 eta))^2 )
/// ```
///
/// on pairs from pi_t, as its code has them, so that its minimiser is
/// `prod_j pi_{t-j}^(lambda_j) exp(P(y > pi_t)/eta)` up to its normaliser. The log-probs are SUMS; the published code takes
/// means over tokens. The paper's eta is the step `1/eta`: **here eta is the INVERSE step size**.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MnpoLossConfig {
    /// INVERSE step size.
    pub eta: f64,
    /// lambda_0 (of pi_t, the newest), lambda_1, ..; positive, with sum 1.
    pub history_weights: Vec<f64>,
}

impl MnpoLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// `eta` not positive, a weight not positive, weights that do not add up to 1.
    pub fn init(self) -> Result<PairLoss, LossError> {
        let kernel = Kernel::Squared { eta: self.eta };
        kernel.validate("eta")?;
        let weights = self.history_weights.iter().copied().enumerate();
        for (place, value) in weights.clone() {
            if !(value > 0.0 && value.is_finite()) {
                return Err(LossError::HistoryWeight { place, value });
            }
        }
        let total = self.history_weights.iter().fold(0.0, |sum, w| sum + w);
        if (total - 1.0_f64).abs() > WEIGHT_TOLERANCE {
            return Err(LossError::HistorySum(total));
        }
        let anchors = weights.map(|(age, weight)| Anchor::new(Role::History(age), weight));
        PairLoss::new("mnpo", anchors, kernel)
    }

    /// The same settings where only `count` policies exist yet: the weights of those that do, divided by
    /// their sum.
    #[must_use]
    pub fn truncated(mut self, count: usize) -> Self {
        self.history_weights.truncate(count);
        let total: f64 = self.history_weights.iter().sum();
        for weight in &mut self.history_weights {
            *weight /= total;
        }
        self
    }
}
