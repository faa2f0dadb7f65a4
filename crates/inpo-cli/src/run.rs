//! `inpo run`: the whole loop.

use clap::Args;
use inpo_core::train::{Console, Models, RunConfig, run as run_loop};

use crate::config::ConfigArgs;
use crate::error::CliError;
use crate::print::lines;

/// Aligns a model: generate, judge, select, anchor, optimise, evaluate.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the evaluations as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &RunArgs) -> Result<(), CliError> {
    let flags = &args.config;
    let mut config = RunConfig::load(&flags.config, &flags.overrides)?;
    flags.set_device(&mut config.device);
    let device = inpo_core::device(&config.device)?;
    let models = Models::load(&config.policy, config.reference.as_ref(), None, &device)?;
    let evaluations = run_loop(&config, models, flags.resume, &mut Console::default())?;
    match args.json {
        true => lines([serde_json::json!(evaluations).to_string()]),
        false => lines(evaluations.iter().map(ToString::to_string)),
    }
}
