//! Grouped-query attention.

use burn::module::Module;
use burn::tensor::Tensor;
use inpo_kernels::{AttentionOptions, CachedAttention, CachedRow, PackedAttention, PackedLayout};

use super::cache::{KvCache, PromptFill};
use super::noise::Noise;
use super::norm::RmsNorm;
use super::projection::Projection;
use super::rope::Rotary;
use super::split_columns;
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
    shape: HeadShape,
    #[module(skip)]
    kind: LayerKind,
}

/// Heads of the attention layers, and what their scores go through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadShape {
    queries: usize,
    keys: usize,
    width: usize,
    scale: f64,
    softcap: Option<f64>,
}

impl HeadShape {
    pub(crate) fn new(config: &ModelConfig) -> Self {
        Self {
            queries: config.num_attention_heads,
            keys: config.num_key_value_heads,
            width: config.head_dim,
            scale: config.attention_scale(),
            softcap: config.attn_logit_softcapping,
        }
    }

    /// Attention over the sequences of `layout`, within `window` where there is one.
    pub(crate) fn packed(
        &self,
        layout: &PackedLayout,
        window: Option<usize>,
        options: (&burn::tensor::Device, burn::tensor::DType),
    ) -> PackedAttention {
        let sizes = [self.queries, self.keys, self.width];
        let softcap = self.softcap;
        let kind = AttentionOptions { window, softcap };
        PackedAttention::with_options(layout, sizes, self.scale, kind, options)
    }

    /// Attention of one token a row over what `rows` see of the cache.
    pub(crate) fn cached(
        &self,
        rows: &[CachedRow],
        options: (&burn::tensor::Device, burn::tensor::DType),
    ) -> CachedAttention {
        let sizes = [self.queries, self.keys, self.width];
        CachedAttention::new(rows, sizes, self.scale, self.softcap, options)
    }
}

/// What is different from layer to layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerKind {
    /// Whether a token sees the last positions only.
    pub(crate) local: bool,
    /// Whether queries and keys are rotated.
    pub(crate) rotates: bool,
}

impl LayerKind {
    pub(crate) fn new(config: &ModelConfig, layer: usize) -> Self {
        Self {
            local: config.window(layer).is_some(),
            rotates: config.rotates(layer),
        }
    }
}

/// What a layer needs of one pass in two forms: for layers that see everything, and for those with a window
/// where there are any.
#[derive(Debug, Clone)]
pub(crate) struct ByReach<T> {
    pub(crate) full: T,
    pub(crate) local: Option<T>,
}

impl<T> ByReach<T> {
    fn of(&self, kind: LayerKind) -> &T {
        match &self.local {
            Some(local) if kind.local => local,
            _ => &self.full,
        }
    }
}

/// Which tokens a token sees, and what is done with the cache.
pub(crate) enum Mixing<'a> {
    /// Training and scoring: a packed batch, no cache.
    Packed(&'a ByReach<PackedAttention>),
    /// A packed batch of prompts, whose keys and values are written to the cache.
    Prefill(
        &'a ByReach<PackedAttention>,
        &'a mut KvCache,
        PromptFill<'a>,
    ),
    /// One token per row, written to a slot of the cache, over what the row sees there.
    Decode {
        attention: &'a ByReach<CachedAttention>,
        cache: &'a mut KvCache,
        slot: usize,
    },
}

impl Attention {
    /// Attention of layer `layer` over its projections: those to queries, keys and values, or one that holds
    /// the three, and the one behind; with the norms of query and key heads where there are any.
    pub(crate) fn new(
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
            shape: HeadShape::new(config),
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
    pub(crate) fn forward(
        &self,
        x: Tensor<2>,
        rotary: &ByReach<Rotary>,
        layer: usize,
        mixing: &mut Mixing<'_>,
        noise: Option<Noise>,
    ) -> Tensor<2> {
        let noise = |part| noise.map(|noise| noise.part(part));
        let [query, key, value] = match self.inputs.as_slice() {
            [query, key, value] => Projection::forward_all([query, key, value], &x, noise),
            all => {
                let HeadShape {
                    queries,
                    keys,
                    width,
                    ..
                } = self.shape;
                let widths = [queries * width, keys * width, keys * width];
                split_columns(all[0].forward(x, noise(0)), widths)
            }
        };
        let turned = |x: Tensor<2>, norm: &Option<RmsNorm>| {
            let x = match norm {
                Some(norm) => norm.forward_heads(x),
                None => x,
            };
            match self.kind.rotates {
                true => rotary.of(self.kind).rotate(x),
                false => x,
            }
        };
        let (query, key) = (turned(query, &self.q_norm), turned(key, &self.k_norm));
        let mixed = match mixing {
            Mixing::Packed(attention) => attention.of(self.kind).forward(query, key, value),
            Mixing::Prefill(attention, cache, fill) => {
                cache.fill_prompts(layer, fill, &key, &value);
                attention.of(self.kind).forward(query, key, value)
            }
            Mixing::Decode {
                attention,
                cache,
                slot,
            } => {
                let own = cache.append(layer, *slot, [key, value]);
                let prompts = cache.prompts(layer);
                attention.of(self.kind).forward(query, prompts, own)
            }
        };
        self.o_proj.forward(mixed, noise(3))
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
            let options = (&device, dtype);
            let attention = CachedAttention::new(&[row], [1, 1, count], 0.25, None, options);
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
