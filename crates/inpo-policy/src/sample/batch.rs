//! Rows that are decoded together: one prefill for the K samples of a prompt, then token by token.

use std::time::Instant;

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::mixture::Mixture;
use super::sampler::{SampleKey, Sampler};
use super::stop::{StopWatch, Stops};
use super::{Drawn, FinishReason, GenerationConfig, Generations, PromptTask, Sample, Watch};
use crate::error::PolicyError;
use crate::model::{Decoder, KvCache, PromptFill, index_tensor};

/// Rows that are decoded together: K rows for each of some prompts.
pub(super) struct Batch<'a> {
    stops: Stops<'a>,
    mixture: &'a Mixture<'a>,
    config: &'a GenerationConfig,
    tasks: &'a [&'a PromptTask],
    rows: Vec<Row<'a>>,
    /// The samples of each task, task after task.
    pub(super) finished: Vec<Sample>,
}

/// One sample of the batch. A finished row stays, computing nothing of use, until enough rows are
/// finished to be worth copying the cache without them.
struct Row<'a> {
    live: bool,
    /// Index of its place in `finished`.
    place: usize,
    prompt_len: usize,
    sampler: Sampler,
    watch: Option<StopWatch<'a>>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        mixture: &'a Mixture<'a>,
        tasks: &'a [&'a PromptTask],
        config: &'a GenerationConfig,
        (seed, iteration): (u64, u64),
    ) -> Self {
        let stops = Stops::new(mixture.eos_token_ids, config, mixture.codec);
        let copies = config.num_generations;
        let empty = Sample {
            ids: Vec::new(),
            logps: Vec::new(),
            finish_reason: FinishReason::Length,
        };
        let row = |place: usize| {
            let task = tasks[place / copies];
            let key = SampleKey {
                seed,
                iteration,
                prompt: task.number,
                sample: (place % copies) as u64,
            };
            Row {
                live: true,
                place,
                prompt_len: task.ids.len(),
                sampler: Sampler::new(config, key, &task.ids),
                watch: stops.watch(),
            }
        };
        let rows = (0..tasks.len() * copies).map(row).collect();
        Self {
            stops,
            mixture,
            config,
            tasks,
            rows,
            finished: vec![empty; tasks.len() * copies],
        }
    }

    pub(super) fn run(
        &mut self,
        result: &mut Generations,
        watch: Watch<'_>,
    ) -> Result<(), PolicyError> {
        let started = Instant::now();
        let lengths: Vec<usize> = self.tasks.iter().map(|t| t.ids.len()).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let slots = longest + self.config.max_new_tokens;
        let mut caches = self.mixture.caches(self.rows.len(), slots);
        let mut logits = self.mixture.logits(&mut caches, |decoder, cache| {
            self.prefill(&lengths, longest, decoder, cache)
        });
        result.prefill_tokens += lengths.iter().sum::<usize>();
        result.prefill_time += started.elapsed();

        let started = Instant::now();
        for step in 0..self.config.max_new_tokens {
            let Some(ids) = self.draw(logits, step, result, watch)? else {
                break;
            };
            let live = self.rows.iter().filter(|row| row.live).count();
            if live == 0 {
                break;
            }
            let ids = self.drop_finished(ids, live, &mut caches);
            let positions: Vec<usize> = self.rows.iter().map(|r| r.prompt_len + step).collect();
            let hidden: Vec<usize> = self.rows.iter().map(|r| longest - r.prompt_len).collect();
            let slot = longest + step;
            logits = self.mixture.logits(&mut caches, |decoder, cache| {
                decoder.decode(&ids, &positions, &hidden, slot, cache)
            });
        }
        result.decode_time += started.elapsed();
        Ok(())
    }

    /// Computes each prompt once with `decoder`; returns the last hidden state of each row.
    fn prefill(
        &self,
        lengths: &[usize],
        longest: usize,
        decoder: &Decoder,
        cache: &mut KvCache,
    ) -> Tensor<2> {
        let ids: Vec<u32> = self.tasks.iter().flat_map(|t| &t.ids).copied().collect();
        let copies = self.config.num_generations;
        let fill = PromptFill {
            lengths,
            copies,
            slots: longest,
        };
        let hidden = decoder.prefill(&ids, fill, cache);
        let ends = lengths.iter().scan(0, |end, &length| {
            *end += length;
            Some(*end)
        });
        let last: Vec<usize> = ends
            .flat_map(|end| std::iter::repeat_n(end - 1, copies))
            .collect();
        let last = index_tensor(last.into_iter(), &hidden.device());
        hidden.select(0, last)
    }

    /// Draws the next token of each live row and records it; a finished row repeats id 0. `None` when `watch`
    /// has seen enough.
    fn draw(
        &mut self,
        logits: Vec<f32>,
        step: usize,
        result: &mut Generations,
        watch: Watch<'_>,
    ) -> Result<Option<Vec<u32>>, PolicyError> {
        let stops = &self.stops.ids;
        let early = step < self.config.min_new_tokens;
        let banned: &[u32] = if early { stops } else { &[] };
        let draws: Vec<_> = self
            .rows
            .par_iter_mut()
            .zip(logits.par_chunks_exact(self.mixture.vocab_size()))
            .map(|(row, logits)| row.live.then(|| row.sampler.draw(logits, banned)))
            .collect();
        let mut ids = Vec::with_capacity(self.rows.len());
        for (row, draw) in self.rows.iter_mut().zip(draws) {
            let Some(draw) = draw else {
                ids.push(0);
                continue;
            };
            let draw = draw.ok_or(PolicyError::NonFiniteLogits { step })?;
            result.decode_tokens += 1;
            ids.push(draw.id);
            let sample = &mut self.finished[row.place];
            sample.ids.push(draw.id);
            sample.logps.push(draw.logp);
            let completes = match &mut row.watch {
                Some(watch) => watch.completes(draw.id)?,
                None => false,
            };
            if completes || stops.contains(&draw.id) {
                sample.finish_reason = FinishReason::Stop;
                row.live = false;
            } else if sample.ids.len() == self.config.max_new_tokens {
                row.live = false;
            }
            let finished = !row.live;
            if watch(Drawn { id: draw.id, finished }).is_break() {
                return Ok(None);
            }
        }
        Ok(Some(ids))
    }

    /// Lets finished rows leave the batch once they are a quarter of it; returns the ids of the rows
    /// that stay.
    fn drop_finished(&mut self, ids: Vec<u32>, live: usize, caches: &mut [KvCache]) -> Vec<u32> {
        if live * 4 > self.rows.len() * 3 {
            return ids;
        }
        let kept: Vec<usize> = (0..self.rows.len())
            .filter(|&r| self.rows[r].live)
            .collect();
        for (member, cache) in self.mixture.members.iter().zip(caches) {
            let device = member.decoder.device();
            cache.keep_rows(&index_tensor(kept.iter().copied(), &device));
        }
        self.rows.retain(|row| row.live);
        kept.into_iter().map(|row| ids[row]).collect()
    }
}
