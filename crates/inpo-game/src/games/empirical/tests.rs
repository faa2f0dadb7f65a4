use super::*;

fn votes(wins: u64, losses: u64, ties: u64) -> PairCounts {
    PairCounts { wins, losses, ties }
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("m{i}")).collect()
}

/// m0 against m1: 5 won, 2 lost, 1 tie; m2 against m0: 3 won; m1 and m2 never met.
fn three() -> EmpiricalGame {
    let mut game = EmpiricalGame::new(names(3)).unwrap();
    game.add(0, 1, votes(3, 2, 0)).unwrap();
    game.add(1, 0, votes(0, 2, 1)).unwrap();
    game.add(2, 0, votes(3, 0, 0)).unwrap();
    game
}

#[test]
fn counts_are_kept_for_each_unordered_pair() {
    let game = three();
    assert_eq!(game.counts(0, 1), votes(5, 2, 1));
    assert_eq!(game.counts(1, 0), votes(2, 5, 1));
    assert_eq!(game.counts(0, 2), votes(0, 3, 0));
    assert_eq!(game.counts(1, 2), PairCounts::default());
    assert_eq!(game.total_votes(), 11);
    assert_eq!(game.votes(), [11, 8, 3]);
    assert_eq!(game.pairs().len(), 2);
    assert_eq!(game.index_of("m2"), Some(2));
}

#[test]
fn shares_and_posterior_means() {
    let game = three();
    assert_eq!(game.preference(0, 1).get(), 5.5 / 8.0);
    assert_eq!(game.preference(0, 2).get(), 0.0);
    assert_eq!(game.preference(1, 2).get(), 0.5);
    assert_eq!(game.preference(1, 1).get(), 0.5);
    // Row 0 against (0.5, 0.25, 0.25): 0.25 + 0.25 * 5.5 / 8 + 0.
    let rates = game.win_rates(&[0.5, 0.25, 0.25]);
    assert!((rates[0] - 0.421875).abs() < 1e-15);
    // Row 2: 0.5 * 1 + 0.25 / 2 + 0.25 / 2.
    assert!((rates[2] - 0.75).abs() < 1e-15);

    let game = game.with_prior(1.0).unwrap();
    assert_eq!(game.preference(0, 1).get(), 0.65); // 6.5 / 10
    assert!((game.preference(0, 2).get() - 0.2).abs() < 1e-15); // 1 / 5
    assert_eq!(game.preference(1, 2).get(), 0.5);
    let matrix = game.to_matrix();
    assert_eq!(matrix.names(), Some(names(3).as_slice()));
    assert_eq!(matrix.preference(2, 0), game.preference(2, 0));
}

#[test]
fn intervals_are_those_of_the_posterior() {
    // Beta(3.5, 7.5) by the prior of Jeffreys: mpmath, see beta.rs.
    let mut game = EmpiricalGame::new(names(2)).unwrap();
    game.add(0, 1, votes(3, 7, 0)).unwrap();
    let jeffreys = game.interval(0, 1, 0.95).unwrap();
    assert!((jeffreys.low - 0.092_694_593_938_153_16).abs() < 1e-13);
    assert!((jeffreys.high - 0.605_818_318_148_671_2).abs() < 1e-13);
    assert_eq!(
        game.clone().with_prior(0.5).unwrap().interval(0, 1, 0.95),
        Ok(jeffreys)
    );
    let mirrored = game.interval(1, 0, 0.95).unwrap();
    assert!((mirrored.low - (1.0 - jeffreys.high)).abs() < 1e-15);
    assert!((mirrored.high - (1.0 - jeffreys.low)).abs() < 1e-15);
    // The uniform prior on no votes: the uniform law.
    let empty = EmpiricalGame::new(names(2))
        .unwrap()
        .with_prior(1.0)
        .unwrap();
    let all = empty.interval(0, 1, 0.9).unwrap();
    assert!((all.low - 0.05).abs() < 1e-14 && (all.high - 0.95).abs() < 1e-14);
    let itself = game.interval(1, 1, 0.95).unwrap();
    assert_eq!((itself.low, itself.high), (0.5, 0.5));
}

#[test]
fn a_side_that_never_won_keeps_zero_in_its_interval() {
    let mut game = EmpiricalGame::new(names(2)).unwrap();
    game.add(0, 1, votes(0, 20, 0)).unwrap();
    let interval = game.interval(0, 1, 0.95).unwrap();
    assert_eq!(interval.low, 0.0);
    // Beta(0.5, 20.5): mpmath, see beta.rs.
    assert!((interval.high - 0.116_638_982_904_875_39).abs() < 1e-13);
    assert_eq!(game.interval(1, 0, 0.95).unwrap().high, 1.0);
    let empty = EmpiricalGame::new(names(2)).unwrap();
    let all = empty.interval(0, 1, 0.95).unwrap();
    assert_eq!((all.low, all.high), (0.0, 1.0));
}

#[test]
fn some_of_the_actions() {
    let game = three().with_prior(1.0).unwrap();
    let some = game.restricted_to(&["m2".into(), "m0".into()]).unwrap();
    assert_eq!(some.names(), ["m2", "m0"]);
    assert_eq!(some.counts(0, 1), votes(3, 0, 0));
    assert_eq!((some.total_votes(), some.prior()), (3, 1.0));
}

#[test]
fn each_misfit_has_its_sentence() {
    let says = |error: EmpiricalError, want: &str| {
        let text = error.to_string();
        assert!(text.contains(want), "{text:?} does not contain {want:?}");
    };
    says(EmpiricalGame::new(vec![]).unwrap_err(), "names is empty");
    let twice = vec!["a".to_string(), "b".into(), "a".into()];
    says(
        EmpiricalGame::new(twice).unwrap_err(),
        "names[2] repeats names[0] (\"a\")",
    );
    let mut game = three();
    let one = votes(1, 0, 0);
    says(
        game.add(0, 3, one).unwrap_err(),
        "votes on action 3, but the game has 3 actions",
    );
    says(game.add(1, 1, one).unwrap_err(), "action 1 against itself");
    says(
        game.add(0, 1, votes(u64::MAX, 1, 0)).unwrap_err(),
        "more than 2^53 votes",
    );
    assert_eq!(game, three());
    says(
        game.interval(0, 1, 1.0).unwrap_err(),
        "the confidence is 1:",
    );
    says(game.interval(0, 1, f64::NAN).unwrap_err(), "is NaN");
    says(
        game.restricted_to(&["m0".into(), "x".into()]).unwrap_err(),
        "names[1] is \"x\", which no action has; there are \"m0\", \"m1\", \"m2\"",
    );
    says(game.restricted_to(&[]).unwrap_err(), "names is empty");
    let again = ["m0".to_string(), "m0".into()];
    says(
        game.restricted_to(&again).unwrap_err(),
        "names[1] repeats names[0]",
    );
    says(game.with_prior(-1.0).unwrap_err(), "prior strength is -1");
}
