//! What every command reads: the game file.

use std::path::{Path, PathBuf};

use clap::Args;
use inpo_core::game::MatrixGame;
use inpo_core::solver::Problem;

use super::error::solver_error;
use super::output::{OutputArgs, Printer};
use crate::error::CliError;
use crate::output::Inputs;

#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// Game file: JSON {"names", "preferences", "reference"}, or a CSV matrix with or without
    /// names. `preferences[i][j]` is the probability that i beats j.
    pub(super) game: PathBuf,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

impl FileArgs {
    /// Where the result goes, checked before the game is solved.
    pub(super) fn printer(&self) -> Result<Printer, CliError> {
        self.out.printer(&Inputs::files([&self.game]))
    }
}

pub(super) fn read(path: &Path) -> Result<MatrixGame, CliError> {
    MatrixGame::read(path).map_err(|error| CliError::Input(error.to_string()))
}

/// The problem of a game with its reference; checks tau.
pub(super) fn problem(game: MatrixGame, tau: f64) -> Result<Problem<MatrixGame>, CliError> {
    let reference = game.reference();
    Problem::new(game, reference, tau).map_err(solver_error)
}
