//! One sample while it is decoded.

use inpo_data::FinishReason;

use super::draw::{DrawKey, TokenSampler};
use super::stop::{StopWatch, Stops};
use super::{Drawn, GenerationConfig, PromptTask, Sample};
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
    sampler: TokenSampler,
    watch: Option<StopWatch<'a>>,
    config: &'a GenerationConfig,
}

/// Whose sample a row is, and where its keys and values lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    /// The prompt's index.
    pub(super) prompt: usize,
    /// Its number among the prompt's samples.
    pub(super) number: usize,
    /// Where the prompt lies in the cache.
    pub(super) place: usize,
    /// The cache's first slot of its own.
    pub(super) first_slot: usize,
}

impl<'a> Row<'a> {
    /// A sample of `task`.
    pub(super) fn new(
        seat: Seat,
        task: &PromptTask,
        config: &'a GenerationConfig,
        stops: &Stops<'a>,
        draws: DrawKey,
    ) -> Self {
        let Seat {
            prompt,
            number,
            place,
            first_slot,
        } = seat;
        let key = draws.sample(task.number, number as u64);
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
            sampler: TokenSampler::new(config, key, &task.ids),
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
