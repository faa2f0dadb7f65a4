//! Grouped-query attention.

use burn::module::Module;
use burn::tensor::{Tensor, activation::softmax};
use inpo_kernels::PackedAttention;

use super::cache::{KvCache, PromptFill};
use super::noise::Noise;
use super::projection::Projection;
use super::rope::Rotary;
use super::{cast, widened};

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
        /// `[rows, 1, heads / kv_heads, slot + 1]`, added to the scores in the softmax's type: minus infinity
        /// where a row has no token.
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
    /// group share their keys in one product, so keys and values are never repeated. The softmax of half
    /// precision is in f32, as in a packed batch.
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
        let dtype = query.dtype();
        let scores = query.matmul(keys.swap_dims(2, 3));
        let scores = cast(scores, widened(dtype)) + bias.clone();
        let weights = cast(softmax(scores, 3), dtype);
        weights.matmul(values).reshape([rows, width])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData};
    use half::bf16;

    /// The weights of one query over 16 keys, which are the output where the values are the identity: in bf16 each is
    /// the softmax of the scores rounded once. A softmax in bf16 rounds its exponentials as well, which shows in five.
    #[test]
    fn decoding_weighs_in_f32_and_rounds_once() {
        let count = 16;
        let device = Device::flex();
        let unused = || Projection::new(Tensor::zeros([1, 1], &device));
        let attention = Attention::new(std::array::from_fn(|_| unused()), 1, 1);
        // Exact in bf16: the query's 4 times the scale of 1/4 is 1, so that keys are scores.
        let score = |j: usize| ((j * 7) % count) as f64 * 0.25 - 3.0;
        let scores: Vec<f64> = (0..count).map(score).collect();
        let at = |j: usize| (0..count).map(move |i| if i == j { 1.0 } else { 0.0 });
        let query: Vec<f64> = at(0).map(|x: f64| 4.0 * x).collect();
        let keys: Vec<f64> = scores
            .iter()
            .flat_map(|s| at(0).map(move |x: f64| s * x))
            .collect();
        let values: Vec<f64> = (0..count).flat_map(at).collect();
        let largest = 0.75;
        let total: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
        let expected = scores.iter().map(|s| (s - largest).exp() / total);
        let expected: Vec<f64> = expected.collect();
        for (dtype, tolerance) in [(DType::BF16, 0.0), (DType::F32, 1e-6), (DType::F64, 1e-14)] {
            let tensor = |values: &[f64], shape: [usize; 4]| {
                let data = TensorData::new(values.to_vec(), shape);
                Tensor::<4>::from_data(data, (&device, dtype))
            };
            let matrix = [1, 1, count, count];
            let bias = Tensor::zeros([1, 1, 1, count], (&device, widened(dtype)));
            let weights = attention.decode(
                tensor(&query, [1, 1, 1, count]).reshape([1, count]),
                tensor(&keys, matrix),
                tensor(&values, matrix),
                &bias,
            );
            let weights = weights.try_into_vec_as::<f64>().unwrap();
            for (got, &expected) in weights.iter().zip(&expected) {
                let expected = match dtype {
                    DType::BF16 => bf16::from_f64(expected).to_f64(),
                    _ => expected,
                };
                let error = (got - expected).abs();
                assert!(
                    error <= tolerance * expected,
                    "{dtype:?}: {got}, {expected}"
                );
            }
        }
    }
}
