//! Laws that need no numbers (`inpo.md` 11.5), on random games.

use inpo_game::{
    MatrixGame, PreferenceGame, Strategy, duality_gap, exploitability, kl, nash, nash_residual,
    regularised_best_response, regularised_duality_gap, regularised_nash, win_rate,
};
use proptest::prelude::*;

/// Sums of a few products of probabilities.
const ROUNDING: f64 = 1e-12;

/// The complement-law matrix whose upper triangle is read from `upper`.
fn rows(n: usize, upper: &[f64]) -> Vec<Vec<f64>> {
    // Rows of a triangle follow each other: row i begins after i rows of n - 1, n - 2, .. entries.
    let at = |i: usize, j: usize| upper[i * (2 * n - i - 1) / 2 + (j - i - 1)];
    let entry = |i: usize, j: usize| match i.cmp(&j) {
        std::cmp::Ordering::Less => at(i, j),
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Greater => 1.0 - at(j, i),
    };
    (0..n)
        .map(|i| (0..n).map(|j| entry(i, j)).collect())
        .collect()
}

fn normalised(weights: Vec<f64>) -> Strategy {
    let sum: f64 = weights.iter().sum();
    Strategy::new(weights.into_iter().map(|w| w / sum).collect()).unwrap()
}

prop_compose! {
    /// A game of 2 to 7 actions with preferences in [low, high], and two strategies of it.
    fn games(low: f64, high: f64)(n in 2usize..=7)(
        upper in prop::collection::vec(low..=high, n * (n - 1) / 2),
        first in prop::collection::vec(0.01..1.0, n),
        second in prop::collection::vec(0.01..1.0, n),
    ) -> (Vec<Vec<f64>>, Strategy, Strategy) {
        (rows(first.len(), &upper), normalised(first), normalised(second))
    }
}

prop_compose! {
    /// A game of 2 to 9 actions with wins, ties and losses only: every degeneracy there is.
    fn tournaments()(n in 2usize..=9)(
        n in Just(n),
        upper in prop::collection::vec(prop::sample::select(vec![0.0, 0.5, 1.0]), n * (n - 1) / 2),
    ) -> MatrixGame {
        MatrixGame::new(rows(n, &upper)).unwrap()
    }
}

proptest! {
    #[test]
    fn the_two_win_rates_add_to_one((rows, p, q) in games(0.0, 1.0)) {
        let game = MatrixGame::new(rows).unwrap();
        let both = win_rate(&game, &p, &q) + win_rate(&game, &q, &p);
        prop_assert!((both - 1.0).abs() < ROUNDING);
        prop_assert!((win_rate(&game, &p, &p) - 0.5).abs() < ROUNDING);
        let preference = game.preference(0, 1);
        prop_assert_eq!(preference.complement().get(), game.preference(1, 0).get());
    }

    #[test]
    fn gaps_are_not_negative_and_the_regularised_one_is_a_kl(
        (rows, pi, reference) in games(0.0, 1.0),
        tau in 0.01..2.0f64,
    ) {
        let game = MatrixGame::new(rows).unwrap();
        prop_assert!(duality_gap(&game, &pi) >= -ROUNDING);
        let gap = regularised_duality_gap(&game, &pi, &reference, tau);
        // With <pi, P pi> = 1/2 the closed form is 2 tau KL(pi || BR_tau(pi)).
        let response = regularised_best_response(&game, &pi, &reference, tau);
        prop_assert!((gap - 2.0 * tau * kl(&pi, &response)).abs() < ROUNDING);
    }

    #[test]
    fn no_strategy_beats_the_regularised_nash(
        (rows, q, reference) in games(0.0, 1.0),
        tau in 0.01..2.0f64,
    ) {
        let game = MatrixGame::new(rows).unwrap();
        let pi = regularised_nash(&game, &reference, tau).unwrap();
        let payoff = win_rate(&game, &pi, &q) - tau * kl(&pi, &reference) + tau * kl(&q, &reference);
        prop_assert!(payoff >= 0.5 - ROUNDING);
        prop_assert!(regularised_duality_gap(&game, &pi, &reference, tau).abs() < ROUNDING);
    }

    #[test]
    fn the_linear_program_finds_a_nash((rows, _, _) in games(0.0, 1.0)) {
        let game = MatrixGame::new(rows).unwrap();
        let pi = nash(&game).unwrap();
        prop_assert!(exploitability(&game, &pi) <= 1e-12);
        prop_assert!(nash_residual(&game, &pi) <= 1e-12);
    }

    #[test]
    fn degenerate_games_are_solved_too(game in tournaments()) {
        let pi = nash(&game).unwrap();
        prop_assert!(exploitability(&game, &pi) <= 1e-12);
    }

    #[test]
    fn relabelling_relabels_the_nash((rows, _, reference) in games(0.0, 1.0), tau in 0.02..2.0f64) {
        let n = rows.len();
        let back = |y: usize| n - 1 - y;
        let swapped = (0..n).map(|i| (0..n).map(|j| rows[back(i)][back(j)]).collect()).collect();
        let pi = regularised_nash(&MatrixGame::new(rows).unwrap(), &reference, tau).unwrap();
        let turned = normalised((0..n).map(|y| reference[back(y)]).collect());
        let qi = regularised_nash(&MatrixGame::new(swapped).unwrap(), &turned, tau).unwrap();
        for y in 0..n {
            prop_assert!((qi[y] - pi[back(y)]).abs() < 1e-10);
        }
    }

    #[test]
    fn a_large_tau_gives_the_reference((rows, _, reference) in games(0.0, 1.0)) {
        let game = MatrixGame::new(rows).unwrap();
        let pi = regularised_nash(&game, &reference, 1e6).unwrap();
        for (p, r) in pi.iter().zip(reference.iter()) {
            prop_assert!((p - r).abs() < 1e-6); // |log(p / r)| <= 1 / tau
        }
    }

    #[test]
    fn a_small_tau_gives_the_winner_of_all((mut rows, _, reference) in games(0.0, 1.0)) {
        // Action 0 beats everyone by at least 0.2, so all others have exp(-0.2 / tau) of its mass
        // (and up to 100 times, by the reference).
        let (winner, others) = rows.split_first_mut().unwrap();
        for (p, other) in winner[1..].iter_mut().zip(others) {
            *p = 0.7 + 0.3 * *p;
            other[0] = 1.0 - *p;
        }
        let game = MatrixGame::new(rows).unwrap();
        let pi = regularised_nash(&game, &reference, 0.005).unwrap();
        prop_assert!(pi[0] > 1.0 - 1e-12);
        prop_assert!(nash(&game).unwrap()[0] > 1.0 - 1e-12);
    }

    #[test]
    fn a_duplicate_splits_its_twins_mass(
        (rows, _, reference) in games(0.0, 1.0),
        tau in 0.02..2.0f64,
        share in 0.1..0.9f64,
    ) {
        let n = rows.len();
        let old = |y: usize| y.min(n - 1); // action n is a copy of action n - 1
        let wide = (0..=n).map(|i| (0..=n).map(|j| rows[old(i)][old(j)]).collect()).collect();
        let mut weights = reference.to_vec();
        weights.push(weights[n - 1] * share);
        weights[n - 1] *= 1.0 - share;
        let pi = regularised_nash(&MatrixGame::new(rows).unwrap(), &reference, tau).unwrap();
        let twin = regularised_nash(&MatrixGame::new(wide).unwrap(), &normalised(weights), tau).unwrap();
        for y in 0..n - 1 {
            prop_assert!((twin[y] - pi[y]).abs() < 1e-10);
        }
        prop_assert!((twin[n] - share * pi[n - 1]).abs() < 1e-10);
        prop_assert!((twin[n - 1] - (1.0 - share) * pi[n - 1]).abs() < 1e-10);
    }

    #[test]
    fn a_dominated_action_vanishes((mut rows, _, _) in games(0.3, 0.7), tau in 0.005..0.1f64) {
        // The new action wins 0.2 less than action 0 against everyone, itself included.
        let n = rows.len();
        let mut last: Vec<f64> = rows[0].iter().map(|p| p - 0.2).collect();
        for (row, p) in rows.iter_mut().zip(&last) {
            row.push(1.0 - p);
        }
        last.push(0.5);
        rows.push(last);
        let game = MatrixGame::new(rows).unwrap();
        let pi = regularised_nash(&game, &Strategy::uniform(n + 1), tau).unwrap();
        let bound = pi[0] * (-0.2 / tau).exp();
        prop_assert!((pi[n] - bound).abs() <= 1e-9 * bound);
    }

    #[test]
    fn a_constant_added_to_all_logits_changes_nothing(
        logits in prop::collection::vec(-30.0..30.0f64, 1..8),
        shift in -500.0..500.0f64,
    ) {
        let moved: Vec<f64> = logits.iter().map(|z| z + shift).collect();
        let (a, b) = (Strategy::from_logits(&logits).unwrap(), Strategy::from_logits(&moved).unwrap());
        for (a, b) in a.iter().zip(b.iter()) {
            prop_assert!((a - b).abs() < 1e-11);
        }
    }
}
