//! `inpo train`: one optimisation phase on given pairs.

use std::path::PathBuf;

use clap::Args;
use inpo_core::train::{Console, Models, TrainConfig, train};

use crate::error::CliError;
use crate::print::tell;

/// Trains on a file of preference pairs: offline INPO, DPO, IPO, SPPO and their kin.
#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// TOML configuration.
    #[arg(long)]
    config: PathBuf,
    /// Override a setting, for instance `objective.algorithm=dpo`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Override `device`: flex, cpu, cuda:N, tch, wgpu:N.
    #[arg(long)]
    device: Option<String>,
    /// Go on with an interrupted training: cached log-probs are kept, the optimisation starts anew.
    #[arg(long)]
    resume: bool,
}

pub(crate) fn run(args: &TrainArgs) -> Result<(), CliError> {
    let mut config = TrainConfig::load(&args.config, &args.overrides)?;
    if let Some(device) = &args.device {
        config.device.clone_from(device);
    }
    let device = inpo_core::device(&config.device)?;
    let (reference, previous) = (config.reference.as_ref(), config.previous.as_ref());
    let models = Models::load(&config.policy, reference, previous, &device)?;
    let policy = config.output_dir.join("policy");
    let before = policy.join(".complete").exists();
    train(&config, models, args.resume, &mut Console::default())?;
    let word = if before { "already trained" } else { "trained" };
    tell(&format!("{word}: {}", policy.display()));
    Ok(())
}
