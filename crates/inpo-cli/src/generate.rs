//! `inpo generate`: K responses to each prompt.

use std::path::PathBuf;

use clap::Args;
use inpo_core::data::files::write_jsonl;
use inpo_core::data::{Completion, Prompt, Row, read_rows};
use inpo_core::policy::{DrawKey, GenerationConfig, Sampler, Samples, SamplingCost};
use serde_json::{Map, Value, json};

use crate::error::CliError;
use crate::model::ModelArgs;
use crate::print::{lines, tell};
use crate::server::ServerArgs;
use crate::template::TemplateArgs;

/// Samples responses to the prompts of a file.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// JSON lines, a JSON array, either of them gzipped, or Parquet, with `prompt` (text or messages) or
    /// `prompt_token_ids`.
    #[arg(long)]
    prompts: PathBuf,
    #[command(flatten)]
    template: TemplateArgs,
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
    /// Tokens that their cache has room for, those of a prompt once for all its samples.
    #[arg(long, default_value_t = 16_384)]
    max_cache_tokens: usize,
    /// Seed of all draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the rows go; default: standard output.
    #[arg(long)]
    output: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
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
    let template = args.template.read()?;
    let mut rows = read_rows(&args.prompts)?;
    for row in &mut rows {
        row.template = std::mem::take(&mut row.template).over(&template);
    }
    let sampler: Box<dyn Sampler> = match args.server.model(args.model.name())? {
        Some(remote) => Box::new(remote),
        None => Box::new(args.model.load()?),
    };
    let mut prompts: Vec<Prompt> = Vec::with_capacity(rows.len());
    for (row, number) in rows.iter().zip(0..) {
        let mut prompt = row.to_prompt(number);
        let prepared = sampler.prepare(&mut prompt, &config);
        prepared.map_err(|error| row.error(&args.prompts, error.to_string()))?;
        prompts.push(prompt);
    }
    let total = (rows.len() * config.num_generations) as u64;
    let bar = inpo_console::bar(total, "{bar:40} {pos}/{len} samples, {eta} left");
    let draws = DrawKey::new(args.seed, 0);
    let samples = sampler.sample(&prompts, &config, draws, &mut |done| bar.inc(done as u64));
    bar.finish_and_clear();
    let samples = samples?;
    if let Some(cost) = &samples.cost {
        tell(&speed(cost));
    }

    let output = written(rows, samples, args.seed);
    match &args.output {
        Some(path) => write_jsonl(path, &output)?,
        None => lines(output.iter().map(|row| json!(row).to_string()))?,
    }
    Ok(())
}

/// Columns of an earlier answer, which a row that is read again may have.
const STALE: [&str; 5] = [
    "response_token_ids",
    "sampling_logps",
    "logp",
    "num_tokens",
    "token_logps",
];

fn speed(cost: &SamplingCost) -> String {
    let rate = |tokens: usize, time: std::time::Duration| tokens as f64 / time.as_secs_f64();
    format!(
        "prefill: {} tokens, {:.1} tokens/s; decoding: {} tokens, {:.1} tokens/s",
        cost.prefill_tokens,
        rate(cost.prefill_tokens, cost.prefill_time),
        cost.decode_tokens,
        rate(cost.decode_tokens, cost.decode_time),
    )
}

/// Each row with its responses; what is not known of all of them is left out.
fn written(rows: Vec<Row>, samples: Samples, seed: u64) -> Vec<Map<String, Value>> {
    let Samples {
        completions,
        prompt_ids,
        have_text,
        ..
    } = samples;
    fn of_all<T>(all: &[Completion], what: impl Fn(&Completion) -> Option<T>) -> Option<Vec<T>> {
        all.iter().map(what).collect()
    }
    let row = |((row, completions), prompt_ids): ((Row, Vec<Completion>), Option<Vec<u32>>)| {
        let texts = of_all(&completions, |c| have_text.then(|| c.text.clone()));
        let ids = of_all(&completions, |c| c.token_ids.clone());
        let sum = |c: &Completion| Some(c.token_logps.as_ref()?.iter().sum::<f64>());
        let logps = of_all(&completions, sum);
        let reasons: Vec<_> = completions.iter().map(|c| c.finish_reason).collect();
        let mut columns = row.columns.into_map();
        // What an earlier answer left would be another response's.
        for stale in STALE {
            columns.remove(stale);
        }
        let known = [
            ("prompt_token_ids", prompt_ids.map(|ids| json!(ids))),
            ("responses", Some(json!(texts))),
            ("response_token_ids", ids.map(|ids| json!(ids))),
            ("finish_reason", Some(json!(reasons))),
            ("sampling_logps", logps.map(|logps| json!(logps))),
            ("seed", Some(json!(seed))),
        ];
        for (key, value) in known {
            if let Some(value) = value {
                columns.insert(key.to_owned(), value);
            }
        }
        columns
    };
    rows.into_iter()
        .zip(completions)
        .zip(prompt_ids)
        .map(row)
        .collect()
}
