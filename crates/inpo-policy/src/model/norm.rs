//! Root-mean-square normalisation.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use inpo_kernels::rms_norm;

use super::tensors::{cast, widened};

/// `y = (o + g) * x / sqrt(mean(x^2) + eps)` over the last axis (arXiv 1910.07467); the offset `o` is 0, or 1
/// where files store gains as differences from 1.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// Gain `g`, `[width]`, as files store it.
    pub gain: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f64,
    #[module(skip)]
    offset: f64,
}

impl RmsNorm {
    /// A norm with gain `gain`, `[width]`, and the given epsilon.
    pub fn new(gain: Tensor<1>, epsilon: f64) -> Self {
        Self {
            gain: Param::from_tensor(gain),
            epsilon,
            offset: 0.0,
        }
    }

    /// This norm with the offset `offset`.
    pub(super) fn with_offset(mut self, offset: f64) -> Self {
        self.offset = offset;
        self
    }

    /// Normalises each row of `x`, `[rows, width]`; sums of half precision are in f32.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let dtype = x.dtype();
        let wide = widened(dtype);
        let mut gain = cast(self.gain.val(), wide);
        if self.offset != 0.0 {
            gain = gain.add_scalar(self.offset);
        }
        cast(rms_norm(cast(x, wide), gain, self.epsilon), dtype)
    }

    /// Normalises each head of `x`, `[rows, heads * width]`.
    pub(super) fn forward_heads(&self, x: Tensor<2>) -> Tensor<2> {
        let [rows, width] = x.dims();
        let [head] = self.gain.val().dims();
        let heads = x.reshape([rows * (width / head), head]);
        self.forward(heads).reshape([rows, width])
    }
}
