//! `inpo run`: the whole loop.

use std::path::Path;

use clap::Args;
use inpo_console::{Console, Verdicts, find_model, write_report};
use inpo_core::game::PreferenceOracle;
use inpo_core::train::{Models, Players, RunConfig, run as run_loop};

use crate::config::{ConfigArgs, has_section};
use crate::error::CliError;
use crate::model::tell_base;
use crate::print::{lines, tell};

/// Aligns a model: generate, judge, select, anchor, optimise, evaluate.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the evaluations as JSON.
    #[arg(long)]
    json: bool,
}

/// The configuration of `--config`. That of a training is a common mistake.
pub(crate) fn read(path: &Path, overrides: &[String]) -> Result<RunConfig, CliError> {
    RunConfig::load(path, overrides).map_err(|error| {
        let error = CliError::from(error.named_by("--config"));
        match has_section(path, &["data.pairs", "previous"]) {
            Some(key) => error.with_hint(&format!(
                "`{key}` is of `inpo train --config`: `inpo run` samples responses to [data] prompts and judges them"
            )),
            None => error,
        }
    })
}

pub(crate) fn run(args: &RunArgs) -> Result<(), CliError> {
    let flags = &args.config;
    flags.progress.choose();
    let mut config = read(&flags.config, &flags.overrides)?;
    flags.set_device(&mut config.common.device);
    config.check_output_dir()?;
    let device = inpo_core::device(&config.common.device)?;
    let verdicts = Verdicts::default();
    let oracle = config.init_oracle_with(&device, find_model, Some(&verdicts.progress()))?;
    verdicts.expect_votes(oracle.judged().votes());
    let eval_oracle = config.init_eval_oracle(&device, find_model)?;
    let models = Models::load(&config.common, None, &device, find_model)?;
    let models = models.with_opponents(&config, &device, find_model)?;
    let players = Players {
        eval_oracle: eval_oracle.as_ref().map(|oracle| oracle as _),
        ..Players::new(models, &oracle)
    };
    // It says last which policy to ship.
    let mut console = Console::interruptible()
        .with_iterations(config.iteration.num_iterations)
        .with_verdicts(verdicts);
    let evaluations = run_loop(&config, players, flags.resume, &mut console)?;
    write_report(&config.common.output_dir)?;
    tell_base(&config.common.policy);
    if oracle.judged().judge().is_costly() {
        tell(&format!("the judge: {}", oracle.counts()));
    }
    if args.json {
        lines([serde_json::json!(evaluations).to_string()])
    } else {
        lines(evaluations.iter().map(ToString::to_string))
    }
}
