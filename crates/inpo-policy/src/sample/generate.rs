//! Sampling K responses for each of many prompts, from one model or from a mixture.

use std::ops::ControlFlow;
use std::time::Duration;

use inpo_data::FinishReason;
use serde::{Deserialize, Serialize};

use super::DrawKey;
use super::GenerationConfig;
use super::batch::Batch;
use super::mixture::Mixture;
use crate::config::ModelConfig;
use crate::error::PolicyError;

/// One sampled response.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Token ids, with the one that ended the response.
    pub ids: Vec<u32>,
    /// Log-prob of each id at temperature 1 without truncation, in nats, under what was sampled from:
    /// the model, or the mixture.
    pub logps: Vec<f64>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// A prompt to answer: its ids and the number its random draws are keyed by.
#[derive(Debug, Clone)]
pub struct PromptTask {
    /// Token ids of the prompt.
    pub ids: Vec<u32>,
    /// The prompt's number.
    pub number: u64,
}

/// The samples of every prompt, and their cost.
#[derive(Debug, Clone, Default)]
pub struct Generations {
    /// `samples[p][k]`: K samples of each prompt, in the order asked.
    pub samples: Vec<Vec<Sample>>,
    /// What it took.
    pub cost: SamplingCost,
}

/// What sampling took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct SamplingCost {
    /// Prompt tokens computed: each prompt once, however many models compute it, but again where its samples are
    /// more than fit into memory together.
    pub prefill_tokens: usize,
    /// Time of the prefill.
    pub prefill_time: Duration,
    /// Response tokens drawn.
    pub decode_tokens: usize,
    /// Time of decoding.
    pub decode_time: Duration,
}

impl std::ops::AddAssign for SamplingCost {
    fn add_assign(&mut self, other: Self) {
        self.prefill_tokens += other.prefill_tokens;
        self.prefill_time += other.prefill_time;
        self.decode_tokens += other.decode_tokens;
        self.decode_time += other.decode_time;
    }
}

/// A token as it is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drawn {
    /// Its id.
    pub(crate) id: u32,
    /// Whether it is the last of its sample.
    pub(crate) finished: bool,
}

/// Sees each token as it is drawn; may break off.
pub(crate) type Watch<'a> = &'a mut dyn FnMut(Drawn) -> ControlFlow<()>;

/// A watch that tells `progress` how many samples are finished.
pub(crate) fn counting(
    progress: &mut dyn FnMut(usize),
) -> impl FnMut(Drawn) -> ControlFlow<()> + '_ {
    |drawn| {
        if drawn.finished {
            progress(1);
        }
        ControlFlow::Continue(())
    }
}

/// Samples `config.num_generations` responses for each prompt.
///
/// Draws are keyed by (seed, stream, prompt number, sample), so a sample does not depend on which
/// prompts share its batch. `watch` sees each token as it is drawn, and may end everything: what was drawn is
/// returned. Every member of the mixture must have room for every prompt and its response.
///
/// # Errors
///
/// Invalid settings, an empty prompt, a prompt that leaves no room for `max_new_tokens` in the
/// model's context, an id beyond the vocabulary, non-finite logits.
pub(crate) fn generate_from(
    mixture: &Mixture<'_>,
    prompts: &[PromptTask],
    config: &GenerationConfig,
    draws: DrawKey,
    watch: Watch<'_>,
) -> Result<Generations, PolicyError> {
    config.validate()?;
    for member in &mixture.members {
        config.check_vocabulary(member.config.vocab_size)?;
        for prompt in prompts {
            check_prompt(prompt, member.config, config)?;
        }
    }
    Batch::new(mixture, prompts, config, draws).run(watch)
}

pub(crate) fn check_prompt(
    prompt: &PromptTask,
    model: &ModelConfig,
    config: &GenerationConfig,
) -> Result<(), PolicyError> {
    let number = prompt.number;
    if prompt.ids.is_empty() {
        return Err(PolicyError::EmptyPrompt { number });
    }
    let limit = model
        .max_position_embeddings
        .saturating_sub(config.max_new_tokens);
    if prompt.ids.len() > limit {
        let tokens = prompt.ids.len();
        return Err(PolicyError::PromptTooLong {
            number,
            tokens,
            limit,
        });
    }
    match prompt
        .ids
        .iter()
        .find(|&&id| id as usize >= model.vocab_size)
    {
        Some(&id) => Err(PolicyError::TokenOutOfVocabulary {
            id,
            vocab_size: model.vocab_size,
        }),
        None => Ok(()),
    }
}
