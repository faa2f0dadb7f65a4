use burn::tensor::Tensor;

/// Log-probs of whole responses in one reduction.
pub(crate) trait Logps {
    /// `[responses]`, in nats.
    fn values(&self) -> &Tensor<1>;
}

/// Log-probs of whole responses, `[responses]`: SUMS of token log-probs in nats, end token included,
/// prompt excluded.
///
/// A mean over tokens is another quantity, [`LogpMean`], and is refused where a sum is meant:
///
/// ```compile_fail
/// # use burn::tensor::{Device, Tensor};
/// # use inpo_loss::{InpoLossConfig, Label, LogpMean, PairLogps, Role};
/// # let device = Device::flex();
/// # let loss = InpoLossConfig { eta: 0.1, tau: 0.0 }.init().unwrap();
/// let mean = || LogpMean::new(Tensor::from_floats([-1.2], &device));
/// let policy = PairLogps { chosen: mean(), rejected: mean() };
/// loss.evaluate(&policy, &[(Role::Previous, &policy)], &Label::Hard);
/// ```
#[derive(Debug, Clone)]
pub struct LogpSum(Tensor<1>);

impl LogpSum {
    /// Declares `sums`, `[responses]`, to be sums over tokens.
    pub fn new(sums: Tensor<1>) -> Self {
        Self(sums)
    }

    /// Sums token log-probs, `[responses, tokens]`, where `mask` is 1 for response tokens and 0 for
    /// prompt and padding.
    pub fn from_tokens(token_logps: Tensor<2>, mask: Tensor<2>) -> Self {
        Self((token_logps * mask).sum_dim(1).squeeze_dim(1))
    }

    /// The sums, `[responses]`.
    pub fn tensor(&self) -> &Tensor<1> {
        &self.0
    }

    /// The means over tokens, given each response's number of tokens, `[responses]`.
    pub fn per_token(&self, tokens: Tensor<1>) -> LogpMean {
        LogpMean(self.0.clone() / tokens)
    }
}

impl Logps for LogpSum {
    fn values(&self) -> &Tensor<1> {
        &self.0
    }
}

/// MEANS of token log-probs of whole responses, `[responses]`, in nats a token: the
/// length-normalised quantity. Only the losses that say so in their name take it.
#[derive(Debug, Clone)]
pub struct LogpMean(Tensor<1>);

impl LogpMean {
    /// Declares `means`, `[responses]`, to be means over tokens.
    pub fn new(means: Tensor<1>) -> Self {
        Self(means)
    }

    /// The means, `[responses]`.
    pub fn tensor(&self) -> &Tensor<1> {
        &self.0
    }
}

impl Logps for LogpMean {
    fn values(&self) -> &Tensor<1> {
        &self.0
    }
}

/// Log-probs of the two responses of each pair under one model, each `[pairs]`; sums unless said
/// otherwise.
#[derive(Debug, Clone)]
pub struct PairLogps<L = LogpSum> {
    /// Of the preferred response.
    pub chosen: L,
    /// Of the other response.
    pub rejected: L,
}

impl PairLogps {
    /// `log pi(chosen) - log pi(rejected)`, `[pairs]`.
    pub fn difference(&self) -> Tensor<1> {
        self.chosen.0.clone() - self.rejected.0.clone()
    }

    /// Number of pairs.
    pub fn pairs(&self) -> usize {
        self.chosen.0.dims()[0]
    }

    /// The means over tokens, given the number of tokens of both responses, each `[pairs]`.
    pub fn per_token(&self, chosen: Tensor<1>, rejected: Tensor<1>) -> PairLogps<LogpMean> {
        PairLogps {
            chosen: self.chosen.per_token(chosen),
            rejected: self.rejected.per_token(rejected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn sums_ignore_padding() {
        let device = Device::flex();
        let tokens = Tensor::<2>::from_floats([[-1.0, -2.0, -100.0], [-3.0, -4.0, -5.0]], &device);
        let mask = Tensor::<2>::from_floats([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], &device);
        let sums = LogpSum::from_tokens(tokens, mask);
        let values = sums.tensor().clone().try_into_vec_as::<f32>().unwrap();
        assert_eq!(values, [-3.0, -12.0]);
        let means = sums.per_token(Tensor::from_floats([2.0, 3.0], &device));
        let means = means.tensor().clone().try_into_vec_as::<f32>().unwrap();
        assert_eq!(means, [-1.5, -4.0]);
    }
}
