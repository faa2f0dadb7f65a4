//! `inpo game analyse`: what kind of game it is.

use std::fmt::Write as _;

use clap::Args;
use inpo_core::game::analysis::{self, Scale, TriadCount};
use inpo_core::game::{MatrixGame, PreferenceGame, nash_report};
use inpo_core::solver::Problem;
use serde::Serialize;

use super::equilibrium::{Equilibrium, equilibrium};
use super::error::{equilibrium_error, solver_error};
use super::input::{FileArgs, problem, read};
use super::output::{heading, label, print, strategies};
use crate::error::CliError;

#[derive(Debug, Args)]
pub(crate) struct AnalyseArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Weight of the KL for the regularised Nash policy.
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true)]
    tau: f64,
}

/// Seed of the triads that are drawn when there are too many to count.
const TRIAD_SEED: u64 = 0;

/// What `analyse` prints. Actions are indices into the game file.
#[derive(Serialize)]
struct Analysis {
    condorcet_winner: Option<usize>,
    /// The smallest set whose members beat everyone outside.
    smith_set: Vec<usize>,
    /// The top cycle: the union of the minimal sets that nobody outside beats.
    schwartz_set: Vec<usize>,
    /// None where they were sampled.
    cyclic_triads: Option<u64>,
    triads: u64,
    cyclic_share: f64,
    /// 0 where all triads were counted.
    cyclic_share_standard_error: f64,
    /// On the scale of probabilities.
    transitive_share: f64,
    /// None where a preference is 0 or 1.
    transitive_share_log_odds: Option<f64>,
    borda: Vec<f64>,
    copeland: Vec<f64>,
    nash: Equilibrium,
    nash_support: Vec<usize>,
    nash_is_unique: bool,
    tau: f64,
    regularised_nash: Equilibrium,
}

pub(super) fn run(args: &AnalyseArgs) -> Result<(), CliError> {
    if args.tau == 0.0 {
        return Err(CliError::Input(
            "--tau: tau is 0: the regularised Nash policy needs a positive tau".into(),
        ));
    }
    let to = args.file.printer()?;
    let regularised = problem(read(&args.file.game)?, args.tau)?;
    let found = analyse(&regularised)?;
    print(&to, &found, || table(args, &regularised, &found))
}

fn analyse(regularised: &Problem<MatrixGame>) -> Result<Analysis, CliError> {
    let game = regularised.game();
    let n = game.num_actions() as u64;
    let plain = Problem::new(game, game.reference(), 0.0).map_err(solver_error)?;
    let count = analysis::triads(game, TRIAD_SEED);
    let (cyclic_triads, standard_error) = match count {
        TriadCount::Exact(triads) => (Some(triads.cyclic), 0.0),
        TriadCount::Sampled(estimate) => (None, estimate.standard_error),
    };
    let log_odds = analysis::hodge(game, Scale::LogOdds);
    let report = nash_report(game).map_err(equilibrium_error)?;
    Ok(Analysis {
        condorcet_winner: analysis::condorcet_winner(game),
        smith_set: analysis::smith_set(game),
        schwartz_set: analysis::schwartz_set(game),
        cyclic_triads,
        triads: n * n.saturating_sub(1) / 2 * n.saturating_sub(2) / 3,
        cyclic_share: count.cyclic_share(),
        cyclic_share_standard_error: standard_error,
        transitive_share: analysis::transitive_share(game),
        transitive_share_log_odds: log_odds.ok().map(|parts| parts.transitive_share),
        borda: analysis::borda(game),
        copeland: analysis::copeland(game),
        nash: Equilibrium {
            duality_gap: plain.duality_gap(&report.strategy),
            exploitability: report.exploitability,
            residual: report.residual,
            strategy: report.strategy,
        },
        nash_support: report.support,
        nash_is_unique: report.unique,
        tau: regularised.tau(),
        regularised_nash: equilibrium(regularised)?,
    })
}

fn table(args: &AnalyseArgs, problem: &Problem<MatrixGame>, found: &Analysis) -> String {
    let game = problem.game();
    let mut out = heading(&args.file.game, problem);
    let columns: [(&str, &[f64]); 4] = [
        ("nash", &found.nash.strategy),
        ("regularised", &found.regularised_nash.strategy),
        ("Borda", &found.borda),
        ("Copeland", &found.copeland),
    ];
    strategies(&mut out, game, &columns);
    let names = |actions: &[usize]| {
        let names: Vec<String> = actions.iter().map(|&y| label(game, y)).collect();
        names.join(", ")
    };
    let winner = found
        .condorcet_winner
        .map_or("none".to_owned(), |y| label(game, y));
    let triads = match found.cyclic_triads {
        Some(cyclic) => format!("{cyclic} of {}", found.triads),
        None => format!(
            "{:.4} +- {:.4} of all",
            found.cyclic_share, found.cyclic_share_standard_error
        ),
    };
    let log_odds = match found.transitive_share_log_odds {
        Some(share) => format!("{share:.4}"),
        None => "undefined: a preference is 0 or 1".to_owned(),
    };
    let unique = if found.nash_is_unique {
        "the only one"
    } else {
        "one of several"
    };
    for (name, value) in [
        ("Condorcet winner", winner),
        ("Smith set", names(&found.smith_set)),
        ("Schwartz set", names(&found.schwartz_set)),
        ("cyclic triads", triads),
        ("transitive share", format!("{:.4}", found.transitive_share)),
        ("  of log-odds", log_odds),
        ("Nash policy", unique.to_owned()),
    ] {
        let _ = write!(out, "\n{name:17} {value}");
    }
    out.push('\n');
    out
}
