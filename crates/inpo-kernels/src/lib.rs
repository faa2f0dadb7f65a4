//! Fused operations of a transformer, forward and backward, on Burn tensors.
//!
//! Each operation is a plain function on tensors. On Burn's CPU backend (Flex) in f32 it runs as one
//! threaded pass with a handwritten backward pass; on every other backend and in every other
//! precision it is the composition of Burn's own operations that its documentation gives, which is
//! also what the fused one is tested against (in f64). Callers need not know which it was.

mod adamw;
mod attention;
mod blocks;
mod embedding;
#[cfg(feature = "flex")]
mod flex;
pub mod head;
mod linear;
pub mod logits;
mod memory;
mod packed;
mod rms_norm;
mod rotary;
mod swiglu;
mod threads;

pub use adamw::{AdamWStep, adamw, scale, sum_of_squares};
pub use attention::{AttentionOptions, CachedAttention, CachedRow, PackedAttention};
pub use blocks::{BLOCK, BlockKind, BlockMatrix, QuantisedBlock};
pub use embedding::embedding;
pub use linear::{SidePath, linear};
pub use memory::keep_freed_memory;
pub use packed::{PackedGroup, PackedLayout, PackedSegment};
pub use rms_norm::rms_norm;
pub use rotary::rotate;
pub use swiglu::{gelu_mul, silu_mul};
pub use threads::on_worker;

use burn::tensor::Tensor;

/// Whether operations on `tensor` are the fused ones: f32 on Flex, with or without autodiff, where the
/// crate was built with that backend.
pub fn fused<const D: usize>(tensor: &Tensor<D>) -> bool {
    #[cfg(feature = "flex")]
    return flex::takes(tensor);
    #[cfg(not(feature = "flex"))]
    {
        let _ = tensor;
        false
    }
}
