//! The decoder (grouped-query attention, RMSNorm, a gated feed-forward layer, rotary positions) on Burn.

mod attention;
mod batch;
mod block;
mod cache;
mod decoder;
mod dropout;
mod file_blocks;
mod layer_kind;
mod load;
mod mlp;
mod norm;
mod pass;
mod projection;
mod rope;
mod tensors;
mod trace;

pub use attention::Attention;
pub use batch::{PackedBatch, Sequence};
pub use block::{Block, OuterNorms};
pub(crate) use cache::{Extent, Kept, KvCache, PromptFill, Room, StepRow};
pub use decoder::Decoder;
pub(crate) use file_blocks::FileBlocks;
#[cfg(test)]
pub(crate) use file_blocks::block_matrix;
pub use mlp::Mlp;
pub use norm::RmsNorm;
pub use projection::{LowRank, Projection};
pub(crate) use tensors::{index_tensor, transpose, widened};
pub use trace::{Trace, TraceOptions};
