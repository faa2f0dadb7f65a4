//! The preallocated key/value cache of the sampler.

use burn::tensor::{DType, Device, Int, Tensor};

use crate::config::ModelConfig;

/// Keys and values of every layer, `[rows, kv_heads, slots, head_dim]`, allocated once.
///
/// All rows write to the same slot at each step; rows of shorter prompts leave their first slots
/// unused and hide them by the attention bias. Tensors are taken out, written and put back, so that
/// the write happens in place.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<Option<(Tensor<4>, Tensor<4>)>>,
}

impl KvCache {
    /// An empty cache for `rows` sequences of up to `slots` tokens.
    pub fn new(config: &ModelConfig, rows: usize, slots: usize, options: (&Device, DType)) -> Self {
        let shape = [rows, config.num_key_value_heads, slots, config.head_dim];
        let layers = (0..config.num_hidden_layers)
            .map(|_| Some((Tensor::zeros(shape, options), Tensor::zeros(shape, options))))
            .collect();
        Self { layers }
    }

    /// Writes the prompts of a packed prefill: `key` and `value`, `[tokens, kv_heads * head_dim]`, hold
    /// one prompt after the other, `lengths[i]` tokens each, which go to the slots that end at `slots`,
    /// once for each of the `copies` samples of that prompt.
    pub(crate) fn fill_prompts(
        &mut self,
        layer: usize,
        fill: &PromptFill<'_>,
        key: &Tensor<2>,
        value: &Tensor<2>,
    ) {
        self.update(layer, |mut keys, mut values| {
            let [_, heads, _, width] = keys.dims();
            let mut start = 0;
            for (i, &length) in fill.lengths.iter().enumerate() {
                let rows = i * fill.copies..(i + 1) * fill.copies;
                let at = [rows, 0..heads, fill.slots - length..fill.slots, 0..width];
                let copies = |x: &Tensor<2>| {
                    let prompt = x.clone().narrow(0, start, length);
                    let prompt = prompt.reshape([1, length, heads, width]).swap_dims(1, 2);
                    prompt.repeat_dim(0, fill.copies)
                };
                keys = keys.slice_assign(at.clone(), copies(key));
                values = values.slice_assign(at, copies(value));
                start += length;
            }
            (keys, values)
        });
    }

    /// Writes one token per row, `[rows, kv_heads * head_dim]`, at `slot` and returns everything up to
    /// and including it, `[rows, kv_heads, slot + 1, head_dim]`.
    pub(crate) fn append(
        &mut self,
        layer: usize,
        slot: usize,
        key: Tensor<2>,
        value: Tensor<2>,
    ) -> (Tensor<4>, Tensor<4>) {
        self.update(layer, |keys, values| {
            let [rows, heads, _, width] = keys.dims();
            let at = [0..rows, 0..heads, slot..slot + 1, 0..width];
            let token = |x: Tensor<2>| x.reshape([rows, heads, 1, width]);
            (
                keys.slice_assign(at.clone(), token(key)),
                values.slice_assign(at, token(value)),
            )
        });
        let (keys, values) = self.layers[layer]
            .clone()
            .expect("a layer is always put back");
        (keys.narrow(2, 0, slot + 1), values.narrow(2, 0, slot + 1))
    }

    /// Keeps the rows `kept` only, in that order.
    pub(crate) fn keep_rows(&mut self, kept: &Tensor<1, Int>) {
        for layer in 0..self.layers.len() {
            self.update(layer, |keys, values| {
                (keys.select(0, kept.clone()), values.select(0, kept.clone()))
            });
        }
    }

    fn update(
        &mut self,
        layer: usize,
        change: impl FnOnce(Tensor<4>, Tensor<4>) -> (Tensor<4>, Tensor<4>),
    ) {
        let (keys, values) = self.layers[layer]
            .take()
            .expect("a layer is always put back");
        self.layers[layer] = Some(change(keys, values));
    }
}

/// What a prefill writes: one row per prompt, `copies` cache rows each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PromptFill<'a> {
    /// Real tokens of each prompt.
    pub(crate) lengths: &'a [usize],
    /// Cache rows (samples) per prompt.
    pub(crate) copies: usize,
    /// The slot after the last prompt token, the same for all rows.
    pub(crate) slots: usize,
}
