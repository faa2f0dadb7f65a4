//! Grouped-query attention.

use burn::module::Module;
use burn::tensor::Tensor;
use inpo_kernels::{AttentionHeads, CachedAttention, PackedAttention};

use super::cache::{KvCache, PromptFill};
use super::dropout::DropoutKey;
use super::layer_kind::{FullOrSliding, LayerKind};
use super::norm::RmsNorm;
use super::projection::Projection;
use super::rope::Rotary;
use super::tensors::split_columns;
use crate::config::ModelConfig;

/// Causal self-attention with some query heads sharing key/value heads (arXiv 2305.13245).
#[derive(Module, Debug)]
pub struct Attention {
    /// Queries, keys and values: `[hidden, heads * head_dim]` and twice `[hidden, kv_heads * head_dim]`, or
    /// the three in one.
    pub inputs: Vec<Projection>,
    /// `[heads * head_dim, hidden]`.
    pub o_proj: Projection,
    /// Norm of each query head, before the rotation.
    pub q_norm: Option<RmsNorm>,
    /// Norm of each key head, before the rotation.
    pub k_norm: Option<RmsNorm>,
    #[module(skip)]
    heads: AttentionHeads,
    #[module(skip)]
    kind: LayerKind,
}

/// The heads of the attention layers of `config`.
pub(super) fn attention_heads(config: &ModelConfig) -> AttentionHeads {
    AttentionHeads {
        heads: config.num_attention_heads,
        kv_heads: config.num_key_value_heads,
        head_dim: config.head_dim,
        scale: config.attention_scale(),
        softcap: config.attn_logit_softcapping,
    }
}

/// Which tokens a token attends to, and what happens to the cache.
pub(super) enum AttentionMode<'a> {
    /// Training and scoring: the sequences of a packed batch, without a cache.
    Packed(&'a FullOrSliding<PackedAttention>),
    /// Before the first draw: a packed batch of prompts, whose keys and values are written to the cache.
    Prefill {
        attention: &'a FullOrSliding<PackedAttention>,
        cache: &'a mut KvCache,
        fill: PromptFill<'a>,
    },
    /// Each step of sampling: one token a row, written to a slot of the cache, over what the row sees there.
    Decode {
        attention: &'a FullOrSliding<CachedAttention>,
        cache: &'a mut KvCache,
        slot: usize,
    },
}

impl Attention {
    /// Attention of layer `layer` over its projections: those to queries, keys and values, or one that holds
    /// the three, and the one behind; with the norms of query and key heads where there are any.
    pub(super) fn new(
        config: &ModelConfig,
        layer: usize,
        inputs: Vec<Projection>,
        o_proj: Projection,
        [q_norm, k_norm]: [Option<RmsNorm>; 2],
    ) -> Self {
        Self {
            inputs,
            o_proj,
            q_norm,
            k_norm,
            heads: attention_heads(config),
            kind: LayerKind::new(config, layer),
        }
    }

    /// Hugging Face's names of `inputs`.
    pub(crate) fn input_names(&self) -> &'static [&'static str] {
        match self.inputs.len() {
            1 => &["qkv_proj"],
            _ => &["q_proj", "k_proj", "v_proj"],
        }
    }

    /// Maps `x`, `[tokens, hidden]`, to the same shape. `layer` is this layer's place in the cache.
    pub(super) fn forward(
        &self,
        x: Tensor<2>,
        rotary: &FullOrSliding<Rotary>,
        layer: usize,
        mode: &mut AttentionMode<'_>,
        dropout: Option<DropoutKey>,
    ) -> Tensor<2> {
        let dropout = |part| dropout.map(|key| key.part(part));
        let [query, key, value] = match self.inputs.as_slice() {
            [query, key, value] => Projection::forward_all([query, key, value], &x, dropout),
            all => {
                let AttentionHeads {
                    heads,
                    kv_heads,
                    head_dim,
                    ..
                } = self.heads;
                let widths = [heads, kv_heads, kv_heads].map(|heads| heads * head_dim);
                split_columns(all[0].forward(x, dropout(0)), widths)
            }
        };
        let turned = |x: Tensor<2>, norm: &Option<RmsNorm>| {
            let x = match norm {
                Some(norm) => norm.forward_heads(x),
                None => x,
            };
            if self.kind.rotates {
                rotary.of(self.kind).rotate(x)
            } else {
                x
            }
        };
        let (query, key) = (turned(query, &self.q_norm), turned(key, &self.k_norm));
        let attended = match mode {
            AttentionMode::Packed(attention) => attention.of(self.kind).forward(query, key, value),
            AttentionMode::Prefill {
                attention,
                cache,
                fill,
            } => {
                cache.fill_prompts(layer, fill, &key, &value);
                attention.of(self.kind).forward(query, key, value)
            }
            AttentionMode::Decode {
                attention,
                cache,
                slot,
            } => {
                let own = cache.append(layer, *slot, [key, value]);
                let prompts = cache.prompts(layer);
                attention.of(self.kind).forward(query, prompts, own)
            }
        };
        self.o_proj.forward(attended, dropout(3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData};
    use half::bf16;
    use inpo_kernels::CachedRow;

    /// The weights of one query over 16 keys, which are the output where the values are the identity: in bf16 each is
    /// the softmax of the scores rounded once. A softmax in bf16 rounds its exponentials as well, which shows in five.
    #[test]
    fn decoding_weighs_in_f32_and_rounds_once() {
        let count = 16;
        let device = Device::flex();
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
            let query = tensor(&query, [1, 1, 1, count]).reshape([1, count]);
            let own = [tensor(&keys, matrix), tensor(&values, matrix)];
            let row = CachedRow {
                place: 0,
                prompt: 0..0,
                own: [0..count, 0..0],
            };
            let heads = AttentionHeads {
                heads: 1,
                kv_heads: 1,
                head_dim: count,
                scale: 0.25,
                softcap: None,
            };
            let attention = CachedAttention::new(&[row], &heads, &device, dtype);
            let weights = attention.forward(query, own.clone(), own);
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
