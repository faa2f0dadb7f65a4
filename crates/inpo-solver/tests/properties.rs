//! Laws of the exact step (docs/theory.md 11.5), on random games.

use inpo_game::{MatrixGame, Strategy, regularised_best_response, win_rate};
use inpo_solver::{Executor, Inpo, Problem, State, StepSize};
use proptest::prelude::*;

const ROUNDING: f64 = 1e-12;

fn normalised(weights: &[f64]) -> Strategy {
    let sum: f64 = weights.iter().sum();
    Strategy::new(weights.iter().map(|w| w / sum).collect()).unwrap()
}

prop_compose! {
    /// A matrix of 2 to 7 actions, a reference and a start.
    fn games()(n in 2usize..=7)(
        upper in prop::collection::vec(0.0..=1.0f64, n * n),
        reference in prop::collection::vec(0.01..1.0, n),
        start in prop::collection::vec(0.01..1.0, n),
    ) -> (Vec<Vec<f64>>, Vec<f64>, Vec<f64>) {
        let n = reference.len();
        let entry = |i: usize, j: usize| match i.cmp(&j) {
            std::cmp::Ordering::Less => upper[i * n + j],
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Greater => 1.0 - upper[j * n + i],
        };
        let rows = (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect();
        (rows, reference, start)
    }
}

fn play(
    rows: &[Vec<f64>],
    reference: &[f64],
    start: &[f64],
    tau: f64,
    eta: f64,
    updates: u64,
) -> Strategy {
    let game = MatrixGame::new(rows.to_vec()).unwrap();
    let problem = Problem::new(game, normalised(reference), tau).unwrap();
    let executor = Executor::new(&problem, Inpo::new(StepSize::Constant(eta)));
    let run = executor
        .start(normalised(start))
        .iterations(updates)
        .run()
        .unwrap();
    let pi = run.state.strategy().clone();
    assert!((win_rate(problem.game(), &pi, &pi) - 0.5).abs() < ROUNDING);
    pi
}

proptest! {
    #[test]
    fn the_simplex_is_preserved(
        (rows, reference, start) in games(),
        eta in 0.001..5.0f64,
        ratio in 0.0..=1.0f64,
    ) {
        let pi = play(&rows, &reference, &start, ratio * eta, eta, 20);
        prop_assert!((pi.iter().sum::<f64>() - 1.0).abs() < ROUNDING);
        prop_assert!(pi.iter().all(|p| (0.0..=1.0).contains(p)));
    }

    #[test]
    fn relabelling_commutes_with_a_step((rows, reference, start) in games(), eta in 0.1..5.0f64) {
        let n = rows.len();
        let turn = |v: &[f64]| v.iter().rev().copied().collect::<Vec<_>>();
        let turned: Vec<Vec<f64>> = (0..n).map(|i| turn(&rows[n - 1 - i])).collect();
        let pi = play(&rows, &reference, &start, eta / 3.0, eta, 1);
        let qi = play(&turned, &turn(&reference), &turn(&start), eta / 3.0, eta, 1);
        for y in 0..n {
            prop_assert!((qi[y] - pi[n - 1 - y]).abs() < ROUNDING);
        }
    }

    #[test]
    fn at_tau_equal_eta_the_step_is_the_regularised_best_response(
        (rows, reference, start) in games(),
        eta in 0.05..5.0f64,
    ) {
        // (5) loses its last factor: IPO on samples of pi_t.
        let pi = play(&rows, &reference, &start, eta, eta, 1);
        let game = MatrixGame::new(rows).unwrap();
        let response =
            regularised_best_response(&game, &normalised(&start), &normalised(&reference), eta);
        for (p, r) in pi.iter().zip(response.iter()) {
            prop_assert!((p - r).abs() < ROUNDING);
        }
    }

    #[test]
    fn the_nash_policy_is_a_fixed_point((rows, reference, _) in games(), tau in 0.05..1.0f64) {
        let game = MatrixGame::new(rows.clone()).unwrap();
        let nash = Problem::new(game, normalised(&reference), tau).unwrap().nash().unwrap();
        let pi = play(&rows, &reference, &nash, tau, 3.0 * tau, 1);
        for (p, n) in pi.iter().zip(nash.iter()) {
            prop_assert!((p - n).abs() < 1e-11);
        }
    }

    #[test]
    fn without_reference_the_step_is_multiplicative_weights(
        (rows, _, start) in games(),
        eta in 0.1..5.0f64,
    ) {
        // pi_{t+1} is proportional to pi_t exp(P pi_t / eta), whatever the reference.
        let uniform = vec![1.0; rows.len()];
        let pi = play(&rows, &uniform, &start, 0.0, eta, 1);
        let before = normalised(&start);
        let weights: Vec<f64> = rows
            .iter()
            .zip(before.iter())
            .map(|(row, p)| p * (row.iter().zip(before.iter()).map(|(a, q)| a * q).sum::<f64>() / eta).exp())
            .collect();
        for (p, w) in pi.iter().zip(normalised(&weights).iter()) {
            prop_assert!((p - w).abs() < ROUNDING);
        }
    }
}
