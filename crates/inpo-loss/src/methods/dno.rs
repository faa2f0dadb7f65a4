use serde::{Deserialize, Serialize};

use super::towards;
use crate::{Kernel, LabelKind, LossError, PairLoss, Role};

/// DNO (arXiv 2404.03715), as quoted by arXiv 2509.23102: cross-entropy of `sigmoid(eta h)`,
/// `h = D log pi - D log pi_t`, with the soft label
///
/// ```text
/// sigmoid(P(chosen > pi_t) - P(rejected > pi_t))
/// ```
///
/// so that its minimiser is `pi_t exp(P(y > pi_t)/eta)` up to its normaliser: INPO at tau = 0. It needs an
/// estimate of both win rates as scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnoLossConfig {
    /// INVERSE step size.
    pub eta: f64,
}

impl DnoLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// `eta` not positive.
    pub fn init(self) -> Result<PairLoss, LossError> {
        let loss = towards(Role::Previous, "dno", logistic(self.eta), "eta")?;
        Ok(loss.with_labels(&[LabelKind::Scores]))
    }
}

/// DNO-Prct, the practical form of DNO (arXiv 2404.03715): DPO's loss with scale eta on pairs from pi_t,
/// towards pi_t.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnoPrctLossConfig {
    /// INVERSE step size.
    pub eta: f64,
}

impl DnoPrctLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// `eta` not positive.
    pub fn init(self) -> Result<PairLoss, LossError> {
        let loss = towards(Role::Previous, "dno_prct", logistic(self.eta), "eta")?;
        Ok(loss.with_labels(&[LabelKind::Hard, LabelKind::Soft]))
    }
}

fn logistic(eta: f64) -> Kernel {
    Kernel::Logistic {
        scale: eta,
        label_smoothing: 0.0,
    }
}
