//! The decoder itself, and its passes.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor};
use inpo_kernels::{
    AttentionHeads, BlockMatrix, CachedAttention, Kernels, PackedAttention, PackedGroup,
    PackedLayout, embedding, linear,
};

use super::attention::{AttentionMode, attention_heads};
use super::block::Block;
use super::cache::{KvCache, PromptFill, StepRow};
use super::dropout::DropoutKey;
use super::layer_kind::{FullOrSliding, windows};
use super::norm::RmsNorm;
use super::pass::Pass;
use super::rope::{Rotary, RotaryFrequencies};
use super::tensors::{cast, rounded, widened};
use crate::config::ModelConfig;
use crate::head::Head;

/// The decoder: token ids in, final hidden states out. The vocabulary head is applied apart (see
/// [`crate::head`]), so that a whole batch of logits never exists.
#[derive(Module, Debug)]
pub struct Decoder {
    /// Token embedding, `[vocab, hidden]`.
    pub embed_tokens: Param<Tensor<2>>,
    /// Blocks, first to last.
    pub layers: Vec<Block>,
    /// Final norm.
    pub norm: RmsNorm,
    /// Untied head, `[vocab, hidden]`; `None` when the embedding is the head. A classifier's `score`,
    /// `[1, hidden]`.
    pub lm_head: Option<Param<Tensor<2>>>,
    #[module(skip)]
    frequencies: FullOrSliding<RotaryFrequencies>,
    #[module(skip)]
    heads: AttentionHeads,
    #[module(skip)]
    windows: FullOrSliding<Option<usize>>,
    /// What embeddings are multiplied by.
    #[module(skip)]
    embedding_scale: Option<f64>,
    #[module(skip)]
    softcap: Option<f64>,
    #[module(skip)]
    padding: Option<u32>,
    /// Float type of the activations; `None` is that of the weights.
    #[module(skip)]
    compute: Option<DType>,
    /// The head in the blocks of its file: only a decoder that samples has it.
    #[module(skip)]
    pub(super) head_blocks: Option<BlockMatrix>,
}

impl Decoder {
    /// The gradient of the embedding as a lookup table, `[vocab, hidden]`, as `transformers` has it: the
    /// row of `pad_token_id` is 0 there (torch's `padding_idx`), so that a padding token that is also the end
    /// token is not trained as an input. A tied head's part of the gradient is added afterwards.
    pub fn embedding_gradient(&self, gradient: Tensor<2>) -> Tensor<2> {
        let [vocabulary, width] = gradient.dims();
        match self.padding.map(|id| id as usize) {
            Some(id) if id < vocabulary => {
                let zeros = Tensor::zeros([1, width], (&gradient.device(), gradient.dtype()));
                gradient.slice_assign([id..id + 1, 0..width], zeros)
            }
            _ => gradient,
        }
    }

    pub(super) fn new(
        config: &ModelConfig,
        embed_tokens: Tensor<2>,
        layers: Vec<Block>,
        norm: RmsNorm,
        lm_head: Option<Tensor<2>>,
    ) -> Self {
        Self {
            embed_tokens: Param::from_tensor(embed_tokens),
            layers,
            norm,
            lm_head: lm_head.map(Param::from_tensor),
            frequencies: RotaryFrequencies::of_layers(config),
            heads: attention_heads(config),
            windows: windows(config),
            embedding_scale: config
                .family
                .scales_embeddings()
                .then(|| (config.hidden_size as f64).sqrt()),
            softcap: config.final_logit_softcapping,
            padding: config.pad_token_id,
            compute: None,
            head_blocks: None,
        }
    }

    /// The head's weight, `[vocab, hidden]`: the embedding when tied. Logits are never in half precision:
    /// such a weight is cast to f32.
    pub fn head(&self) -> Tensor<2> {
        let weight = self.lm_head.as_ref().unwrap_or(&self.embed_tokens).val();
        let dtype = widened(weight.dtype());
        cast(weight, dtype)
    }

    /// The head of the vocabulary, as [`Decoder::head`] with the cap on its logits.
    pub fn vocabulary_head(&self) -> Head {
        Head {
            softcap: self.softcap,
            ..Head::new(self.head())
        }
    }

    /// The logits of hidden states, `[rows, hidden]`, as `[rows, vocab]`.
    pub(crate) fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        let blocks = self.head_blocks.as_ref();
        let logits = match blocks.filter(|_| BlockMatrix::takes(&hidden)) {
            Some(blocks) => blocks.product(hidden),
            None => linear(hidden, self.head().transpose(), None),
        };
        match self.softcap {
            Some(cap) => logits.div_scalar(cap).tanh().mul_scalar(cap),
            None => logits,
        }
    }

    /// The device of the weights, with their autodiff setting.
    pub fn device(&self) -> Device {
        self.embed_tokens.val().device()
    }

    /// The float type of the activations.
    pub fn dtype(&self) -> DType {
        let weights = || self.embed_tokens.val().dtype();
        self.compute.unwrap_or_else(weights)
    }

    /// The float type that the weights are stored in.
    pub(crate) fn stored_dtype(&self) -> DType {
        self.embed_tokens.val().dtype()
    }

    /// This decoder with activations in `dtype`, whatever its weights are stored in: they are cast where
    /// they are used. Full fine-tuning in bf16 keeps f32 weights this way, since a small step is lost in
    /// the rounding of a bf16 weight.
    pub fn computing_in(mut self, dtype: DType) -> Self {
        self.compute = Some(dtype);
        self
    }

    /// This decoder with its projections cast to the float type of its activations once, for many passes
    /// without training; the rest stays as it is, so that the values are those of training. Where all are in
    /// it already, nothing is copied.
    pub fn cast_once(&self) -> Self {
        let mut decoder = self.clone();
        if let Some(dtype) = self.compute {
            for layer in &mut decoder.layers {
                for (_, _, projection) in layer.projections() {
                    let weight = projection.weight.clone();
                    projection.weight = weight.map(|weight| cast(weight, dtype));
                }
            }
        }
        decoder
    }

    /// Final hidden states, `[tokens, hidden]`, of a packed batch: `ids` holds the groups of `layout` one
    /// after the other, and perhaps padding behind them, which nothing sees.
    ///
    /// A token sees its prompt and its own response up to itself, so that its values depend on no other
    /// group, no other response and no padding.
    pub fn forward(&self, ids: &[u32], layout: &PackedLayout) -> Tensor<2> {
        self.packed(ids, &self.pass(ids.len(), layout), |_| ())
    }

    /// [`forward`](Self::forward) by a prepared pass; shows `seen` the input of every block and of the final norm.
    pub(super) fn packed(
        &self,
        ids: &[u32],
        pass: &Pass,
        seen: impl FnMut(&Tensor<2>),
    ) -> Tensor<2> {
        let attention = AttentionMode::Packed(&pass.attention);
        self.run(ids, &pass.rotary, attention, pass.dropout, seen)
    }

    /// The final norm; hidden states are never in half precision, as the head wants them.
    pub(super) fn finish(&self, x: Tensor<2>) -> Tensor<2> {
        let dtype = widened(x.dtype());
        self.norm.forward(cast(x, dtype))
    }

    /// Prepares what all layers of one pass over `tokens` packed tokens share.
    pub(super) fn pass(&self, tokens: usize, layout: &PackedLayout) -> Pass {
        let (device, dtype) = (self.device().without_autodiff(), self.dtype());
        let mut positions = layout.positions();
        positions.resize(tokens, 0);
        Pass {
            rotary: self.rotary(&positions, (&device, dtype)),
            attention: self
                .windows
                .map(|&window| PackedAttention::new(layout, &self.heads, window, &device, dtype)),
            dropout: None,
        }
    }

    fn rotary(&self, positions: &[usize], options: (&Device, DType)) -> FullOrSliding<Rotary> {
        let tables = |frequencies: &RotaryFrequencies| frequencies.tables(positions, options);
        self.frequencies.map(tables)
    }

    pub(super) fn embed(&self, ids: &[u32]) -> Tensor<2> {
        let x = cast(embedding(self.embed_tokens.val(), ids), self.dtype());
        match self.embedding_scale {
            // Transformers rounds the factor to the type of the activations.
            Some(scale) => x.mul_scalar(rounded(scale, self.dtype())),
            None => x,
        }
    }

    /// The kernels of the weights' type on their device.
    pub fn kernels(&self) -> Kernels {
        Kernels::of(&self.embed_tokens.val())
    }

    /// How many tokens a packed batch should be a multiple of: 1 where kernels take any number, else a
    /// number that keeps the shapes few, since some devices tune themselves to each.
    pub fn token_multiple(&self) -> usize {
        if self.kernels().is_fused() { 1 } else { 64 }
    }

    /// Runs prompts once, `ids` one after the other, and writes each to its place in the cache; returns the hidden
    /// states, `[tokens, hidden]`.
    pub(crate) fn prefill(
        &self,
        ids: &[u32],
        fill: PromptFill<'_>,
        cache: &mut KvCache,
    ) -> Tensor<2> {
        let prompts = fill.lengths.iter().map(|&length| PackedGroup {
            prompt: length,
            responses: Vec::new(),
        });
        let pass = self.pass(ids.len(), &PackedLayout::new(prompts.collect()));
        let attention = AttentionMode::Prefill {
            attention: &pass.attention,
            cache,
            fill,
        };
        self.run(ids, &pass.rotary, attention, None, |_| ())
    }

    /// One decoding step: one new token of each row, at `slot`. Returns `[rows, hidden]`.
    pub(crate) fn decode(&self, rows: &[StepRow], slot: usize, cache: &mut KvCache) -> Tensor<2> {
        let (device, dtype) = (self.device(), self.dtype());
        let attention = &self.windows.map(|&window| {
            let seen = cache.seen(window, rows, slot);
            CachedAttention::new(&seen, &self.heads, &device, dtype)
        });
        let ids: Vec<u32> = rows.iter().map(|row| row.id).collect();
        let positions: Vec<usize> = rows.iter().map(|row| row.position).collect();
        let rotary = self.rotary(&positions, (&device, dtype));
        let attention = AttentionMode::Decode {
            attention,
            cache,
            slot,
        };
        self.run(&ids, &rotary, attention, None, |_| ())
    }

    /// Maps ids to final hidden states in any mode of attention.
    fn run(
        &self,
        ids: &[u32],
        rotary: &FullOrSliding<Rotary>,
        mut attention: AttentionMode<'_>,
        dropout: Option<DropoutKey>,
        mut seen: impl FnMut(&Tensor<2>),
    ) -> Tensor<2> {
        let mut x = self.embed(ids);
        for (index, layer) in self.layers.iter().enumerate() {
            seen(&x);
            let dropout = dropout.map(|key| key.part(index));
            x = layer.forward_in(x, rotary, index, &mut attention, dropout);
        }
        seen(&x);
        self.finish(x)
    }
}
