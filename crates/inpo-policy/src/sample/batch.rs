//! Rows that are decoded together. A row whose sample is finished is free for the next prompt's.

use std::time::Instant;

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::mixture::Mixture;
use super::queue::{Queue, Turn};
use super::row::{Row, Seat};
use super::stop::Stops;
use super::{DrawKey, Drawn, GenerationConfig, Generations, PromptTask, Watch};
use crate::error::PolicyError;
use crate::model::{Decoder, Extent, Kept, KvCache, PromptFill, Room, StepRow, index_tensor};

/// Prompt tokens of one prefill at most, unless one prompt has more: its activations are of that size.
const PREFILL_TOKENS: usize = 8192;

/// Rows of samples over one cache.
///
/// A prompt is written to a place of its own, which its samples share; prompts come in by length, the longest first, so that
/// the places have room for those that come later. All rows write to the same slot of the cache at each step; those of a row
/// begin with the one that is next when it comes in. When the slots come to their end, those that no row has any more are
/// taken out.
pub(super) struct Batch<'a> {
    mixture: &'a Mixture<'a>,
    config: &'a GenerationConfig,
    prompts: &'a [PromptTask],
    draws: DrawKey,
    stops: Stops<'a>,
    queue: Queue<'a>,
    rows: Vec<Option<Row<'a>>>,
    /// A cache for each member of the mixture, all of the same form.
    caches: Vec<KvCache>,
    room: Room,
    /// The slot that is written next.
    slot: usize,
    result: Generations,
}

impl<'a> Batch<'a> {
    /// Nothing decoded yet.
    pub(super) fn new(
        mixture: &'a Mixture<'a>,
        prompts: &'a [PromptTask],
        config: &'a GenerationConfig,
        draws: DrawKey,
    ) -> Self {
        let samples = vec![Vec::new(); prompts.len()];
        Self {
            mixture,
            config,
            prompts,
            draws,
            stops: Stops::new(&mixture.ends, config, mixture.codec),
            queue: Queue::new(prompts, config.num_generations),
            rows: Vec::new(),
            caches: Vec::new(),
            room: Room::default(),
            slot: 0,
            result: Generations {
                samples,
                ..Generations::default()
            },
        }
    }

    /// Decodes until every sample is finished, or `watch` breaks off: then what was drawn is returned.
    pub(super) fn run(mut self, watch: Watch<'_>) -> Result<Generations, PolicyError> {
        let mut place = vec![vec![None; self.config.num_generations]; self.prompts.len()];
        let mut goes_on = true;
        while goes_on {
            let started = Instant::now();
            let turns = self.admit();
            let prefills = !turns.is_empty();
            let (logits_of, logits) = if prefills {
                self.prefill(turns)
            } else if self.live() > 0 {
                self.make_room();
                self.decode()
            } else {
                break;
            };
            if prefills {
                self.result.cost.prefill_time += started.elapsed();
            }
            let drawing = Instant::now();
            goes_on = self.draw(&logits_of, &logits, watch)?;
            let since = if prefills { drawing } else { started };
            self.result.cost.decode_time += since.elapsed();
            for row in self
                .rows
                .iter_mut()
                .filter(|row| row.as_ref().is_some_and(Row::finished))
            {
                let row = row.take().expect("it is finished");
                place[row.prompt][row.number] = Some(row.sample);
            }
        }
        for row in self.rows.into_iter().flatten() {
            place[row.prompt][row.number] = Some(row.sample);
        }
        for (samples, place) in self.result.samples.iter_mut().zip(place) {
            samples.extend(place.into_iter().flatten());
        }
        Ok(self.result)
    }

    fn live(&self) -> usize {
        self.rows.iter().flatten().count()
    }

    /// The places of prompts that a row still has, ascending.
    fn places(&self) -> Vec<usize> {
        let mut places: Vec<usize> = self.rows.iter().flatten().map(|row| row.place).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// The samples that come in now, and the places of their prompts: none before an eighth of the rows is free, or enough
    /// for all that wait, since a prefill of a few tokens costs as much as a step of all rows.
    fn admit(&mut self) -> Vec<(Turn, usize)> {
        let live = self.live();
        let free = self.rows.len() - live;
        let few = free * 8 < self.rows.len() && free < self.queue.samples();
        if self.queue.is_empty() || (live > 0 && few) {
            return Vec::new();
        }
        let room = self.plan();
        // The longest prompts are done, and the same memory is enough for many more rows.
        if live == 0 || room.rows * 2 >= self.rows.len() * 3 {
            self.rebuild(room);
        }
        let mut free = self.rows.len() - live;
        let taken = self.places();
        let places = (0..self.room.places).filter(|place| taken.binary_search(place).is_err());
        let mut tokens = 0;
        let mut turns = Vec::new();
        for place in places {
            let Some(turn) = self.queue.next(free, self.rows.len()) else {
                break;
            };
            tokens += self.prompts[turn.prompt].ids.len();
            if !turns.is_empty() && tokens > PREFILL_TOKENS {
                self.queue.put_back(turn);
                break;
            }
            free -= turn.samples.len();
            turns.push((turn, place));
        }
        turns
    }

    /// The room that the cache should have for what is left.
    fn plan(&self) -> Room {
        let (live, places) = (self.live(), self.places().len());
        let wanted = live + self.queue.samples();
        let prompts = places + self.queue.prompts();
        let there = self.rows.iter().flatten().map(|row| row.prompt_len).max();
        let room = |rows: usize, slots: usize| Room {
            // Three times the places that full prompts need: a prompt keeps its place for its last sample.
            places: (3 * rows)
                .div_ceil(self.config.num_generations)
                .clamp(places.max(1), prompts.min(rows).max(1)),
            tokens: self.queue.longest().max(there).unwrap_or(0),
            rows,
            extent: Extent {
                base: self.first_slot().unwrap_or(0),
                slots,
            },
        };
        let tokens = self.config.max_cache_tokens / self.mixture.members.len();
        let fits = |room: &Room| room.cached_tokens() <= tokens;
        let new_tokens = self.config.max_new_tokens;
        let all = room(wanted, new_tokens);
        if wanted <= self.config.max_num_seqs && fits(&all) {
            return all;
        }
        // Later rows begin at later slots: without more of them they would have to be moved too often.
        let slots = new_tokens + (new_tokens / 8).max(16);
        let least = live.max(1);
        let most = wanted.min(self.config.max_num_seqs).max(least);
        let rooms = (least..=most).rev().map(|rows| room(rows, slots));
        let mut rooms = rooms.filter(fits);
        rooms.next().unwrap_or_else(|| room(least, slots))
    }

    /// Rebuilds the cache, with the rows that are not finished, and their prompts, first.
    fn rebuild(&mut self, room: Room) {
        let kept: Vec<usize> = (0..self.rows.len())
            .filter(|&row| self.rows[row].is_some())
            .collect();
        let places = self.places();
        self.room = room;
        if kept.is_empty() {
            self.slot = 0;
            self.caches = Vec::new();
            self.caches = self.mixture.caches(room);
        } else {
            let kept = Kept {
                places: &places,
                rows: &kept,
                end: self.slot,
            };
            for cache in &mut self.caches {
                cache.rebuild(kept, room);
            }
        }
        self.rows.retain(Option::is_some);
        for row in self.rows.iter_mut().flatten() {
            row.place = places.binary_search(&row.place).expect("it is one of them");
        }
        self.rows.resize_with(room.rows, || None);
    }

    /// The first slot that a row has.
    fn first_slot(&self) -> Option<usize> {
        let rows = self.rows.iter().flatten();
        rows.map(|row| row.first_slot).min()
    }

    /// Before a step: free rows leave once they are a quarter and nobody comes in for them; slots that no
    /// row has leave when they are a quarter of all, or when there is no slot left.
    fn make_room(&mut self) {
        let (live, rows) = (self.live(), self.rows.len());
        let leave = self.queue.is_empty() && live * 4 <= rows * 3;
        let Extent { base, slots } = self.room.extent;
        let used = self.slot - base;
        let first = self.first_slot().unwrap_or(self.slot);
        let unused = first - base;
        if leave || (unused > 0 && unused * 4 >= slots) || used == slots {
            let mut room = self.room;
            room.extent.base = first;
            if leave {
                (room.rows, room.places) = (live, self.places().len());
            }
            self.rebuild(room);
        }
    }

    /// Computes the prompts of `turns` once each, for rows that are free; returns the logits of their first tokens, and for
    /// each row which of these are its.
    fn prefill(&mut self, turns: Vec<(Turn, usize)>) -> (Vec<Option<usize>>, Vec<f32>) {
        let mut of_row = vec![None; self.rows.len()];
        let (mut ids, mut lengths, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (number, (turn, place)) in turns.into_iter().enumerate() {
            let task = &self.prompts[turn.prompt];
            ids.extend(&task.ids);
            lengths.push(task.ids.len());
            places.push(place);
            let free = self.rows.iter_mut().zip(&mut of_row);
            let free = free.filter(|(row, _)| row.is_none());
            for (sample, (row, logits)) in turn.samples.zip(free) {
                let seat = Seat {
                    prompt: turn.prompt,
                    number: sample,
                    place,
                    first_slot: self.slot,
                };
                *row = Some(Row::new(seat, task, self.config, &self.stops, self.draws));
                *logits = Some(number);
            }
        }
        self.result.cost.prefill_tokens += ids.len();
        let fill = PromptFill {
            lengths: &lengths,
            places: &places,
        };
        let prefill =
            |decoder: &Decoder, cache: &mut KvCache| last_states(decoder, &ids, fill, cache);
        let logits = self.mixture.logits(&mut self.caches, prefill);
        (of_row, logits)
    }

    /// One step of all rows; returns their logits, and for each row which of these are its.
    fn decode(&mut self) -> (Vec<Option<usize>>, Vec<f32>) {
        let slot = self.slot;
        // A free row sees itself and nothing else, so that it stays finite.
        let free = StepRow {
            id: 0,
            position: 0,
            place: 0,
            first_slot: slot,
        };
        let of_row = |row: &Option<Row<'_>>| row.as_ref().map_or(free, Row::step);
        let rows: Vec<StepRow> = self.rows.iter().map(of_row).collect();
        let logits = self.mixture.logits(&mut self.caches, |decoder, cache| {
            decoder.decode(&rows, slot, cache)
        });
        self.slot += 1;
        ((0..rows.len()).map(Some).collect(), logits)
    }

    /// Draws the next token of each row that is not free and has logits: `logits_of` says which of `logits`. Says whether to
    /// go on.
    fn draw(
        &mut self,
        logits_of: &[Option<usize>],
        logits: &[f32],
        watch: Watch<'_>,
    ) -> Result<bool, PolicyError> {
        let width = self.mixture.vocab_size();
        let of_row: Vec<Option<&[f32]>> = logits_of
            .iter()
            .map(|number| number.map(|number| &logits[number * width..][..width]))
            .collect();
        let stops = &self.stops.ids;
        let draws: Vec<_> = self
            .rows
            .par_iter_mut()
            .zip(of_row)
            .filter_map(|(row, logits)| Some(row.as_mut()?.draw(logits?, stops)))
            .collect();
        self.result.cost.decode_tokens += draws.len();
        for draw in draws {
            let drawn: Drawn = draw?;
            if watch(drawn).is_break() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Computes prompts, `ids` one after the other; returns the last hidden state of each.
fn last_states(
    decoder: &Decoder,
    ids: &[u32],
    fill: PromptFill<'_>,
    cache: &mut KvCache,
) -> Tensor<2> {
    let hidden = decoder.prefill(ids, fill, cache);
    let ends = fill.lengths.iter().scan(0, |end, &length| {
        *end += length;
        Some(*end)
    });
    let last: Vec<usize> = ends.map(|end| end - 1).collect();
    let last = index_tensor(last.into_iter(), &hidden.device());
    hidden.select(0, last)
}
