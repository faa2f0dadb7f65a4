//! Causal attention over packed sequences, and of new tokens over a cache.

mod cached;
#[cfg(feature = "flex")]
mod fused;
#[cfg(feature = "flex")]
mod kernel;
mod plain;
#[cfg(feature = "flex")]
mod plan;
#[cfg(feature = "flex")]
mod scratch;
#[cfg(feature = "flex")]
mod softmax;

pub use cached::{CachedAttention, CachedRow};

use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor};

use crate::kernels::Kernels;
use crate::packed::PackedLayout;

/// The heads of an attention layer and what their scores go through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionHeads {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; their number divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// What scores are multiplied by.
    pub scale: f64,
    /// Scores become `softcap * tanh(score / softcap)`.
    pub softcap: Option<f64>,
}

impl AttentionHeads {
    fn check(&self) {
        let Self {
            heads,
            kv_heads,
            head_dim,
            softcap,
            ..
        } = *self;
        assert!(
            kv_heads > 0 && heads > 0 && heads.is_multiple_of(kv_heads) && head_dim > 0,
            "{heads} query heads over {kv_heads} key heads of width {head_dim}"
        );
        assert!(
            softcap.is_none_or(|cap| cap > 0.0),
            "a cap is positive, got {softcap:?}"
        );
    }
}

/// Grouped-query causal self-attention (arXiv 2305.13245) over the sequences of a [`PackedLayout`].
///
/// For query head `h`, with the keys and values of head `h / (heads / kv_heads)`,
///
/// ```text
/// out_i = sum_j softmax_j(scale * q_i . k_j) v_j
/// ```
///
/// where `j` runs over the tokens that token `i` follows, and `i`: in its own prompt or response up
/// to itself, and for a response in the whole prompt of its group.
///
/// Holds what the layers of one batch share, and is cheap to clone. The fused form computes the scores
/// of a few tokens at a time, again in the backward pass, and keeps only the logarithm of each
/// softmax's sum (arXiv 2205.14135); the plain one pads every group to the longest.
#[derive(Debug, Clone)]
pub struct PackedAttention {
    shape: AttentionShape,
    path: Path,
}

/// The sizes and constants that both forms use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionShape {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    scale: f64,
    softcap: Option<f64>,
    window: Option<usize>,
    tokens: usize,
}

#[derive(Debug, Clone)]
enum Path {
    Plain(Arc<plain::Tables>),
    #[cfg(feature = "flex")]
    Fused(Arc<plan::Plan>),
}

impl PackedAttention {
    /// Attention of `heads` over the sequences of `layout`, for tensors on `device`, with or without autodiff, of type
    /// `dtype`. With a sliding `window` a token sees only the last so many positions of its sequence, itself included.
    ///
    /// # Panics
    ///
    /// If a size or the window is 0, `kv_heads` does not divide `heads` or the cap is not positive.
    pub fn new(
        layout: &PackedLayout,
        heads: &AttentionHeads,
        window: Option<usize>,
        device: &Device,
        dtype: DType,
    ) -> Self {
        heads.check();
        assert!(window != Some(0), "a window is positive");
        let shape = AttentionShape {
            heads: heads.heads,
            kv_heads: heads.kv_heads,
            head_dim: heads.head_dim,
            scale: heads.scale,
            softcap: heads.softcap,
            window,
            tokens: layout.tokens(),
        };
        #[cfg(feature = "flex")]
        if !Self::pads(device, dtype) {
            let path = Path::Fused(Arc::new(plan::Plan::new(layout, &shape)));
            return Self { shape, path };
        }
        let tables = plain::Tables::new(layout, &shape, (device, dtype));
        let path = Path::Plain(Arc::new(tables));
        Self { shape, path }
    }

    /// Checks that attention on `device` in `dtype` pads every group to the longest, so that a batch costs as many
    /// times the longest group as it has groups.
    pub fn pads(device: &Device, dtype: DType) -> bool {
        !Kernels::on(device, dtype).is_fused()
    }

    /// Maps queries `[rows, heads * head_dim]` and keys and values `[rows, kv_heads * head_dim]` to
    /// `[rows, heads * head_dim]`.
    ///
    /// Rows beyond the layout's tokens are padding: they are 0 in the result and have no gradient.
    ///
    /// # Panics
    ///
    /// If the tensors have other shapes, fewer rows than the layout has tokens, or another device or
    /// type than those this was made for.
    pub fn forward(&self, q: Tensor<2>, k: Tensor<2>, v: Tensor<2>) -> Tensor<2> {
        let shape = &self.shape;
        let [rows, width] = q.dims();
        let kv_width = shape.kv_heads * shape.head_dim;
        assert!(
            width == shape.heads * shape.head_dim
                && k.dims() == [rows, kv_width]
                && v.dims() == [rows, kv_width]
                && rows >= shape.tokens,
            "queries {:?}, keys {:?} and values {:?} for {shape:?}",
            q.dims(),
            k.dims(),
            v.dims()
        );
        match &self.path {
            Path::Plain(tables) => plain::forward(shape, tables, q, k, v),
            #[cfg(feature = "flex")]
            Path::Fused(plan) => {
                assert!(
                    [&q, &k, &v].into_iter().all(crate::flex::takes),
                    "attention made for f32 on Flex was given other tensors"
                );
                fused::attend(q, k, v, plan.clone())
            }
        }
    }
}
