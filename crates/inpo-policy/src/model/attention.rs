//! Grouped-query attention.

use burn::module::Module;
use burn::tensor::{Tensor, activation::softmax};
use inpo_kernels::PackedAttention;

use super::cache::{KvCache, PromptFill};
use super::noise::Noise;
use super::projection::Projection;
use super::rope::Rotary;

/// Causal self-attention with `heads` query heads sharing `kv_heads` key/value heads
/// (arXiv 2305.13245).
#[derive(Module, Debug)]
pub struct Attention {
    /// `[hidden, heads * head_dim]`.
    pub q_proj: Projection,
    /// `[hidden, kv_heads * head_dim]`.
    pub k_proj: Projection,
    /// `[hidden, kv_heads * head_dim]`.
    pub v_proj: Projection,
    /// `[heads * head_dim, hidden]`.
    pub o_proj: Projection,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    kv_heads: usize,
}

/// Which tokens a token sees, and what is done with the cache.
pub(crate) enum Mixing<'a> {
    /// Training and scoring: a packed batch, no cache.
    Packed(&'a PackedAttention),
    /// A packed batch of prompts, whose keys and values are written for each sample.
    Prefill(&'a PackedAttention, &'a mut KvCache, PromptFill<'a>),
    /// One token per row, written to a slot of the cache, over all slots up to it.
    Decode {
        cache: &'a mut KvCache,
        slot: usize,
        /// `[rows, 1, heads / kv_heads, slot + 1]`, added to the scores: minus infinity where a row
        /// has no token.
        bias: &'a Tensor<4>,
    },
}

impl Attention {
    /// Attention over the four projections.
    pub fn new(
        [q_proj, k_proj, v_proj, o_proj]: [Projection; 4],
        heads: usize,
        kv_heads: usize,
    ) -> Self {
        Self {
            q_proj,
            k_proj,
            v_proj,
            o_proj,
            heads,
            kv_heads,
        }
    }

    /// Maps `x`, `[tokens, hidden]`, to the same shape. `layer` is this layer's place in the cache.
    pub(crate) fn forward(
        &self,
        x: Tensor<2>,
        rotary: &Rotary,
        layer: usize,
        mixing: &mut Mixing<'_>,
        noise: Option<Noise>,
    ) -> Tensor<2> {
        let noise = |part| noise.map(|noise| noise.part(part));
        let query = rotary.rotate(self.q_proj.forward(x.clone(), noise(0)));
        let key = rotary.rotate(self.k_proj.forward(x.clone(), noise(1)));
        let value = self.v_proj.forward(x, noise(2));
        let mixed = match mixing {
            Mixing::Packed(attention) => attention.forward(query, key, value),
            Mixing::Prefill(attention, cache, fill) => {
                cache.fill_prompts(layer, fill, &key, &value);
                attention.forward(query, key, value)
            }
            Mixing::Decode { cache, slot, bias } => {
                let (keys, values) = cache.append(layer, *slot, key, value);
                self.decode(query, keys, values, bias)
            }
        };
        self.o_proj.forward(mixed, noise(3))
    }

    /// One query token per row over its cache, `[rows, kv_heads, slots, head_dim]`. Queries of one
    /// group share their keys in one product, so keys and values are never repeated.
    fn decode(
        &self,
        query: Tensor<2>,
        keys: Tensor<4>,
        values: Tensor<4>,
        bias: &Tensor<4>,
    ) -> Tensor<2> {
        let [rows, width] = query.dims();
        let head_dim = width / self.heads;
        let group = self.heads / self.kv_heads;
        let query = query.mul_scalar(1.0 / (head_dim as f64).sqrt()).reshape([
            rows,
            self.kv_heads,
            group,
            head_dim,
        ]);
        let scores = query.matmul(keys.swap_dims(2, 3)) + bias.clone();
        softmax(scores, 3).matmul(values).reshape([rows, width])
    }
}
