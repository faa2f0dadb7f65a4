//! Games with known answers: small random ones, described by `fixtures/games.py`, and real
//! preference matrices with their known equilibria, where the shared data lies beside the project.
//! Without that data its tests pass and say so.

use std::collections::BTreeMap;
use std::path::PathBuf;

use inpo_game::analysis::{self, Margins, Scale};
use inpo_game::{
    MatrixGame, PreferenceGame, Strategy, bradley_terry, exploitability, kl, nash, nash_report,
    regularised_nash, regularised_nash_residual, stability_threshold,
};
use serde::Deserialize;

/// What the generator of the expectations reached itself.
const ENTRY: f64 = 1e-9;
const EXPLOITABILITY: f64 = 1e-9;

#[derive(Deserialize)]
struct Expected {
    cyclic_triads: u64,
    triads: u64,
    condorcet_winner: Option<usize>,
    nash: Vec<f64>,
    regularised_nash_uniform_ref: BTreeMap<String, Regularised>,
}

#[derive(Deserialize)]
struct Regularised {
    pi: Vec<f64>,
    exploitability: f64,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/preference_matrices")
}

fn check(name: &str) {
    let path = folder().join(format!("{name}.json"));
    if !path.exists() {
        eprintln!("{name}: the shared preference matrices are not here, nothing checked");
        return;
    }
    let game = MatrixGame::read(&path).unwrap();
    let text = std::fs::read_to_string(folder().join(format!("{name}.expected.json"))).unwrap();
    let expected: Expected = serde_json::from_str(&text).unwrap();

    let triads = analysis::cyclic_triads(&game);
    assert_eq!(
        (triads.cyclic, triads.total),
        (expected.cyclic_triads, expected.triads)
    );
    assert_eq!(analysis::condorcet_winner(&game), expected.condorcet_winner);

    // The Nash policy of both games is unique.
    let report = nash_report(&game).unwrap();
    assert!(report.unique, "{name}");
    assert!(report.exploitability <= EXPLOITABILITY);
    let pi = report.strategy;
    assert_eq!(pi, nash(&game).unwrap());
    let played: Vec<usize> = (0..pi.len()).filter(|&y| expected.nash[y] > 0.0).collect();
    assert_eq!(report.support, played, "{name}");
    for (got, want) in pi.iter().zip(&expected.nash) {
        assert!((got - want).abs() <= ENTRY, "{name}: {got} is not {want}");
    }

    let uniform = Strategy::uniform(game.num_actions());
    for (tau, expected) in &expected.regularised_nash_uniform_ref {
        let tau: f64 = tau.parse().unwrap();
        let pi = regularised_nash(&game, &uniform, tau).unwrap();
        for (got, want) in pi.iter().zip(&expected.pi) {
            assert!(
                (got - want).abs() <= ENTRY,
                "{name}, tau {tau}: {got} is not {want}"
            );
        }
        assert!((exploitability(&game, &pi) - expected.exploitability).abs() <= ENTRY);
        assert!(regularised_nash_residual(&game, &pi, &uniform, tau) <= 1e-12);
        assert!(kl(&pi, &uniform) < (game.num_actions() as f64).ln());
        assert!(stability_threshold(&game, &pi, tau) >= tau / 2.0);
    }
}

#[test]
fn soccer() {
    check("soccer");
}

#[test]
fn language_models_compared_by_people() {
    check("llmfao14_crowd");
}

/// One game of `fixtures/games.json`; `fixtures/games.py` says how each field was made.
#[derive(Deserialize)]
struct Known {
    name: String,
    preferences: Vec<Vec<f64>>,
    nash_lowest: Vec<f64>,
    nash_highest: Vec<f64>,
    unique: bool,
    nash: Option<Vec<f64>>,
    sign_lowest: Vec<f64>,
    sign_highest: Vec<f64>,
    reference: Vec<f64>,
    regularised: BTreeMap<String, Vec<f64>>,
    bradley_terry: Option<Vec<f64>>,
    hodge_probability: KnownHodge,
    hodge_log_odds: Option<KnownHodge>,
    smith: Vec<usize>,
    schwartz: Vec<usize>,
    cyclic_triads: u64,
    triads: u64,
    condorcet_winner: Option<usize>,
    borda: Vec<f64>,
    copeland: Vec<f64>,
}

#[derive(Deserialize)]
struct KnownHodge {
    scores: Vec<f64>,
    transitive_share: f64,
}

/// What was computed in 50 digits or in rational numbers.
const DIGITS: f64 = 1e-12;

/// What the linear programs of the generator reach.
const PROGRAM: f64 = 1e-9;

fn known() -> Vec<(MatrixGame, Known)> {
    let games: Vec<Known> = serde_json::from_str(include_str!("fixtures/games.json")).unwrap();
    assert_eq!(games.len(), 10);
    games
        .into_iter()
        .map(|known| (MatrixGame::new(known.preferences.clone()).unwrap(), known))
        .collect()
}

fn close(name: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (got, want) in got.iter().zip(want) {
        assert!(
            (got - want).abs() <= tolerance,
            "{name}: {got} is not {want}"
        );
    }
}

#[test]
fn nash_policies_of_small_games() {
    for (game, known) in known() {
        let name = &known.name;
        let report = nash_report(&game).unwrap();
        assert_eq!(report.unique, known.unique, "{name}");
        assert!(report.exploitability <= DIGITS, "{name}");
        if let Some(want) = &known.nash {
            close(name, &report.strategy, want, DIGITS);
        }
        // Of several policies, one between the extremes that plays whatever can be played.
        let check = |pi: &Strategy, lowest: &[f64], highest: &[f64]| {
            for ((&p, low), high) in pi.iter().zip(lowest).zip(highest) {
                assert!(low - PROGRAM <= p && p <= high + PROGRAM, "{name}: {pi:?}");
                assert_eq!(p > 0.0, *high > 1e-7, "{name}: {pi:?}");
            }
        };
        check(&report.strategy, &known.nash_lowest, &known.nash_highest);
        let signs = analysis::maximal_lottery(&game, Margins::SignOnly).unwrap();
        check(&signs, &known.sign_lowest, &known.sign_highest);
    }
}

#[test]
fn regularised_nash_policies_of_small_games() {
    for (game, known) in known() {
        let reference = Strategy::new(known.reference.clone()).unwrap();
        assert_eq!(known.regularised.len(), 4, "{}", known.name);
        for (tau, want) in &known.regularised {
            let tau: f64 = tau.parse().unwrap();
            let pi = regularised_nash(&game, &reference, tau).unwrap();
            close(&format!("{}, tau {tau}", known.name), &pi, want, DIGITS);
        }
    }
}

#[test]
fn scores_of_small_games() {
    for (game, known) in known() {
        let name = &known.name;
        close(name, &analysis::borda(&game), &known.borda, DIGITS);
        close(name, &analysis::copeland(&game), &known.copeland, DIGITS);
        if let Some(want) = &known.bradley_terry {
            close(name, &bradley_terry::scores(&game).unwrap(), want, DIGITS);
        }
        let parts = analysis::hodge(&game, Scale::Probability).unwrap();
        close(name, &parts.scores, &known.hodge_probability.scores, DIGITS);
        let share = known.hodge_probability.transitive_share;
        assert!((parts.transitive_share - share).abs() <= DIGITS, "{name}");
        assert_eq!(analysis::transitive_share(&game), parts.transitive_share);
        match (
            &known.hodge_log_odds,
            analysis::hodge(&game, Scale::LogOdds),
        ) {
            (Some(want), Ok(parts)) => {
                close(name, &parts.scores, &want.scores, 1e-11);
                assert!((parts.transitive_share - want.transitive_share).abs() <= DIGITS);
            }
            (None, Err(_)) => {}
            (want, _) => panic!("{name}: log-odds are finite is {}", want.is_some()),
        }
    }
}

#[test]
fn winners_and_cycles_of_small_games() {
    for (game, known) in known() {
        let name = &known.name;
        assert_eq!(analysis::smith_set(&game), known.smith, "{name}");
        assert_eq!(analysis::schwartz_set(&game), known.schwartz, "{name}");
        let winner = analysis::condorcet_winner(&game);
        assert_eq!(winner, known.condorcet_winner, "{name}");
        let triads = analysis::cyclic_triads(&game);
        let want = (known.cyclic_triads, known.triads);
        assert_eq!((triads.cyclic, triads.total), want, "{name}");
    }
}
