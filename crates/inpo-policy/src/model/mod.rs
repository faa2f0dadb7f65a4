//! A Llama-family decoder (grouped-query attention, RMSNorm, SwiGLU, rotary positions) on Burn.

pub(crate) mod attention;
mod cache;
mod load;
mod mlp;
mod norm;
mod projection;
mod rope;

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

use crate::config::ModelConfig;
use attention::CacheUse;
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
    group: usize,
    #[module(skip)]
    padding: Option<u32>,
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
            group: config.num_attention_heads / config.num_key_value_heads,
            padding: config.pad_token_id,
        }
    }

    /// The head's weight, `[vocab, hidden]`: the embedding when tied.
    pub fn head(&self) -> Tensor<2> {
        self.lm_head.as_ref().unwrap_or(&self.embed_tokens).val()
    }

    /// The device of the weights, with their autodiff setting.
    pub fn device(&self) -> Device {
        self.embed_tokens.val().device()
    }

    /// The element type of the weights.
    pub fn dtype(&self) -> DType {
        self.embed_tokens.val().dtype()
    }

    /// Final hidden states, `[rows * tokens, hidden]`, of right-padded sequences.
    ///
    /// `ids` holds `rows` sequences of equal padded length, row by row. Attention is causal and
    /// there is no padding mask: a real token never sees what stands to its right, so a row's values
    /// do not depend on its neighbours or its padding.
    pub fn forward(&self, ids: &[u32], rows: usize) -> Tensor<2> {
        let tokens = ids.len() / rows.max(1);
        let device = self.device();
        let options = (&device, self.dtype());
        let bias = causal_bias(tokens, self.group, options);
        let positions: Vec<usize> = (0..tokens).collect();
        let rotary = self.frequencies.tables(&positions, 1, options);
        self.run(ids, rows, &rotary, &bias, CacheUse::None)
    }

    /// Runs right-padded prompts once and writes each into the cache rows of its samples; returns
    /// the hidden states, `[prompts * tokens, hidden]`.
    pub(crate) fn prefill(
        &self,
        ids: &[u32],
        fill: PromptFill<'_>,
        cache: &mut KvCache,
    ) -> Tensor<2> {
        let rows = fill.lengths.len();
        let tokens = ids.len() / rows;
        let device = self.device();
        let options = (&device, self.dtype());
        let bias = causal_bias(tokens, self.group, options);
        let positions: Vec<usize> = (0..tokens).collect();
        let rotary = self.frequencies.tables(&positions, 1, options);
        self.run(ids, rows, &rotary, &bias, CacheUse::Prefill(cache, fill))
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
        let mut bias = vec![0.0_f32; rows * self.group * keys];
        for (row, &count) in bias.chunks_exact_mut(self.group * keys).zip(hidden) {
            for head in row.chunks_exact_mut(keys) {
                head[..count].fill(f32::NEG_INFINITY);
            }
        }
        let shape = [rows, 1, self.group, keys];
        let options = (&device, self.dtype());
        let bias = Tensor::from_data(TensorData::new(bias, shape), options);
        let rotary = self.frequencies.tables(positions, rows, options);
        self.run(ids, rows, &rotary, &bias, CacheUse::Decode(cache, slot))
    }

    fn run(
        &self,
        ids: &[u32],
        rows: usize,
        rotary: &Rotary,
        bias: &Tensor<4>,
        mut cache: CacheUse<'_>,
    ) -> Tensor<2> {
        let ids = index_tensor(ids.iter().map(|&id| id as usize), &self.device());
        let mut x = self.embed_tokens.val().select(0, ids);
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = layer.input_layernorm.forward(x.clone());
            x = x + layer
                .self_attn
                .forward(normed, rows, rotary, bias, index, &mut cache);
            let normed = layer.post_attention_layernorm.forward(x.clone());
            x = x + layer.mlp.forward(normed);
        }
        self.norm.forward(x)
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

/// A tensor's values on the host.
pub(crate) fn to_f64<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor
        .try_into_vec_as::<f64>()
        .expect("a float tensor reads as f64")
}

/// `[1, 1, group * tokens, tokens]`: 0 up to the diagonal of each head's square, minus infinity
/// beyond.
fn causal_bias(tokens: usize, group: usize, options: (&Device, DType)) -> Tensor<4> {
    let mut bias = vec![0.0_f32; group * tokens * tokens];
    for (row, values) in bias.chunks_exact_mut(tokens.max(1)).enumerate() {
        values[row % tokens + 1..].fill(f32::NEG_INFINITY);
    }
    let shape = [1, 1, group * tokens, tokens];
    Tensor::from_data(TensorData::new(bias, shape), options)
}
