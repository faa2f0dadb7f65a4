//! The library's errors as the command's: with the flag that is to be changed.

use inpo_core::game::EquilibriumError;
use inpo_core::solver::SolverError;

use crate::error::CliError;

/// Bad settings are for the caller to change: the sentence starts with the flag.
pub(super) fn solver_error(error: SolverError) -> CliError {
    let flag = match &error {
        SolverError::Tau { .. }
        | SolverError::TauAboveEta { .. }
        | SolverError::PlainGameOnly { .. }
        | SolverError::NeedsTau { .. }
        | SolverError::Overflow { .. } => "--tau",
        SolverError::Eta { .. } | SolverError::NotFinite { .. } => "--eta",
        SolverError::EtaMissing => return CliError::Input(format!("--{error}")),
        SolverError::TheoryWithoutTau => "--schedule theory",
        SolverError::NoTheory { .. } => "--schedule",
        SolverError::Setting { setting, .. } => &format!("--{}", setting.replace('_', "-")),
        SolverError::Weights { .. } => "--history-weights",
        SolverError::Comparisons | SolverError::ExactOnly { .. } => "--comparisons",
        SolverError::Tolerance { .. } => "--tolerance",
        SolverError::Stride => "--stride",
        SolverError::NoFit { .. } | SolverError::UnknownMethod { .. } => "--algorithm",
        SolverError::Length { .. }
        | SolverError::StartSupport { .. }
        | SolverError::Oracle(_)
        | SolverError::NoMethod
        | SolverError::OtherMethod { .. }
        | SolverError::MaxRecords
        | SolverError::OtherReference { .. } => {
            return CliError::Other(error.to_string());
        }
    };
    CliError::Input(format!("{flag}: {error}"))
}

pub(super) fn equilibrium_error(error: EquilibriumError) -> CliError {
    match error {
        EquilibriumError::Tau { .. } => CliError::Input(format!("--tau: {error}")),
        _ => CliError::Other(error.to_string()),
    }
}
