//! `inpo game solve`: one iterative method on one game.

use std::fmt::Write as _;

use clap::Args;
use inpo_core::game::{MatrixGame, Strategy};
use inpo_core::solver::{Algorithm, MethodState, Problem, Reason, Record, Run, Solver, State};
use serde::Serialize;

use super::input::{FileArgs, read};
use super::method::{MethodArgs, algorithm_parser, build};
use super::output::{heading, print, strategies};
use super::play::{RunningArgs, exact_nash, play};
use crate::error::CliError;

#[derive(Debug, Args)]
pub(crate) struct SolveArgs {
    #[command(flatten)]
    file: FileArgs,
    /// The method.
    #[arg(long, value_parser = algorithm_parser(), default_value = "inpo")]
    algorithm: &'static Algorithm,
    #[command(flatten)]
    method: MethodArgs,
    #[command(flatten)]
    running: RunningArgs,
}

/// An iterate of `solve`.
#[derive(Serialize)]
struct Quality {
    strategy: Strategy,
    duality_gap: f64,
    exploitability: f64,
}

/// What `solve` prints.
#[derive(Serialize)]
struct Solution {
    algorithm: String,
    iterations: u64,
    oracle_calls: u64,
    reason: Reason,
    last: Quality,
    average: Quality,
    weighted_average: Quality,
    history: Vec<Record>,
}

pub(super) fn run(args: &SolveArgs) -> Result<(), CliError> {
    let to = args.file.printer()?;
    let settings = args.running.settings(100)?;
    let game = read(&args.file.game)?;
    let given = args.method.settings();
    let (method, problem) = build(args.algorithm, &given, game, settings.iterations)?;
    for name in args.algorithm.unused(&given) {
        let flag = name.replace('_', "-");
        eprintln!(
            "note: --{flag} is not used by {} as it is set",
            method.name()
        );
    }
    let nash = exact_nash(&problem, args.running.exact);
    let (run, warnings) = play(&problem, method, settings, &nash)?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    let solution = solution(&problem, run);
    print(&to, &solution, || solution_table(args, &problem, &solution))
}

fn solution(problem: &Problem<MatrixGame>, run: Run<MethodState>) -> Solution {
    let quality = |strategy: &Strategy| Quality {
        strategy: strategy.clone(),
        duality_gap: problem.duality_gap(strategy),
        exploitability: problem.exploitability(strategy),
    };
    Solution {
        iterations: run.state.iteration(),
        oracle_calls: run.state.oracle_calls(),
        reason: run.reason,
        last: quality(run.state.strategy()),
        average: quality(run.state.average()),
        weighted_average: quality(run.state.weighted_average()),
        algorithm: run.algorithm,
        history: run.history,
    }
}

fn solution_table(args: &SolveArgs, problem: &Problem<MatrixGame>, solution: &Solution) -> String {
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
    let unit = if args.running.is_sampled() {
        "comparisons"
    } else {
        "win-rate vectors"
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
