//! What `inpo game` prints: tables for people, JSON for machines.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use inpo_core::game::{MatrixGame, PreferenceGame};
use inpo_core::solver::Problem;
use serde::Serialize;

use crate::error::CliError;

#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Write to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
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
    args: &OutputArgs,
    value: &impl Serialize,
    table: impl FnOnce() -> String,
) -> Result<(), CliError> {
    let text = if args.json {
        let json = serde_json::to_string(value).map_err(|e| CliError::Other(e.to_string()))?;
        json + "\n"
    } else {
        table()
    };
    print_text(args.output.as_deref(), &text)
}

/// Writes a text to the file, or to standard output without one.
pub(super) fn print_text(output: Option<&Path>, text: &str) -> Result<(), CliError> {
    let write = |out: &mut dyn io::Write| out.write_all(text.as_bytes());
    match output {
        Some(path) => write_with(path, write),
        None => print_with(write),
    }
}

/// Writes to standard output.
pub(super) fn print_with(
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> Result<(), CliError> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        // The reader of a pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| CliError::Other(format!("standard output: {error}"))),
    }
}

/// Writes a neighbour and renames it, so that the file is there whole or not at all.
pub(super) fn write_with(
    path: &Path,
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> Result<(), CliError> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = PathBuf::from(partial);
    let written = File::create(&partial)
        .and_then(|file| {
            let mut out = io::BufWriter::new(file);
            write(&mut out)?;
            out.flush()
        })
        .and_then(|()| std::fs::rename(&partial, path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&partial);
        CliError::Other(format!("{}: cannot write: {error}", path.display()))
    })
}
