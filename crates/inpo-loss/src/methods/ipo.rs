use serde::{Deserialize, Serialize};

use super::towards;
use crate::{Kernel, LossError, MeanPairLoss, PairLoss, Role};

/// IPO (arXiv 2310.12036): `mean((D log pi - D log ref - 1/(2 beta))^2)` on fixed data,
/// `D f = f(chosen) - f(rejected)`, with log-prob SUMS.
///
/// With pairs from a fixed sampler `mu` its minimiser is `ref exp(P(y > mu)/beta)` up to its
/// normaliser. `beta` is IPO's tau, and INPO's eta at tau = eta. TRL's loss of this name averages over
/// tokens; that one is [`IpoMeanLossConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpoLossConfig {
    /// KL weight of the one solve, which is its inverse step size.
    pub beta: f64,
}

impl IpoLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// `beta` not positive.
    pub fn init(self) -> Result<PairLoss, LossError> {
        ipo("ipo", self.beta)
    }
}

/// Online IPO (arXiv 2403.08635): IPO's loss on pairs from the policy itself, no gradient through the
/// sampling.
///
/// Its fixed point is the regularised Nash policy, `pi proportional to ref exp(P(y > pi)/beta)` (derived in
/// this project): where the pairs' sampler is that policy, it is also the minimiser.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnlineIpoLossConfig {
    /// KL weight of the game.
    pub beta: f64,
}

impl OnlineIpoLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// `beta` not positive.
    pub fn init(self) -> Result<PairLoss, LossError> {
        ipo("online_ipo", self.beta)
    }
}

/// Iterative IPO: IPO's loss on pairs from pi_t, towards a reference that moves (`ref <- pi_t`), so that
/// its minimiser is `ref exp(P(y > pi_t)/beta)`. With a reference that moves in every iteration it is
/// INPO at tau = 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IterativeIpoLossConfig {
    /// Inverse step size.
    pub beta: f64,
}

impl IterativeIpoLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// `beta` not positive.
    pub fn init(self) -> Result<PairLoss, LossError> {
        ipo("iterative_ipo", self.beta)
    }
}

/// IPO on log-probs per token, as TRL's `loss_type="ipo"`: each log-prob is divided by its response's
/// number of tokens. With means `D log pi` is of order 1, so that `beta` means another thing than in
/// [`IpoLossConfig`], and no policy's optimum is known in closed form.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpoMeanLossConfig {
    /// The target is `1/(2 beta)` nats a token.
    pub beta: f64,
}

impl IpoMeanLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// `beta` not positive.
    pub fn init(self) -> Result<MeanPairLoss, LossError> {
        ipo("ipo_mean", self.beta).map(MeanPairLoss::new)
    }
}

fn ipo(name: &'static str, beta: f64) -> Result<PairLoss, LossError> {
    let kernel = Kernel::Squared { eta: beta };
    towards(Role::Reference, name, kernel, "beta")
}
