//! Measures of policies whose game is known: a few responses a prompt, all enumerated, and a judge that is a matrix.

use inpo_data::{Completion, FinishReason, Prompt, PromptInput, ResponseRecord};
use inpo_eval::{
    Arena, By, EmpiricalGameReport, Interval, Lineup, PerPrompt, Resamples, Table, best_against,
    empirical_game, evaluate_run,
};
use inpo_game::FnOracle;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

/// Kinds of prompts, how often each comes, and the judge's P(i beats j) for i < j, by rows.
const KINDS: [(f64, [f64; 6]); 3] = [
    (0.5, [0.9, 0.2, 0.7, 0.8, 0.6, 0.7]),
    (0.3, [0.3, 0.6, 0.8, 0.7, 0.9, 0.4]),
    (0.2, [0.6, 0.6, 0.4, 0.55, 0.2, 0.8]),
];

/// Policies, by the kinds of prompts.
type Policy = [[f64; 4]; 3];
const REFERENCE: Policy = [
    [0.25, 0.25, 0.25, 0.25],
    [0.4, 0.3, 0.2, 0.1],
    [0.1, 0.2, 0.3, 0.4],
];
const FIRST: Policy = [
    [0.5, 0.2, 0.2, 0.1],
    [0.3, 0.5, 0.1, 0.1],
    [0.2, 0.2, 0.4, 0.2],
];
const SECOND: Policy = [
    [0.7, 0.1, 0.15, 0.05],
    [0.2, 0.7, 0.05, 0.05],
    [0.3, 0.1, 0.5, 0.1],
];

fn preference(kind: usize, i: usize, j: usize) -> f64 {
    let upper = |i: usize, j: usize| KINDS[kind].1[[0, 3, 5][i] + j - i - 1];
    match i.cmp(&j) {
        std::cmp::Ordering::Less => upper(i, j),
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Greater => 1.0 - upper(j, i),
    }
}

/// The mean over kinds.
fn over_kinds(of: impl Fn(usize) -> f64) -> f64 {
    (0..3).map(|kind| KINDS[kind].0 * of(kind)).sum()
}

/// P(a response of one beats one of the other), exactly.
fn exact_rate(a: &Policy, b: &Policy) -> f64 {
    over_kinds(|kind| {
        let pairs = (0..4).flat_map(|i| (0..4).map(move |j| (i, j)));
        pairs
            .map(|(i, j)| a[kind][i] * b[kind][j] * preference(kind, i, j))
            .sum()
    })
}

fn exact_exploitability(pi: &Policy) -> f64 {
    over_kinds(|kind| {
        let against = |y: usize| {
            (0..4)
                .map(|j| pi[kind][j] * preference(kind, y, j))
                .sum::<f64>()
        };
        (0..4).map(against).fold(0.0, f64::max) - 0.5
    })
}

/// What the best of three samples gains, by the enumeration of all of them and of the sample that they play.
fn exact_best_of_three(pi: &Policy) -> f64 {
    over_kinds(|kind| {
        let mut gain = 0.0;
        for code in 0..64 {
            let [a, b, c] = [code / 16, code / 4 % 4, code % 4];
            let scores = [(a, b, c), (b, a, c), (c, a, b)]
                .map(|(x, y, z)| preference(kind, x, y) + preference(kind, x, z));
            let best = scores.iter().copied().fold(0.0, f64::max);
            let drawn = [a, b, c].map(|action| pi[kind][action]);
            let winners: Vec<usize> = [a, b, c]
                .into_iter()
                .zip(scores)
                .filter(|(_, score)| score + 1e-9 >= best)
                .map(|(action, _)| action)
                .collect();
            for (played, chance) in pi[kind].iter().enumerate() {
                let wins = winners.iter().map(|&w| preference(kind, w, played));
                let mean = wins.sum::<f64>() / winners.len() as f64;
                gain += drawn.iter().product::<f64>() * chance * mean;
            }
        }
        gain - 0.5
    })
}

fn draw(rng: &mut ChaCha8Rng, probabilities: &[f64]) -> usize {
    let mut left: f64 = rng.random();
    for (place, p) in probabilities.iter().enumerate() {
        left -= p;
        if left < 0.0 {
            return place;
        }
    }
    probabilities.len() - 1
}

/// Samples of each policy on prompts whose kinds are drawn, with every match of everyone.
fn play(policies: &[(&str, Policy)], prompts: usize, samples: usize, seed: u64) -> Arena {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let frequencies = KINDS.map(|(frequency, _)| frequency);
    let kinds: Vec<usize> = (0..prompts).map(|_| draw(&mut rng, &frequencies)).collect();
    let mut arena = Arena::default();
    for (name, policy) in policies {
        let mut record = |(number, &kind): (usize, &usize)| {
            let drawn: Vec<usize> = (0..samples)
                .map(|_| draw(&mut rng, &policy[kind]))
                .collect();
            ResponseRecord {
                prompt_id: number as u64,
                iteration: 0,
                seed,
                prompt: Some(PromptInput::Text(kind.to_string())),
                prompt_token_ids: vec![0],
                responses: drawn.iter().map(usize::to_string).collect(),
                response_token_ids: drawn.iter().map(|&y| vec![y as u32]).collect(),
                finish_reason: vec![FinishReason::Stop; samples],
                sampling_logps: vec![0.0; samples],
                metadata: json!({"kind": kind}).as_object().unwrap().clone(),
            }
        };
        let records = kinds.iter().enumerate().map(&mut record).collect();
        arena.add(*name, records);
    }
    let judge = FnOracle::new(
        "known",
        |prompt: &Prompt, a: &Completion, b: &Completion| {
            let kind = prompt.metadata["kind"].as_u64().unwrap() as usize;
            preference(kind, a.text.parse().unwrap(), b.text.parse().unwrap())
        },
    );
    let pairs: Vec<_> = (0..policies.len())
        .flat_map(|i| (0..=i).map(move |j| (i, j)))
        .collect();
    let rows = arena.ask(&judge, By::Training, &pairs).unwrap();
    arena.check(&rows, &pairs, By::Training).unwrap();
    arena.take(&rows).unwrap();
    assert_eq!(arena.ask(&judge, By::Training, &pairs).unwrap(), []);
    arena
}

const PLAYERS: [(&str, Policy); 3] = [
    ("reference", REFERENCE),
    ("iteration 1", FIRST),
    ("iteration 2", SECOND),
];

const LINEUP: Lineup = Lineup {
    start: false,
    opponents: 0,
    previous: true,
    initial: false,
    empirical_game: true,
};

fn game(arena: &Arena, resamples: &Resamples) -> EmpiricalGameReport {
    let names: Vec<String> = (0..arena.count())
        .map(|p| arena.name(p).to_owned())
        .collect();
    let rates = |i, j| arena.rates(i, j, By::Training).unwrap();
    empirical_game(&names, rates, resamples).unwrap()
}

/// What a policy's own tables give each prompt.
fn probe(tables: &[Table], of: fn(&[Vec<f64>]) -> Option<f64>) -> Vec<f64> {
    tables.iter().map(|table| of(table).unwrap()).collect()
}

/// 1500 prompts, intervals of 99.9 %: the probe's holds the exact gain of the best of three and lies below the exact exploitability; that of
/// the reference's samples lies below it too. The game's matrix, gaps and the win rates are the exact ones, and the second
/// iteration, which beats the others, is to be shipped.
#[test]
fn probe_and_game_are_the_exact_ones() {
    let arena = play(&PLAYERS, 1500, 4, 5);
    let resamples = Resamples::new(1500, 0.999, 1);
    let policies = PLAYERS.map(|(_, policy)| policy);
    let run = evaluate_run(&arena, LINEUP, &resamples, 0.999, &[0.0; 3]).unwrap();
    for (t, policy) in policies.iter().enumerate() {
        let evaluation = &run.iterations[t];
        let probe = evaluation.probe.unwrap();
        let (gain, bound) = (exact_best_of_three(policy), exact_exploitability(policy));
        assert!(gain > 0.01 && gain < bound, "{t}: {gain}, {bound}");
        assert!(
            probe.holds(gain) && probe.high < bound,
            "{t}: {probe:?}, {gain}, {bound}"
        );
        let rate = exact_rate(policy, &REFERENCE);
        assert!(evaluation.win_rate_vs_ref.holds(rate), "{t}: {rate}");
        if t > 0 {
            assert!(evaluation.probe_of_ref.unwrap().high < bound);
            let progress = rate - exact_rate(&policies[t - 1], &REFERENCE);
            let interval = evaluation.progress.unwrap();
            assert!(
                interval.holds(progress) && interval.low > 0.0,
                "{interval:?}"
            );
        }
    }
    let game = run.game.unwrap();
    let exact = |i: usize, j: usize| exact_rate(&policies[i], &policies[j]);
    for i in 0..3 {
        for j in (0..3).filter(|&j| j != i) {
            let entry = Interval {
                mean: game.preferences[i][j],
                low: game.low[i][j],
                high: game.high[i][j],
            };
            assert!(
                entry.holds(exact(i, j)),
                "{i}, {j}: {entry:?}, {}",
                exact(i, j)
            );
        }
        let gap = (0..3).map(|j| exact(j, i)).fold(0.5, f64::max) - 0.5;
        assert!(
            game.players[i].gap.holds(gap),
            "{i}: {:?}, {gap}",
            game.players[i]
        );
    }
    assert_eq!(game.condorcet_winner.as_deref(), Some("iteration 2"));
    assert_eq!(
        (game.players[2].nash.mean, game.players[2].gap.mean),
        (1.0, 0.0)
    );
    assert_eq!(run.recommendation.player, "iteration 2");
    assert_eq!(
        run.recommendation.sentence,
        "ship iteration 2: it beats every other player of the empirical game (its Nash weight is the largest in 100 % of the draws of the prompts)"
    );
}

/// Three deterministic policies that beat each other in a circle: the Nash weights are proportional to the margins of the
/// opposite pairs.
#[test]
fn a_circle_has_the_nash_weights_of_its_margins() {
    let pure = |actions: [usize; 3]| -> Policy {
        actions.map(|action| std::array::from_fn(|y| f64::from(y == action)))
    };
    let players = [
        ("reference", pure([0, 0, 0])),
        ("iteration 1", pure([1, 2, 1])),
        ("iteration 2", pure([2, 1, 2])),
    ];
    let policies = players.map(|(_, policy)| policy);
    let margin = |i: usize, j: usize| exact_rate(&policies[i], &policies[j]) - 0.5;
    let opposite = [margin(1, 2), margin(2, 0), margin(0, 1)];
    assert!(opposite.iter().all(|&m| m > 0.02), "{opposite:?}");
    let arena = play(&players, 400, 2, 9);
    let report = game(&arena, &Resamples::new(400, 0.95, 1));
    assert_eq!(
        (report.condorcet_winner.as_ref(), report.cyclic_triads),
        (None, 1)
    );
    for (i, player) in report.players.iter().enumerate() {
        let exact = opposite[i] / opposite.iter().sum::<f64>();
        assert!(player.nash.holds(exact), "{player:?}, {exact}");
        let gap = (0..3).map(|j| margin(j, i)).fold(0.0, f64::max);
        assert!(player.gap.holds(gap), "{player:?}, {gap}");
    }
    let shares: f64 = report
        .players
        .iter()
        .map(|player| player.largest_nash_share)
        .sum();
    assert!((shares - 1.0).abs() < 1e-9);
    let game = report.to_game().unwrap();
    let read = inpo_game::MatrixGame::from_json(&game.to_json(), "game.json".as_ref()).unwrap();
    assert_eq!(
        read.names().unwrap(),
        ["reference", "iteration 1", "iteration 2"]
    );
    let run = evaluate_run(
        &arena,
        LINEUP,
        &Resamples::new(400, 0.95, 1),
        0.95,
        &[0.0; 3],
    );
    let sentence = run.unwrap().recommendation.sentence;
    assert!(
        sentence
            .contains("; 1 of 1 triads of players are cycles, so that no single policy is best"),
        "{sentence}"
    );
}

/// 400 evaluations of 40 prompts each: how many of their 95 % intervals hold the exact value. Each share has a standard error of
/// sqrt(0.95 x 0.05 / 400) = 1.1 %; over 3000 evaluations they are 95.4, 94.6 and 93.9 % for the first three, and those of the
/// plain percentile interval 94.4, 93.6 and 92.8 %.
#[test]
fn intervals_hold_the_exact_value_as_often_as_they_say() {
    const SEEDS: u64 = 400;
    let rate = exact_rate(&SECOND, &REFERENCE);
    let exact = [
        rate,
        rate - exact_rate(&FIRST, &REFERENCE),
        exact_best_of_three(&REFERENCE),
        exact_rate(&SECOND, &REFERENCE) - 0.5,
    ];
    let of_seed = |seed: u64| {
        let arena = play(&PLAYERS, 40, 4, seed);
        let resamples = Resamples::new(40, 0.95, seed);
        let per_prompt = |t| PerPrompt::new(&arena, LINEUP, t);
        let (first, second) = (per_prompt(1), per_prompt(2));
        let intervals = [
            resamples.mean(&second.win_rate_vs_ref),
            resamples.difference(&second.win_rate_vs_ref, &first.win_rate_vs_ref),
            resamples.mean(&per_prompt(0).probe.unwrap()),
            game(&arena, &resamples).players[0].gap,
        ];
        let mut held = [0; 4];
        for (held, (interval, exact)) in held.iter_mut().zip(intervals.iter().zip(exact)) {
            *held += usize::from(interval.holds(exact));
        }
        held
    };
    // Every second seed on a thread of its own.
    let half = |odd: u64| {
        let seeds = (0..SEEDS).filter(move |seed| seed % 2 == odd);
        seeds.map(of_seed).fold([0; 4], |sum: [usize; 4], held| {
            std::array::from_fn(|k| sum[k] + held[k])
        })
    };
    let (even, odd) = std::thread::scope(|scope| {
        let even = scope.spawn(|| half(0));
        (half(1), even.join().unwrap())
    });
    for (k, what) in ["win rate", "difference", "probe", "gap"]
        .iter()
        .enumerate()
    {
        let coverage = (even[k] + odd[k]) as f64 / SEEDS as f64;
        assert!((0.93..=0.97).contains(&coverage), "{what}: {coverage}");
    }
}

/// The probe of another's samples by enumeration: two samples of the policy choose for each other.
#[test]
fn the_probe_of_another_is_unbiased() {
    let arena = play(&PLAYERS, 3000, 2, 11);
    let tables = arena.tables(0, 2, By::Training).unwrap();
    let got = Resamples::new(3000, 0.95, 1).mean(&probe(&tables, best_against));
    // Both of the reference's samples, the one that chooses, and the one that is played.
    let exact = over_kinds(|kind| {
        let mut gain = 0.0;
        for code in 0..256 {
            let [a, b, chooser, played] = [code / 64, code / 16 % 4, code / 4 % 4, code % 4];
            let chance = REFERENCE[kind][a]
                * REFERENCE[kind][b]
                * SECOND[kind][chooser]
                * SECOND[kind][played];
            let [of_a, of_b] = [a, b].map(|y| preference(kind, y, chooser));
            let [wins_a, wins_b] = [a, b].map(|y| preference(kind, y, played));
            gain += chance
                * if (of_a - of_b).abs() < 1e-9 {
                    0.5 * (wins_a + wins_b)
                } else if of_a > of_b {
                    wins_a
                } else {
                    wins_b
                };
        }
        gain - 0.5
    });
    assert!(got.holds(exact), "{got:?}, {exact}");
}
