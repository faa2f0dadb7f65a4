use burn::tensor::Tensor;

/// Log-probs of whole responses, `[responses]`: SUMS of token log-probs in nats, end token included,
/// prompt excluded. A mean over tokens is another quantity and has no place here.
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
}

/// Log-probs of the two responses of each pair under one model, each `[pairs]`.
#[derive(Debug, Clone)]
pub struct PairLogps {
    /// Of the preferred response.
    pub chosen: LogpSum,
    /// Of the other response.
    pub rejected: LogpSum,
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
}
