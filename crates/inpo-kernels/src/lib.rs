//! Fused operations of a transformer, forward and backward, on Burn tensors.
//!
//! Each operation is a plain function on tensors. On Burn's CPU backend (Flex) in f32 it runs as one
//! threaded pass with a handwritten backward pass; on every other backend and in every other
//! precision it is the composition of Burn's own operations that its documentation gives, which is
//! also what the fused one is tested against (in f64). Callers need not know which it was; where they want to, they ask
//! [`Kernels`].

mod adamw;
mod attention;
mod block_matrix;
mod blocks;
mod compiled;
mod embedding;
mod environment;
#[cfg(feature = "flex")]
mod flex;
pub mod head;
mod kernels;
mod linear;
pub mod logits;
mod memory;
mod packed;
mod rms_norm;
mod rotary;
mod swiglu;

pub use adamw::{AdamWStep, adamw, scale, sum_of_squares};
pub use attention::{AttentionHeads, CachedAttention, CachedRow, PackedAttention};
pub use block_matrix::BlockMatrix;
pub use blocks::{BLOCK, BlockKind, QuantisedBlock};
pub use embedding::embedding;
pub use kernels::Kernels;
pub use linear::{SidePath, linear};
pub use memory::keep_freed_memory;
pub use packed::{PackedGroup, PackedLayout, PackedSegment};
pub use rms_norm::rms_norm;
pub use rotary::rotate;
pub use swiglu::{gelu_mul, silu_mul};
