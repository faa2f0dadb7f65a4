//! Fused operations of a transformer, forward and backward, on Burn tensors.
//!
//! Each operation is a plain function on tensors. On Burn's CPU backend (Flex) in f32 it runs as one
//! threaded pass with a handwritten backward pass; on every other backend and in every other
//! precision it is the composition of Burn's own operations that its documentation gives, which is
//! also what the fused one is tested against (in f64). Callers need not know which it was.

#[cfg(feature = "flex")]
mod flex;
mod linear;
mod swiglu;

pub use linear::{SidePath, linear};
pub use swiglu::silu_mul;
