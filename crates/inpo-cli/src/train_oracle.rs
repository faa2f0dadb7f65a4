//! `inpo train-oracle`: a judge from votes.

use std::path::Path;

use clap::Args;
use inpo_console::{Console, find_model};
use inpo_core::eval::JudgeQuality;
use inpo_core::plot::{Chart, Scale, Series};
use inpo_core::train::judge::{JudgeEvaluation, JudgeTrainConfig, load_base, train_oracle};

use crate::config::ConfigArgs;
use crate::error::CliError;
use crate::print::{lines, tell};

/// Trains a judge on votes: a Bradley-Terry head, a general preference head, both, or a pairwise language model.
#[derive(Debug, Args)]
pub(crate) struct TrainOracleArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the evaluation as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &TrainOracleArgs) -> Result<(), CliError> {
    let flags = &args.config;
    flags.progress.choose();
    let mut config = JudgeTrainConfig::load(&flags.config, &flags.overrides)
        .map_err(|error| error.named_by("--config"))?;
    flags.set_device(&mut config.device);
    config.check_output_dir()?;
    let device = inpo_core::device(&config.device)?;
    let policy = load_base(&config, &device, find_model)?;
    let mut console = Console::default();
    let evaluation = train_oracle(&config, policy, find_model, flags.resume, &mut console)?;
    let oracle = config.output_dir.join("oracle.toml");
    tell(&format!(
        "the judge: inpo judge --oracle {}",
        oracle.display()
    ));
    let Some(evaluation) = evaluation else {
        return Ok(());
    };
    draw(&evaluation, &config.output_dir.join("reliability.svg"))?;
    if args.json {
        lines([serde_json::json!(evaluation).to_string()])
    } else {
        lines([evaluation.to_string()])
    }
}

/// Draws how many people agree with answers of each confidence, before and after the temperature was fitted.
fn draw(evaluation: &JudgeEvaluation, path: &Path) -> Result<(), CliError> {
    let points = |quality: &JudgeQuality| -> Vec<(f64, f64)> {
        let bins = quality.reliability.iter();
        bins.map(|bin| (bin.confidence, bin.agreement)).collect()
    };
    let chart = Chart {
        title: "Reliability of the judge on held-out votes",
        x_label: "confidence, max(p, 1 - p)",
        y_label: "share of people who agree",
        x_scale: Scale::Linear,
        y_scale: Scale::Linear,
    };
    let series = [
        Series {
            name: "calibrated",
            points: vec![(0.5, 0.5), (1.0, 1.0)],
        },
        Series {
            name: "before scaling",
            points: points(&evaluation.before_scaling),
        },
        Series {
            name: "judge",
            points: points(&evaluation.quality),
        },
    ];
    let drawn = chart.write_svg(path, &series);
    drawn.map_err(|error| CliError::Other(error.to_string()))
}
