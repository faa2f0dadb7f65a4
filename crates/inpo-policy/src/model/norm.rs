//! Root-mean-square normalisation.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// `y = g * x / sqrt(mean(x^2) + eps)` over the last axis (arXiv 1910.07467).
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// Gain `g`, `[width]`.
    pub gain: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f64,
}

impl RmsNorm {
    /// A norm with gain `gain`, `[width]`, and the given epsilon.
    pub fn new(gain: Tensor<1>, epsilon: f64) -> Self {
        Self {
            gain: Param::from_tensor(gain),
            epsilon,
        }
    }

    /// Normalises each row of `x`, `[rows, width]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let mean_square = x.clone().square().mean_dim(1);
        let inverse = (mean_square + self.epsilon).sqrt().recip();
        x * inverse * self.gain.val().unsqueeze::<2>()
    }
}
