//! One sample while it is decoded.

use super::sampler::{SampleKey, Sampler};
use super::stop::{StopWatch, Stops};
use super::{Drawn, FinishReason, GenerationConfig, PromptTask, Sample};
use crate::error::PolicyError;
use crate::model::StepRow;

/// A sample that has a row of the batch.
pub(super) struct Row<'a> {
    /// Index of its prompt.
    pub(super) prompt: usize,
    /// Its number among the prompt's samples.
    pub(super) number: usize,
    /// Tokens of the prompt.
    pub(super) prompt_len: usize,
    /// Where they lie in the cache.
    pub(super) place: usize,
    /// The cache's first slot of its own.
    pub(super) first_slot: usize,
    /// What was drawn.
    pub(super) sample: Sample,
    finished: bool,
    sampler: Sampler,
    watch: Option<StopWatch<'a>>,
    config: &'a GenerationConfig,
}

impl<'a> Row<'a> {
    /// Sample `number` of the prompt at index `prompt`.
    pub(super) fn new(
        (prompt, number): (usize, usize),
        task: &PromptTask,
        (place, first_slot): (usize, usize),
        (config, stops, (seed, iteration)): (&'a GenerationConfig, &Stops<'a>, (u64, u64)),
    ) -> Self {
        let key = SampleKey {
            seed,
            iteration,
            prompt: task.number,
            sample: number as u64,
        };
        Self {
            prompt,
            number,
            prompt_len: task.ids.len(),
            place,
            first_slot,
            sample: Sample {
                ids: Vec::new(),
                logps: Vec::new(),
                finish_reason: FinishReason::Length,
            },
            finished: false,
            sampler: Sampler::new(config, key, &task.ids),
            watch: stops.watch(),
            config,
        }
    }

    /// Whether it has its last token.
    pub(super) fn finished(&self) -> bool {
        self.finished
    }

    /// What the next step computes: the token drawn last.
    pub(super) fn step(&self) -> StepRow {
        StepRow {
            id: self.sample.ids.last().copied().unwrap_or(0),
            position: self.prompt_len + self.sample.ids.len() - 1,
            place: self.place,
            first_slot: self.first_slot,
        }
    }

    /// Draws the next token; `stops` are the ids that end a response.
    pub(super) fn draw(&mut self, logits: &[f32], stops: &[u32]) -> Result<Drawn, PolicyError> {
        let step = self.sample.ids.len();
        let early = step < self.config.min_new_tokens;
        let banned: &[u32] = if early { stops } else { &[] };
        let draw = self.sampler.draw(logits, banned);
        let draw = draw.ok_or(PolicyError::NonFiniteLogits { step })?;
        self.sample.ids.push(draw.id);
        self.sample.logps.push(draw.logp);
        let completes = match &mut self.watch {
            Some(watch) => watch.completes(draw.id)?,
            None => false,
        };
        if completes || stops.contains(&draw.id) {
            self.sample.finish_reason = FinishReason::Stop;
            self.finished = true;
        } else if self.sample.ids.len() == self.config.max_new_tokens {
            self.finished = true;
        }
        Ok(Drawn {
            id: draw.id,
            finished: self.finished,
        })
    }
}
