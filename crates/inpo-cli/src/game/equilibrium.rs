//! An exact equilibrium, as `nash` and `analyse` print it.

use inpo_core::game::{PreferenceGame, Strategy};
use inpo_core::solver::Problem;
use serde::Serialize;

use super::error::equilibrium_error;
use crate::error::CliError;

#[derive(Serialize)]
pub(super) struct Equilibrium {
    pub(super) strategy: Strategy,
    pub(super) duality_gap: f64,
    pub(super) exploitability: f64,
    pub(super) residual: f64,
}

/// The Nash policy of `problem`, and how exact it is.
pub(super) fn equilibrium<G: PreferenceGame>(
    problem: &Problem<G>,
) -> Result<Equilibrium, CliError> {
    let strategy = problem.nash().map_err(equilibrium_error)?;
    Ok(Equilibrium {
        duality_gap: problem.duality_gap(&strategy),
        exploitability: problem.exploitability(&strategy),
        residual: problem.residual(&strategy),
        strategy,
    })
}
