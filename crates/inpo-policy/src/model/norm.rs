//! Root-mean-square normalisation.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use inpo_kernels::rms_norm;

use super::{cast, widened};

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

    /// Normalises each row of `x`, `[rows, width]`; sums of half precision are in f32.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let dtype = x.dtype();
        let wide = widened(dtype);
        let gain = cast(self.gain.val(), wide);
        cast(rms_norm(cast(x, wide), gain, self.epsilon), dtype)
    }
}
