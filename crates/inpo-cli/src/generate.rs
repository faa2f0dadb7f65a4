//! `inpo generate`: K responses to each prompt.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
#[cfg(not(feature = "remote"))]
use inpo_core::policy::Policy;
use inpo_core::policy::{Answer, GenerationConfig, Generator, Prompt, PromptContent, PromptTask};
use inpo_core::train::files::write_jsonl;
use inpo_core::train::rows::{PromptInput, Row, read_rows};
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
    /// Tokens that their cache has room for, those of a prompt once for all its samples.
    #[arg(long, default_value_t = 16_384)]
    max_cache_tokens: usize,
    /// Seed of all draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the rows go; default: standard output.
    #[arg(long)]
    output: Option<PathBuf>,
    #[cfg(feature = "remote")]
    #[command(flatten)]
    server: crate::server::ServerArgs,
}

/// The answers to a row's prompt.
struct Answered {
    prompt_ids: Option<Vec<u32>>,
    answers: Vec<Answer>,
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
    let bar = ProgressBar::new((rows.len() * config.num_generations) as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} samples, {eta} left");
    let bar = bar.with_style(style.expect("the template is valid"));
    let mut progress = |done| bar.inc(done as u64);
    #[cfg(feature = "remote")]
    let remote = args.server.model(args.model.name())?;
    #[cfg(not(feature = "remote"))]
    let remote = None::<Policy>;
    let answered = match remote {
        Some(model) => ask(&model, args, &rows, &config, &mut progress)?,
        None => sample(args, &rows, &config, &mut progress)?,
    };
    bar.finish_and_clear();

    let mut output = Vec::with_capacity(rows.len());
    for (row, answered) in rows.into_iter().zip(answered) {
        output.push(columns(row, answered, args.seed));
    }
    match &args.output {
        Some(path) => write_jsonl(path, &output)?,
        None => lines(output.iter().map(|row| json!(row).to_string()))?,
    }
    Ok(())
}

/// Samples with a model that is loaded here.
fn sample(
    args: &GenerateArgs,
    rows: &[Row],
    config: &GenerationConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Answered>, CliError> {
    let policy = args.model.load()?;
    let mut tasks = Vec::with_capacity(rows.len());
    for (number, row) in (0..).zip(rows) {
        let ids = row.prompt_ids(&policy, &args.prompts)?;
        let task = PromptTask { ids, number };
        policy
            .check_prompt(&task, config)
            .map_err(|error| row.error(&args.prompts, error.to_string()))?;
        tasks.push(task);
    }
    let result = policy.generate(&tasks, config, (args.seed, 0), progress)?;
    let rate = |tokens: usize, time: std::time::Duration| tokens as f64 / time.as_secs_f64();
    tell(&format!(
        "prefill: {} tokens, {:.1} tokens/s; decoding: {} tokens, {:.1} tokens/s",
        result.prefill_tokens,
        rate(result.prefill_tokens, result.prefill_time),
        result.decode_tokens,
        rate(result.decode_tokens, result.decode_time),
    ));
    let codec = policy.codec().ok();
    let mut answered = Vec::with_capacity(tasks.len());
    for (task, samples) in tasks.into_iter().zip(result.samples) {
        let mut answers = Vec::with_capacity(samples.len());
        for sample in samples {
            answers.push(Answer {
                text: codec.map(|codec| codec.decode(&sample.ids)).transpose()?,
                prompt_ids: None,
                ids: Some(sample.ids),
                logps: Some(sample.logps),
                finish_reason: sample.finish_reason,
            });
        }
        answered.push(Answered {
            prompt_ids: Some(task.ids),
            answers,
        });
    }
    Ok(answered)
}

/// Samples with a model that runs elsewhere.
fn ask(
    model: &impl Generator,
    args: &GenerateArgs,
    rows: &[Row],
    config: &GenerationConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Answered>, CliError> {
    #[cfg(feature = "remote")]
    let takes_ids = args.server.takes_ids();
    #[cfg(not(feature = "remote"))]
    let takes_ids = true;
    let content = |row: &Row| {
        let messages = row.prompt.as_ref().map(PromptInput::messages);
        match (&row.prompt_token_ids, messages) {
            (Some(ids), None) => PromptContent::Ids(ids.clone()),
            (Some(ids), Some(_)) if takes_ids => PromptContent::Ids(ids.clone()),
            (_, messages) => PromptContent::Messages(messages.unwrap_or_default()),
        }
    };
    let prompts: Vec<Prompt> = (0..)
        .zip(rows)
        .map(|(number, row)| Prompt {
            number,
            content: content(row),
        })
        .collect();
    let answers = model.answer(&prompts, config, (args.seed, 0), progress)?;
    let answered = answers.into_iter().map(|answers| Answered {
        prompt_ids: answers.first().and_then(|answer| answer.prompt_ids.clone()),
        answers,
    });
    Ok(answered.collect())
}

/// A row with what was answered; what is not known of all its answers is left out.
fn columns(row: Row, answered: Answered, seed: u64) -> Map<String, Value> {
    let Answered {
        prompt_ids,
        answers,
    } = answered;
    let mut columns = row.columns;
    fn of_all<T>(answers: &[Answer], what: impl Fn(&Answer) -> Option<T>) -> Option<Vec<T>> {
        answers.iter().map(what).collect()
    }
    let texts = of_all(&answers, |answer| answer.text.clone());
    let ids = of_all(&answers, |answer| answer.ids.clone());
    let logps = of_all(&answers, |answer| {
        Some(answer.logps.as_ref()?.iter().sum::<f64>())
    });
    let reasons: Vec<_> = answers.iter().map(|answer| answer.finish_reason).collect();
    // What an earlier answer left would be another response's.
    for stale in ["response_token_ids", "sampling_logps"] {
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
}
