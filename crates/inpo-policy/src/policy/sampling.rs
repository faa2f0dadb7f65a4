//! Responses drawn from a policy.

use std::ops::ControlFlow;

use super::Policy;
use crate::error::PolicyError;
use crate::model::Decoder;
use crate::sample::{
    DrawKey, Drawn, GenerationConfig, Generations, Mixture, PromptTask, Sample, check_prompt,
    counting, generate_from,
};
use crate::tokenizer::TextCodec;

impl Policy {
    /// Samples `config.num_generations` responses for each prompt.
    ///
    /// Draws are keyed by (seed, stream, prompt number, sample), so a sample does not depend on which
    /// prompts share its batch. `progress` is told the number of finished samples as they finish.
    ///
    /// # Errors
    ///
    /// Invalid settings, stop strings without a tokenizer, an empty prompt, a prompt that leaves no room for
    /// `max_new_tokens` in the model's context, an id beyond the vocabulary, non-finite logits.
    pub fn generate(
        &self,
        prompts: &[PromptTask],
        config: &GenerationConfig,
        draws: DrawKey,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Generations, PolicyError> {
        self.generate_to(&self.end_ids(), prompts, config, draws, progress)
    }

    /// [`Policy::generate`] where a response ends at `ends` and the ids of `config` alone.
    ///
    /// # Errors
    ///
    /// As [`Policy::generate`].
    pub fn generate_to(
        &self,
        ends: &[u32],
        prompts: &[PromptTask],
        config: &GenerationConfig,
        draws: DrawKey,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Generations, PolicyError> {
        let decoder = self.sampler()?;
        let mixture = Mixture::one(&decoder, &self.config)
            .with_ends(ends.to_vec())
            .with_codec(self.stop_codec(config)?);
        generate_from(&mixture, prompts, config, draws, &mut counting(progress))
    }

    /// Samples one response to `prompt` and shows each token to `on_token` as it is drawn, which may break off.
    /// It is the first sample that [`Policy::generate`] gives, whatever `config.num_generations` is;
    /// [`TextCodec::stream`] makes text of the ids.
    ///
    /// # Errors
    ///
    /// As [`Policy::generate`].
    pub fn stream(
        &self,
        prompt: &PromptTask,
        config: &GenerationConfig,
        draws: DrawKey,
        on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<Sample, PolicyError> {
        let config = GenerationConfig {
            num_generations: 1,
            ..config.clone()
        };
        let decoder = self.sampler()?;
        let mixture = Mixture::one(&decoder, &self.config)
            .with_ends(self.end_ids())
            .with_codec(self.stop_codec(&config)?);
        let prompts = std::slice::from_ref(prompt);
        let mut watch = |drawn: Drawn| on_token(drawn.id);
        let result = generate_from(&mixture, prompts, &config, draws, &mut watch)?;
        Ok(result
            .samples
            .into_iter()
            .flatten()
            .next()
            .expect("one was asked for"))
    }

    /// The decoder as it samples.
    fn sampler(&self) -> Result<Decoder, PolicyError> {
        let mut decoder = self.decoder.cast_once();
        if let Some(blocks) = &self.blocks {
            blocks.attach(&mut decoder)?;
        }
        Ok(decoder)
    }

    /// The codec that reads the stop strings of `config`, where there are any.
    fn stop_codec(&self, config: &GenerationConfig) -> Result<Option<&TextCodec>, PolicyError> {
        match (config.stop_strings.is_empty(), self.codec.as_deref()) {
            (true, _) => Ok(None),
            (false, Some(codec)) => Ok(Some(codec)),
            (false, None) => Err(PolicyError::StopStrings {
                path: self.source.clone(),
                reason: self.no_codec.clone(),
            }),
        }
    }

    /// Samples K responses for each prompt from a geometric mixture of `reference` and this policy,
    /// `mix(y | x)` proportional to `ref(y | x)^w pi(y | x)^(1 - w)` with `w` = `weight`, as
    /// [`Policy::generate`] does from the policy alone.
    ///
    /// The mixture is taken token by token, as Nash-MD (arXiv 2312.00886) does for language models:
    /// with `x` the prompt and what was drawn so far, the next token's log-probs are
    ///
    /// ```text
    /// log_softmax( w log_softmax(ref logits(x)) + (1 - w) log_softmax(pi logits(x)) ).
    /// ```
    ///
    /// For responses of one token this is the mixture of whole responses; for longer ones it is not,
    /// because the normaliser of each step depends on what was drawn before.
    ///
    /// [`Sample::logps`](crate::Sample::logps) are the log-probs of this mixture, at temperature 1
    /// without truncation, and not the policy's: ask [`Policy::logps`] for those. Temperature and
    /// truncation apply to the mixture. Draws have the keys of [`Policy::generate`]: `weight` 0 gives
    /// its very samples and does not run `reference`; `weight` 1 does not run this policy. Responses
    /// end with this policy's end tokens at every weight.
    ///
    /// With adapters, `reference` is usually [`Policy::reference`].
    ///
    /// # Errors
    ///
    /// A weight outside [0, 1], vocabularies of different size (whether equal ids mean equal tokens is
    /// not checked), and as [`Policy::generate`] for each of the models that run.
    pub fn generate_mixture(
        &self,
        reference: &Policy,
        weight: f64,
        prompts: &[PromptTask],
        config: &GenerationConfig,
        draws: DrawKey,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Generations, PolicyError> {
        let (policy, other) = (self.sampler()?, reference.sampler()?);
        let mixture = Mixture::two((&policy, &self.config), (&other, &reference.config), weight)?
            .with_ends(self.end_ids())
            .with_codec(self.stop_codec(config)?);
        generate_from(&mixture, prompts, config, draws, &mut counting(progress))
    }

    /// Checks that `prompt` can be answered under `config`.
    ///
    /// # Errors
    ///
    /// An empty prompt, one that leaves no room in the model's context, an id beyond its vocabulary.
    pub fn check_prompt(
        &self,
        prompt: &PromptTask,
        config: &GenerationConfig,
    ) -> Result<(), PolicyError> {
        check_prompt(prompt, &self.config, config)
    }
}
