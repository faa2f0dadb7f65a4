//! `inpo game`: preference matrices, solved exactly.

mod analyse;
mod compare;
mod convert;
mod equilibrium;
mod error;
mod input;
mod method;
mod nash;
mod output;
mod play;
mod solve;
mod spec;

use clap::Subcommand;

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
