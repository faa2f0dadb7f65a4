//! The prompts of a run: read, encoded and checked before anything is computed.

use std::path::Path;

use inpo_data::{Prompt, PromptInput, read_rows, sha256};
use inpo_policy::{Policy, PolicyError, Sampler};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;

use crate::config::{RunConfig, token_limit};
use crate::error::TrainError;
use crate::streams::FIRST_HELD_OUT;

/// A prompt of the run, with its token ids.
#[derive(Debug, Clone)]
pub(crate) struct RunPrompt {
    /// What is answered and judged.
    pub(crate) prompt: Prompt,
    /// The conversation as its file writes it.
    pub(crate) input: PromptInput,
}

impl RunPrompt {
    pub(crate) fn ids(&self) -> &[u32] {
        self.prompt.token_ids.as_deref().unwrap_or_default()
    }
}

/// The run's prompts: one disjoint slice per iteration, and the held-out ones.
#[derive(Debug)]
pub(crate) struct Prompts {
    pub(crate) slices: Vec<Vec<RunPrompt>>,
    pub(crate) held_out: Vec<RunPrompt>,
}

impl Prompts {
    /// Reads, encodes and checks every prompt before anything is computed; `context` tokens fit into every
    /// policy.
    pub(crate) fn read(
        config: &RunConfig,
        policy: &Policy,
        context: usize,
    ) -> Result<Self, TrainError> {
        // Judges read text: a model without a tokenizer cannot run the loop.
        policy.codec()?;
        config
            .generation
            .check_vocabulary(policy.config().vocab_size)?;
        let mut prompts = encode(
            "data.prompts",
            &config.data.prompts,
            config,
            policy,
            context,
            0,
        )?;
        if config.data.shuffle {
            prompts.shuffle(&mut ChaCha8Rng::seed_from_u64(config.common.seed));
        }
        let rounds = config.iteration.num_iterations;
        let size = config.iteration.prompts_per_iteration;
        let size = size.unwrap_or(prompts.len() / rounds);
        if size == 0 || size > prompts.len() / rounds {
            let key = "iteration.prompts_per_iteration";
            let allowed = format!(
                "at most {} for {rounds} iterations on disjoint slices of {} prompts",
                prompts.len() / rounds,
                prompts.len()
            );
            return Err(TrainError::setting(key, size, &allowed));
        }
        let mut held_out = match &config.data.eval_prompts {
            Some(path) => encode(
                "data.eval_prompts",
                path,
                config,
                policy,
                context,
                FIRST_HELD_OUT,
            )?,
            None => Vec::new(),
        };
        let there = held_out.len();
        if let (Some(count), Some(path)) = (config.eval.num_prompts, &config.data.eval_prompts) {
            if count > there {
                let allowed = format!("at most {there}, the prompts of {}", path.display());
                return Err(TrainError::setting("eval.num_prompts", count, &allowed));
            }
            held_out.truncate(count);
        }
        let slices = prompts.chunks(size).take(rounds).map(<[_]>::to_vec);
        Ok(Self {
            slices: slices.collect(),
            held_out,
        })
    }

    /// sha256 over the token ids of all prompts, in order.
    pub(crate) fn digest(&self) -> String {
        let all = self.slices.iter().flatten().chain(&self.held_out);
        let ids: Vec<&[u32]> = all.map(RunPrompt::ids).collect();
        sha256(&serde_json::to_vec(&ids).expect("lists of ids are JSON"))
    }
}

fn encode(
    key: &str,
    path: &Path,
    config: &RunConfig,
    policy: &Policy,
    context: usize,
    first: u64,
) -> Result<Vec<RunPrompt>, TrainError> {
    let max_length = config.common.policy.max_length;
    let whole = token_limit(max_length, context)?;
    let new = config.generation.max_new_tokens;
    let limit = whole.saturating_sub(new);
    let template = config.data.template()?;
    let mut prompts = Vec::new();
    let rows = read_rows(path).map_err(|error| error.named_by(key))?;
    for (mut row, number) in rows.into_iter().zip(first..) {
        row.template = row.template.over(&template);
        let refuse = |error: PolicyError| row.error(path, error.to_string());
        let mut prompt = row.to_prompt(number);
        let ids = policy.prompt_ids(&prompt).map_err(refuse)?;
        if ids.len() > limit {
            let tokens = ids.len();
            let whole = match max_length {
                Some(_) => format!("policy.max_length, {whole}"),
                None => format!("the models' context, {whole} tokens"),
            };
            let reason = format!(
                "the prompt has {tokens} tokens, but only {limit} fit beside \
                 generation.max_new_tokens, {new}, into {whole}; shorten it, leave it out, or change these"
            );
            return Err(row.error(path, reason).into());
        }
        prompt.token_ids = Some(ids);
        policy
            .prepare(&mut prompt, &config.generation)
            .map_err(refuse)?;
        let input = match row.prompt {
            Some(input) => input,
            // A prompt that is given as ids alone is shown to the judge as the text they stand for.
            None => {
                let ids = prompt.token_ids.as_deref().unwrap_or_default();
                let input = PromptInput::Text(policy.codec()?.decode(ids)?);
                prompt.messages = input.messages();
                input
            }
        };
        prompts.push(RunPrompt { prompt, input });
    }
    Ok(prompts)
}
