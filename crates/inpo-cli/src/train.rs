//! `inpo train`: one optimisation phase on given pairs.

use clap::Args;
use inpo_console::{Console, find_model};
use inpo_core::train::{Models, TrainConfig, train};

use crate::config::{ConfigArgs, has_section};
use crate::error::CliError;
use crate::model::tell_base;
use crate::print::tell;
use crate::trl;

/// Trains on a file of preference pairs: offline INPO, DPO, IPO, SPPO and their kin. The configuration is TOML, or
/// the YAML of `trl dpo`.
#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(crate) fn run(args: &TrainArgs) -> Result<(), CliError> {
    let args = &args.config;
    args.progress.choose();
    let mut config = read(args)?;
    args.set_device(&mut config.common.device);
    config.check_output_dir()?;
    let device = inpo_core::device(&config.common.device)?;
    let models = Models::load(
        &config.common,
        config.previous.as_ref(),
        &device,
        find_model,
    )?;
    let policy = config.common.output_dir.join("policy");
    let before = policy.join(".complete").exists();
    train(&config, models, args.resume, &mut Console::interruptible())?;
    let word = if before { "already trained" } else { "trained" };
    tell(&format!("{word}: {}", policy.display()));
    tell_base(&config.common.policy);
    Ok(())
}

/// Sections of a whole run alone.
const OF_A_RUN: &[&str] = &["generation", "oracle", "selection", "iteration", "eval"];

/// Our TOML, or TRL's YAML.
fn read(args: &ConfigArgs) -> Result<TrainConfig, CliError> {
    if !trl::is_trl(&args.config) {
        let read = TrainConfig::load(&args.config, &args.overrides);
        return read.map_err(|error| {
            let error = CliError::from(error.named_by("--config"));
            match has_section(&args.config, OF_A_RUN) {
                Some(section) => error.with_hint(&format!(
                    "[{section}] is of `inpo run --config`: `inpo train` reads pairs that are there, of [data] pairs"
                )),
                None => error,
            }
        });
    }
    let translated = trl::read(&args.config)?;
    if !translated.unused.is_empty() {
        tell(&format!("no effect here: {}", translated.unused.join(", ")));
    }
    let origin = args.config.display().to_string();
    Ok(TrainConfig::parse(
        &translated.toml,
        &origin,
        &args.overrides,
    )?)
}
