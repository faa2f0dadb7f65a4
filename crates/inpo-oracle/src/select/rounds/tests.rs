use super::*;
use inpo_data::Completion;

const STRATEGIES: [PairStrategy; 6] = [
    PairStrategy::Tournament,
    PairStrategy::Iid,
    PairStrategy::RoundRobin,
    PairStrategy::BestWorst,
    PairStrategy::Random,
    PairStrategy::Adaptive,
];

/// Answers whatever is asked, round by round; the comparisons asked, and the outcome.
fn play(
    config: &SelectionConfig,
    players: &Players,
    count: usize,
    p: impl Fn(usize, usize) -> f64,
) -> (Answers, Result<Selected, Dropped>) {
    let mut matrix = vec![vec![None; count]; count];
    loop {
        let answers = Answers::from_matrix(matrix.clone());
        match config.step(&answers, players, None) {
            Step::Done(outcome) => return (answers, outcome),
            Step::Ask(matches) => {
                assert!(!matches.is_empty(), "a round that asks nothing");
                for (i, j) in matches {
                    assert_eq!(matrix[i][j], None, "{i} and {j} are asked again");
                    matrix[i][j] = Some(p(i, j));
                    matrix[j][i] = Some(1.0 - p(i, j));
                }
            }
        }
    }
}

/// The higher number wins.
fn higher(i: usize, j: usize) -> f64 {
    f64::from(u8::from(i > j))
}

fn everything(count: usize, p: impl Fn(usize, usize) -> f64) -> Answers {
    let row = |i: usize| {
        let entry = |j: usize| Some(if i == j { 0.5 } else { p(i, j) });
        (0..count).map(entry).collect()
    };
    Answers::from_matrix((0..count).map(row).collect())
}

/// A tournament takes K/2 matches, rounded down, in its first round, one less than there are players left in each bracket,
/// and a final: 3K/2 - 1 for even K. With an odd K one response is in both brackets, and may play its final before.
#[test]
fn each_strategy_asks_what_it_states() {
    let tournament = [1, 3, 5, 7, 8, 10, 11, 13];
    for (count, of_tournament) in (2..).zip(tournament) {
        let players = Players::all(count, 5).unwrap();
        let pairs = count * (count - 1) / 2;
        for strategy in STRATEGIES {
            let config = SelectionConfig::new(strategy);
            let stated = config.comparisons(count);
            let expected = match strategy {
                PairStrategy::Tournament => of_tournament,
                PairStrategy::Iid | PairStrategy::Random => 1,
                PairStrategy::RoundRobin | PairStrategy::BestWorst => pairs,
                PairStrategy::Adaptive => pairs.min(2 * count),
            };
            assert_eq!(stated, expected, "{strategy:?} of {count}");
            let (answers, outcome) = play(&config, &players, count, higher);
            let asked = answers.asked().count();
            let exact = match strategy {
                PairStrategy::Tournament => count % 2 == 0,
                PairStrategy::Adaptive => false,
                _ => true,
            };
            assert!(
                asked == stated || !exact && asked < stated,
                "{strategy:?} of {count}"
            );
            let pair = outcome.unwrap();
            assert!(pair.chosen > pair.rejected && pair.probability == 1.0);
            let searches = !matches!(strategy, PairStrategy::Iid | PairStrategy::Random);
            if searches && strategy != PairStrategy::Adaptive {
                assert_eq!((pair.chosen, pair.rejected), (count - 1, 0), "{strategy:?}");
            }
        }
    }
    assert_eq!(SelectionConfig::default().comparisons(1), 0);
}

/// A selection from all answers is the one that asked for some of them.
#[test]
fn answers_that_were_not_asked_for_change_nothing() {
    // No order: i beats j if (i + 2 j) mod 5 is small.
    let p = |i: usize, j: usize| {
        let (a, b) = (i.min(j), i.max(j));
        let first = [0.9, 0.3, 0.6, 0.2, 0.7][(3 * a + 2 * b) % 5];
        if i < j { first } else { 1.0 - first }
    };
    for count in [5, 8] {
        for strategy in STRATEGIES {
            for seed in 0..20 {
                let players = Players::all(count, seed).unwrap();
                let config = SelectionConfig::new(strategy);
                let (_, outcome) = play(&config, &players, count, p);
                let all = everything(count, p);
                assert_eq!(config.step(&all, &players, None), Step::Done(outcome));
                assert_eq!(config.matches(&all, &players), []);
            }
        }
    }
}

#[test]
fn only_players_meet() {
    let texts = ["f", "", "a", "d", "d", "b"].map(Completion::finished);
    let kept = super::super::usable(&texts, false).kept;
    assert_eq!(kept, [0, 2, 3, 5]);
    let players = Players::new(&texts, &kept, 1).unwrap();
    for strategy in STRATEGIES {
        let config = SelectionConfig::new(strategy);
        let p = |i: usize, j: usize| f64::from(u8::from(texts[i].text > texts[j].text));
        let (answers, outcome) = play(&config, &players, 6, p);
        for dropped in [1, 4] {
            assert!((0..6).all(|k| answers.get((dropped, k)).is_none()));
        }
        let pair = outcome.unwrap();
        assert!(kept.contains(&pair.chosen) && kept.contains(&pair.rejected));
        if strategy == PairStrategy::RoundRobin {
            assert_eq!((pair.chosen, pair.rejected), (0, 2));
        }
    }
}

/// Win rates: 0 (0.9 + 0.9 + 0.4) / 3, 3 (0.6 + 0.1 + 0.1) / 3, 1 and 2 (0.1 + 0.5 + 0.9) / 3; but 3 beats 0.
#[test]
fn a_round_robin_has_a_final_and_best_worst_has_none() {
    let p = |i: usize, j: usize| {
        let upper = |i, j| match (i, j) {
            (0, 3) => 0.4,
            (1, 2) => 0.5,
            _ => 0.9,
        };
        if i < j {
            upper(i, j)
        } else {
            1.0 - upper(j, i)
        }
    };
    let players = Players::all(4, 0).unwrap();
    let of = |strategy| play(&SelectionConfig::new(strategy), &players, 4, p).1;
    assert_eq!(of(PairStrategy::RoundRobin), Err(Dropped::Final));
    let pair = of(PairStrategy::BestWorst).unwrap();
    assert_eq!((pair.chosen, pair.rejected, pair.probability), (0, 3, 0.4));
}

#[test]
fn a_tie_becomes_what_the_policy_says() {
    let players = Players::all(4, 3).unwrap();
    let of = |strategy, tie_policy| {
        let config = SelectionConfig {
            tie_policy,
            ..SelectionConfig::new(strategy)
        };
        play(&config, &players, 4, |_, _| 0.5).1
    };
    let selected = |chosen, rejected, probability| {
        Ok(Selected {
            chosen,
            rejected,
            probability,
        })
    };
    for strategy in STRATEGIES {
        let two = matches!(strategy, PairStrategy::Iid | PairStrategy::Random);
        let default = of(strategy, None);
        assert_eq!(default.is_ok(), two, "{strategy:?}");
        assert_eq!(of(strategy, Some(TiePolicy::Drop)), Err(Dropped::Tie));
        let half = of(strategy, Some(TiePolicy::Half)).unwrap();
        let (i, j) = (half.chosen, half.rejected);
        assert!(i < j, "a bracket and a score put the first of a tie above");
        assert_eq!(half.probability, 0.5);
        assert_eq!(of(strategy, Some(TiePolicy::First)), selected(i, j, 1.0));
        let random = of(strategy, Some(TiePolicy::Random));
        assert!(random == selected(i, j, 1.0) || random == selected(j, i, 1.0));
    }
    let coin = |seed| {
        let config = SelectionConfig {
            tie_policy: Some(TiePolicy::Random),
            ..SelectionConfig::default()
        };
        let players = Players::all(2, seed).unwrap();
        play(&config, &players, 2, |_, _| 0.5).1.unwrap().chosen
    };
    // 1000 fair coins: 500 with a standard deviation of 16.
    let heads: usize = (0..1000).map(coin).sum();
    assert!(heads.abs_diff(500) < 80, "{heads}");
}

/// Win rates 0.55, 0.6 and 0.35 with lengths 1, 10 and 5: a penalty of 0.1 takes 0.01, 0.1 and 0.05, and puts the first
/// above the second.
#[test]
fn a_length_penalty_is_taken_from_the_score() {
    let p = |i: usize, j: usize| {
        let upper = |i, j| match (i, j) {
            (0, 1) => 0.51,
            (0, 2) => 0.59,
            _ => 0.71,
        };
        if i < j {
            upper(i, j)
        } else {
            1.0 - upper(j, i)
        }
    };
    let texts = ["a", "aaaaaaaaaa", "aaaaa"].map(Completion::finished);
    let players = Players::new(&texts, &[0, 1, 2], 0).unwrap();
    for strategy in [
        PairStrategy::RoundRobin,
        PairStrategy::BestWorst,
        PairStrategy::Adaptive,
    ] {
        let mut config = SelectionConfig::new(strategy);
        config.budget = (strategy == PairStrategy::Adaptive).then_some(100);
        assert_eq!(play(&config, &players, 3, p).1.unwrap().chosen, 1);
        config.length_penalty = 0.1;
        config.validate().unwrap();
        let pair = play(&config, &players, 3, p).1.unwrap();
        assert_eq!((pair.chosen, pair.rejected), (0, 2));
    }
}

/// Every pair of four is as likely: 3000 draws, 500 each with a standard deviation of 20.
#[test]
fn a_random_pair_is_uniform_and_ordered_by_the_answer() {
    let mut counts = [[0_usize; 4]; 4];
    for seed in 0..3000 {
        let players = Players::all(4, seed).unwrap();
        let config = SelectionConfig::new(PairStrategy::Random);
        let pair = play(&config, &players, 4, higher).1.unwrap();
        counts[pair.chosen][pair.rejected] += 1;
    }
    for (i, row) in counts.iter().enumerate() {
        for (j, &count) in row.iter().enumerate() {
            if i > j {
                assert!(count.abs_diff(500) < 100, "{counts:?}");
            } else {
                assert_eq!(count, 0);
            }
        }
    }
    // With a draw the winner is drawn: P(0 beats 1) = 0.3.
    let answers = everything(2, |i, _| if i == 0 { 0.3 } else { 0.7 });
    let players = Players::all(2, 0).unwrap();
    for strategy in [PairStrategy::Iid, PairStrategy::Random] {
        let of = |draw| match SelectionConfig::new(strategy).step(&answers, &players, draw) {
            Step::Done(Ok(pair)) => (pair.chosen, pair.probability),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            [of(Some(0.29)), of(Some(0.31)), of(None)],
            [(0, 0.3), (1, 0.7), (1, 0.7)]
        );
    }
}
