//! A Llama-family decoder (grouped-query attention, RMSNorm, SwiGLU, rotary positions) on Burn.

pub(crate) mod attention;
mod cache;
mod load;
mod mlp;
mod noise;
mod norm;
mod projection;
mod rope;
mod trace;

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

pub use attention::Attention;
pub use cache::KvCache;
pub(crate) use cache::PromptFill;
pub(crate) use load::transpose;
pub use mlp::Mlp;
pub use norm::RmsNorm;
pub use projection::{LowRank, Projection};
pub use rope::RotaryFrequencies;
pub use trace::{Trace, TraceOptions};

use crate::config::ModelConfig;
use attention::Mixing;
use inpo_kernels::{PackedAttention, PackedGroup, PackedLayout, embedding};
use noise::Noise;
use rope::Rotary;

/// One pre-norm transformer block.
#[derive(Module, Debug)]
pub struct Block {
    /// Norm before attention.
    pub input_layernorm: RmsNorm,
    /// Self-attention.
    pub self_attn: Attention,
    /// Norm before the feed-forward layer.
    pub post_attention_layernorm: RmsNorm,
    /// Feed-forward layer.
    pub mlp: Mlp,
}

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
    /// Untied head, `[vocab, hidden]`; `None` when the embedding is the head.
    pub lm_head: Option<Param<Tensor<2>>>,
    #[module(skip)]
    frequencies: RotaryFrequencies,
    #[module(skip)]
    heads: HeadShape,
    #[module(skip)]
    padding: Option<u32>,
    /// Float type of the activations; `None` is that of the weights.
    #[module(skip)]
    compute: Option<DType>,
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
            frequencies: RotaryFrequencies::new(config),
            heads: HeadShape {
                queries: config.num_attention_heads,
                keys: config.num_key_value_heads,
                width: config.head_dim,
            },
            padding: config.pad_token_id,
            compute: None,
        }
    }

    /// The head's weight, `[vocab, hidden]`: the embedding when tied. Logits are never in half precision:
    /// such a weight is cast to f32.
    pub fn head(&self) -> Tensor<2> {
        let weight = self.lm_head.as_ref().unwrap_or(&self.embed_tokens).val();
        let dtype = widened(weight.dtype());
        cast(weight, dtype)
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
                for (_, projection) in layer.projections() {
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
        let HeadShape {
            queries,
            keys,
            width,
        } = self.heads;
        let scale = 1.0 / (width as f64).sqrt();
        Pass {
            rotary: self.frequencies.tables(&positions, options),
            attention: PackedAttention::new(layout, queries, keys, width, scale, options),
            noise: None,
        }
    }

    fn embed(&self, ids: &[u32]) -> Tensor<2> {
        cast(embedding(self.embed_tokens.val(), ids), self.dtype())
    }

    /// How many tokens a packed batch should be a multiple of: 1 where kernels take any number, else a
    /// number that keeps the shapes few, since some devices tune themselves to each.
    pub fn token_multiple(&self) -> usize {
        match inpo_kernels::fused(&self.embed_tokens.val()) {
            true => 1,
            false => 64,
        }
    }

    /// Runs prompts once, `ids` one after the other, and writes each into the cache rows of its samples;
    /// returns the hidden states, `[tokens, hidden]`.
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

    /// One decoding step: one new token per row at `slot`, true positions in `positions`, the
    /// number of hidden leading slots of each row in `hidden`. Returns `[rows, hidden]`.
    pub(crate) fn decode(
        &self,
        ids: &[u32],
        positions: &[usize],
        hidden: &[usize],
        slot: usize,
        cache: &mut KvCache,
    ) -> Tensor<2> {
        let rows = ids.len();
        let device = self.device();
        let keys = slot + 1;
        let group = self.heads.queries / self.heads.keys;
        let mut bias = vec![0.0_f32; rows * group * keys];
        for (row, &count) in bias.chunks_exact_mut(group * keys).zip(hidden) {
            for head in row.chunks_exact_mut(keys) {
                head[..count].fill(f32::NEG_INFINITY);
            }
        }
        let shape = [rows, 1, group, keys];
        let dtype = self.dtype();
        let bias = &Tensor::from_data(TensorData::new(bias, shape), (&device, widened(dtype)));
        let rotary = self.frequencies.tables(positions, (&device, dtype));
        let mixing = Mixing::Decode { cache, slot, bias };
        self.run(ids, &rotary, mixing, None, |_| ())
    }

    /// From ids to final hidden states, whatever the tokens see of each other.
    fn run(
        &self,
        ids: &[u32],
        rotary: &Rotary,
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

/// Heads of the attention layers.
#[derive(Debug, Clone, Copy)]
struct HeadShape {
    queries: usize,
    keys: usize,
    width: usize,
}

/// What all layers of one pass share.
struct Pass {
    rotary: Rotary,
    attention: PackedAttention,
    /// The key of dropout's masks, in training.
    noise: Option<Noise>,
}

impl Block {
    /// Maps the residual stream of a packed batch, `[tokens, hidden]`, to the next layer's; `layer` is this
    /// one's number.
    fn forward(&self, x: Tensor<2>, layer: usize, pass: &Pass) -> Tensor<2> {
        let mut mixing = Mixing::Packed(&pass.attention);
        let noise = pass.noise.map(|noise| noise.part(layer));
        self.mix(x, &pass.rotary, layer, &mut mixing, noise)
    }

    /// All projections, each with its path in Hugging Face's modules.
    pub(crate) fn projections(&mut self) -> [(&'static str, &mut Projection); 7] {
        let Self { self_attn, mlp, .. } = self;
        [
            ("self_attn.q_proj", &mut self_attn.q_proj),
            ("self_attn.k_proj", &mut self_attn.k_proj),
            ("self_attn.v_proj", &mut self_attn.v_proj),
            ("self_attn.o_proj", &mut self_attn.o_proj),
            ("mlp.gate_proj", &mut mlp.gate_proj),
            ("mlp.up_proj", &mut mlp.up_proj),
            ("mlp.down_proj", &mut mlp.down_proj),
        ]
    }

    fn mix(
        &self,
        x: Tensor<2>,
        rotary: &Rotary,
        layer: usize,
        mixing: &mut Mixing<'_>,
        noise: Option<Noise>,
    ) -> Tensor<2> {
        let normed = self.input_layernorm.forward(x.clone());
        let x = x + self.self_attn.forward(normed, rotary, layer, mixing, noise);
        let normed = self.post_attention_layernorm.forward(x.clone());
        x + self.mlp.forward(normed, noise)
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
