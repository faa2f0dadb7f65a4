//! The Nash policies of games whose margins are of very different sizes.

use inpo_game::analysis::condorcet_winner;
use inpo_game::{EquilibriumError, MatrixGame, exploitability, nash, nash_report, nash_residual};
use proptest::prelude::*;

/// The policies are exact but for their rounding to f64.
const EXACT: f64 = 1e-12;

fn game(rows: [[f64; 3]; 3]) -> MatrixGame {
    MatrixGame::new(rows.iter().map(|row| row.to_vec()).collect()).unwrap()
}

/// The game with `margins[k]` = P(i beats j) - 1/2, k in row-major order of i < j.
fn game_of(n: usize, margins: &[f64]) -> MatrixGame {
    let mut margins = margins.iter();
    MatrixGame::from_fn(n, |_, _| 0.5 + margins.next().unwrap()).unwrap()
}

#[test]
fn a_cycle_with_one_faint_margin() {
    // 1 beats 0 by 0.4, 0 beats 2 by 0.4, 2 beats 1 by q = 1e-9. Each wins against one and loses
    // to the other: (0.4 x_2, ...) balances exactly if x is proportional to the margin of the
    // other two: (q, 0.4, 0.4).
    let game = game([
        [0.5, 0.1, 0.9],
        [0.9, 0.5, 0.499_999_999],
        [0.1, 0.500_000_001, 0.5],
    ]);
    let q = 0.5 - 0.499_999_999;
    let pi = nash(&game).unwrap();
    for (got, want) in pi.iter().zip([q, 0.4, 0.4]) {
        let want = want / (0.8 + q);
        assert!((got - want).abs() < 1e-15, "{got} is not {want}");
    }
    assert!((pi[0] / (q / (0.8 + q)) - 1.0).abs() < 1e-12, "{}", pi[0]);
    assert!(exploitability(&game, &pi) <= EXACT);
}

#[test]
fn a_winner_by_little_is_played_alone() {
    // 2 beats 0 by 6e-14 and 1 by 5e-3.
    let last = game([
        [0.5, 0.499_996_187_830_534_95, 0.499_999_999_999_937_9],
        [0.500_003_812_169_465, 0.5, 0.494_510_756_678_126_94],
        [0.500_000_000_000_062_2, 0.505_489_243_321_873_1, 0.5],
    ]);
    assert_eq!(nash(&last).unwrap().as_slice(), [0.0, 0.0, 1.0]);
    // 0 beats 1 by 1e-10 and 2 by 0.4.
    let first = game([
        [0.5, 0.500_000_000_1, 0.9],
        [0.499_999_999_9, 0.5, 0.9],
        [0.1, 0.1, 0.5],
    ]);
    let report = nash_report(&first).unwrap();
    assert_eq!(report.strategy.as_slice(), [1.0, 0.0, 0.0]);
    // A change of the margins by a part in 1e9 would let 1 win: that counts as a tie.
    assert_eq!(report.best_responses, [0, 1]);
    assert!(!report.unique);
}

fn check(n: usize, margins: &[f64]) -> Result<(), TestCaseError> {
    let game = game_of(n, margins);
    let pi = match nash(&game) {
        Ok(pi) => pi,
        Err(error @ EquilibriumError::NotConverged { .. }) => {
            return Err(TestCaseError::fail(error.to_string()));
        }
        Err(error) => panic!("{error}"),
    };
    let miss = exploitability(&game, &pi);
    prop_assert!(miss <= EXACT, "exploitability {miss:e}");
    let miss = nash_residual(&game, &pi);
    prop_assert!(miss <= EXACT, "residual {miss:e}");
    if let Some(winner) = condorcet_winner(&game) {
        prop_assert_eq!(pi[winner], 1.0);
    }
    let report = nash_report(&game).unwrap();
    prop_assert!(
        report
            .support
            .iter()
            .all(|y| report.best_responses.contains(y))
    );
    prop_assert!(!report.unique || report.support == report.best_responses);
    // A skew-symmetric matrix of even size has a kernel of even dimension.
    prop_assert!(!report.unique || report.support.len() % 2 == 1);
    Ok(())
}

fn games(
    actions: std::ops::Range<usize>,
    margin: impl Strategy<Value = f64> + Clone,
) -> impl Strategy<Value = (usize, Vec<f64>)> {
    actions.prop_flat_map(move |n| {
        (
            Just(n),
            prop::collection::vec(margin.clone(), n * (n - 1) / 2),
        )
    })
}

fn signed(margin: impl Strategy<Value = f64> + Clone) -> impl Strategy<Value = f64> + Clone {
    (margin, any::<bool>()).prop_map(|(margin, wins)| if wins { margin } else { -margin })
}

proptest! {
    #[test]
    fn margins_of_all_sizes(
        (n, margins) in games(2..9, signed((-12.0..-0.3_f64).prop_map(|e| 10_f64.powf(e)))),
    ) {
        // 10^-0.3 is a little more than 1/2.
        let margins: Vec<f64> = margins.iter().map(|m| m.clamp(-0.5, 0.5)).collect();
        check(n, &margins)?;
    }

    #[test]
    fn margins_of_a_few_sizes_and_ties(
        (n, margins) in games(
            2..9,
            signed(prop::sample::select(vec![0.0, 1e-4, 1e-6, 1e-8, 1e-10, 0.4])),
        ),
    ) {
        check(n, &margins)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn two_groups_of_near_twins((n, mut margins) in games(20..31, -0.5..0.5_f64)) {
        // Within each half of the actions all is within 1e-9 of a tie.
        let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
        for ((i, j), margin) in pairs.zip(&mut margins) {
            if (i < n / 2) == (j < n / 2) {
                *margin *= 1e-9;
            }
        }
        check(n, &margins)?;
    }
}
