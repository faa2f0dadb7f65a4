//! What can be sampled from and scored, wherever it runs.

use crate::error::PolicyError;
use crate::logps::Sequence;
use crate::policy::Policy;
use crate::sample::{FinishReason, GenerationConfig, PromptTask, Sample};
use crate::template::Message;
use crate::tokenizer::TextCodec;

/// A prompt to answer, and the number its random draws are keyed by.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// The prompt's number.
    pub number: u64,
    /// What is to be answered.
    pub content: PromptContent,
}

/// What is to be answered.
#[derive(Debug, Clone, PartialEq)]
pub enum PromptContent {
    /// Token ids, as they are.
    Ids(Vec<u32>),
    /// A conversation, for the chat template.
    Messages(Vec<Message>),
}

impl PromptContent {
    /// The ids of the prompt, with the codec that turns a conversation into them.
    pub(crate) fn ids<'c>(
        &self,
        codec: impl FnOnce() -> Result<&'c TextCodec, PolicyError>,
    ) -> Result<Vec<u32>, PolicyError> {
        match self {
            Self::Ids(ids) => Ok(ids.clone()),
            Self::Messages(messages) => codec()?.encode_prompt(messages),
        }
    }
}

/// A sampled response, with what the generator knows of it. There are ids or a text, or both.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The text, without special tokens.
    pub text: Option<String>,
    /// Ids of the prompt.
    pub prompt_ids: Option<Vec<u32>>,
    /// Ids of the response, with the one that ended it.
    pub ids: Option<Vec<u32>>,
    /// The log-prob of each token of the response, in nats.
    pub logps: Option<Vec<f64>>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// A language model that can be sampled from and scored: a [`Policy`] here, or a server elsewhere (`remote`).
pub trait Generator {
    /// What it is called, for files and errors.
    fn name(&self) -> String;

    /// `config.num_generations` responses to each prompt, in the order asked. Draws are keyed by seed, iteration
    /// and the prompt's number as far as the generator can. `progress` is told the number of finished
    /// responses as they finish.
    ///
    /// # Errors
    ///
    /// Invalid settings, prompts that the generator cannot answer, a server that fails.
    fn answer(
        &self,
        prompts: &[Prompt],
        config: &GenerationConfig,
        seed_and_iteration: (u64, u64),
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Vec<Answer>>, PolicyError>;

    /// Log-probs of the response tokens of each sequence, in nats, at temperature 1.
    ///
    /// # Errors
    ///
    /// Sequences that the generator cannot score, a server that does not give log-probs of a prompt.
    fn score(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f64>>, PolicyError>;
}

impl Generator for Policy {
    fn name(&self) -> String {
        self.source().display().to_string()
    }

    fn answer(
        &self,
        prompts: &[Prompt],
        config: &GenerationConfig,
        seed_and_iteration: (u64, u64),
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Vec<Answer>>, PolicyError> {
        let task = |prompt: &Prompt| {
            let ids = prompt.content.ids(|| self.codec())?;
            let number = prompt.number;
            Ok(PromptTask { ids, number })
        };
        let tasks: Vec<PromptTask> = prompts
            .iter()
            .map(task)
            .collect::<Result<_, PolicyError>>()?;
        let result = self.generate(&tasks, config, seed_and_iteration, progress)?;
        let codec = self.codec().ok();
        let answer = |task: &PromptTask, sample: Sample| {
            let text = codec.map(|codec| codec.decode(&sample.ids)).transpose()?;
            Ok(Answer {
                text,
                prompt_ids: Some(task.ids.clone()),
                ids: Some(sample.ids),
                logps: Some(sample.logps),
                finish_reason: sample.finish_reason,
            })
        };
        let answers = tasks.iter().zip(result.samples);
        answers
            .map(|(task, samples)| samples.into_iter().map(|s| answer(task, s)).collect())
            .collect()
    }

    fn score(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f64>>, PolicyError> {
        self.logps(sequences)
    }
}
