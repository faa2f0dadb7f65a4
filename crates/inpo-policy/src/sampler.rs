//! What responses are sampled from and scored by, wherever it runs.

use inpo_data::{Completion, Prompt};

use crate::error::PolicyError;
use crate::logps::Sequence;
use crate::policy::{Policy, PolicyMixture};
use crate::sample::{DrawKey, GenerationConfig, Generations, PromptTask, Sample, SamplingCost};
use crate::tokenizer::{Answer, Answered, TextCodec};

/// A language model that is sampled from and scored by: a [`Policy`] here, a token-wise mixture of two
/// ([`PolicyMixture`]), or a server elsewhere (`remote::RemoteModel`).
pub trait Sampler {
    /// What it is called, for files and errors.
    fn name(&self) -> String;

    /// Checks that `prompt` can be answered, and fills in its token ids where the sampler reads ids and has a
    /// tokenizer to make them.
    ///
    /// # Errors
    ///
    /// A conversation that cannot be rendered or encoded, a prompt that leaves no room for the response, an id
    /// beyond the vocabulary.
    fn prepare(&self, prompt: &mut Prompt, config: &GenerationConfig) -> Result<(), PolicyError>;

    /// Draws `config.num_generations` responses to each prompt, in the order asked. Draws are keyed by `draws`
    /// and the prompt's number as far as the sampler can. `progress` is told the number of finished responses
    /// as they finish.
    ///
    /// # Errors
    ///
    /// Invalid settings, prompts that the sampler cannot answer, a server that fails.
    fn sample(
        &self,
        prompts: &[Prompt],
        config: &GenerationConfig,
        draws: DrawKey,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Samples, PolicyError>;

    /// As [`Sampler::sample`], and hands the answers to each prompt to `each` with its place in `prompts` as soon as they are
    /// there, in any order. Where the sampler can go on after a prompt that fails alone, that prompt's error goes to
    /// `each`.
    ///
    /// # Errors
    ///
    /// Those of [`Sampler::sample`] that are not one prompt's, and those of `each`, after which nothing is begun.
    fn sample_each(
        &self,
        prompts: &[Prompt],
        config: &GenerationConfig,
        draws: DrawKey,
        progress: &mut dyn FnMut(usize),
        each: &mut dyn FnMut(usize, Result<Answers, PolicyError>) -> Result<(), PolicyError>,
    ) -> Result<Option<SamplingCost>, PolicyError> {
        let samples = self.sample(prompts, config, draws, progress)?;
        let (have_text, cost) = (samples.have_text, samples.cost);
        let answers = samples.completions.into_iter().zip(samples.prompt_ids);
        for (place, (completions, prompt_ids)) in answers.enumerate() {
            let answers = Answers {
                completions,
                prompt_ids,
                have_text,
            };
            each(place, Ok(answers))?;
        }
        Ok(cost)
    }

    /// How many prompts must be sampled together, so that sampling that was cut off and is resumed gives the same bytes: where
    /// rows share a batch, the last bits of a log-prob depend on who shares it. None where each prompt stands for itself.
    fn round(&self, _config: &GenerationConfig) -> Option<usize> {
        None
    }

    /// Log-probs of the response tokens of each sequence, in nats, at temperature 1.
    ///
    /// # Errors
    ///
    /// Sequences that the sampler cannot score, a server that does not give log-probs of a prompt.
    fn logps(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f64>>, PolicyError>;
}

/// The responses to one prompt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    /// K responses.
    pub completions: Vec<Completion>,
    /// Token ids of the prompt as the sampler read it, where they are known.
    pub prompt_ids: Option<Vec<u32>>,
    /// Whether the responses have their texts: a model without a tokenizer gives ids alone.
    pub have_text: bool,
}

/// The responses to some prompts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// `completions[p][k]`: K responses to each prompt, in the order asked.
    pub completions: Vec<Vec<Completion>>,
    /// Token ids of each prompt as the sampler read them, where they are known.
    pub prompt_ids: Vec<Option<Vec<u32>>>,
    /// Whether the completions have their texts: a model without a tokenizer gives ids alone.
    pub have_text: bool,
    /// What sampling took, where it is known.
    pub cost: Option<SamplingCost>,
}

/// The policy that responses are sampled from, whichever is trained on them.
#[derive(Debug, Clone)]
pub enum BehaviourPolicy {
    /// One policy.
    Single(Box<Policy>),
    /// A mixture of two, token by token.
    Mixture(Box<PolicyMixture>),
}

/// Makes a sampler of the policies that a training loop has: here, or by handing them to a server.
pub trait Engine {
    /// A sampler that answers as `policy` does.
    ///
    /// # Errors
    ///
    /// Policies that cannot be handed on, a server that does not take them.
    fn sampler(&self, policy: BehaviourPolicy) -> Result<Box<dyn Sampler>, PolicyError>;
}

/// Samples in this process, on the policies' own device.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalEngine;

impl Engine for LocalEngine {
    fn sampler(&self, policy: BehaviourPolicy) -> Result<Box<dyn Sampler>, PolicyError> {
        Ok(match policy {
            BehaviourPolicy::Single(policy) => policy,
            BehaviourPolicy::Mixture(mixture) => mixture,
        })
    }
}

/// Prompts whose samples are four times those that are decoded together: the rows that end last, and leave the others of
/// their batch free, are few among so many.
fn round(config: &GenerationConfig) -> usize {
    let rows = config.max_num_seqs.saturating_mul(4);
    (rows / config.num_generations.max(1)).max(1)
}

impl Sampler for Policy {
    fn name(&self) -> String {
        self.source().display().to_string()
    }

    fn prepare(&self, prompt: &mut Prompt, config: &GenerationConfig) -> Result<(), PolicyError> {
        let task = self.task(prompt)?;
        self.check_prompt(&task, config)?;
        prompt.token_ids = Some(task.ids);
        Ok(())
    }

    fn sample(
        &self,
        prompts: &[Prompt],
        config: &GenerationConfig,
        draws: DrawKey,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Samples, PolicyError> {
        let tasks = self.tasks(prompts)?;
        let generations = self.generate(&tasks, config, draws, progress)?;
        self.samples(tasks, generations)
    }

    fn round(&self, config: &GenerationConfig) -> Option<usize> {
        Some(round(config))
    }

    fn logps(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f64>>, PolicyError> {
        self.logps(sequences)
    }
}

impl Sampler for PolicyMixture {
    fn name(&self) -> String {
        let (policy, reference) = (self.policy.name(), self.reference.name());
        format!("{reference}^{} {policy}^{}", self.weight, 1.0 - self.weight)
    }

    fn prepare(&self, prompt: &mut Prompt, config: &GenerationConfig) -> Result<(), PolicyError> {
        self.policy.prepare(prompt, config)
    }

    fn sample(
        &self,
        prompts: &[Prompt],
        config: &GenerationConfig,
        draws: DrawKey,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Samples, PolicyError> {
        let tasks = self.policy.tasks(prompts)?;
        let generations = self.generate(&tasks, config, draws, progress)?;
        self.policy.samples(tasks, generations)
    }

    fn round(&self, config: &GenerationConfig) -> Option<usize> {
        Some(round(config))
    }

    fn logps(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f64>>, PolicyError> {
        self.logps(sequences)
    }
}

impl Policy {
    /// Token ids of `prompt`: those given, or those of its conversation behind the chat template, generation
    /// prompt included.
    ///
    /// # Errors
    ///
    /// A conversation for a model without a tokenizer or a template, messages that the template refuses.
    pub fn prompt_ids(&self, prompt: &Prompt) -> Result<Vec<u32>, PolicyError> {
        match &prompt.token_ids {
            Some(ids) => Ok(ids.clone()),
            None => self
                .codec()?
                .encode_prompt_with(&prompt.messages, &prompt.template),
        }
    }

    /// Token ids of `prompt` and of `answers` to it. Texts go through the chat template where the prompt's ids are its
    /// own ([`TextCodec::encode_answered`]); behind other ids they are encoded as they are, and the token that ends a turn
    /// follows.
    ///
    /// # Errors
    ///
    /// A text for a model without a tokenizer, one that the tokenizer or the template refuses.
    pub fn answered(
        &self,
        prompt: &Prompt,
        answers: &[Answer<'_>],
    ) -> Result<Answered, PolicyError> {
        let given = answers
            .iter()
            .all(|answer| matches!(answer, Answer::Ids(_)));
        let ids = match &prompt.token_ids {
            None if !given => {
                let codec = self.codec()?;
                return codec.encode_answered_with(&prompt.messages, &prompt.template, answers);
            }
            _ => self.prompt_ids(prompt)?,
        };
        if !given && !prompt.messages.is_empty() {
            let codec = self.codec()?;
            if codec
                .encode_prompt_with(&prompt.messages, &prompt.template)
                .is_ok_and(|own| own == ids)
            {
                return codec.encode_answered_with(&prompt.messages, &prompt.template, answers);
            }
        }
        let responses = answers.iter().map(|answer| match answer {
            Answer::Ids(ids) => Ok(ids.to_vec()),
            Answer::Text(text) => self.codec()?.encode_response(text),
            Answer::Message(message) => self.codec()?.encode_response(&message.content),
        });
        Ok(Answered {
            responses: responses.collect::<Result<_, PolicyError>>()?,
            prompt: ids,
        })
    }

    /// The ids that end a response: those of `config.json` and `generation_config.json`, and the tokenizer's and the
    /// template's ([`TextCodec::end_ids`]).
    pub fn end_ids(&self) -> Vec<u32> {
        let mut ids = self.config().eos_token_ids.clone();
        let own = self.codec().map(TextCodec::end_ids).unwrap_or_default();
        for id in own {
            if !ids.contains(id) && (*id as usize) < self.config().vocab_size {
                ids.push(*id);
            }
        }
        ids
    }

    /// What a user should know of the model's files, a sentence each: where they contradict each other and which was
    /// taken, and what was found out about the tokenizer and the end of a turn.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        notes.extend(self.codec().map(TextCodec::notes).unwrap_or_default());
        if self.end_ids().is_empty() {
            let note = "no file of the model says which token ends a response: responses end by their length alone, \
                        unless `stop_token_ids` or `stop_strings` are given";
            notes.push(note.to_owned());
        }
        notes
    }

    fn task(&self, prompt: &Prompt) -> Result<PromptTask, PolicyError> {
        Ok(PromptTask {
            ids: self.prompt_ids(prompt)?,
            number: prompt.number,
        })
    }

    fn tasks(&self, prompts: &[Prompt]) -> Result<Vec<PromptTask>, PolicyError> {
        prompts.iter().map(|prompt| self.task(prompt)).collect()
    }

    /// What was drawn, with its text where there is a tokenizer.
    fn samples(
        &self,
        tasks: Vec<PromptTask>,
        generations: Generations,
    ) -> Result<Samples, PolicyError> {
        let codec = self.codec().ok();
        let ends = self.end_ids();
        let completion = |sample: Sample| {
            // An end token that is not special would be in the text.
            let text = match sample.ids.split_last() {
                Some((last, text)) if ends.contains(last) => text,
                _ => &sample.ids,
            };
            let text = codec.map(|codec| codec.decode(text)).transpose()?;
            Ok(Completion {
                text: text.unwrap_or_default(),
                token_ids: Some(sample.ids),
                token_logps: Some(sample.logps),
                finish_reason: sample.finish_reason,
            })
        };
        let of_prompt = |samples: Vec<Sample>| samples.into_iter().map(completion).collect();
        let completions: Result<_, PolicyError> =
            generations.samples.into_iter().map(of_prompt).collect();
        Ok(Samples {
            completions: completions?,
            prompt_ids: tasks.into_iter().map(|task| Some(task.ids)).collect(),
            have_text: codec.is_some(),
            cost: Some(generations.cost),
        })
    }
}
