//! A linear map, with an optional low-rank side path.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use inpo_kernels::{BlockMatrix, SidePath, linear};

use super::dropout::DropoutKey;
use super::tensors::cast;

/// `y = x W + s (x A) B + b`: a dense projection with an optional bias and an optional LoRA side path.
///
/// The dense weight is stored `[in, out]`. The side path is never merged while training, so the
/// dense weight gets no gradient and switching the path off is exactly the reference policy.
#[derive(Module, Debug)]
pub struct Projection {
    /// Dense weight, `[in, out]`.
    pub weight: Param<Tensor<2>>,
    /// Bias, `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// Low-rank side path; `None` is the plain projection.
    pub lora: Option<LowRank>,
    /// The dense weight in the blocks of its file, for passes without training: only a decoder that samples has it.
    #[module(skip)]
    pub(super) blocks: Option<BlockMatrix>,
}

/// The low-rank side path `s (x A) B` of LoRA (arXiv 2106.09685).
#[derive(Module, Debug)]
pub struct LowRank {
    /// `A`, `[in, rank]`.
    pub a: Param<Tensor<2>>,
    /// `B`, `[rank, out]`; zero at the start, so that the path begins as the identity.
    pub b: Param<Tensor<2>>,
    /// `s = alpha / rank`, or `alpha / sqrt(rank)` (rank-stabilised, arXiv 2312.03732).
    #[module(skip)]
    pub scale: f64,
    /// Share of the path's input that is dropped in training.
    #[module(skip)]
    pub dropout: f64,
}

impl Projection {
    /// A projection over `weight`, `[in, out]`, without a bias.
    pub fn new(weight: Tensor<2>) -> Self {
        Self {
            weight: Param::from_tensor(weight),
            bias: None,
            lora: None,
            blocks: None,
        }
    }

    /// This projection with the bias `bias`, `[out]`.
    pub(super) fn with_bias(mut self, bias: Option<Tensor<1>>) -> Self {
        self.bias = bias.map(Param::from_tensor);
        self
    }

    /// Maps `x`, `[rows, in]`, to `[rows, out]`, in the float type of `x`: weights of another one are cast,
    /// so that their gradients have the weights' own.
    ///
    /// `dropout` is the key of the dropout mask; `None` is no dropout.
    pub(super) fn forward(&self, x: Tensor<2>, dropout: Option<DropoutKey>) -> Tensor<2> {
        match self.blocks.as_ref().filter(|_| BlockMatrix::takes(&x)) {
            Some(blocks) => self.with_side(blocks.product(x.clone()), x),
            None => self.biased(self.without_bias(x, dropout)),
        }
    }

    /// Applies each of `projections` to `x`; `dropout(i)` is the key of number `i`.
    pub(super) fn forward_all<const N: usize>(
        projections: [&Self; N],
        x: &Tensor<2>,
        dropout: impl Fn(usize) -> Option<DropoutKey>,
    ) -> [Tensor<2>; N] {
        let blocks = projections
            .iter()
            .map(|projection| projection.blocks.as_ref());
        let blocks = blocks.collect::<Option<Vec<_>>>();
        let mut place = 0;
        match blocks.filter(|_| BlockMatrix::takes(x)) {
            Some(blocks) => {
                let mut products = BlockMatrix::products(&blocks, x.clone()).into_iter();
                projections.map(|projection| {
                    let product = products.next().expect("a product for each projection");
                    projection.with_side(product, x.clone())
                })
            }
            None => projections.map(|projection| {
                place += 1;
                projection.forward(x.clone(), dropout(place - 1))
            }),
        }
    }

    /// Adds side path and bias to `product`, that of `x` with the dense weight; without dropout.
    fn with_side(&self, product: Tensor<2>, x: Tensor<2>) -> Tensor<2> {
        self.biased(match &self.lora {
            None => product,
            Some(LowRank { a, b, scale, .. }) => {
                let side = linear(x, a.val(), None).mul_scalar(*scale);
                product + linear(side, b.val(), None)
            }
        })
    }

    fn biased(&self, y: Tensor<2>) -> Tensor<2> {
        match &self.bias {
            None => y,
            Some(bias) => {
                let dtype = y.dtype();
                y + cast(bias.val(), dtype).unsqueeze()
            }
        }
    }

    fn without_bias(&self, x: Tensor<2>, dropout: Option<DropoutKey>) -> Tensor<2> {
        let dtype = x.dtype();
        let weight = cast(self.weight.val(), dtype);
        let Some(path) = &self.lora else {
            return linear(x, weight, None);
        };
        let (a, b, scale) = (
            cast(path.a.val(), dtype),
            cast(path.b.val(), dtype),
            path.scale,
        );
        match dropout.filter(|_| path.dropout > 0.0) {
            None => linear(x, weight, Some(SidePath { a, b, scale })),
            Some(key) => {
                let mask = key.mask(&x, path.dropout);
                let side = linear(x.clone() * mask, a, None).mul_scalar(scale);
                linear(x, weight, None) + linear(side, b, None)
            }
        }
    }

    /// Input and output width.
    pub fn dims(&self) -> [usize; 2] {
        self.weight.val().dims()
    }
}
