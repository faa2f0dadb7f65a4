//! `inpo game nash`: the exact equilibrium.

use std::fmt::Write as _;

use clap::Args;

use super::equilibrium::equilibrium;
use super::input::{FileArgs, problem, read};
use super::output::{heading, print, strategies};
use crate::error::CliError;

#[derive(Debug, Args)]
pub(crate) struct NashArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Weight of the KL to the reference; without it, or 0, the plain game.
    #[arg(long, allow_negative_numbers = true)]
    tau: Option<f64>,
}

pub(super) fn run(args: &NashArgs) -> Result<(), CliError> {
    let to = args.file.printer()?;
    let problem = problem(read(&args.file.game)?, args.tau.unwrap_or(0.0))?;
    let equilibrium = equilibrium(&problem)?;
    print(&to, &equilibrium, || {
        let mut out = heading(&args.file.game, &problem);
        let column: (&str, &[f64]) = ("nash", &equilibrium.strategy);
        strategies(&mut out, problem.game(), &[column]);
        let _ = writeln!(out, "\nduality gap    {:.3e}", equilibrium.duality_gap);
        let _ = writeln!(out, "exploitability {:.3e}", equilibrium.exploitability);
        let _ = writeln!(out, "residual       {:.3e}", equilibrium.residual);
        out
    })
}
