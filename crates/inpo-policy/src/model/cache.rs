//! The preallocated key/value cache of the sampler.

use std::ops::Range;

use burn::tensor::{DType, Device, Tensor};

use super::index_tensor;
use crate::config::ModelConfig;

/// Keys and values of every layer, `[rows, kv_heads, slots, head_dim]`, allocated once.
///
/// All rows write to the same slot at each step, and slots are counted on for ever. A row's first slots
/// (those before its prompt) are not its own: what lies there is finite, and hidden by the attention bias. A
/// layer keeps the slots from `base` on, or, where its window of `w` positions is shorter, the last `w`: slot
/// `s` lies at `s % w`. Tensors are taken out, written and put back, so that the write happens in place.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<Layer>,
    extent: Extent,
}

#[derive(Debug)]
struct Layer {
    window: Option<usize>,
    tensors: Option<(Tensor<4>, Tensor<4>)>,
}

/// Which slots a cache has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The first slot.
    pub(crate) base: usize,
    /// How many there are.
    pub(crate) slots: usize,
}

impl Extent {
    /// Where the slots of a layer lie that sees `window` positions, if not all.
    fn places(self, window: Option<usize>) -> Places {
        match window {
            Some(window) if window < self.slots => Places::Ring(window),
            _ => Places::From(self),
        }
    }
}

/// Where the slots of a layer lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Places {
    /// Slot `s` at `s % kept`: the last `kept` slots.
    Ring(usize),
    /// Slot `s` at `s - base`.
    From(Extent),
}

/// Slots that lie one after the other in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// The first slot.
    slot: usize,
    /// Where it lies.
    place: usize,
    length: usize,
}

impl Places {
    /// How many slots are kept.
    fn kept(self) -> usize {
        match self {
            Self::Ring(kept) => kept,
            Self::From(extent) => extent.slots,
        }
    }

    /// The runs of those of `slots` that are kept once the last is written, in one run or two.
    fn runs(self, slots: Range<usize>) -> impl Iterator<Item = Run> {
        let kept = self.kept();
        let (first, turn) = match self {
            Self::Ring(_) => {
                let first = slots.start.max(slots.end.saturating_sub(kept));
                (first, (first / kept + 1) * kept)
            }
            Self::From(extent) => (slots.start.max(extent.base), usize::MAX),
        };
        let middle = turn.min(slots.end);
        [first..middle, middle..slots.end]
            .into_iter()
            .filter(|run| !run.is_empty())
            .map(move |run| Run {
                slot: run.start,
                place: self.place(run.start),
                length: run.len(),
            })
    }

    fn place(self, slot: usize) -> usize {
        match self {
            Self::Ring(kept) => slot % kept,
            Self::From(extent) => slot - extent.base,
        }
    }

    /// The slot that lies at each place that is filled once `slot` is written.
    fn slots_at(self, slot: usize) -> Vec<usize> {
        match self {
            Self::Ring(kept) => (0..kept.min(slot + 1))
                .map(|place| slot - (slot - place) % kept)
                .collect(),
            Self::From(extent) => (extent.base..=slot).collect(),
        }
    }
}

impl KvCache {
    /// An empty cache for `rows` sequences of up to `slots` tokens.
    pub fn new(config: &ModelConfig, rows: usize, slots: usize, options: (&Device, DType)) -> Self {
        let extent = Extent { base: 0, slots };
        let layer = |layer| {
            let window = config.window(layer);
            let kept = extent.places(window).kept();
            let shape = [rows, config.num_key_value_heads, kept, config.head_dim];
            let zeros = || Tensor::zeros(shape, options);
            Layer {
                window,
                tensors: Some((zeros(), zeros())),
            }
        };
        Self {
            layers: (0..config.num_hidden_layers).map(layer).collect(),
            extent,
        }
    }

    /// The slots that a layer of this window has to see once `slot` is written, in the order of their places.
    pub(crate) fn slots_at(&self, window: Option<usize>, slot: usize) -> Vec<usize> {
        self.extent.places(window).slots_at(slot)
    }

    /// Writes the prompts of a packed prefill: `key` and `value`, `[tokens, kv_heads * head_dim]`, hold
    /// one prompt after the other, `lengths[i]` tokens each, which go to the slots that end at `slots`
    /// in each of the rows `rows[i]`.
    pub(crate) fn fill_prompts(
        &mut self,
        layer: usize,
        fill: &PromptFill<'_>,
        key: &Tensor<2>,
        value: &Tensor<2>,
    ) {
        self.update(layer, |places, mut keys, mut values| {
            let [_, heads, _, width] = keys.dims();
            let mut start = 0;
            for (&length, rows) in fill.lengths.iter().zip(fill.rows) {
                for run in places.runs(fill.slots - length..fill.slots) {
                    // The run's first token, counted from the prompt's first.
                    let token = run.slot + length - fill.slots;
                    for rows in rows.chunk_by(|a, b| a + 1 == *b) {
                        let at = [
                            rows[0]..rows[0] + rows.len(),
                            0..heads,
                            run.place..run.place + run.length,
                            0..width,
                        ];
                        let copies = |x: &Tensor<2>| {
                            let tokens = x.clone().narrow(0, start + token, run.length);
                            let tokens = tokens.reshape([1, run.length, heads, width]);
                            tokens.swap_dims(1, 2).repeat_dim(0, rows.len())
                        };
                        keys = keys.slice_assign(at.clone(), copies(key));
                        values = values.slice_assign(at, copies(value));
                    }
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
        let mut filled = 0;
        self.update(layer, |places, keys, values| {
            let [rows, heads, kept, width] = keys.dims();
            let place = places.place(slot);
            filled = match places {
                Places::Ring(_) => kept.min(slot + 1),
                Places::From(_) => place + 1,
            };
            let at = [0..rows, 0..heads, place..place + 1, 0..width];
            let token = |x: Tensor<2>| x.reshape([rows, heads, 1, width]);
            (
                keys.slice_assign(at.clone(), token(key)),
                values.slice_assign(at, token(value)),
            )
        });
        let (keys, values) = self.layers[layer]
            .tensors
            .clone()
            .expect("a layer is always put back");
        (keys.narrow(2, 0, filled), values.narrow(2, 0, filled))
    }

    /// Makes room anew: the rows `kept` only, in that order, free ones behind them up to `rows`, and the slots of
    /// `extent`, of which those before `end` are kept.
    pub(crate) fn rebuild(&mut self, kept: &[usize], rows: usize, extent: Extent, end: usize) {
        let before = std::mem::replace(&mut self.extent, extent);
        for layer in &mut self.layers {
            let (keys, values) = layer.tensors.take().expect("a layer is always put back");
            let (from, to) = (before.places(layer.window), extent.places(layer.window));
            let moved = |old: Tensor<4>| {
                let [old_rows, heads, _, width] = old.dims();
                let in_order = kept.len() == old_rows && kept.iter().copied().eq(0..old_rows);
                let old = match in_order {
                    true => old,
                    false => {
                        let device = old.device();
                        old.select(0, index_tensor(kept.iter().copied(), &device))
                    }
                };
                if from == to && rows == kept.len() {
                    return old;
                }
                let options = (&old.device(), old.dtype());
                let mut new = Tensor::zeros([rows, heads, to.kept(), width], options);
                let first = extent.base.max(end.saturating_sub(to.kept()));
                for source in from.runs(first..end) {
                    for run in to.runs(source.slot..source.slot + source.length) {
                        let part = old.clone().narrow(
                            2,
                            source.place + run.slot - source.slot,
                            run.length,
                        );
                        let at = run.place..run.place + run.length;
                        new = new.slice_assign([0..kept.len(), 0..heads, at, 0..width], part);
                    }
                }
                new
            };
            layer.tensors = Some((moved(keys), moved(values)));
        }
    }

    fn update(
        &mut self,
        layer: usize,
        change: impl FnOnce(Places, Tensor<4>, Tensor<4>) -> (Tensor<4>, Tensor<4>),
    ) {
        let layer = &mut self.layers[layer];
        let places = self.extent.places(layer.window);
        let (keys, values) = layer.tensors.take().expect("a layer is always put back");
        layer.tensors = Some(change(places, keys, values));
    }
}

/// What a prefill writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PromptFill<'a> {
    /// Tokens of each prompt.
    pub(crate) lengths: &'a [usize],
    /// Cache rows (samples) of each prompt, ascending.
    pub(crate) rows: &'a [Vec<usize>],
    /// The slot after the last prompt token, the same for all rows.
    pub(crate) slots: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(places: Places, slots: Range<usize>) -> Vec<(usize, usize, usize)> {
        let runs = places.runs(slots);
        runs.map(|r| (r.slot, r.place, r.length)).collect()
    }

    /// A window of 4: slots 6 to 10 (five tokens) keep 7, 8, 9, 10 at 3, 0, 1, 2.
    #[test]
    fn a_window_keeps_its_last_slots_in_a_ring() {
        let ring = Places::Ring(4);
        assert_eq!(list(ring, 6..11), [(7, 3, 1), (8, 0, 3)]);
        assert_eq!(list(ring, 6..8), [(6, 2, 2)]);
        assert_eq!(list(Places::Ring(8), 2..6), [(2, 2, 4)]);
        assert_eq!(list(ring, 3..3), []);
        assert_eq!(ring.slots_at(10), [8, 9, 10, 7]);
        assert_eq!(ring.slots_at(2), [0, 1, 2]);
    }

    #[test]
    fn without_a_window_slots_lie_from_the_base_on() {
        let extent = Extent { base: 5, slots: 9 };
        assert_eq!(extent.places(Some(8)), Places::Ring(8));
        let places = extent.places(Some(9));
        assert_eq!(list(places, 6..11), [(6, 1, 5)]);
        assert_eq!(places.slots_at(8), [5, 6, 7, 8]);
    }
}
