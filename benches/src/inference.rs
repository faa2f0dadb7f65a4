//! What runs without a gradient.

use std::time::Instant;

use inpo_core::policy::{DrawKey, GenerationConfig, PromptTask, Sequence};
use serde_json::json;

use crate::report::{Timed, timed};
use crate::{Common, Error};

pub(crate) fn logps(common: &Common) -> Result<(), Error> {
    let rows = common.rows()?;
    let started = Instant::now();
    let policy = common.policy()?;
    let load = started.elapsed().as_secs_f64();
    let sequences: Vec<Sequence> = rows
        .iter()
        .map(|row| Sequence::new(&row.prompt_token_ids, &row.response_token_ids))
        .collect();
    let seconds = timed(common.repeats, || policy.logps(&sequences).map(drop))?;
    let tokens = sequences.iter().map(|s| s.ids.len()).sum();
    Timed { tokens, seconds }.emit("logps", json!({ "load_seconds": load }));
    Ok(())
}

pub(crate) fn generate(
    common: &Common,
    samples: usize,
    max_new_tokens: usize,
) -> Result<(), Error> {
    let tasks: Vec<PromptTask> = (0..)
        .zip(common.rows()?)
        .map(|(number, row)| PromptTask {
            number,
            ids: row.prompt_token_ids,
        })
        .collect();
    let started = Instant::now();
    let policy = common.policy()?;
    let load = started.elapsed().as_secs_f64();
    let config = GenerationConfig {
        num_generations: samples,
        max_new_tokens,
        min_new_tokens: max_new_tokens,
        ..GenerationConfig::default()
    };
    let seconds = timed(common.repeats, || {
        policy
            .generate(&tasks, &config, DrawKey::new(0, 0), &mut |_| {})
            .map(drop)
    })?;
    let tokens = tasks.len() * samples * max_new_tokens;
    Timed { tokens, seconds }.emit("generate", json!({ "load_seconds": load }));
    Ok(())
}
