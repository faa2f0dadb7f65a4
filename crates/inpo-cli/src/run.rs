//! `inpo run`: the whole loop.

use std::path::PathBuf;

use clap::Args;
use inpo_core::train::{Console, Models, RunConfig, run as run_loop};

use crate::error::CliError;
use crate::print::lines;

/// Aligns a model: generate, judge, select, anchor, optimise, evaluate.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// TOML configuration.
    #[arg(long)]
    config: PathBuf,
    /// Override a setting, for instance `train.learning_rate=1e-5`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Override `device`: flex, cpu, cuda:N, tch, wgpu:N.
    #[arg(long)]
    device: Option<String>,
    /// Go on with the run in `output_dir` at the first file that is missing.
    #[arg(long)]
    resume: bool,
    /// Print the evaluations as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &RunArgs) -> Result<(), CliError> {
    let mut config = RunConfig::load(&args.config, &args.overrides)?;
    if let Some(device) = &args.device {
        config.device.clone_from(device);
    }
    let device = inpo_core::device(&config.device)?;
    let models = Models::load(&config.policy, config.reference.as_ref(), None, &device)?;
    let evaluations = run_loop(&config, models, args.resume, &mut Console::default())?;
    match args.json {
        true => lines([serde_json::json!(evaluations).to_string()]),
        false => lines(evaluations.iter().map(ToString::to_string)),
    }
}
