//! The prompts of a run: read, encoded and checked before anything is computed.

use std::path::Path;

use inpo_policy::{Policy, PromptTask};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;

use crate::config::{RunConfig, token_limit};
use crate::error::TrainError;
use crate::files::sha256;
use crate::rows::{PromptInput, read_rows};

/// Held-out prompts draw from streams of their own.
const EVAL_PROMPTS: u64 = 1 << 32;

/// A prompt of the run.
#[derive(Debug, Clone)]
pub(crate) struct Prompt {
    pub(crate) number: u64,
    pub(crate) input: Option<PromptInput>,
    pub(crate) ids: Vec<u32>,
}

/// The run's prompts: one disjoint slice per iteration, and the held-out ones.
#[derive(Debug)]
pub(crate) struct Prompts {
    pub(crate) slices: Vec<Vec<Prompt>>,
    pub(crate) held_out: Vec<Prompt>,
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
        let mut prompts = encode(&config.data.prompts, config, (policy, context), 0)?;
        if config.data.shuffle {
            prompts.shuffle(&mut ChaCha8Rng::seed_from_u64(config.seed));
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
            Some(path) => encode(path, config, (policy, context), EVAL_PROMPTS)?,
            None => Vec::new(),
        };
        held_out.truncate(config.eval.num_prompts.unwrap_or(usize::MAX));
        let slices = prompts.chunks(size).take(rounds).map(<[_]>::to_vec);
        Ok(Self {
            slices: slices.collect(),
            held_out,
        })
    }

    /// sha256 over the token ids of all prompts, in order.
    pub(crate) fn digest(&self) -> String {
        let all = self.slices.iter().flatten().chain(&self.held_out);
        let ids: Vec<&Vec<u32>> = all.map(|prompt| &prompt.ids).collect();
        sha256(&serde_json::to_vec(&ids).expect("lists of ids are JSON"))
    }
}

fn encode(
    path: &Path,
    config: &RunConfig,
    (policy, context): (&Policy, usize),
    first: u64,
) -> Result<Vec<Prompt>, TrainError> {
    let limit = token_limit(config.policy.max_length, context)?;
    let limit = limit.saturating_sub(config.generation.max_new_tokens);
    read_rows(path)?
        .into_iter()
        .zip(first..)
        .map(|(row, number)| {
            let ids = row.prompt_ids(policy, path)?;
            if ids.len() > limit {
                let tokens = ids.len();
                let reason = format!(
                    "the prompt has {tokens} tokens, but only {limit} fit beside \
                     generation.max_new_tokens; shorten it or leave it out"
                );
                return Err(row.error(path, reason));
            }
            let task = PromptTask { ids, number };
            policy
                .check_prompt(&task, &config.generation)
                .map_err(|error| row.error(path, error.to_string()))?;
            let ids = task.ids;
            // A prompt that is given as ids alone is shown to the judge as the text they stand for.
            let input = match row.prompt {
                Some(input) => input,
                None => PromptInput::Text(policy.codec()?.decode(&ids)?),
            };
            let input = Some(input);
            Ok(Prompt { number, input, ids })
        })
        .collect()
}
