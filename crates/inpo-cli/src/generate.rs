//! `inpo generate`: K responses to each prompt.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use inpo_core::policy::{GenerationConfig, PromptTask};
use inpo_core::train::files::write_jsonl;
use inpo_core::train::rows::read_rows;
use serde_json::{Map, Value, json};

use crate::error::CliError;
use crate::model::ModelArgs;
use crate::print::{lines, tell};

/// Samples responses to the prompts of a file.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// JSONL rows with `prompt` (text or messages) or `prompt_token_ids`.
    #[arg(long)]
    prompts: PathBuf,
    /// Responses per prompt, K.
    #[arg(long, default_value_t = 8)]
    num_generations: usize,
    /// Longest response in tokens, end token included.
    #[arg(long, default_value_t = 256)]
    max_new_tokens: usize,
    /// Shortest response in tokens.
    #[arg(long, default_value_t = 0)]
    min_new_tokens: usize,
    /// 0 is greedy.
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// Keep the most likely tokens up to this probability.
    #[arg(long, default_value_t = 1.0)]
    top_p: f64,
    /// Keep this many most likely tokens.
    #[arg(long)]
    top_k: Option<usize>,
    /// Keep tokens at least this likely relative to the most likely one.
    #[arg(long, default_value_t = 0.0)]
    min_p: f64,
    /// Makes tokens that the prompt or the response has less likely above 1, more likely below.
    #[arg(long, default_value_t = 1.0)]
    repetition_penalty: f64,
    /// Ids that end a response beside the model's own, with commas.
    #[arg(long, value_delimiter = ',')]
    stop_token_ids: Vec<u32>,
    /// A text that ends a response; may be given several times.
    #[arg(long = "stop-string", value_name = "TEXT")]
    stop_strings: Vec<String>,
    /// Samples decoded together at most.
    #[arg(long, default_value_t = 128)]
    max_num_seqs: usize,
    /// Tokens that their caches have room for together.
    #[arg(long, default_value_t = 16_384)]
    max_cache_tokens: usize,
    /// Seed of all draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the rows go; default: standard output.
    #[arg(long)]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &GenerateArgs) -> Result<(), CliError> {
    let config = GenerationConfig {
        num_generations: args.num_generations,
        max_new_tokens: args.max_new_tokens,
        min_new_tokens: args.min_new_tokens,
        temperature: args.temperature,
        top_p: args.top_p,
        top_k: args.top_k,
        min_p: args.min_p,
        repetition_penalty: args.repetition_penalty,
        stop_token_ids: args.stop_token_ids.clone(),
        stop_strings: args.stop_strings.clone(),
        max_num_seqs: args.max_num_seqs,
        max_cache_tokens: args.max_cache_tokens,
    };
    config.validate()?;
    let rows = read_rows(&args.prompts)?;
    let policy = args.model.load()?;
    let mut tasks = Vec::with_capacity(rows.len());
    for (number, row) in (0..).zip(&rows) {
        let ids = row.prompt_ids(&policy, &args.prompts)?;
        let task = PromptTask { ids, number };
        policy
            .check_prompt(&task, &config)
            .map_err(|error| row.error(&args.prompts, error.to_string()))?;
        tasks.push(task);
    }
    let bar = ProgressBar::new((tasks.len() * config.num_generations) as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} samples, {eta} left");
    let bar = bar.with_style(style.expect("the template is valid"));
    let mut progress = |done| bar.inc(done as u64);
    let result = policy.generate(&tasks, &config, (args.seed, 0), &mut progress)?;
    bar.finish_and_clear();

    let codec = policy.codec().ok();
    let mut output = Vec::with_capacity(rows.len());
    for (row, (task, samples)) in rows.into_iter().zip(tasks.iter().zip(&result.samples)) {
        let mut columns: Map<String, Value> = row.columns;
        let responses = codec.map(|codec| samples.iter().map(|s| codec.decode(&s.ids)));
        let responses = responses
            .map(Iterator::collect::<Result<Vec<_>, _>>)
            .transpose()?;
        let ids: Vec<_> = samples.iter().map(|s| &s.ids).collect();
        let reasons: Vec<_> = samples.iter().map(|s| s.finish_reason).collect();
        let logps: Vec<f64> = samples.iter().map(|s| s.logps.iter().sum()).collect();
        columns.insert("prompt_token_ids".into(), json!(task.ids));
        columns.insert("responses".into(), json!(responses));
        columns.insert("response_token_ids".into(), json!(ids));
        columns.insert("finish_reason".into(), json!(reasons));
        columns.insert("sampling_logps".into(), json!(logps));
        columns.insert("seed".into(), json!(args.seed));
        output.push(columns);
    }
    match &args.output {
        Some(path) => write_jsonl(path, &output)?,
        None => lines(output.iter().map(|row| json!(row).to_string()))?,
    }
    let rate = |tokens: usize, time: std::time::Duration| tokens as f64 / time.as_secs_f64();
    tell(&format!(
        "prefill: {} tokens, {:.1} tokens/s; decoding: {} tokens, {:.1} tokens/s",
        result.prefill_tokens,
        rate(result.prefill_tokens, result.prefill_time),
        result.decode_tokens,
        rate(result.decode_tokens, result.decode_time),
    ));
    Ok(())
}
