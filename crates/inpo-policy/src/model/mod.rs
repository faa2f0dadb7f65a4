//! The decoder (grouped-query attention, RMSNorm, a gated feed-forward layer, rotary positions) on Burn.

pub(crate) mod attention;
mod block;
mod cache;
mod load;
mod mlp;
mod noise;
mod norm;
mod packed;
mod projection;
mod rope;
mod trace;

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

pub use attention::Attention;
pub use block::{Block, OuterNorms};
pub(crate) use cache::{Extent, Kept, KvCache, PromptFill, Room, StepRow};
pub(crate) use load::transpose;
pub use mlp::Mlp;
pub use norm::RmsNorm;
pub(crate) use packed::PackedWeights;
pub use projection::{LowRank, Projection};
pub use rope::RotaryFrequencies;
pub use trace::{Trace, TraceOptions};

use crate::config::ModelConfig;
use crate::head::Head;
use attention::{ByReach, HeadShape, Mixing};
use inpo_kernels::{BlockMatrix, PackedAttention, PackedGroup, PackedLayout, embedding, linear};
use noise::Noise;
use rope::Rotary;

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
    frequencies: ByReach<RotaryFrequencies>,
    #[module(skip)]
    heads: HeadShape,
    /// The window of all layers that have one.
    #[module(skip)]
    reach: Reach,
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
    packed_head: Option<Arc<BlockMatrix>>,
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

    pub(crate) fn new(
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
            frequencies: ByReach {
                full: RotaryFrequencies::new(
                    config.head_dim,
                    config.rope_theta,
                    &config.rope_scaling,
                ),
                local: config
                    .local_rope
                    .as_ref()
                    .map(|rope| RotaryFrequencies::new(config.head_dim, rope.theta, &rope.scaling)),
            },
            heads: HeadShape::new(config),
            reach: Reach::new(config),
            embedding_scale: config
                .family
                .scales_embeddings()
                .then(|| (config.hidden_size as f64).sqrt()),
            softcap: config.final_logit_softcapping,
            padding: config.pad_token_id,
            compute: None,
            packed_head: None,
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
        let logits = match self
            .packed_head
            .as_ref()
            .filter(|_| BlockMatrix::takes(&hidden))
        {
            Some(packed) => packed.product(hidden),
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

    /// [`forward`](Self::forward) by a pass that is made already; `seen` is shown the input of every block and of
    /// the final norm.
    fn packed(&self, ids: &[u32], pass: &Pass, seen: impl FnMut(&Tensor<2>)) -> Tensor<2> {
        let mixing = Mixing::Packed(&pass.attention);
        self.run(ids, &pass.rotary, mixing, pass.noise, seen)
    }

    /// The final norm; hidden states are never in half precision, as the head wants them.
    fn finish(&self, x: Tensor<2>) -> Tensor<2> {
        let dtype = widened(x.dtype());
        self.norm.forward(cast(x, dtype))
    }

    /// What all layers of one pass over `tokens` packed tokens share.
    fn pass(&self, tokens: usize, layout: &PackedLayout) -> Pass {
        let device = self.device().without_autodiff();
        let options = (&device, self.dtype());
        let mut positions = layout.positions();
        positions.resize(tokens, 0);
        Pass {
            rotary: self.rotary(&positions, options),
            attention: ByReach {
                full: self.heads.packed(layout, self.reach.first(), options),
                local: self
                    .reach
                    .second()
                    .map(|window| self.heads.packed(layout, Some(window), options)),
            },
            noise: None,
        }
    }

    fn rotary(&self, positions: &[usize], options: (&Device, DType)) -> ByReach<Rotary> {
        let ByReach { full, local } = &self.frequencies;
        ByReach {
            full: full.tables(positions, options),
            local: local.as_ref().map(|f| f.tables(positions, options)),
        }
    }

    fn embed(&self, ids: &[u32]) -> Tensor<2> {
        let x = cast(embedding(self.embed_tokens.val(), ids), self.dtype());
        match self.embedding_scale {
            // Transformers rounds the factor to the type of the activations.
            Some(scale) => x.mul_scalar(rounded(scale, self.dtype())),
            None => x,
        }
    }

    /// How many tokens a packed batch should be a multiple of: 1 where kernels take any number, else a
    /// number that keeps the shapes few, since some devices tune themselves to each.
    pub fn token_multiple(&self) -> usize {
        match inpo_kernels::fused(&self.embed_tokens.val()) {
            true => 1,
            false => 64,
        }
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
        let mixing = Mixing::Prefill(&pass.attention, cache, fill);
        self.run(ids, &pass.rotary, mixing, None, |_| ())
    }

    /// One decoding step: one new token of each row, at `slot`. Returns `[rows, hidden]`.
    pub(crate) fn decode(&self, rows: &[StepRow], slot: usize, cache: &mut KvCache) -> Tensor<2> {
        let device = self.device();
        let options = (&device, self.dtype());
        let seen = |window| self.heads.cached(&cache.seen(window, rows, slot), options);
        let attention = &ByReach {
            full: seen(self.reach.first()),
            local: self.reach.second().map(|window| seen(Some(window))),
        };
        let ids: Vec<u32> = rows.iter().map(|row| row.id).collect();
        let positions: Vec<usize> = rows.iter().map(|row| row.position).collect();
        let rotary = self.rotary(&positions, options);
        let mixing = Mixing::Decode {
            attention,
            cache,
            slot,
        };
        self.run(&ids, &rotary, mixing, None, |_| ())
    }

    /// From ids to final hidden states, whatever the tokens see of each other.
    fn run(
        &self,
        ids: &[u32],
        rotary: &ByReach<Rotary>,
        mut mixing: Mixing<'_>,
        noise: Option<Noise>,
        mut seen: impl FnMut(&Tensor<2>),
    ) -> Tensor<2> {
        let mut x = self.embed(ids);
        for (index, layer) in self.layers.iter().enumerate() {
            seen(&x);
            let noise = noise.map(|noise| noise.part(index));
            x = layer.mix(x, rotary, index, &mut mixing, noise);
        }
        seen(&x);
        self.finish(x)
    }
}

/// How far the layers see.
#[derive(Debug, Clone, Copy)]
struct Reach {
    window: Option<usize>,
    /// Whether every layer has the window.
    everywhere: bool,
}

impl Reach {
    fn new(config: &ModelConfig) -> Self {
        let mut windows = (0..config.num_hidden_layers).map(|layer| config.window(layer));
        Self {
            everywhere: windows.clone().all(|window| window.is_some()),
            window: windows.find_map(|window| window),
        }
    }

    /// The window of the layers that a pass prepares for first: those that see everything, or all of them.
    fn first(&self) -> Option<usize> {
        self.window.filter(|_| self.everywhere)
    }

    /// The window of the others, where there are two kinds.
    fn second(&self) -> Option<usize> {
        self.window.filter(|_| !self.everywhere)
    }
}

/// What all layers of one pass share.
struct Pass {
    rotary: ByReach<Rotary>,
    attention: ByReach<PackedAttention>,
    /// The key of dropout's masks, in training.
    noise: Option<Noise>,
}

/// The columns of `x` in parts of `widths`, which sum to its width.
fn split_columns<const N: usize>(x: Tensor<2>, widths: [usize; N]) -> [Tensor<2>; N] {
    let mut start = 0;
    widths.map(|width| {
        start += width;
        x.clone().narrow(1, start - width, width)
    })
}

/// `value` as a tensor of `dtype` holds it.
fn rounded(value: f64, dtype: DType) -> f64 {
    match dtype {
        DType::BF16 => half::bf16::from_f64(value).to_f64(),
        DType::F16 => half::f16::from_f64(value).to_f64(),
        DType::F32 => f64::from(value as f32),
        _ => value,
    }
}

/// `tensor` in `dtype`; the same tensor when it is in it already.
fn cast<const D: usize>(tensor: Tensor<D>, dtype: DType) -> Tensor<D> {
    match tensor.dtype() == dtype {
        true => tensor,
        false => tensor.cast(dtype),
    }
}

/// The float type that sums and logits of activations in `dtype` are computed in: at least f32.
pub(crate) fn widened(dtype: DType) -> DType {
    match dtype {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

/// A one-dimensional index tensor.
pub(crate) fn index_tensor(
    indices: impl ExactSizeIterator<Item = usize>,
    device: &Device,
) -> Tensor<1, Int> {
    let length = indices.len();
    let indices: Vec<i32> = indices.map(|i| i as i32).collect();
    Tensor::from_data(TensorData::new(indices, [length]), device)
}
