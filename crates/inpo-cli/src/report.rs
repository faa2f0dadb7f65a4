//! `inpo report`: a run as a page, or several side by side.

use std::path::PathBuf;

use clap::Args;
use inpo_core::data::files::Output;
use inpo_core::eval::page::{Comparison, REPORT};
use serde_json::json;

use crate::error::CliError;
use crate::output::Inputs;
use crate::print::{lines, tell};

/// The page of several runs, inside of the directory of the first.
const COMPARISON: &str = "comparison.html";

/// Files of a run that a page is made from.
const READ: [&str; 6] = [
    "run.toml",
    "train.toml",
    "manifest.json",
    "metrics.jsonl",
    "evaluation.json",
    "trainer_state.json",
];

/// Writes the report on a run, finished or not: which policy to ship, how good it is, and what to be careful about.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The output directory of a run.
    run: PathBuf,
    /// Further runs to set beside it.
    #[arg(long, value_name = "RUN", num_args = 1..)]
    compare: Vec<PathBuf>,
    /// Where the page goes; default: report.html in the directory of the run, with --compare comparison.html.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Print the data of the report as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ReportArgs) -> Result<(), CliError> {
    let roots: Vec<&PathBuf> = [&args.run].into_iter().chain(&args.compare).collect();
    let read = Comparison::read(&roots).map_err(|error| {
        let hint = "name the output directory of a run";
        CliError::from(error).with_hint(hint)
    })?;
    let default = args.run.join(if args.compare.is_empty() {
        REPORT
    } else {
        COMPARISON
    });
    let path = args.output.as_ref().unwrap_or(&default);
    let files = roots
        .iter()
        .flat_map(|root| READ.map(|name| root.join(name)));
    let inputs = Inputs::files(&files.collect::<Vec<_>>());
    let [Some(output)]: [Option<Output>; 1] = inputs.outputs([("--output", Some(path))])? else {
        unreachable!("a path is an output");
    };
    let (html, data) = match read.runs.as_slice() {
        [report] => (report.to_html(), json!(report)),
        _ => (read.to_html(), json!(read)),
    };
    output.write(html.as_bytes())?;
    tell(&format!("the report is {}", path.display()));
    for report in &read.runs {
        for warning in &report.warnings {
            tell(&format!("warning: {}: {}", report.run, warning.sentence));
        }
    }
    if args.json {
        return lines([data.to_string()]);
    }
    Ok(())
}
