//! `inpo eval --tasks`: a model's scores on benchmarks.

use std::path::PathBuf;

use clap::Args;
use inpo_console::Meter;
use inpo_core::eval::benchmarks::{AnswerCache, Options, Suite};
use serde_json::json;

use crate::error::CliError;
use crate::model::ModelArgs;
use crate::output::{Inputs, check_folder};
use crate::print::{lines, notes, tell};

/// The flags of benchmarks.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    /// The model: a Hugging Face directory, .gguf file, hub id, or `smollm2-135m-instruct`.
    #[arg(long, requires = "tasks")]
    model: Option<String>,
    /// PEFT adapter directory to put on the model.
    #[arg(long, requires = "tasks")]
    adapter: Option<PathBuf>,
    /// Benchmarks, with commas: arc_easy, arc_challenge, hellaswag, winogrande, truthfulqa_mc1, truthfulqa_mc2, gsm8k, mmlu,
    /// mmlu_SUBJECT, minerva_math, minerva_math_SUBJECT, minerva_math500; or files .toml and .yaml that define a task.
    #[arg(long, value_delimiter = ',', value_name = "NAME,..", requires_all = ["model", "data"])]
    tasks: Vec<String>,
    /// The directory of NAME.jsonl or NAME.parquet, with the columns of the published data set, and of NAME.fewshot.jsonl.
    #[arg(long, value_name = "DIR", requires = "tasks")]
    data: Option<PathBuf>,
    /// Few-shot examples of each document, drawn as lm-evaluation-harness draws them; default: the task's own number.
    #[arg(long, requires = "tasks")]
    num_fewshot: Option<usize>,
    /// The first documents of each task alone.
    #[arg(long, requires = "tasks", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Longest generated text in tokens; default: the task's own number.
    #[arg(long, requires = "tasks", value_parser = clap::value_parser!(u64).range(1..))]
    max_new_tokens: Option<u64>,
    /// Writes questions as turns of a conversation, by the model's chat template.
    #[arg(long, requires = "tasks")]
    apply_chat_template: bool,
    /// Whether few-shot examples are turns of the conversation too, and not part of the question; default: true.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", requires = "apply_chat_template")]
    fewshot_as_multiturn: Option<bool>,
    /// A system message, or without a chat template a text before the task's description.
    #[arg(long, value_name = "TEXT", requires = "tasks")]
    system_instruction: Option<String>,
    /// Cuts questions that are longer than the model's context on the left, as lm-evaluation-harness does. Few-shot examples
    /// are always cut.
    #[arg(long, requires = "tasks")]
    truncate: bool,
    /// Texts that are generated together at most; log-likelihoods are packed by tokens.
    #[arg(long, default_value_t = 64, requires = "tasks", value_parser = clap::value_parser!(u64).range(1..))]
    batch_size: u64,
    /// Where each document goes with its questions, answers and scores, a row a line.
    #[arg(long, value_name = "FILE", requires = "tasks")]
    samples: Option<PathBuf>,
    /// The directory of answers that are kept, so that nothing is computed twice; default: OUTPUT.cache.
    #[arg(long, value_name = "DIR", requires = "tasks")]
    cache: Option<PathBuf>,
}

pub(crate) fn run(
    args: &TaskArgs,
    output: Option<&PathBuf>,
    json: bool,
    device: Option<&str>,
) -> Result<(), CliError> {
    let (Some(name), Some(data)) = (&args.model, &args.data) else {
        unreachable!("--tasks requires both");
    };
    let model = ModelArgs::new(name, args.adapter.as_ref(), device.unwrap_or("flex"));
    let inputs = model.inputs(Inputs::default());
    let outputs = [("--output", output), ("--samples", args.samples.as_ref())];
    let [to, samples] = inputs.outputs(outputs)?;
    let cache = args.cache.clone().or_else(|| {
        let file = to.as_ref()?.file()?.as_os_str();
        Some(PathBuf::from([file, ".cache".as_ref()].join("".as_ref())))
    });
    if let Some(cache) = &cache {
        check_folder("--cache", cache)?;
    }
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let options = Options {
        num_fewshot: args.num_fewshot,
        limit: args.limit.map(size),
        max_new_tokens: args.max_new_tokens.map(size),
        apply_chat_template: args.apply_chat_template,
        fewshot_as_multiturn: args.fewshot_as_multiturn.unwrap_or(true),
        system_instruction: args.system_instruction.clone(),
        truncate: args.truncate,
        batch_size: size(args.batch_size),
        samples: samples.is_some(),
    };
    let papers = Suite::select(&args.tasks, data)?.read(data, options)?;
    let documents = papers.documents() as u64;
    let policy = model.load(to.as_ref())?;
    notes(&policy);
    let meter = Meter::new("encode", "documents", documents);
    let prepared = papers.encode(&policy, &mut |done| meter.add(done as u64));
    meter.finish();
    let prepared = prepared?;
    for note in prepared.notes() {
        tell(&format!("note: {note}"));
    }
    let mut cache = match &cache {
        Some(dir) => Some(AnswerCache::open(dir, &policy)?),
        None => None,
    };
    let meter = Meter::new("eval", "documents", documents);
    let results = prepared.run(cache.as_mut(), &mut |done| meter.add(done as u64));
    meter.finish();
    let results = results?;
    let mut document = results.to_json();
    document["config"] = json!({
        "model": name,
        "adapter": args.adapter,
        "model_digest": policy.digest(),
        "device": device.unwrap_or("flex"),
        "limit": args.limit,
        "max_new_tokens": args.max_new_tokens,
        "fewshot_seed": 1234,
        "inpo_version": env!("CARGO_PKG_VERSION"),
    });
    document["max_length"] = json!(policy.config().max_position_embeddings);
    document["system_instruction"] = json!(args.system_instruction);
    document["fewshot_as_multiturn"] =
        json!(args.apply_chat_template && args.fewshot_as_multiturn.unwrap_or(true));
    let template = policy
        .codec()?
        .template_hash()
        .filter(|_| args.apply_chat_template);
    document["chat_template_sha"] = json!(template);
    if let Some(samples) = &samples {
        samples.write_jsonl(&results.samples().collect::<Vec<_>>())?;
    }
    if let Some(output) = &to {
        output.write_json(&document)?;
    }
    if json {
        lines([document.to_string()])
    } else {
        lines(results.lines())
    }
}
