//! The preallocated key/value cache of the sampler.

use std::ops::Range;

use burn::tensor::{DType, Device, Int, Tensor};

use crate::config::ModelConfig;

/// Keys and values of every layer, `[rows, kv_heads, slots, head_dim]`, allocated once.
///
/// A layer with a window of `w` positions keeps the last `w` slots only: slot `s` lies at `s % w`.
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
        let layer = |layer| {
            let kept = config
                .window(layer)
                .map_or(slots, |window| window.min(slots));
            let shape = [rows, config.num_key_value_heads, kept, config.head_dim];
            Some((Tensor::zeros(shape, options), Tensor::zeros(shape, options)))
        };
        Self {
            layers: (0..config.num_hidden_layers).map(layer).collect(),
        }
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
            let [_, heads, kept, width] = keys.dims();
            let mut start = 0;
            for (i, &length) in fill.lengths.iter().enumerate() {
                let rows = i * fill.copies..(i + 1) * fill.copies;
                for run in runs(fill.slots - length..fill.slots, kept) {
                    let at = [
                        rows.clone(),
                        0..heads,
                        run.place..run.place + run.length,
                        0..width,
                    ];
                    // The run's first token, counted from the prompt's first.
                    let token = run.slot + length - fill.slots;
                    let copies = |x: &Tensor<2>| {
                        let tokens = x.clone().narrow(0, start + token, run.length);
                        let tokens = tokens.reshape([1, run.length, heads, width]);
                        tokens.swap_dims(1, 2).repeat_dim(0, fill.copies)
                    };
                    keys = keys.slice_assign(at.clone(), copies(key));
                    values = values.slice_assign(at, copies(value));
                }
                start += length;
            }
            (keys, values)
        });
    }

    /// Writes one token per row, `[rows, kv_heads * head_dim]`, at `slot` and returns everything that is
    /// kept up to and including it, `[rows, kv_heads, slots, head_dim]`.
    pub(crate) fn append(
        &mut self,
        layer: usize,
        slot: usize,
        key: Tensor<2>,
        value: Tensor<2>,
    ) -> (Tensor<4>, Tensor<4>) {
        self.update(layer, |keys, values| {
            let [rows, heads, kept, width] = keys.dims();
            let place = slot % kept;
            let at = [0..rows, 0..heads, place..place + 1, 0..width];
            let token = |x: Tensor<2>| x.reshape([rows, heads, 1, width]);
            (
                keys.slice_assign(at.clone(), token(key)),
                values.slice_assign(at, token(value)),
            )
        });
        let (keys, values) = self.layers[layer]
            .clone()
            .expect("a layer is always put back");
        let filled = keys.dims()[2].min(slot + 1);
        (keys.narrow(2, 0, filled), values.narrow(2, 0, filled))
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

/// Slots that lie one after the other in a layer.
struct Run {
    /// The first slot.
    slot: usize,
    /// Where it lies.
    place: usize,
    length: usize,
}

/// The runs of those of `slots` that a layer of `kept` slots keeps: the last `kept`, in one run or two.
fn runs(slots: Range<usize>, kept: usize) -> impl Iterator<Item = Run> {
    let first = slots.start.max(slots.end.saturating_sub(kept));
    let turn = (first / kept + 1) * kept;
    let middle = turn.min(slots.end);
    [first..middle, middle..slots.end]
        .into_iter()
        .filter(|run| !run.is_empty())
        .map(move |run| Run {
            slot: run.start,
            place: run.start % kept,
            length: run.len(),
        })
}

/// The slot that lies at each place of a layer of `kept` slots once `slot` is written: of the places that
/// are filled.
pub(crate) fn slots_at(slot: usize, kept: usize) -> impl Iterator<Item = usize> {
    (0..kept.min(slot + 1)).map(move |place| slot - (slot - place) % kept)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A window of 4: slots 6 to 10 (five tokens) keep 7, 8, 9, 10 at 3, 0, 1, 2.
    #[test]
    fn a_window_keeps_its_last_slots_in_a_ring() {
        let list = |slots, kept| {
            let runs = runs(slots, kept);
            runs.map(|r| (r.slot, r.place, r.length))
                .collect::<Vec<_>>()
        };
        assert_eq!(list(6..11, 4), [(7, 3, 1), (8, 0, 3)]);
        assert_eq!(list(6..8, 4), [(6, 2, 2)]);
        assert_eq!(list(2..6, 8), [(2, 2, 4)]);
        assert_eq!(list(3..3, 4), []);
        assert_eq!(slots_at(10, 4).collect::<Vec<_>>(), [8, 9, 10, 7]);
        assert_eq!(slots_at(2, 4).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
