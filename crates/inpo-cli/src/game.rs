//! `inpo game`: preference matrices, solved exactly.

mod analyse;
mod compare;
mod convert;
mod method;
mod nash;
mod output;
mod solve;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use inpo_core::game::{
    EquilibriumError, MatrixGame, PreferenceGame, Strategy, nash_residual,
    regularised_nash_residual,
};
use inpo_core::solver::{Problem, SolverError};
use serde::Serialize;

use crate::error::CliError;

/// Solve a preference game given by its matrix.
#[derive(Debug, Subcommand)]
pub(crate) enum GameCommand {
    /// The exact Nash policy: by linear programming, or with --tau that of the KL-regularised game.
    Nash(nash::NashArgs),
    /// Play an iterative method and report its last and its average policy.
    Solve(solve::SolveArgs),
    /// What kind of game it is: winners, cycles, rankings, equilibria, how far a ranking explains it.
    Analyse(analyse::AnalyseArgs),
    /// Run several methods on one or many games: their duality gaps as a picture and a table.
    Compare(compare::CompareArgs),
    /// Rewrite a game file as JSON or CSV, or make one of a file of pairwise votes.
    Convert(convert::ConvertArgs),
}

#[derive(Debug, Args)]
struct FileArgs {
    /// Game file: JSON {"names", "preferences", "reference"}, or a CSV matrix with or without
    /// names. `preferences[i][j]` is the probability that i beats j.
    game: PathBuf,
    #[command(flatten)]
    out: OutputArgs,
}

#[derive(Debug, Args)]
struct OutputArgs {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Write to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// An equilibrium: what `nash` prints.
#[derive(Serialize)]
struct Equilibrium {
    strategy: Strategy,
    duality_gap: f64,
    exploitability: f64,
    residual: f64,
}

/// Runs one `inpo game` command.
pub(crate) fn run(cmd: GameCommand) -> Result<(), CliError> {
    match cmd {
        GameCommand::Nash(args) => nash::run(&args),
        GameCommand::Solve(args) => solve::run(&args),
        GameCommand::Analyse(args) => analyse::run(&args),
        GameCommand::Compare(args) => compare::run(&args),
        GameCommand::Convert(args) => convert::run(&args),
    }
}

fn read(path: &Path) -> Result<MatrixGame, CliError> {
    MatrixGame::read(path).map_err(|error| CliError::Input(error.to_string()))
}

/// The problem of a game with its reference; checks tau.
fn problem(game: MatrixGame, tau: f64) -> Result<Problem<MatrixGame>, CliError> {
    let reference = game.reference();
    Problem::new(game, reference, tau).map_err(solver_error)
}

fn equilibrium<G: PreferenceGame>(problem: &Problem<G>) -> Result<Equilibrium, CliError> {
    let strategy = problem.nash().map_err(equilibrium_error)?;
    let residual = if problem.tau() > 0.0 {
        regularised_nash_residual(
            problem.game(),
            &strategy,
            problem.reference(),
            problem.tau(),
        )
    } else {
        nash_residual(problem.game(), &strategy)
    };
    Ok(Equilibrium {
        duality_gap: problem.duality_gap(&strategy),
        exploitability: problem.exploitability(&strategy),
        residual,
        strategy,
    })
}

/// Bad settings are the caller's to mend: the sentence starts with the flag.
fn solver_error(error: SolverError) -> CliError {
    let flag = match &error {
        SolverError::Tau { .. }
        | SolverError::TauAboveEta { .. }
        | SolverError::PlainGameOnly { .. }
        | SolverError::NeedsTau { .. }
        | SolverError::Overflow { .. } => "--tau",
        SolverError::Eta { .. } | SolverError::NotFinite { .. } => "--eta",
        SolverError::TheoryWithoutTau => "--schedule theory",
        SolverError::NoTheory { .. } => "--schedule",
        SolverError::Setting { setting, .. } => match *setting {
            "tau" => "--tau",
            "decay" => "--decay",
            "period" => "--period",
            "step" => "--step",
            _ => return CliError::Input(error.to_string()),
        },
        SolverError::Weights { .. } => "--history-weights",
        SolverError::Comparisons | SolverError::ExactOnly { .. } => "--comparisons",
        SolverError::Tolerance { .. } => "--tolerance",
        SolverError::Stride => "--stride",
        SolverError::NoFit { .. } => "--algorithm",
        SolverError::Length { .. }
        | SolverError::StartSupport { .. }
        | SolverError::Oracle(_)
        | SolverError::OtherMethod { .. }
        | SolverError::OtherReference { .. } => {
            return CliError::Other(error.to_string());
        }
    };
    CliError::Input(format!("{flag}: {error}"))
}

fn equilibrium_error(error: EquilibriumError) -> CliError {
    match error {
        EquilibriumError::Tau { .. } => CliError::Input(format!("--tau: {error}")),
        _ => CliError::Other(error.to_string()),
    }
}
