//! A linear map without bias, with an optional low-rank side path.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// `y = x W + s (x A) B`: a dense projection with an optional LoRA side path.
///
/// The dense weight is stored `[in, out]`. The side path is never merged while training, so the
/// dense weight gets no gradient and switching the path off is exactly the reference policy.
#[derive(Module, Debug)]
pub struct Projection {
    /// Dense weight, `[in, out]`.
    pub weight: Param<Tensor<2>>,
    /// Low-rank side path; `None` is the plain projection.
    pub lora: Option<LowRank>,
}

/// The low-rank side path `s (x A) B` of LoRA (arXiv 2106.09685).
#[derive(Module, Debug)]
pub struct LowRank {
    /// `A`, `[in, rank]`.
    pub a: Param<Tensor<2>>,
    /// `B`, `[rank, out]`; zero at the start, so that the path begins as the identity.
    pub b: Param<Tensor<2>>,
    /// `s = alpha / rank`.
    #[module(skip)]
    pub scale: f64,
}

impl Projection {
    /// A projection over `weight`, `[in, out]`.
    pub fn new(weight: Tensor<2>) -> Self {
        Self {
            weight: Param::from_tensor(weight),
            lora: None,
        }
    }

    /// Maps `x`, `[rows, in]`, to `[rows, out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.lora {
            None => x.matmul(self.weight.val()),
            Some(path) => {
                let side = x.clone().matmul(path.a.val()).mul_scalar(path.scale);
                x.matmul(self.weight.val()) + side.matmul(path.b.val())
            }
        }
    }

    /// Input and output width.
    pub fn dims(&self) -> [usize; 2] {
        self.weight.val().dims()
    }
}
