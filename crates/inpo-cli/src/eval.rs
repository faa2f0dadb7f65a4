//! `inpo eval`: how good the policies of a run are, and how a model does on benchmarks.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use inpo_console::find_model;
use inpo_core::train::{EvaluatedRun, StoredRun};
use serde_json::{Value, json};

use crate::benchmarks::{self, TaskArgs};
use crate::error::CliError;
use crate::output::Inputs;
use crate::print::{lines, tell};
use crate::progress::ProgressArgs;

/// Evaluates a run from its files, finished or not, or sets runs side by side that differ in their seed (--run); or asks a model
/// the questions of benchmarks, as lm-evaluation-harness does (--model, --tasks, --data).
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["runs", "tasks"])))]
pub(crate) struct EvalArgs {
    /// The output directory of a run. Several: their mean, standard deviation and intervals over runs and over prompts.
    #[arg(long = "run", value_name = "DIR")]
    runs: Vec<PathBuf>,
    /// Override a setting of `[eval]`, for instance `eval.confidence=0.9`.
    #[arg(long = "set", value_name = "KEY=VALUE", conflicts_with = "tasks")]
    overrides: Vec<String>,
    #[command(flatten)]
    tasks: TaskArgs,
    /// Where the evaluation goes, as JSON; default: `evaluation.json` and `empirical_game.json` of a single run, and nowhere
    /// for --tasks.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Print the evaluation as JSON.
    #[arg(long)]
    json: bool,
    /// The device of models: flex (the CPU), cuda:N, tch, wgpu, cpu; `inpo devices` lists them; default: the run's, and flex
    /// for --tasks.
    #[arg(long)]
    device: Option<String>,
    #[command(flatten)]
    progress: ProgressArgs,
}

pub(crate) fn run(args: &EvalArgs) -> Result<(), CliError> {
    args.progress.choose();
    if args.runs.is_empty() {
        return benchmarks::run(
            &args.tasks,
            args.output.as_ref(),
            args.json,
            args.device.as_deref(),
        );
    }
    let files = args.runs.iter().map(|run| run.join("run.toml"));
    let inputs = files.fold(Inputs::default(), |inputs, file| inputs.settings(&file));
    let [output] = inputs.outputs([("--output", args.output.as_ref())])?;
    let find = |name: &str| find_model(name).map_err(|error| error.to_string());
    let mut evaluated = Vec::new();
    for root in &args.runs {
        let run = StoredRun::open(root, &args.overrides).map_err(|e| e.named_by("--run"))?;
        let device = args.device.as_ref().unwrap_or(&run.config().common.device);
        evaluated.push(run.evaluate(&inpo_core::device(device)?, &find)?);
    }
    let print = |document: Value, text: Vec<String>| -> Result<(), CliError> {
        if let Some(output) = &output {
            output.write_json(&document)?;
        }
        if args.json {
            lines([document.to_string()])
        } else {
            lines(text)
        }
    };
    if let [run] = evaluated.as_slice() {
        if output.is_none() {
            run.write()?;
        }
        let evaluation = &run.evaluation;
        let text = evaluation.iterations.iter().map(ToString::to_string);
        print(json!(evaluation), text.collect())?;
        tell(&evaluation.recommendation.to_string());
        return Ok(());
    }
    let spread = EvaluatedRun::spread(&evaluated)?;
    print(json!(spread), vec![spread.to_string()])
}
