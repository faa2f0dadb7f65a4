//! Rows that are decoded together. A row whose sample is finished is free for the next prompt's.

use std::time::Instant;

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::mixture::Mixture;
use super::queue::{Queue, Turn};
use super::row::Row;
use super::stop::Stops;
use super::{Drawn, GenerationConfig, Generations, PromptTask, Watch};
use crate::error::PolicyError;
use crate::model::{Decoder, Extent, KvCache, PromptFill, index_tensor};

/// Prompt tokens of one prefill at most, unless one prompt has more: its activations are of that size.
const PREFILL_TOKENS: usize = 8192;

/// Rows of samples over one cache.
///
/// All rows write to the same slot of the cache at each step. A prompt that comes in later is written to the
/// slots that end there, which are enough: prompts come in by length, the longest first, so that the
/// row that is there has at least as many. What lies before a row's first slot is hidden from it. When the
/// slots come to their end, those that no row has any more are taken out.
pub(super) struct Batch<'a> {
    mixture: &'a Mixture<'a>,
    config: &'a GenerationConfig,
    prompts: &'a [PromptTask],
    key: (u64, u64),
    stops: Stops<'a>,
    queue: Queue<'a>,
    rows: Vec<Option<Row<'a>>>,
    /// A cache for each member of the mixture, all of the same form.
    caches: Vec<KvCache>,
    extent: Extent,
    /// The slot that is written next.
    slot: usize,
    result: Generations,
}

impl<'a> Batch<'a> {
    /// Nothing decoded yet; `key` is seed and iteration.
    pub(super) fn new(
        mixture: &'a Mixture<'a>,
        prompts: &'a [PromptTask],
        config: &'a GenerationConfig,
        key: (u64, u64),
    ) -> Self {
        let samples = vec![Vec::new(); prompts.len()];
        Self {
            mixture,
            config,
            prompts,
            key,
            stops: Stops::new(mixture.eos_token_ids, config, mixture.codec),
            queue: Queue::new(prompts, config.num_generations),
            rows: Vec::new(),
            caches: Vec::new(),
            extent: Extent { base: 0, slots: 0 },
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
            let (rows, logits) = if prefills {
                self.prefill(turns)
            } else if self.live() > 0 {
                self.make_room();
                self.decode()
            } else {
                break;
            };
            if prefills {
                self.result.prefill_time += started.elapsed();
            }
            let drawing = Instant::now();
            goes_on = self.draw(&rows, &logits, watch)?;
            let since = if prefills { drawing } else { started };
            self.result.decode_time += since.elapsed();
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

    /// The samples that come in now: none before an eighth of the rows is free, or enough for all that wait, since
    /// a prefill of a few tokens costs as much as a step of all rows.
    fn admit(&mut self) -> Vec<Turn> {
        let live = self.live();
        let free = self.rows.len() - live;
        let few = free * 8 < self.rows.len() && free < self.queue.samples();
        if self.queue.is_empty() || (live > 0 && few) {
            return Vec::new();
        }
        let (rows, slots) = self.plan();
        // The longest prompts are done, and the same memory is enough for many more rows.
        if live == 0 || rows * 2 >= self.rows.len() * 3 {
            self.rebuild(rows.max(live), slots);
        }
        let mut free = self.rows.len() - live;
        let mut tokens = 0;
        let mut turns = Vec::new();
        while let Some(turn) = self.queue.next(free, self.rows.len()) {
            tokens += self.prompts[turn.prompt].ids.len();
            if !turns.is_empty() && tokens > PREFILL_TOKENS {
                self.queue.put_back(turn);
                break;
            }
            free -= turn.samples.len();
            turns.push(turn);
        }
        turns
    }

    /// How many rows, and how many slots of each, the cache should have for what is left.
    fn plan(&self) -> (usize, usize) {
        let new_tokens = self.config.max_new_tokens;
        let waiting = self.queue.longest();
        let there = self.rows.iter().flatten().map(|row| row.prompt_len).max();
        let needed = waiting.max(there).unwrap_or(0) + new_tokens;
        let wanted = self.live() + self.queue.samples();
        let fit = |slots: usize| {
            let tokens = self.config.max_cache_tokens / self.mixture.members.len();
            (tokens / slots).clamp(1, self.config.max_num_seqs)
        };
        if fit(needed) >= wanted {
            return (wanted, needed);
        }
        // Later prompts need room behind the first ones', or the slots would have to be moved too often.
        let slots = needed + (needed / 8).max(16);
        (fit(slots).min(wanted), slots)
    }

    /// Makes the cache anew for `rows` rows of `slots` slots, with the rows that are not finished first.
    fn rebuild(&mut self, rows: usize, slots: usize) {
        let kept: Vec<usize> = (0..self.rows.len())
            .filter(|&row| self.rows[row].is_some())
            .collect();
        let base = self.first_slot().unwrap_or(0);
        self.extent = Extent { base, slots };
        if kept.is_empty() {
            // The prompts that come in next start at slot 0 with the longest of all.
            self.slot = self.queue.longest().unwrap_or(0);
            self.caches = Vec::new();
            self.caches = self.mixture.caches(rows, slots);
        } else {
            for cache in &mut self.caches {
                cache.rebuild(&kept, rows, self.extent, self.slot);
            }
        }
        self.rows.retain(Option::is_some);
        self.rows.resize_with(rows, || None);
    }

    /// The first slot that a row has.
    fn first_slot(&self) -> Option<usize> {
        let rows = self.rows.iter().flatten();
        rows.map(|row| row.first_slot).min()
    }

    /// Before a step: free rows leave once they are a quarter and nobody comes in for them; slots that no
    /// row has leave when they are a quarter, or when there is no slot left.
    fn make_room(&mut self) {
        let (live, rows) = (self.live(), self.rows.len());
        let leave = self.queue.is_empty() && live * 4 <= rows * 3;
        let used = self.slot - self.extent.base;
        let unused = self.first_slot().unwrap_or(self.slot) - self.extent.base;
        if leave || unused * 4 >= used || used == self.extent.slots {
            let rows = if leave { live } else { rows };
            self.rebuild(rows, self.extent.slots);
        }
    }

    /// Computes the prompts of `turns` once each, in rows that are free; returns those rows and the logits of
    /// their first tokens.
    fn prefill(&mut self, turns: Vec<Turn>) -> (Vec<usize>, Vec<f32>) {
        let slot = self.slot;
        let mut free = (0..self.rows.len()).filter(|&row| self.rows[row].is_none());
        let rows: Vec<Vec<usize>> = turns
            .iter()
            .map(|turn| free.by_ref().take(turn.samples.len()).collect())
            .collect();
        let (mut ids, mut lengths) = (Vec::new(), Vec::new());
        for (turn, rows) in turns.into_iter().zip(&rows) {
            let task = &self.prompts[turn.prompt];
            ids.extend(&task.ids);
            lengths.push(task.ids.len());
            for (number, &row) in turn.samples.zip(rows) {
                self.rows[row] = Some(Row::new(
                    (turn.prompt, number),
                    task,
                    slot - task.ids.len(),
                    (self.config, &self.stops, self.key),
                ));
            }
        }
        self.result.prefill_tokens += ids.len();
        let fill = PromptFill {
            lengths: &lengths,
            rows: &rows,
            slots: slot,
        };
        let prefill =
            |decoder: &Decoder, cache: &mut KvCache| last_states(decoder, &ids, fill, cache);
        let logits = self.mixture.logits(&mut self.caches, prefill);
        (rows.concat(), logits)
    }

    /// One step of all rows; returns those that are not free, and the logits of all.
    fn decode(&mut self) -> (Vec<usize>, Vec<f32>) {
        let slot = self.slot;
        // A free row sees itself and nothing else, so that it stays finite.
        let of_rows = self.rows.iter().map(|row| match row {
            Some(row) => (row.last_id(), row.position(), row.first_slot),
            None => (0, 0, slot),
        });
        let (ids, (positions, first)): (Vec<u32>, (Vec<usize>, Vec<usize>)) = of_rows
            .map(|(id, position, first)| (id, (position, first)))
            .unzip();
        let logits = self.mixture.logits(&mut self.caches, |decoder, cache| {
            decoder.decode(&ids, &positions, &first, slot, cache)
        });
        self.slot += 1;
        ((0..self.rows.len()).collect(), logits)
    }

    /// Draws the next token of each of `rows` that is not free, from `logits`, one after the other's; says
    /// whether to go on.
    fn draw(
        &mut self,
        rows: &[usize],
        logits: &[f32],
        watch: Watch<'_>,
    ) -> Result<bool, PolicyError> {
        let mut of_row = vec![None; self.rows.len()];
        for (&row, logits) in rows
            .iter()
            .zip(logits.chunks_exact(self.mixture.vocab_size()))
        {
            of_row[row] = Some(logits);
        }
        let stops = &self.stops.ids;
        let draws: Vec<_> = self
            .rows
            .par_iter_mut()
            .zip(of_row)
            .filter_map(|(row, logits)| Some(row.as_mut()?.draw(logits?, stops)))
            .collect();
        self.result.decode_tokens += draws.len();
        for draw in draws {
            let drawn: Drawn = draw?;
            if watch(drawn).is_break() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Computes prompts, `ids` one after the other; returns the last hidden state of each row.
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
    let last: Vec<usize> = ends
        .zip(fill.rows)
        .flat_map(|(end, rows)| std::iter::repeat_n(end - 1, rows.len()))
        .collect();
    let last = index_tensor(last.into_iter(), &hidden.device());
    hidden.select(0, last)
}
