//! What `inpo game` prints: tables for people, JSON for machines.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use inpo_core::game::{MatrixGame, PreferenceGame};
use inpo_core::solver::{Problem, Reason, Record};
use serde::Serialize;

use super::OutputArgs;
use super::solve::{Quality, Solution, SolveArgs};
use crate::error::CliError;

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

pub(super) fn solution_table(
    args: &SolveArgs,
    problem: &Problem<MatrixGame>,
    solution: &Solution,
    unit: &str,
) -> String {
    let mut out = heading(&args.file.game, problem);
    let columns: [(&str, &[f64]); 3] = [
        ("last", &solution.last.strategy),
        ("average", &solution.average.strategy),
        ("weighted", &solution.weighted_average.strategy),
    ];
    strategies(&mut out, problem.game(), &columns);
    let width = 16;
    let iterates = [
        &solution.last,
        &solution.average,
        &solution.weighted_average,
    ];
    for (title, pick) in [
        ("duality gap", (|q| q.duality_gap) as fn(&Quality) -> f64),
        ("exploitability", |q| q.exploitability),
    ] {
        let [last, average, weighted] = iterates.map(pick);
        let _ = write!(
            out,
            "\n{title:width$}  last {last:.4e}  average {average:.4e}  weighted {weighted:.4e}"
        );
    }
    let stopped = match solution.reason {
        Reason::Iterations => "all iterations made",
        Reason::Tolerance => "tolerance reached",
        Reason::Time => "time is up",
    };
    let _ = writeln!(
        out,
        "\n{} iterations, {} oracle calls ({unit}): {stopped}\n",
        solution.iterations, solution.oracle_calls
    );
    let _ = writeln!(out, "iteration  duality gap  exploitability   KL to Nash");
    for record in thinned(&solution.history) {
        let kl = record
            .kl_to_nash
            .map_or("-".to_owned(), |kl| format!("{kl:.4e}"));
        let Record {
            iteration,
            duality_gap,
            exploitability,
            ..
        } = record;
        let _ = writeln!(
            out,
            "{iteration:>9}  {duality_gap:>11.4e}  {exploitability:>14.4e}  {kl:>11}"
        );
    }
    out
}

/// The records whose iteration is 0, 1, 2, 3, 5, 10, 20, 30, 50, 100, .. and the last: what fits a screen.
fn thinned(history: &[Record]) -> impl Iterator<Item = &Record> {
    let round = |iteration: u64| {
        let mut lead = iteration;
        while lead >= 10 && lead.is_multiple_of(10) {
            lead /= 10;
        }
        matches!(lead, 0 | 1 | 2 | 3 | 5)
    };
    let last = history.len().saturating_sub(1);
    let keep = move |&(at, record): &(usize, &Record)| at == last || round(record.iteration);
    history
        .iter()
        .enumerate()
        .filter(keep)
        .map(|(_, record)| record)
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
