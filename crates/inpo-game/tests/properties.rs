//! Laws that need no numbers (docs/theory.md 11.5), on random games.

use inpo_game::analysis::{self, Margins, Scale};
use inpo_game::{
    MatrixGame, PreferenceGame, Strategy, bradley_terry, duality_gap, exploitability, kl, nash,
    nash_report, nash_residual, regularised_best_response, regularised_duality_gap,
    regularised_nash, regularised_nash_residual, support, win_rate,
};
use microlp::{ComparisonOp, OptimizationDirection, Problem};
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
    /// A game of at most `most` actions with wins, ties and losses only, some of them twins of
    /// others: every degeneracy there is.
    fn tournaments(most: usize)(n in 1..=most)(
        upper in prop::collection::vec(prop::sample::select(vec![0.0, 0.5, 1.0]), n * (n - 1) / 2),
        // One action in three is a twin of another.
        twins in prop::collection::vec(0..3 * n, n),
        n in Just(n),
    ) -> MatrixGame {
        let base = rows(n, &upper);
        let old = |y: usize| if twins[y] < n { twins[y] } else { y };
        MatrixGame::new((0..n).map(|i| (0..n).map(|j| base[old(i)][old(j)]).collect()).collect())
            .unwrap()
    }
}

/// The matrix of a game whose action `y` is `order[y]` of another.
fn relabelled(rows: &[Vec<f64>], order: &[usize]) -> MatrixGame {
    let row = |&i: &usize| order.iter().map(|&j| rows[i][j]).collect();
    MatrixGame::new(order.iter().map(row).collect()).unwrap()
}

fn matrix(game: &MatrixGame) -> Vec<Vec<f64>> {
    let n = game.num_actions();
    let row = |i: usize| (0..n).map(|j| game.preference(i, j).get()).collect();
    (0..n).map(row).collect()
}

/// The least or the greatest probability of an action among all Nash policies, by a linear
/// program of another's making.
fn extreme(game: &MatrixGame, action: usize, direction: OptimizationDirection) -> f64 {
    let n = game.num_actions();
    let mut program = Problem::new(direction);
    let variables: Vec<_> = (0..n)
        .map(|y| program.add_var(f64::from(u8::from(y == action)), (0.0, 1.0)))
        .collect();
    for y in 0..n {
        let terms: Vec<_> = (0..n)
            .map(|z| (variables[z], game.preference(y, z).get() - 0.5))
            .collect();
        program.add_constraint(&terms, ComparisonOp::Le, 0.0);
    }
    let all: Vec<_> = variables.iter().map(|&v| (v, 1.0)).collect();
    program.add_constraint(&all, ComparisonOp::Eq, 1.0);
    let solution = program.solve().unwrap().into_solution().unwrap();
    solution[variables[action]]
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
    fn degenerate_games_are_solved_too(game in tournaments(25)) {
        let report = nash_report(&game).unwrap();
        prop_assert!(report.exploitability <= 1e-12);
        prop_assert!(report.residual <= 1e-12);
        prop_assert!((report.value - 0.5).abs() < ROUNDING);
        // Strict complementarity: the policy plays everything that wins one half against it.
        prop_assert_eq!(&report.support, &report.best_responses);
        prop_assert!(!report.unique || report.support.len() % 2 == 1);
    }

    #[test]
    fn a_linear_program_agrees_on_support_and_uniqueness(game in tournaments(9)) {
        let n = game.num_actions();
        let report = nash_report(&game).unwrap();
        let ends = |y| {
            let least = extreme(&game, y, OptimizationDirection::Minimize);
            (least, extreme(&game, y, OptimizationDirection::Maximize))
        };
        let ends: Vec<(f64, f64)> = (0..n).map(ends).collect();
        // Masses are rational with small denominators here: 1e-6 is between zero and all others.
        let played: Vec<usize> = (0..n).filter(|&y| ends[y].1 > 1e-6).collect();
        prop_assert_eq!(&report.support, &played);
        prop_assert_eq!(report.unique, ends.iter().all(|(least, most)| most - least < 1e-6));
        for ((least, most), p) in ends.iter().zip(report.strategy.iter()) {
            prop_assert!(least - 1e-9 <= *p && *p <= most + 1e-9);
        }
    }

    #[test]
    fn lotteries_stay_in_the_smith_set(game in tournaments(12)) {
        let smith = analysis::smith_set(&game);
        for margins in [Margins::Weighted, Margins::SignOnly] {
            let lottery = analysis::essential_set(&game, margins).unwrap();
            prop_assert!(lottery.iter().all(|y| smith.contains(y)));
        }
        let schwartz = analysis::schwartz_set(&game);
        prop_assert!(!schwartz.is_empty() && schwartz.iter().all(|y| smith.contains(y)));
        // The bipartisan set of a tournament is in its top cycle.
        let n = game.num_actions();
        let tie = |at: usize| at / n != at % n && game.preference(at / n, at % n).get() == 0.5;
        if !(0..n * n).any(tie) {
            prop_assert_eq!(&smith, &schwartz);
            prop_assert!(nash_report(&game).unwrap().unique);
        }
    }

    #[test]
    fn winner_sets_meet_their_definitions(game in tournaments(8)) {
        let n = game.num_actions();
        let beats = |i: usize, j: usize| game.preference(i, j).get() > 0.5;
        let members = |set: u32| (0..n).filter(move |i| set >> i & 1 == 1);
        let others = |set: u32| (0..n).filter(move |i| set >> i & 1 == 0);
        let dominant = |set: u32| members(set).all(|i| others(set).all(|j| beats(i, j)));
        let undominated = |set: u32| members(set).all(|i| others(set).all(|j| !beats(j, i)));
        let sets = 1..1_u32 << n;
        let smith = sets.clone().filter(|&s| dominant(s)).min_by_key(|s| s.count_ones()).unwrap();
        prop_assert_eq!(analysis::smith_set(&game), members(smith).collect::<Vec<_>>());
        let candidates: Vec<u32> = sets.filter(|&s| undominated(s)).collect();
        let minimal = |s: u32| !candidates.iter().any(|&t| t != s && t & s == t);
        let union = candidates.iter().filter(|&&s| minimal(s)).fold(0, |all, s| all | s);
        prop_assert_eq!(analysis::schwartz_set(&game), members(union).collect::<Vec<_>>());
        let winner = (0..n).find(|&i| (0..n).all(|j| i == j || beats(i, j)));
        prop_assert_eq!(analysis::condorcet_winner(&game), winner);
    }

    #[test]
    fn relabelling_relabels_the_analysis(
        game in tournaments(20),
        (wide, _, _) in games(0.01, 0.99),
        shuffle in prop::collection::vec(any::<u32>(), 20),
    ) {
        for rows in [matrix(&game), wide] {
            let n = rows.len();
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by_key(|&y| (shuffle[y], y));
            let back = |set: Vec<usize>| -> Vec<usize> {
                let mut set: Vec<usize> = set.into_iter().map(|y| order[y]).collect();
                set.sort_unstable();
                set
            };
            let turned = relabelled(&rows, &order);
            let game = MatrixGame::new(rows).unwrap();
            prop_assert_eq!(analysis::cyclic_triads(&turned), analysis::cyclic_triads(&game));
            prop_assert_eq!(back(analysis::smith_set(&turned)), analysis::smith_set(&game));
            prop_assert_eq!(back(analysis::schwartz_set(&turned)), analysis::schwartz_set(&game));
            let (before, after) = (nash_report(&game).unwrap(), nash_report(&turned).unwrap());
            prop_assert_eq!(back(after.support), before.support);
            prop_assert_eq!(after.unique, before.unique);
            let scale = Scale::Probability;
            let (parts, turned_parts) =
                (analysis::hodge(&game, scale).unwrap(), analysis::hodge(&turned, scale).unwrap());
            prop_assert!((parts.cyclic_share - turned_parts.cyclic_share).abs() < ROUNDING);
            let (copeland, turned_copeland) =
                (analysis::copeland(&game), analysis::copeland(&turned));
            for (y, &old) in order.iter().enumerate() {
                prop_assert_eq!(turned_copeland[y], copeland[old]);
                prop_assert!((turned_parts.scores[y] - parts.scores[old]).abs() < ROUNDING);
                // Also where there are several: the one at the centre is chosen.
                prop_assert!((after.strategy[y] - before.strategy[old]).abs() < 1e-7);
            }
        }
    }

    #[test]
    fn twins_share_evenly_in_the_plain_nash((rows, _, _) in games(0.0, 1.0)) {
        let n = rows.len();
        let order: Vec<usize> = (0..n).chain([n - 1]).collect();
        let report = nash_report(&relabelled(&rows, &order)).unwrap();
        let alone = nash(&MatrixGame::new(rows).unwrap()).unwrap();
        prop_assert!((report.strategy[n] - report.strategy[n - 1]).abs() < 1e-7);
        prop_assert!((2.0 * report.strategy[n] - alone[n - 1]).abs() < 1e-6);
        prop_assert_eq!(report.unique, alone[n - 1] == 0.0);
    }

    #[test]
    fn a_small_gap_means_near_the_equilibrium((rows, pi, reference) in games(0.0, 1.0), tau in 0.01..2.0f64) {
        let game = MatrixGame::new(rows).unwrap();
        // Pinsker: 2 tau KL(pi || BR) >= tau |pi - BR|_1^2.
        let gap = regularised_duality_gap(&game, &pi, &reference, tau);
        let response = regularised_best_response(&game, &pi, &reference, tau);
        let distance: f64 = pi.iter().zip(response.iter()).map(|(p, b)| (p - b).abs()).sum();
        prop_assert!(gap >= tau * distance * distance - ROUNDING);
        // The mean win rate is 1/2, so sum_y pi(y) (1/2 + e - P(y > pi)) = e with all terms >= 0.
        let plain = exploitability(&game, &pi);
        prop_assert!(nash_residual(&game, &pi) <= plain.max(0.0).sqrt() + ROUNDING);
    }

    #[test]
    fn the_parts_of_a_game_are_orthogonal((rows, _, _) in games(0.01, 0.99)) {
        let n = rows.len();
        let game = MatrixGame::new(rows.clone()).unwrap();
        for scale in [Scale::Probability, Scale::LogOdds] {
            let x = |i: usize, j: usize| match scale {
                Scale::Probability => rows[i][j] - 0.5,
                Scale::LogOdds => (rows[i][j] / (1.0 - rows[i][j])).ln(),
            };
            let parts = analysis::hodge(&game, scale).unwrap();
            prop_assert!(parts.scores.iter().sum::<f64>().abs() < ROUNDING);
            prop_assert!((parts.transitive_share + parts.cyclic_share - 1.0).abs() < ROUNDING);
            let (mut rest, mut whole) = (0.0, 0.0);
            for i in 0..n {
                let left = |j: usize| x(i, j) - (parts.scores[i] - parts.scores[j]);
                // What is left flows in circles: nothing leaves an action.
                prop_assert!((0..n).map(left).sum::<f64>().abs() < 1e-11);
                rest += (0..n).map(|j| left(j).powi(2)).sum::<f64>();
                whole += (0..n).map(|j| x(i, j).powi(2)).sum::<f64>();
            }
            prop_assert!((rest - parts.cyclic_share * whole).abs() <= 1e-11 * whole);
        }
    }

    #[test]
    fn rankings_of_a_transitive_game_agree(
        scores in prop::collection::vec(-2.0..2.0f64, 2..10),
    ) {
        // Bradley-Terry preferences: every sensible ranking is that of the scores.
        let row = |a: &f64| scores.iter().map(|b| 1.0 / (1.0 + (b - a).exp())).collect();
        let game = MatrixGame::new(scores.iter().map(row).collect()).unwrap();
        let mut sorted = scores.clone();
        sorted.sort_by(f64::total_cmp);
        prop_assume!(sorted.windows(2).all(|w| w[1] - w[0] > 1e-6));
        let want = analysis::ranking(&scores);
        prop_assert_eq!(&analysis::ranking(&analysis::borda(&game)), &want);
        prop_assert_eq!(&analysis::ranking(&analysis::copeland(&game)), &want);
        let fitted = bradley_terry::scores(&game).unwrap();
        prop_assert_eq!(&analysis::ranking(&fitted), &want);
        let parts = analysis::hodge(&game, Scale::LogOdds).unwrap();
        prop_assert!(parts.cyclic_share < 1e-12);
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        for ((fitted, part), score) in fitted.iter().zip(&parts.scores).zip(&scores) {
            prop_assert!((fitted - (score - mean)).abs() < 1e-10);
            prop_assert!((part - (score - mean)).abs() < 1e-10);
        }
        prop_assert_eq!(analysis::cyclic_triads(&game).cyclic, 0);
        prop_assert_eq!(analysis::condorcet_winner(&game), Some(want[0]));
    }

    #[test]
    fn bradley_terry_meets_its_equations_under_any_mixture(
        (rows, pi, start) in games(0.02, 0.98),
    ) {
        let game = MatrixGame::new(rows).unwrap();
        let n = game.num_actions();
        let rates = game.win_rates(&pi);
        let f = bradley_terry::fit(n, |_, j| pi[j], &rates, Some(&start)).unwrap();
        prop_assert!(f.iter().sum::<f64>().abs() < ROUNDING);
        for (i, rate) in rates.iter().enumerate() {
            let expected: f64 = (0..n).map(|j| pi[j] / (1.0 + (f[j] - f[i]).exp())).sum();
            prop_assert!((rate - expected).abs() <= ROUNDING);
        }
    }

    #[test]
    fn borda_has_mean_one_half((rows, _, _) in games(0.0, 1.0)) {
        let game = MatrixGame::new(rows).unwrap();
        let n = game.num_actions() as f64;
        prop_assert!((analysis::borda(&game).iter().sum::<f64>() - 0.5 * n).abs() < ROUNDING);
        prop_assert!((analysis::copeland(&game).iter().sum::<f64>() - 0.5 * n).abs() < ROUNDING);
    }

    #[test]
    fn references_of_every_size_are_solved(
        (rows, _, _) in games(0.0, 1.0),
        exponents in prop::collection::vec(-320.0..0.0f64, 7),
        zero in 0usize..7,
        log_tau in -4.6..690.0f64,
    ) {
        // Entries down to the smallest that f64 holds, one of them 0; tau from 0.01 to 1e299.
        let n = rows.len();
        let mut weights: Vec<f64> = exponents[..n].iter().map(|e| 10f64.powf(*e)).collect();
        weights[0] = 1.0;
        if zero > 0 && zero < n {
            weights[zero] = 0.0;
        }
        let reference = normalised(weights);
        let game = MatrixGame::new(rows).unwrap();
        let tau = log_tau.exp();
        let pi = regularised_nash(&game, &reference, tau).unwrap();
        prop_assert!(regularised_nash_residual(&game, &pi, &reference, tau) <= 1e-12);
        for (p, r) in pi.iter().zip(reference.iter()) {
            prop_assert!(*r > 0.0 || *p == 0.0);
        }
        if tau > 1e3 {
            prop_assert!(pi.iter().zip(reference.iter()).all(|(p, r)| (p - r).abs() < 1e-3));
        }
    }

    #[test]
    fn the_support_is_what_is_played((rows, pi, _) in games(0.0, 1.0), threshold in 0.0..0.5f64) {
        let played = support(&pi, threshold);
        prop_assert!(played.windows(2).all(|w| w[0] < w[1]));
        for y in 0..rows.len() {
            prop_assert_eq!(played.contains(&y), pi[y] > threshold);
        }
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
