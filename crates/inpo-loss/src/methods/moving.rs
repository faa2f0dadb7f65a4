use serde::{Deserialize, Serialize};

use super::regularised;
use crate::{LossError, PairLoss};

/// COMAL (arXiv 2410.23223): INPO's loss towards a reference that becomes pi_t every few iterations, so
/// that the plain game is solved in the end. With a reference that never moves it is INPO.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComalLossConfig {
    /// INVERSE step size.
    pub eta: f64,
    /// KL weight to the reference in force, `0 <= tau <= eta`.
    pub tau: f64,
}

impl ComalLossConfig {
    /// Checks the settings. When the reference moves is the loop's business.
    ///
    /// # Errors
    ///
    /// `eta` not positive, `tau` negative or above `eta`.
    pub fn init(self) -> Result<PairLoss, LossError> {
        regularised("comal", self.eta, self.tau)
    }
}

/// MPO, magnetic mirror descent (arXiv 2410.16714; the update of 2206.05825):
///
/// ```text
/// pi_{t+1}  =  ( exp(P(y > pi_t)) magnet^tau pi_t^eta )^(1/(eta + tau))
/// ```
///
/// up to its normaliser, the magnet being the reference, which becomes pi_t every few iterations. It is INPO's loss with
/// the inverse step size `eta + tau`, so nothing ties tau to eta.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MpoLossConfig {
    /// INVERSE step size.
    pub eta: f64,
    /// Weight of the KL to the magnet.
    pub tau: f64,
}

impl MpoLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// `eta` not positive, `tau` negative.
    pub fn init(self) -> Result<PairLoss, LossError> {
        if !(self.eta > 0.0 && self.eta.is_finite()) {
            let (setting, value) = ("eta", self.eta);
            return Err(LossError::InverseStep { setting, value });
        }
        if !(self.tau >= 0.0 && self.tau.is_finite()) {
            return Err(LossError::Tau(self.tau));
        }
        regularised("mpo", self.eta + self.tau, self.tau)
    }
}
