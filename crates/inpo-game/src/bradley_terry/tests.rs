use super::*;
use crate::games::cyclic_three;
use crate::{MatrixGame, Strategy};

/// Newton's last step leaves about the square of itself.
const EXACT: f64 = 1e-11;

fn sigmoid(d: f64) -> f64 {
    1.0 / (1.0 + (-d).exp())
}

fn game(n: usize, f: impl Fn(usize, usize) -> f64) -> MatrixGame {
    let rows = (0..n).map(|i| (0..n).map(|j| f(i, j)).collect());
    MatrixGame::new(rows.collect()).unwrap()
}

fn close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() < tolerance, "{got} is not {want}");
    }
}

fn message<T: std::fmt::Debug>(result: Result<T, FitError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn scores_are_recovered_from_their_own_probabilities() {
    let known = [0.3, -1.7, 2.5, 0.0, -1.1]; // mean 0
    let got = scores(&game(5, |i, j| sigmoid(known[i] - known[j]))).unwrap();
    close(&got, &known, EXACT);
    // Under any symmetric weights, and any scaling of the rows.
    let weight = |i: usize, j: usize| (1 + i) as f64 * (1 + (i * j + i + j) % 4) as f64;
    let wins: Vec<f64> = (0..5)
        .map(|i| {
            let won = |j: usize| weight(i, j) * sigmoid(known[i] - known[j]);
            (0..5).map(won).sum()
        })
        .collect();
    close(&fit(5, weight, &wins, None).unwrap(), &known, EXACT);
}

#[test]
fn two_items_have_a_closed_form() {
    // sigmoid(2 f) = 0.8, so f = log(4) / 2, whatever the number of comparisons.
    let half = 0.5 * 4f64.ln();
    for count in [1e-3, 1.0, 1e6] {
        let wins = |i: usize, _| if i == 0 { 0.8 * count } else { 0.2 * count };
        let got = fit_counts(2, |_, _| count, wins).unwrap();
        close(&got, &[half, -half], EXACT);
    }
    // w_ij = pi_j with pi = (0.3, 0.7): the win rates against pi are 0.3 * 0.5 + 0.7 * 0.8 = 0.71
    // and 0.3 * 0.2 + 0.7 * 0.5 = 0.41.
    let pi = [0.3, 0.7];
    let got = fit(2, |_, j| pi[j], &[0.71, 0.41], None).unwrap();
    close(&got, &[half, -half], EXACT);
}

#[test]
fn zermelos_iteration_agrees() {
    // An independent method (Hunter, Annals of Statistics 32, 2004): with strengths
    // g_i = exp(f_i), g_i <- W_i / sum_j n_ij / (g_i + g_j), which converges linearly.
    let wins = [
        [0.0, 9.0, 5.0, 3.5],
        [5.0, 0.0, 4.0, 0.5],
        [5.0, 1.0, 0.0, 4.0],
        [3.0, 3.0, 2.0, 0.0],
    ];
    let count = |i: usize, j: usize| wins[i][j] + wins[j][i];
    let mut strength = [1.0; 4];
    for _ in 0..5_000 {
        let mut next = strength;
        for (i, next) in next.iter_mut().enumerate() {
            let total: f64 = wins[i].iter().sum();
            let others = (0..4).filter(|&j| j != i);
            *next = total
                / others
                    .map(|j| count(i, j) / (strength[i] + strength[j]))
                    .sum::<f64>();
        }
        strength = next;
    }
    let logs = strength.map(f64::ln);
    let mean = logs.iter().sum::<f64>() / 4.0;
    let got = fit_counts(4, count, |i, j| wins[i][j]).unwrap();
    close(&got, &logs.map(|f| f - mean), EXACT);
}

#[test]
fn a_start_changes_the_way_and_not_the_end() {
    let pi = Strategy::new(vec![0.2, 0.5, 0.3]).unwrap();
    let game = cyclic_three();
    let rates = game.win_rates(&pi);
    let cold = fit(3, |_, j| pi[j], &rates, None).unwrap();
    for start in [[0.0; 3], [5.0, 5.1, 4.9], [40.0, -40.0, 0.0]] {
        let warm = fit(3, |_, j| pi[j], &rates, Some(&start)).unwrap();
        close(&warm, &cold, EXACT);
    }
    let again = fit(3, |_, j| pi[j], &rates, Some(&cold)).unwrap();
    close(&again, &cold, 1e-14);
}

#[test]
fn an_opponent_that_is_never_drawn_still_gets_its_score() {
    // pi plays 0 and 1 only, evenly; P(0 beats 1) = 0.6. Item 2 beats 0 with 0.7 and 1 with 0.8:
    // its score solves sigmoid(f_2 - f_0) + sigmoid(f_2 - f_1) = 1.5.
    let pi = [0.5, 0.5, 0.0];
    let rates = [0.55, 0.45, 0.75];
    let got = fit(3, |_, j| pi[j], &rates, None).unwrap();
    assert!((got[0] - got[1] - 1.5f64.ln()).abs() < EXACT);
    assert!((sigmoid(got[2] - got[0]) + sigmoid(got[2] - got[1]) - 1.5).abs() < EXACT);
}

#[test]
fn strong_favourites_have_finite_scores() {
    // Neighbours are 20 apart: the last wins exp(-60) against the first, far below rounding.
    let known = [30.0, 10.0, -10.0, -30.0];
    let got = scores(&game(4, |i, j| sigmoid(known[i] - known[j]))).unwrap();
    close(&got, &known, 1e-6); // exp(-20) = 2e-9 is known to 1e-16
}

#[test]
fn one_item_and_none() {
    assert_eq!(fit(1, |_, _| 3.0, &[1.5], None).unwrap(), [0.0]);
    assert_eq!(fit(0, |_, _| 1.0, &[], None).unwrap(), [0.0; 0]);
    assert_eq!(scores(&game(1, |_, _| 0.5)).unwrap(), [0.0]);
}

#[test]
fn whoever_never_loses_is_named() {
    // 0 and 1 split their games and beat 2 and 3 always.
    let p = |i: usize, j: usize| match (i < 2, j < 2) {
        (true, false) => 1.0,
        (false, true) => 0.0,
        _ => 0.5,
    };
    let text = message(scores(&game(4, p)));
    assert!(
        text.starts_with("items 0 and 1 lost nothing to the others, so their scores are infinite"),
        "{text}"
    );
    assert!(text.contains("add a pseudo-count"), "{text}");
    // With item 0 below: found from the other side of the graph.
    let text = message(scores(&game(4, |i, j| p(j, i))));
    assert!(text.starts_with("items 2 and 3 lost nothing"), "{text}");
    // `fit` sees totals only, which may be rounded: 0 and 1 win 2.5 of 3.
    let others = |i: usize, j: usize| f64::from(u8::from(i != j));
    let error = fit(4, others, &[2.5, 2.5, 0.5, 0.5], None).unwrap_err();
    assert!(
        matches!(&error, FitError::TooFarApart { upper, gap } if upper == &[0, 1] && *gap > 20.0),
        "{error}"
    );
}

#[test]
fn finite_scores_that_are_too_far_apart_are_not_called_infinite() {
    // Odds of 1e17 to 1: the scores are log 1e17 = 39.1 apart, and item 0 did lose once.
    let wins = |i: usize, _: usize| if i == 0 { 1e17 } else { 1.0 };
    let counts = |i: usize, j: usize| wins(i, j) + wins(j, i);
    let text = message(fit_counts(2, counts, wins));
    assert!(!text.contains("lost nothing"), "{text}");
    assert!(
        text.contains("ended with item 0 a gap of")
            && text.contains("scores more than 33 apart, which f64 cannot tell from infinite"),
        "{text}"
    );
    // 1e10 to 1 are 23.0 apart, which is fitted (to the 1e-16 / 1e-10 that the wins are known to).
    let wins = |i: usize, _: usize| if i == 0 { 1e10 } else { 1.0 };
    let counts = |i: usize, j: usize| wins(i, j) + wins(j, i);
    let scores = fit_counts(2, counts, wins).unwrap();
    let half = 5.0 * 10f64.ln();
    close(&scores, &[half, -half], 1e-4);
}

#[test]
fn parts_that_never_met_are_named() {
    let count = |i: usize, j: usize| f64::from(u8::from((i < 3) == (j < 3)));
    let text = message(fit_counts(5, count, |i, j| 0.5 * count(i, j)));
    assert!(
        text.starts_with("no comparison joins items 3 and 4 to the others"),
        "{text}"
    );
    let wins = [1.0, 1.0, 1.0, 0.5, 0.5];
    let weight = |i: usize, j: usize| if i == j { 0.0 } else { count(i, j) };
    assert_eq!(
        fit(5, weight, &wins, None).unwrap_err(),
        FitError::Separate { part: vec![3, 4] }
    );
}

#[test]
fn numbers_that_are_no_comparisons_have_sentences() {
    let one = |_: usize, _: usize| 1.0;
    let text = message(fit(2, one, &[1.0], None));
    assert!(
        text.contains("the list of wins has 1 entries, but there are 2 items"),
        "{text}"
    );
    let text = message(fit(2, one, &[1.0, 1.0], Some(&[0.0; 3])));
    assert!(text.contains("the start has 3 entries"), "{text}");
    let text = message(fit(2, one, &[1.0, 1.0], Some(&[0.0, f64::NAN])));
    assert!(
        text.contains("the starting score of item 1 is NaN: it must be finite"),
        "{text}"
    );
    let text = message(fit(2, |_, _| -1.0, &[1.0, 1.0], None));
    assert!(
        text.contains("a weight of item 0 is -1: it must be finite and not negative"),
        "{text}"
    );
    let text = message(fit(2, one, &[f64::INFINITY, 1.0], None));
    assert!(
        text.contains("the number of wins of item 0 is inf"),
        "{text}"
    );
    let text = message(fit(2, one, &[2.5, 1.0], None));
    assert!(
        text.contains("item 0 wins 2.5, but the weights of its comparisons add to 2 only"),
        "{text}"
    );
    let text = message(fit_counts(2, |_, _| 4.0, |_, _| 3.0));
    assert!(
        text.contains("items 0 and 1 have 3 and 3 wins against each other, but 4 comparisons"),
        "{text}"
    );
    // Of three pairs two wins are gone: no scores predict that.
    let others = |i: usize, j: usize| f64::from(u8::from(i != j));
    let text = message(fit(3, others, &[0.4, 0.3, 0.3], None));
    assert!(
        text.contains("check that weights and wins are of the same comparisons"),
        "{text}"
    );
}

#[test]
fn long_lists_are_cut() {
    assert_eq!(listed(&[3]), "item 3");
    assert_eq!(listed(&[0, 4, 7]), "items 0, 4 and 7");
    assert_eq!(
        listed(&[0, 1, 2, 3, 4, 8, 9]),
        "items 0, 1, 2, 3, 4 and 2 more"
    );
}

#[test]
fn elo_has_mean_1500() {
    // 400 points for each factor of 10 in the odds.
    let got = elo(&[2.0 * 10f64.ln(), 0.0, 10f64.ln()]);
    close(&got, &[1900.0, 1100.0, 1500.0], 1e-9);
}
