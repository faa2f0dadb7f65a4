//! Laws that every game obeys, whatever it is made of.

use inpo_game::{
    EmpiricalGame, JudgeMixture, Link, LowRankGame, MatrixGame, PairCounts, PreferenceGame,
    PromptGames, ScoreGame, Strategy as Policy, exploitability, games, nash, win_rate,
};
use proptest::prelude::*;

/// Sums of a few products of probabilities.
const ROUNDING: f64 = 1e-12;

/// The complement law to the bit, and win rates that are the matrix times the vector.
fn check(game: &impl PreferenceGame, weights: &[f64]) -> Result<(), TestCaseError> {
    let n = game.num_actions();
    // Not on the simplex: win rates are linear everywhere.
    let weights = &weights[..n];
    let rates = game.win_rates(weights);
    for (i, rate) in rates.iter().enumerate() {
        prop_assert_eq!(game.preference(i, i).get(), 0.5);
        let mut want = 0.0;
        for (j, weight) in weights.iter().enumerate() {
            let (p, q) = (game.preference(i, j), game.preference(j, i));
            prop_assert_eq!(p.complement(), q);
            want += p.get() * weight;
        }
        prop_assert!((rate - want).abs() < ROUNDING, "{rate} is not {want}");
    }
    let (uniform, first) = (Policy::uniform(n), Policy::pure(n, 0));
    let both = win_rate(game, &uniform, &first) + win_rate(game, &first, &uniform);
    prop_assert!((both - 1.0).abs() < ROUNDING);
    let matrix = MatrixGame::from_game(game);
    for i in 0..n {
        for j in 0..n {
            prop_assert_eq!(matrix.preference(i, j), game.preference(i, j));
        }
    }
    Ok(())
}

fn weights() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-1.0..1.0, 8)
}

prop_compose! {
    /// A game of n actions with any preferences, certain ones included.
    fn matrix(n: usize)(
        upper in prop::collection::vec(
            prop_oneof![4 => 0.0..=1.0, 1 => prop::sample::select(vec![0.0, 0.5, 1.0])],
            n * n,
        ),
    ) -> MatrixGame {
        MatrixGame::from_fn(n, |i, j| upper[i * n + j]).unwrap()
    }
}

proptest! {
    #[test]
    fn games_of_scores(scores in prop::collection::vec(-40.0..40.0, 1..8), weights in weights()) {
        check(&ScoreGame::bradley_terry(scores.clone()).unwrap(), &weights)?;
        check(&ScoreGame::elo(scores).unwrap(), &weights)?;
    }

    #[test]
    fn games_of_embeddings(
        embeddings in (1..8usize).prop_flat_map(|n| {
            prop::collection::vec(prop::collection::vec(-1.0..1.0, 4), n)
        }),
        planes in prop::collection::vec(0.0..0.12, 2),
        skew in prop::collection::vec(-0.04..0.04, 16),
        weights in weights(),
    ) {
        // |s| is at most 2 * 0.12 a plane, and 12 * 0.04 over the entries of the operator: 0.48.
        let skew: Vec<Vec<f64>> = (0..4)
            .map(|a| (0..4).map(|b| match a.cmp(&b) {
                std::cmp::Ordering::Less => skew[4 * a + b],
                std::cmp::Ordering::Equal => 0.0,
                std::cmp::Ordering::Greater => -skew[4 * b + a],
            }).collect())
            .collect();
        for link in [Link::Logistic, Link::Linear] {
            check(&LowRankGame::new(&embeddings, &planes, link).unwrap(), &weights)?;
            check(&LowRankGame::with_skew(&embeddings, &skew, link).unwrap(), &weights)?;
        }
    }

    #[test]
    fn games_of_votes(
        n in 1..8usize,
        votes in prop::collection::vec((0..7usize, 1..7usize, 0..5u64, 0..5u64, 0..5u64), 0..30),
        prior in prop_oneof![Just(0.0), 0.0..3.0],
        confidence in 0.01..0.99,
        weights in weights(),
    ) {
        let names = (0..n).map(|i| i.to_string()).collect();
        let mut game = EmpiricalGame::new(names).unwrap().with_prior(prior).unwrap();
        for (i, ahead, wins, losses, ties) in votes {
            let (i, j) = (i % n, (i + ahead) % n);
            if i != j {
                game.add(i, j, PairCounts { wins, losses, ties }).unwrap();
            }
        }
        check(&game, &weights)?;
        let interval = game.interval(0, n - 1, confidence).unwrap();
        let mirrored = game.interval(n - 1, 0, confidence).unwrap();
        prop_assert!(0.0 <= interval.low && interval.low <= interval.high && interval.high <= 1.0);
        prop_assert!((interval.low + mirrored.high - 1.0).abs() < ROUNDING);
        prop_assert!((interval.high + mirrored.low - 1.0).abs() < ROUNDING);
        let wider = game.interval(0, n - 1, 0.5 * (1.0 + confidence)).unwrap();
        prop_assert!(wider.low <= interval.low && interval.high <= wider.high);
    }

    #[test]
    fn games_of_games(
        games in (1..6usize).prop_flat_map(|n| prop::collection::vec(matrix(n), 1..6)),
        shares in prop::collection::vec(0.01..10.0, 6),
        weights in weights(),
    ) {
        let shares = shares[..games.len()].to_vec();
        check(&JudgeMixture::majority(games.clone()).unwrap(), &weights)?;
        check(&JudgeMixture::average(games.clone(), shares.clone()).unwrap(), &weights)?;
        let prompts = PromptGames::new(games, shares).unwrap();
        check(&prompts.pooled().unwrap(), &weights)?;
    }

    #[test]
    fn a_majority_counts_every_outcome(judges in prop::collection::vec(0.0..=1.0, 1..8)) {
        // All 2^m ways to vote.
        let m = judges.len();
        let want: f64 = (0..1u32 << m)
            .map(|votes| {
                let coin = |(k, p): (usize, &f64)| if votes >> k & 1 == 1 { *p } else { 1.0 - p };
                let probability: f64 = judges.iter().enumerate().map(coin).product();
                match (2 * votes.count_ones() as usize).cmp(&m) {
                    std::cmp::Ordering::Greater => probability,
                    std::cmp::Ordering::Equal => 0.5 * probability,
                    std::cmp::Ordering::Less => 0.0,
                }
            })
            .sum();
        let duel = |&p: &f64| MatrixGame::from_fn(2, |_, _| p).unwrap();
        let game = JudgeMixture::majority(judges.iter().map(duel).collect()).unwrap();
        prop_assert!((game.preference(0, 1).get() - want).abs() < ROUNDING);
    }

    #[test]
    fn measures_of_prompts_are_means(
        first in matrix(3),
        second in matrix(4),
        share in 0.05..0.95f64,
    ) {
        let prompts = PromptGames::new(vec![first.clone(), second.clone()], vec![share, 1.0 - share]);
        let prompts = prompts.unwrap();
        let policy = [Policy::uniform(3), Policy::uniform(4)];
        let want = share * exploitability(&first, &policy[0])
            + (1.0 - share) * exploitability(&second, &policy[1]);
        prop_assert!((prompts.exploitability(&policy) - want).abs() < ROUNDING);
        prop_assert_eq!(prompts.duality_gap(&policy), 2.0 * prompts.exploitability(&policy));
        prop_assert!((prompts.win_rate(&policy, &policy) - 0.5).abs() < ROUNDING);
        let nashes = prompts.nashes().unwrap();
        prop_assert!(prompts.exploitability(&nashes) < ROUNDING);
        prop_assert!(prompts.win_rate(&nashes, &policy) > 0.5 - ROUNDING);
    }

    #[test]
    fn generated_games(n in 1..9usize, scale in 0.0..4.0, strength in 0.0..=0.5, seed: u64) {
        let weights = [0.3, -0.2, 0.9, 0.1, 0.5, -0.7, 0.2, 0.4];
        check(&games::uniform(n, seed).unwrap(), &weights)?;
        check(&games::cyclic(n, strength).unwrap(), &weights)?;
        let mixed = games::transitive_plus_cyclic(n, 1.0, scale, seed).unwrap();
        check(&mixed, &weights)?;
        prop_assert_eq!(games::transitive_plus_cyclic(n, 1.0, scale, seed).unwrap(), mixed);
        let transitive = games::transitive_plus_cyclic(n, 1.0, 0.0, seed).unwrap();
        let pi = nash(&transitive).unwrap();
        prop_assert!(pi.iter().any(|&p| p > 1.0 - 1e-9));
    }
}
