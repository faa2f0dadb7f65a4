use serde::{Deserialize, Serialize};

use super::towards;
use crate::{Kernel, LossError, PairLoss, Role};

/// DPO (arXiv 2305.18290) on fixed data, with label smoothing (conservative DPO):
///
/// ```text
/// mean( -(1 - e) log sigmoid(beta h) - e log sigmoid(-beta h) ),    h = D log pi - D log ref
/// ```
///
/// `e` is `label_smoothing`. A soft label p takes the place of 1 (`q = p (1 - e) + (1 - p) e`). Under
/// Bradley-Terry preferences its minimiser is `ref exp(score/beta)` up to its normaliser; a cyclic
/// preference has no such scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DpoLossConfig {
    /// KL weight; the field's usual value is 0.1.
    pub beta: f64,
    /// Share of labels taken to be flipped, from 0 to below 1/2.
    #[serde(default)]
    pub label_smoothing: f64,
}

impl DpoLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// `beta` not positive, `label_smoothing` outside [0, 1/2).
    pub fn init(self) -> Result<PairLoss, LossError> {
        dpo("dpo", self.beta, self.label_smoothing)
    }
}

/// Iterative DPO: DPO's loss on pairs from pi_t, towards a reference that moves (`ref <- pi_t`) or
/// stays, as the loop is told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IterativeDpoLossConfig {
    /// KL weight of each solve.
    pub beta: f64,
    /// Share of labels taken to be flipped, from 0 to below 1/2.
    #[serde(default)]
    pub label_smoothing: f64,
}

impl IterativeDpoLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// As [`DpoLossConfig::init`].
    pub fn init(self) -> Result<PairLoss, LossError> {
        dpo("iterative_dpo", self.beta, self.label_smoothing)
    }
}

/// DPO with the hinge loss, as SLiC-HF (arXiv 2305.10425) has it and TRL's `loss_type="hinge"`:
/// `mean(max(0, 1 - beta h))`, `h = D log pi - D log ref`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HingeLossConfig {
    /// The margin is `1/beta` nats.
    pub beta: f64,
}

impl HingeLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// `beta` not positive.
    pub fn init(self) -> Result<PairLoss, LossError> {
        let kernel = Kernel::Hinge { scale: self.beta };
        towards(Role::Reference, "hinge", kernel, "beta")
    }
}

fn dpo(name: &'static str, beta: f64, label_smoothing: f64) -> Result<PairLoss, LossError> {
    let kernel = Kernel::Logistic {
        scale: beta,
        label_smoothing,
    };
    towards(Role::Reference, name, kernel, "beta")
}
