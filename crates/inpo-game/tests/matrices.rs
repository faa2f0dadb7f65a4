//! Real preference matrices with their known equilibria, where the shared data lies beside the
//! project. Without the data the tests pass and say so.

use std::collections::BTreeMap;
use std::path::PathBuf;

use inpo_game::{
    MatrixGame, PreferenceGame, Strategy, analysis, exploitability, kl, nash, regularised_nash,
    regularised_nash_residual, stability_threshold,
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
    let pi = nash(&game).unwrap();
    assert!(exploitability(&game, &pi) <= EXPLOITABILITY);
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
