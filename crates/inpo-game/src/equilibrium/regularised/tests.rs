use super::*;
use crate::games::cyclic_three;
use crate::{MatrixGame, duality_gap, kl, regularised_duality_gap};

/// The tables of docs/theory.md 11.2 and 11.3 are met to this.
const TABLE: f64 = 1e-12;

fn check(reference: &Strategy, tau: f64, want: [f64; 3], plain_gap: f64) {
    let game = cyclic_three();
    let pi = regularised_nash(&game, reference, tau).unwrap();
    for (got, want) in pi.iter().zip(want) {
        assert!((got - want).abs() < TABLE, "{got} is not {want}");
    }
    assert!((duality_gap(&game, &pi) - plain_gap).abs() < TABLE);
    assert!(regularised_duality_gap(&game, &pi, reference, tau).abs() < 1e-15);
    // One rounding of a win rate, 1e-16, moves the response by 1e-16 / tau.
    let residual = regularised_nash_residual(&game, &pi, reference, tau);
    assert!(residual < 2e-16 / tau, "{residual}");
}

#[test]
fn the_three_known_points_of_the_cyclic_game() {
    let uniform = Strategy::uniform(3);
    check(
        &uniform,
        0.1,
        [0.3371358500656738, 0.2834641090988817, 0.37940004083544443],
        0.024489777239701027,
    );
    check(
        &uniform,
        0.01,
        [0.3609620458023815, 0.2728577522789052, 0.36618020191871326],
        0.0017089743416951464,
    );
    check(
        &Strategy::new(vec![0.25, 0.45, 0.30]).unwrap(),
        0.2,
        [0.24907627897693874, 0.3334710059782671, 0.41745271504479414],
        0.11733103739645045,
    );
}

#[test]
fn kl_from_the_nash_to_the_policies_of_the_table() {
    let reference = Strategy::new(vec![0.25, 0.45, 0.30]).unwrap();
    let nash = regularised_nash(&cyclic_three(), &reference, 0.2).unwrap();
    let pi_t = Strategy::new(vec![0.5, 0.3, 0.2]).unwrap();
    let next = [0.3340341277183885, 0.44579645024419245, 0.2201694220374191];
    let next = Strategy::new(next.to_vec()).unwrap();
    assert!((kl(&nash, &pi_t) - 0.16888805956011688).abs() < TABLE);
    assert!((kl(&nash, &next) - 0.09716665526574458).abs() < TABLE);
}

#[test]
fn an_action_without_reference_is_never_played() {
    let reference = Strategy::new(vec![0.5, 0.0, 0.5]).unwrap();
    let pi = regularised_nash(&cyclic_three(), &reference, 0.05).unwrap();
    assert_eq!(pi[1], 0.0);
    assert!(pi[0] > 0.99, "a beats c with 0.8: {pi:?}");
}

#[test]
fn hundreds_of_actions_and_a_small_tau() {
    // Win probabilities from a fixed low-discrepancy sequence: no transitivity at all.
    let n = 200;
    let upper = |i: usize, j: usize| ((i * n + j) as f64 * 0.618_033_988_749_894_9).fract();
    let entry = |i: usize, j: usize| match i.cmp(&j) {
        std::cmp::Ordering::Less => upper(i, j),
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Greater => 1.0 - upper(j, i),
    };
    let rows = (0..n)
        .map(|i| (0..n).map(|j| entry(i, j)).collect())
        .collect();
    let game = MatrixGame::new(rows).unwrap();
    for tau in [0.01, 0.001, 1e-5] {
        let uniform = Strategy::uniform(n);
        let pi = regularised_nash(&game, &uniform, tau).unwrap();
        let gap = regularised_duality_gap(&game, &pi, &uniform, tau);
        assert!(gap.abs() < 1e-14, "{gap} at tau {tau}");
    }
}

#[test]
fn an_action_that_the_reference_hardly_plays_can_still_be_needed() {
    // b beats a and c beats b for certain, c beats a with 0.65; the reference plays c with
    // 1e-100. c costs tau log 2e100 = 0.23 then, less than its 0.5 over b, so that the three
    // go round in a circle. From the fixed point's equation in 60 digits.
    let game = MatrixGame::new(vec![
        vec![0.5, 0.0, 0.35],
        vec![1.0, 0.5, 0.0],
        vec![0.65, 1.0, 0.5],
    ])
    .unwrap();
    let reference = Strategy::new(vec![0.5, 0.5, 5e-101]).unwrap();
    let pi = regularised_nash(&game, &reference, 1e-3).unwrap();
    for (got, want) in pi.iter().zip([
        0.315_197_078_188_319_5,
        0.095_158_624_330_161_8,
        0.589_644_297_481_518_7,
    ]) {
        assert!((got - want).abs() < TABLE, "{got} is not {want}");
    }
}

#[test]
fn a_huge_tau_gives_the_reference() {
    let reference = Strategy::new(vec![0.7, 1e-300, 0.3]).unwrap();
    for tau in [1e13, 1e300, f64::MAX] {
        let pi = regularised_nash(&cyclic_three(), &reference, tau).unwrap();
        assert!((pi[0] - 0.7).abs() < 1e-12 && (pi[2] - 0.3).abs() < 1e-12);
        assert!((pi[1] / 1e-300 - 1.0).abs() < 1e-12);
    }
}

#[test]
fn a_tau_below_rounding_has_a_sentence_unless_nothing_hangs_on_it() {
    let uniform = Strategy::uniform(3);
    for tau in [1e-9, 1e-20, 1e-299, 1e-310, f64::from_bits(1)] {
        let error = regularised_nash(&cyclic_three(), &uniform, tau).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("tau is {tau:e}: rounding leaves")),
            "{text}"
        );
        assert!(text.contains("use a larger tau"), "{text}");
    }
    // Action 1 beats both others: it is played alone, however small tau is.
    let won = MatrixGame::new(vec![
        vec![0.5, 0.4, 0.2],
        vec![0.6, 0.5, 0.7],
        vec![0.8, 0.3, 0.5],
    ])
    .unwrap();
    for tau in [1e-9, 1e-20, 1e-299] {
        let pi = regularised_nash(&won, &uniform, tau).unwrap();
        assert_eq!(pi.as_slice(), [0.0, 1.0, 0.0]);
    }
}

#[test]
fn bad_arguments_have_sentences() {
    let game = cyclic_three();
    for tau in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = regularised_nash(&game, &Strategy::uniform(3), tau).unwrap_err();
        assert!(error.to_string().contains("needs a positive finite tau"));
    }
    let error = regularised_nash(&game, &Strategy::uniform(2), 0.1).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has 2 entries, but the game has 3")
    );
}
