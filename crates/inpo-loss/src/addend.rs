use burn::tensor::Tensor;

use crate::{LogpMean, LogpSum, LossError};

/// The SFT term, added to a preference loss to keep the preferred response likely:
///
/// ```text
/// - coefficient * log pi(chosen) / tokens(chosen)
/// ```
///
/// for each pair (the NLL term of arXiv 2404.19733, TRL's `rpo_alpha`; there the mean is over all tokens of
/// a batch, which is the same for one pair).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SftTerm {
    coefficient: f64,
}

impl SftTerm {
    /// The term with this weight.
    ///
    /// # Errors
    ///
    /// A coefficient that is negative or not finite.
    pub fn new(coefficient: f64) -> Result<Self, LossError> {
        check("sft_loss_coef", coefficient)?;
        Ok(Self { coefficient })
    }

    /// Its weight.
    pub fn coefficient(&self) -> f64 {
        self.coefficient
    }

    /// Its value for each pair, `[pairs]`, given the means of the chosen responses.
    pub fn loss(&self, chosen: &LogpMean) -> Tensor<1> {
        chosen.tensor().clone().mul_scalar(-self.coefficient)
    }

    /// The gradient of one pair's term in the SUM of its chosen response's `tokens` log-probs.
    pub fn gradient(&self, tokens: usize) -> f64 {
        -self.coefficient / tokens.max(1) as f64
    }
}

/// ENPO's exploration term (arXiv 2606.01382): `- alpha log pi(z)` for one more response z of pi_t a pair.
/// It makes z MORE likely; XPO's term (arXiv 2405.21046) has the opposite sign.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exploration {
    alpha: f64,
}

impl Exploration {
    /// The term with this weight.
    ///
    /// # Errors
    ///
    /// `alpha` negative or not finite.
    pub fn new(alpha: f64) -> Result<Self, LossError> {
        check("alpha", alpha)?;
        Ok(Self { alpha })
    }

    /// Its weight, which is the negative of its gradient in `log pi(z)`.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// Its value for each pair, `[pairs]`.
    pub fn loss(&self, explored: &LogpSum) -> Tensor<1> {
        explored.tensor().clone().mul_scalar(-self.alpha)
    }
}

fn check(setting: &'static str, value: f64) -> Result<(), LossError> {
    if value >= 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(LossError::Coefficient { setting, value })
    }
}
