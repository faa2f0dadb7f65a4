//! What the layers of one forward pass share.

use inpo_kernels::PackedAttention;

use super::dropout::DropoutKey;
use super::layer_kind::FullOrSliding;
use super::rope::Rotary;

/// A pass over a packed batch, prepared for all layers.
pub(super) struct Pass {
    pub(super) rotary: FullOrSliding<Rotary>,
    pub(super) attention: FullOrSliding<PackedAttention>,
    /// The key of dropout's masks, in training.
    pub(super) dropout: Option<DropoutKey>,
}
