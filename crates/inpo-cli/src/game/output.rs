//! What `inpo game` prints: tables for people, JSON for machines.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use inpo_core::data::files::Output;
use inpo_core::game::{MatrixGame, PreferenceGame};
use inpo_core::solver::Problem;
use serde::Serialize;

use crate::error::CliError;
use crate::output::Inputs;

#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Write to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Where a result goes, and how.
#[derive(Debug)]
pub(super) struct Printer {
    json: bool,
    output: Option<Output>,
}

impl OutputArgs {
    /// The flags, checked before the games of `inputs` are solved.
    pub(super) fn printer(&self, inputs: &Inputs) -> Result<Printer, CliError> {
        let [output] = inputs.outputs([("--output", self.path())])?;
        Ok(self.printer_to(output))
    }

    /// The file that is named.
    pub(super) fn path(&self) -> Option<&PathBuf> {
        self.output.as_ref()
    }

    /// The flags, whose file was checked.
    pub(super) fn printer_to(&self, output: Option<Output>) -> Printer {
        let json = self.json;
        Printer { json, output }
    }
}

pub(super) fn label(game: &MatrixGame, action: usize) -> String {
    match game.names() {
        Some(names) => names[action].clone(),
        None => action.to_string(),
    }
}

pub(super) fn heading(file: &Path, problem: &Problem<MatrixGame>) -> String {
    let n = problem.game().num_actions();
    format!("{}: {n} actions, tau {}\n\n", file.display(), problem.tau())
}

/// A column of names and columns of numbers: strategies, scores.
pub(super) fn strategies(out: &mut String, game: &MatrixGame, columns: &[(&str, &[f64])]) {
    let labels: Vec<String> = (0..game.num_actions()).map(|y| label(game, y)).collect();
    let width = labels
        .iter()
        .map(|l| l.chars().count())
        .fold("action".len(), usize::max);
    let _ = write!(out, "{:width$}", "action");
    for (title, _) in columns {
        let _ = write!(out, "  {title:>11}");
    }
    for (y, label) in labels.iter().enumerate() {
        let _ = write!(out, "\n{label:width$}");
        for (_, numbers) in columns {
            let _ = write!(out, "  {:>11.6}", numbers[y]);
        }
    }
    out.push('\n');
}

pub(super) fn print(
    to: &Printer,
    value: &impl Serialize,
    table: impl FnOnce() -> String,
) -> Result<(), CliError> {
    let text = if to.json {
        let json = serde_json::to_string(value).map_err(|e| CliError::Other(e.to_string()))?;
        json + "\n"
    } else {
        table()
    };
    print_bytes(to.output.as_ref(), text.as_bytes())
}

/// Writes bytes to the file, or to standard output without one.
fn print_bytes(output: Option<&Output>, bytes: &[u8]) -> Result<(), CliError> {
    print_to(output, |out| out.write_all(bytes))
}

/// Writes to the file, or to standard output without one.
pub(super) fn print_to(
    output: Option<&Output>,
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> Result<(), CliError> {
    match output {
        Some(output) => Ok(output.write_with(write)?),
        None => print_with(write),
    }
}

/// Writes to standard output.
fn print_with(write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> Result<(), CliError> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        // The reader of a pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| CliError::Other(format!("standard output: {error}"))),
    }
}
