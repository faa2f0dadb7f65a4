//! Grouped-query attention.

use burn::module::Module;
use burn::tensor::{Tensor, activation::softmax};

use super::cache::{KvCache, PromptFill};
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

/// What one layer does with the cache.
pub(crate) enum CacheUse<'a> {
    /// Training and scoring: no cache.
    None,
    /// Attend over what was just computed and write it for each sample.
    Prefill(&'a mut KvCache, PromptFill<'a>),
    /// Write one token per row at the slot, attend over all slots up to it.
    Decode(&'a mut KvCache, usize),
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

    /// Maps `x`, `[batch * tokens, hidden]`, to the same shape.
    ///
    /// `bias`, `[1 or batch, 1, group * tokens, keys]` with `group = heads / kv_heads`, is added to
    /// the scores: 0 where a query may look, minus infinity elsewhere. Queries of one group share
    /// their keys in one product, so keys and values are never repeated.
    pub(crate) fn forward(
        &self,
        x: Tensor<2>,
        batch: usize,
        rotary: &Rotary,
        bias: &Tensor<4>,
        layer: usize,
        cache: &mut CacheUse<'_>,
    ) -> Tensor<2> {
        let rows = x.dims()[0];
        let tokens = rows / batch;
        let group = self.heads / self.kv_heads;
        let split = |y: Tensor<2>, heads: usize| {
            let width = y.dims()[1] / heads;
            y.reshape([batch, tokens, heads, width])
        };
        let query = rotary.rotate(split(self.q_proj.forward(x.clone()), self.heads));
        let key = rotary.rotate(split(self.k_proj.forward(x.clone()), self.kv_heads));
        let value = split(self.v_proj.forward(x), self.kv_heads);
        let width = query.dims()[3];

        let query = query
            .mul_scalar(1.0 / (width as f64).sqrt())
            .swap_dims(1, 2)
            .reshape([batch, self.kv_heads, group * tokens, width]);
        let (mut key, mut value) = (key.swap_dims(1, 2), value.swap_dims(1, 2));
        match cache {
            CacheUse::None => {}
            CacheUse::Prefill(cache, fill) => cache.fill_prompts(layer, fill, &key, &value),
            CacheUse::Decode(cache, slot) => {
                (key, value) = cache.append(layer, *slot, key, value);
            }
        }
        let scores = query.matmul(key.swap_dims(2, 3)) + bias.clone();
        let mixed = softmax(scores, 3).matmul(value);
        let mixed = mixed
            .reshape([batch, self.heads, tokens, width])
            .swap_dims(1, 2)
            .reshape([rows, self.heads * width]);
        self.o_proj.forward(mixed)
    }
}
