//! The preallocated key/value cache of the sampler.

use std::ops::Range;

use burn::tensor::{DType, Device, Tensor};
use inpo_kernels::CachedRow;

use super::tensors::index_tensor;
use crate::config::ModelConfig;

/// Keys and values of every layer, allocated once: those of the prompts, each once for all of its samples, and those of the
/// tokens behind, row by row.
///
/// A prompt has a place, where its tokens lie from the first on. All rows write to the same slot at each step, and slot numbers
/// increase from step to step; a row's own slots begin with the next one when it comes in, and earlier ones, which are
/// finite, it does not see. A layer keeps the slots from `base` on, or, where its window of `w` positions is shorter, the
/// last `w`: slot `s` lies at `s % w`. Of a prompt such a layer keeps the last `w` tokens. Tensors are taken out, written and
/// put back, so that the write happens in place.
#[derive(Debug)]
pub(crate) struct KvCache {
    layers: Vec<Layer>,
    room: Room,
}

#[derive(Debug)]
struct Layer {
    window: Option<usize>,
    /// Keys `[places, kv_heads, head_dim, tokens]` and values `[places, kv_heads, tokens, head_dim]`.
    prompts: Option<[Tensor<4>; 2]>,
    /// `[rows, kv_heads, slots, head_dim]` each.
    own: Option<[Tensor<4>; 2]>,
}

/// How much a cache has room for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Room {
    /// Prompts, and the tokens of the longest.
    pub(crate) places: usize,
    pub(crate) tokens: usize,
    /// Rows, and the slots of each.
    pub(crate) rows: usize,
    pub(crate) extent: Extent,
}

/// What is kept when room is made again, in that order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) places: &'a [usize],
    pub(crate) rows: &'a [usize],
    /// The slot after the last that is kept.
    pub(crate) end: usize,
}

/// A row that takes part in a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepRow {
    /// The token that is computed, and its position.
    pub(crate) id: u32,
    pub(crate) position: usize,
    /// Where the prompt lies.
    pub(crate) place: usize,
    /// The first slot of its own.
    pub(crate) first_slot: usize,
}

/// Which slots a cache has room for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
}

impl Room {
    /// Tokens of all prompts and rows.
    pub(crate) fn cached_tokens(self) -> usize {
        let prompts = self.places.saturating_mul(self.tokens);
        prompts.saturating_add(self.rows.saturating_mul(self.extent.slots))
    }

    /// The tokens of a prompt that a layer of this window keeps at most.
    fn tokens_kept(self, window: Option<usize>) -> usize {
        window.map_or(self.tokens, |window| window.min(self.tokens))
    }
}

impl KvCache {
    /// An empty cache.
    pub(crate) fn new(config: &ModelConfig, room: Room, options: (&Device, DType)) -> Self {
        let (heads, width) = (config.num_key_value_heads, config.head_dim);
        let layer = |layer| {
            let window = config.window(layer);
            let tokens = room.tokens_kept(window);
            let slots = room.extent.places(window).kept();
            let zeros = |shape: [usize; 4]| Tensor::zeros(shape, options);
            Layer {
                window,
                prompts: Some([
                    zeros([room.places, heads, width, tokens]),
                    zeros([room.places, heads, tokens, width]),
                ]),
                own: Some([0, 1].map(|_| zeros([room.rows, heads, slots, width]))),
            }
        };
        Self {
            layers: (0..config.num_hidden_layers).map(layer).collect(),
            room,
        }
    }

    /// What the rows of a step see, once `slot` is written, in layers of this window.
    pub(crate) fn seen(
        &self,
        window: Option<usize>,
        rows: &[StepRow],
        slot: usize,
    ) -> Vec<CachedRow> {
        let places = self.room.extent.places(window);
        let kept = self.room.tokens_kept(window);
        let of_row = |row: &StepRow| {
            let length = row.position + row.first_slot - slot;
            let first_kept = length.saturating_sub(kept);
            let first_seen = match window {
                Some(window) => (row.position + 1).saturating_sub(window),
                None => 0,
            };
            let first = first_seen.max(first_kept);
            let prompt = if first < length {
                first - first_kept..length - first_kept
            } else {
                0..0
            };
            let mut own = [0..0, 0..0];
            for (own, run) in own.iter_mut().zip(places.runs(row.first_slot..slot + 1)) {
                *own = run.place..run.place + run.length;
            }
            CachedRow {
                place: row.place,
                prompt,
                own,
            }
        };
        rows.iter().map(of_row).collect()
    }

    /// Writes the prompts of a packed prefill: `key` and `value`, `[tokens, kv_heads * head_dim]`, hold
    /// one prompt after the other.
    pub(crate) fn fill_prompts(
        &mut self,
        layer: usize,
        fill: &PromptFill<'_>,
        key: &Tensor<2>,
        value: &Tensor<2>,
    ) {
        let layer = &mut self.layers[layer];
        let kept = self.room.tokens_kept(layer.window);
        let [mut keys, mut values] = layer.prompts.take().expect("a layer is always put back");
        let [_, heads, _, width] = values.dims();
        let mut end = 0;
        for (&length, &place) in fill.lengths.iter().zip(fill.places) {
            end += length;
            let count = length.min(kept);
            let tokens = |x: &Tensor<2>| {
                let tokens = x.clone().narrow(0, end - count, count);
                tokens.reshape([1, count, heads, width])
            };
            let place = place..place + 1;
            let at = [place.clone(), 0..heads, 0..width, 0..count];
            keys = keys.slice_assign(at, tokens(key).permute([0, 2, 3, 1]));
            let at = [place, 0..heads, 0..count, 0..width];
            values = values.slice_assign(at, tokens(value).swap_dims(1, 2));
        }
        layer.prompts = Some([keys, values]);
    }

    /// The prompts' keys and values.
    pub(crate) fn prompts(&self, layer: usize) -> [Tensor<4>; 2] {
        let prompts = self.layers[layer].prompts.clone();
        prompts.expect("a layer is always put back")
    }

    /// Writes one token per row, `[rows, kv_heads * head_dim]`, at `slot` and returns the rows' slots,
    /// written or not, `[rows, kv_heads, slots, head_dim]`.
    pub(crate) fn append(
        &mut self,
        layer: usize,
        slot: usize,
        [key, value]: [Tensor<2>; 2],
    ) -> [Tensor<4>; 2] {
        let layer = &mut self.layers[layer];
        let places = self.room.extent.places(layer.window);
        let [keys, values] = layer.own.take().expect("a layer is always put back");
        let [rows, heads, _, width] = keys.dims();
        let place = places.place(slot);
        let written = |cache: Tensor<4>, token: Tensor<2>| {
            let at = [0..rows, 0..heads, place..place + 1, 0..width];
            cache.slice_assign(at, token.reshape([rows, heads, 1, width]))
        };
        let own = [written(keys, key), written(values, value)];
        layer.own = Some(own.clone());
        own
    }

    /// Makes room again: what is kept comes first, what is free behind it.
    pub(crate) fn rebuild(&mut self, kept: Kept<'_>, room: Room) {
        let before = std::mem::replace(&mut self.room, room);
        for layer in &mut self.layers {
            let tokens = room.tokens_kept(layer.window);
            let prompts = layer.prompts.take().expect("a layer is always put back");
            let [keys, values] = prompts;
            layer.prompts = Some([(keys, 3), (values, 2)].map(|(old, axis)| {
                let chosen = chosen(old, kept.places);
                let mut shape = chosen.dims();
                if shape[0] == room.places && shape[axis] == tokens {
                    return chosen;
                }
                let count = shape[axis].min(tokens);
                let part = chosen.narrow(axis, 0, count);
                let mut at = part.dims().map(|size| 0..size);
                at[0] = 0..kept.places.len();
                (shape[0], shape[axis]) = (room.places, tokens);
                let new = Tensor::zeros(shape, (&part.device(), part.dtype()));
                new.slice_assign(at, part)
            }));
            let (from, to) = (
                before.extent.places(layer.window),
                room.extent.places(layer.window),
            );
            let own = layer.own.take().expect("a layer is always put back");
            layer.own = Some(own.map(|old| {
                let chosen = chosen(old, kept.rows);
                if from == to && room.rows == kept.rows.len() {
                    return chosen;
                }
                let [_, heads, _, width] = chosen.dims();
                let options = (&chosen.device(), chosen.dtype());
                let mut new = Tensor::zeros([room.rows, heads, to.kept(), width], options);
                let first = room.extent.base.max(kept.end.saturating_sub(to.kept()));
                for source in from.runs(first..kept.end) {
                    for run in to.runs(source.slot..source.slot + source.length) {
                        let place = source.place + run.slot - source.slot;
                        let part = chosen.clone().narrow(2, place, run.length);
                        let at = run.place..run.place + run.length;
                        new = new.slice_assign([0..kept.rows.len(), 0..heads, at, 0..width], part);
                    }
                }
                new
            }));
        }
    }
}

/// `kept` of the first axis, in that order.
fn chosen(old: Tensor<4>, kept: &[usize]) -> Tensor<4> {
    let in_order = kept.len() == old.dims()[0] && kept.iter().copied().eq(0..kept.len());
    if in_order {
        return old;
    }
    let device = old.device();
    old.select(0, index_tensor(kept.iter().copied(), &device))
}

/// What a prefill writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PromptFill<'a> {
    /// Tokens of each prompt.
    pub(crate) lengths: &'a [usize],
    /// Where each goes.
    pub(crate) places: &'a [usize],
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
    }

    #[test]
    fn without_a_window_slots_lie_from_the_base_on() {
        let extent = Extent { base: 5, slots: 9 };
        assert_eq!(extent.places(Some(8)), Places::Ring(8));
        let places = extent.places(Some(9));
        assert_eq!(list(places, 6..11), [(6, 1, 5)]);
    }
}
