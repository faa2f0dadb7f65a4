//! A block of the decoder.

use burn::module::Module;
use burn::tensor::Tensor;

use super::attention::{Attention, AttentionMode};
use super::dropout::DropoutKey;
use super::layer_kind::FullOrSliding;
use super::mlp::Mlp;
use super::norm::RmsNorm;
use super::pass::Pass;
use super::projection::Projection;
use super::rope::Rotary;

/// One pre-norm transformer block.
#[derive(Module, Debug)]
pub struct Block {
    /// Norm before attention.
    pub input_layernorm: RmsNorm,
    /// Self-attention.
    pub self_attn: Attention,
    /// Norm before the feed-forward layer; in a block with `outer_norms`, of attention's output.
    pub post_attention_layernorm: RmsNorm,
    /// Gemma's further norms.
    pub outer_norms: Option<OuterNorms>,
    /// Feed-forward layer.
    pub mlp: Mlp,
}

/// The norms around a feed-forward layer whose output is normalised too.
#[derive(Module, Debug)]
pub struct OuterNorms {
    /// Before the feed-forward layer.
    pub pre_feedforward_layernorm: RmsNorm,
    /// Of its output.
    pub post_feedforward_layernorm: RmsNorm,
}

impl Block {
    /// Maps the residual stream of a packed batch, `[tokens, hidden]`, to the next layer's; `layer` is this
    /// one's number.
    pub(super) fn forward(&self, x: Tensor<2>, layer: usize, pass: &Pass) -> Tensor<2> {
        let mut attention = AttentionMode::Packed(&pass.attention);
        let dropout = pass.dropout.map(|key| key.part(layer));
        self.forward_in(x, &pass.rotary, layer, &mut attention, dropout)
    }

    /// Every projection with the module and the name that Hugging Face gives it.
    pub(crate) fn projections(
        &mut self,
    ) -> impl Iterator<Item = (&'static str, &'static str, &mut Projection)> {
        let Self { self_attn, mlp, .. } = self;
        let names = [self_attn.input_names(), mlp.input_names()];
        let named = |part: &'static str, names: &'static [&'static str]| {
            names.iter().map(move |&name| (part, name))
        };
        let inputs = named("self_attn", names[0]).zip(&mut self_attn.inputs);
        let output = (("self_attn", "o_proj"), &mut self_attn.o_proj);
        let gates = named("mlp", names[1]).zip(&mut mlp.inputs);
        let down = (("mlp", "down_proj"), &mut mlp.down_proj);
        let all = inputs.chain([output]).chain(gates).chain([down]);
        all.map(|((part, name), projection)| (part, name, projection))
    }

    /// Every norm with Hugging Face's name.
    pub(crate) fn norms(&self) -> impl Iterator<Item = (&'static str, &RmsNorm)> {
        let attention = &self.self_attn;
        let outer = self.outer_norms.as_ref();
        let list = [
            ("input_layernorm", Some(&self.input_layernorm)),
            ("self_attn.q_norm", attention.q_norm.as_ref()),
            ("self_attn.k_norm", attention.k_norm.as_ref()),
            (
                "post_attention_layernorm",
                Some(&self.post_attention_layernorm),
            ),
            (
                "pre_feedforward_layernorm",
                outer.map(|outer| &outer.pre_feedforward_layernorm),
            ),
            (
                "post_feedforward_layernorm",
                outer.map(|outer| &outer.post_feedforward_layernorm),
            ),
        ];
        let there = |(name, norm): (_, Option<_>)| norm.map(|norm| (name, norm));
        list.into_iter().filter_map(there)
    }

    /// [`Block::forward`] in any mode of attention.
    pub(super) fn forward_in(
        &self,
        x: Tensor<2>,
        rotary: &FullOrSliding<Rotary>,
        layer: usize,
        attention: &mut AttentionMode<'_>,
        dropout: Option<DropoutKey>,
    ) -> Tensor<2> {
        let normed = self.input_layernorm.forward(x.clone());
        let attended = self
            .self_attn
            .forward(normed, rotary, layer, attention, dropout);
        let Some(outer) = &self.outer_norms else {
            let x = x + attended;
            let normed = self.post_attention_layernorm.forward(x.clone());
            return x + self.mlp.forward(normed, dropout);
        };
        let x = x + self.post_attention_layernorm.forward(attended);
        let normed = outer.pre_feedforward_layernorm.forward(x.clone());
        let fed = self.mlp.forward(normed, dropout);
        x + outer.post_feedforward_layernorm.forward(fed)
    }
}
