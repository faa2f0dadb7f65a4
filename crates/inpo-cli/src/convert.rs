//! `inpo convert`: a model as a Hugging Face directory.

use std::path::{Path, PathBuf};

use clap::Args;
use inpo_core::policy::{FloatType, Policy, Precision, SaveOptions};

use crate::error::CliError;
use crate::output::check_folder;
use crate::print::{notes, tell};

/// Writes a model as a Hugging Face directory: a GGUF file unpacked, an adapter added to the weights, or
/// another float type.
///
/// The directory holds config.json, the weights as safetensors, and the files of the tokenizer and of the
/// chat template; transformers, vLLM and llama.cpp's converter read it.
#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// Hugging Face directory, .gguf file, hub id, or `smollm2-135m-instruct`.
    #[arg(long)]
    model: String,
    /// PEFT adapter directory to add to the weights.
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// Directory to write, which must be absent or empty.
    #[arg(long)]
    output: PathBuf,
    /// Float type of the weights: float32, bfloat16 or float16.
    #[arg(long, value_parser = float_type, default_value = "float32", value_name = "TYPE")]
    dtype: FloatType,
    /// Largest weight file in bytes; a larger model is written in shards.
    #[arg(long, default_value_t = SaveOptions::default().max_shard_bytes)]
    max_shard_bytes: usize,
}

/// A float type by torch's name or its short one.
fn float_type(word: &str) -> Result<FloatType, String> {
    match word {
        "float32" | "f32" => Ok(FloatType::F32),
        "bfloat16" | "bf16" => Ok(FloatType::Bf16),
        "float16" | "f16" => Ok(FloatType::F16),
        _ => Err("possible values: float32, bfloat16, float16".to_owned()),
    }
}

pub(crate) fn run(args: &ConvertArgs) -> Result<(), CliError> {
    if args.max_shard_bytes == 0 {
        let message = "`--max-shard-bytes` is 0; allowed: at least 1";
        return Err(CliError::Input(message.to_owned()));
    }
    check_output(&args.output)?;
    let found = inpo_console::find_model(&args.model);
    let path = found.map_err(|error| CliError::from(error).about("--model"))?;
    let device = inpo_core::device("flex")?;
    // Weights that nothing is added to can be held as they will be written.
    let precision = match (args.dtype, &args.adapter) {
        (FloatType::Bf16, None) => Precision::Bf16,
        _ => Precision::F32,
    };
    let policy = Policy::load_in(&path, &device, precision)?;
    let policy = match &args.adapter {
        Some(dir) => policy
            .with_saved_adapters(dir)
            .map_err(|error| error.named_by("--adapter"))?,
        None => policy,
    };
    notes(&policy);
    let options = SaveOptions {
        dtype: Some(args.dtype),
        max_shard_bytes: args.max_shard_bytes,
    };
    policy.save_whole(&args.output, &options)?;
    if let Err(error) = policy.codec() {
        tell(&format!("no tokenizer is written: {error}"));
    }
    tell(&format!("written: {}", args.output.display()));
    Ok(())
}

/// Refuses a directory that holds something, as that of the model does: files of two models in one would be read as one.
fn check_output(dir: &Path) -> Result<(), CliError> {
    let refuse = |reason: &str| {
        let dir = dir.display();
        Err(CliError::Input(format!(
            "{dir} {reason}; give a directory that is absent or empty"
        )))
    };
    match std::fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            Some(_) => refuse("is not empty"),
            None => check_folder("--output", dir),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => check_folder("--output", dir),
        Err(_) => refuse("is not a directory that can be read"),
    }
}
