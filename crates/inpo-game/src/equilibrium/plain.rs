//! The Nash policy of the plain game.

use serde::{Deserialize, Serialize};

use super::exact::exact_nash;
use super::interior::follow_central_path;
use super::polish::{COARSE, FINE, SupportSystem};
use super::{EquilibriumError, skew, support};
use crate::analysis::condorcet_winner;
use crate::linalg::dot;
use crate::{PreferenceGame, Strategy, exploitability, win_rate};

/// The exploitability above which [`nash`] refuses; it is reached only beyond 40 actions.
const ALLOWED: f64 = 1e-9;

/// In units of the largest |P - 1/2|: actions that win within this of 1/2 are best responses, and an
/// equilibrium is unique if no change of the preferences by this gives its support another.
const TOLERANCE: f64 = 1e-9;

/// A residual that is nothing but rounding, in units of the largest |P - 1/2|.
const ROUNDING: f64 = 1e-13;

/// The residual above which the interior point is doubted and exact arithmetic asked.
const ACCEPTED: f64 = 1e-12;

/// Masses above this are where exact arithmetic begins.
const DOUBTFUL: f64 = 1e-6;

/// A Nash policy of the plain game, to rounding.
///
/// The game is symmetric with value 1/2, so pi is a Nash policy exactly if P pi <= 1/2 in every
/// entry: the linear program
///
/// ```text
/// minimise v   subject to   P pi <= 1/2 + v,   sum pi = 1,   pi >= 0
/// ```
///
/// with the value v = 0. Three ways lead to it, each asked where the one before has no answer:
///
/// 1. A [Condorcet winner](crate::analysis::condorcet_winner), by however little, is played alone.
/// 2. An interior-point method, whose end says which actions the support consists of; the equations
///    (P pi)_y = 1/2 of the support are then solved directly, which takes the error to rounding. If
///    there are several Nash policies, this is one that plays every action that any of them plays,
///    near the centre of their set: twins get the same mass, and an order of the actions does not
///    matter.
/// 3. Where the margins P - 1/2 are so different in size (by 1e6 and more) that f64 does not tell
///    the support, that is if the [`nash_residual`] of 2 is above 1e-12 in units of the largest
///    margin: the simplex method in exact arithmetic, rounded at the end, on up to 40 actions that
///    are picked as they are needed. Of several Nash policies this gives a vertex of their set.
///
/// So up to 40 actions there is always an answer, and its exploitability is rounding, below 1e-12.
/// Beyond 40 it is below 1e-9 or there is an error, which takes margins of very different size
/// among many actions that are all in question.
///
/// Why not a crate for linear programs: the program is its own dual, so one iterate serves as both
/// and the method is some ten times faster than the simplex crate this project tests against; it
/// ends inside the set of Nash policies, not in a vertex, and so decides whether there are several;
/// and that crate's tolerance leaves more than 1e-9.
///
/// The work is some 15 factorisations of an n x n matrix, and the memory three or four such matrices
/// (a game of 10 000 actions holds 400 MB, its Nash policy takes some 3 GB); the third way costs some
/// milliseconds for a few actions and up to a second for 40.
///
/// ```
/// use inpo_game::{games, nash};
///
/// let pi = nash(&games::cyclic_three())?;
/// assert!((pi[0] - 4.0 / 11.0).abs() < 1e-12);
/// assert!((pi[1] - 3.0 / 11.0).abs() < 1e-12);
/// # Ok::<(), inpo_game::EquilibriumError>(())
/// ```
///
/// # Errors
/// [`EquilibriumError::NotConverged`] if the answer is more exploitable than 1e-9, which needs more
/// than 40 actions.
pub fn nash<G: PreferenceGame + ?Sized>(game: &G) -> Result<Strategy, EquilibriumError> {
    Ok(Solved::new(game)?.strategy)
}

/// A Nash policy of the plain game and what is known about it. Made by [`nash_report`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NashReport {
    /// The policy, that of [`nash`].
    pub strategy: Strategy,
    /// P(pi > pi) as computed: 1/2 but for rounding.
    pub value: f64,
    /// The actions it plays, in rising order: all that any Nash policy plays, except where [`nash`]
    /// needed exact arithmetic and there are several.
    pub support: Vec<usize>,
    /// The actions that win 1/2 against it, within 1e-9 times the largest |P - 1/2|, in rising order.
    pub best_responses: Vec<usize>,
    /// Whether it is the only Nash policy, also after small changes: see [`nash_report`].
    pub unique: bool,
    /// max_y P(y > pi) - 1/2: see [`exploitability`].
    pub exploitability: f64,
    /// See [`nash_residual`].
    pub residual: f64,
}

/// Solves the plain game like [`nash`] and says whether the answer is the only one.
///
/// Let S be the support and T the best responses. If S = T, every Nash policy x is played on S and
/// makes all of S win 1/2 (each action outside loses to pi, so x does not play it), that is
/// (P - 1/2)_SS x = 0 with sum x = 1. Conversely some Nash policy has S = T (Goldman and Tucker,
/// 1956). So pi is unique exactly if S = T and
///
/// ```text
/// rank [ (P - 1/2)_SS ]  =  |S|
///      [ 1^T          ]
/// ```
///
/// What is decided is a little stronger, with d = 1e-9 times the largest |P - 1/2|: `unique` is true
/// if S is the set of actions that win at least 1/2 - d, and the smallest singular value of
///
/// ```text
/// [ (P - 1/2)_SS / largest   1 ]
/// [        -1^T              0 ]
/// ```
///
/// is above 1e-9, so that no change of the preferences by less than d gives S a second solution.
/// So a game in which something hangs on a margin of that size counts as one with a tie there, and
/// is not unique, even if its only Nash policy is a winner of all by 1e-12. A
/// unique Nash policy is played on an odd number of actions: a skew-symmetric matrix of even size
/// has a kernel of even dimension.
///
/// ```
/// use inpo_game::{MatrixGame, games, nash_report};
///
/// let report = nash_report(&games::cyclic_three())?;
/// assert!(report.unique);
/// assert_eq!(report.support, [0, 1, 2]);
///
/// let tie = MatrixGame::new(vec![vec![0.5; 2]; 2])?;
/// assert!(!nash_report(&tie)?.unique);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As for [`nash`].
pub fn nash_report<G: PreferenceGame + ?Sized>(game: &G) -> Result<NashReport, EquilibriumError> {
    let Solved { strategy, regular } = Solved::new(game)?;
    let support = support(&strategy, 0.0);
    let everyone: Vec<usize> = (0..game.num_actions()).collect();
    let slacks = scaled_slacks(&skew(game, &everyone), &strategy);
    let best_responses: Vec<usize> = (0..slacks.len())
        .filter(|&y| slacks[y] <= TOLERANCE)
        .collect();
    let unique = support == best_responses && regular;
    Ok(NashReport {
        value: win_rate(game, &strategy, &strategy),
        exploitability: exploitability(game, &strategy),
        residual: nash_residual(game, &strategy),
        strategy,
        support,
        best_responses,
        unique,
    })
}

/// How far a strategy is from the conditions of a Nash policy of the plain game:
///
/// ```text
/// max_y | min(pi(y), 1/2 - P(y > pi)) |
/// ```
///
/// Zero exactly at a Nash policy: nothing wins more than half, and what wins less is not played.
#[must_use]
pub fn nash_residual<G: PreferenceGame + ?Sized>(game: &G, strategy: &Strategy) -> f64 {
    let rates = game.win_rates(strategy);
    let miss = |(p, rate): (&f64, &f64)| p.min(0.5 - rate).abs();
    strategy.iter().zip(&rates).map(miss).fold(0.0, f64::max)
}

/// A Nash policy, and whether the equations of its support have one solution.
struct Solved {
    strategy: Strategy,
    regular: bool,
}

impl Solved {
    fn new<G: PreferenceGame + ?Sized>(game: &G) -> Result<Self, EquilibriumError> {
        let n = game.num_actions();
        if let Some(winner) = condorcet_winner(game) {
            return Ok(Self {
                strategy: Strategy::pure(n, winner),
                regular: true,
            });
        }
        let everyone: Vec<usize> = (0..n).collect();
        let skew = skew(game, &everyone);
        let mut best = Self::by_interior_point(&skew, n);
        let miss = |solved: &Self| scaled_residual(&skew, &solved.strategy);
        if miss(&best) > ACCEPTED {
            // The margins are of so many sizes that f64 does not tell which actions are played.
            let start = support(&best.strategy, DOUBTFUL);
            let exact = exact_nash(&skew, n, &start).and_then(|m| spread(n, &everyone, &m));
            if let Some(strategy) = exact {
                let played = support(&strategy, 0.0);
                let system = equations(&skew, n, &played, FINE);
                let regular = system.smallest_singular_value() > TOLERANCE;
                let exact = Self { strategy, regular };
                if miss(&exact) < miss(&best) {
                    best = exact;
                }
            }
        }
        let residual = exploitability(game, &best.strategy);
        if residual > ALLOWED {
            return Err(EquilibriumError::NotConverged {
                residual,
                allowed: ALLOWED,
            });
        }
        Ok(best)
    }

    /// The end of the central path, polished; the best of what is met on the way.
    fn by_interior_point(skew: &[f64], n: usize) -> Self {
        let path = follow_central_path(skew, n);
        let masses = |policy: &[f64], support: &[usize]| -> Vec<f64> {
            support.iter().map(|&y| policy[y]).collect()
        };
        let mut support: Vec<usize> = (0..n).filter(|&y| path.policy[y] > path.slack[y]).collect();
        // The first of them that is exact is taken, otherwise the best.
        let mut candidates = Vec::new();
        loop {
            let system = equations(skew, n, &support, FINE);
            let regular = system.smallest_singular_value() > TOLERANCE;
            let start = masses(&path.policy, &support);
            let solution = system.solve(&start).unwrap_or_else(|| start.clone());
            // An action whose mass and slack are both below the accuracy of the path may be on
            // the wrong side: the equations then give it a negative mass.
            let played = support.iter().zip(&solution).filter(|(_, x)| **x >= 0.0);
            let played: Vec<usize> = played.map(|(&y, _)| y).collect();
            let last = played.len() == support.len() || played.is_empty();
            // Of several solutions the one next to the centre, which does not hang on rounding.
            let central = (last && !regular).then(|| {
                let start = masses(&path.centre, &support);
                equations(skew, n, &support, COARSE).solve(&start)
            });
            let found = [central.flatten(), Some(solution), Some(start)];
            let spread = |masses: &Vec<f64>| spread(n, &support, masses);
            let found = found.iter().flatten().filter_map(spread);
            candidates.extend(found.map(|strategy| Self { strategy, regular }));
            if last {
                break;
            }
            support = played;
        }
        let miss = |solved: &Self| scaled_residual(skew, &solved.strategy);
        let misses: Vec<f64> = candidates.iter().map(miss).collect();
        let exact = (0..misses.len()).find(|&k| misses[k] <= ROUNDING);
        let least = (0..misses.len()).min_by(|&k, &l| misses[k].total_cmp(&misses[l]));
        let chosen = exact.or(least).map(|k| candidates.swap_remove(k));
        chosen.unwrap_or_else(|| Self {
            strategy: Strategy::uniform(n),
            regular: false,
        })
    }
}

/// The equations of a support of the game with payoffs `skew`, n x n.
fn equations(skew: &[f64], n: usize, support: &[usize], ridge: f64) -> SupportSystem {
    let row = |&i: &usize| support.iter().map(move |&j| skew[i * n + j]);
    let part: Vec<f64> = support.iter().flat_map(row).collect();
    SupportSystem::new(&part, support.len(), ridge)
}

/// The slacks -A x of the actions, in units of the largest |A_ij|.
fn scaled_slacks(skew: &[f64], strategy: &Strategy) -> Vec<f64> {
    let largest = skew.iter().fold(0.0_f64, |most, a| most.max(a.abs()));
    let scale = if largest > 0.0 { largest } else { 1.0 };
    let rows = skew.chunks_exact(strategy.num_actions());
    rows.map(|row| -dot(row, strategy) / scale).collect()
}

/// [`nash_residual`] with the slacks in units of the largest |A_ij|.
fn scaled_residual(skew: &[f64], strategy: &Strategy) -> f64 {
    let slacks = scaled_slacks(skew, strategy);
    let miss = |(p, s): (&f64, &f64)| p.min(*s).abs();
    strategy.iter().zip(&slacks).map(miss).fold(0.0, f64::max)
}

/// The strategy with the given masses, divided by their sum, on `support` and 0 elsewhere.
fn spread(n: usize, support: &[usize], masses: &[f64]) -> Option<Strategy> {
    let sum: f64 = masses.iter().sum();
    let mut probabilities = vec![0.0; n];
    for (&y, mass) in support.iter().zip(masses) {
        probabilities[y] = mass / sum;
    }
    Strategy::new(probabilities).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MatrixGame;
    use crate::games::cyclic_three;

    /// The polished solution is exact up to rounding.
    const EXACT: f64 = 1e-13;

    #[test]
    fn the_cyclic_game_has_its_known_nash() {
        let game = cyclic_three();
        let pi = nash(&game).unwrap();
        for (got, want) in pi.iter().zip([4.0 / 11.0, 3.0 / 11.0, 4.0 / 11.0]) {
            assert!((got - want).abs() < EXACT, "{got} is not {want}");
        }
        assert!(exploitability(&game, &pi).abs() < EXACT);
        assert!(nash_residual(&game, &pi) < EXACT);
    }

    #[test]
    fn a_winner_of_all_is_played_alone() {
        let game = MatrixGame::new(vec![
            vec![0.5, 0.4, 0.2],
            vec![0.6, 0.5, 0.7],
            vec![0.8, 0.3, 0.5],
        ])
        .unwrap();
        assert_eq!(nash(&game).unwrap().as_slice(), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn degenerate_games_have_a_nash_too() {
        // Every strategy is a Nash policy of the flat game; one action is a game as well.
        for n in [1, 2, 5] {
            let flat = MatrixGame::new(vec![vec![0.5; n]; n]).unwrap();
            assert!(exploitability(&flat, &nash(&flat).unwrap()).abs() < EXACT);
        }
        // Two copies of the cyclic game's first action: a segment of Nash policies.
        let twin = MatrixGame::new(vec![
            vec![0.5, 0.5, 0.1, 0.8],
            vec![0.5, 0.5, 0.1, 0.8],
            vec![0.9, 0.9, 0.5, 0.1],
            vec![0.2, 0.2, 0.9, 0.5],
        ])
        .unwrap();
        let pi = nash(&twin).unwrap();
        assert!(exploitability(&twin, &pi).abs() < EXACT);
        assert!((pi[0] + pi[1] - 4.0 / 11.0).abs() < EXACT);
    }

    #[test]
    fn the_residual_is_large_away_from_the_nash() {
        // Uniform on the cyclic game: c wins 8/15, so it misses by 1/30.
        let residual = nash_residual(&cyclic_three(), &Strategy::uniform(3));
        assert!((residual - 1.0 / 30.0).abs() < EXACT);
    }

    /// Preferences of 0.9 for the given wins and ties elsewhere.
    fn wins(n: usize, wins: &[(usize, usize)]) -> MatrixGame {
        let mut rows = vec![vec![0.5; n]; n];
        for &(i, j) in wins {
            (rows[i][j], rows[j][i]) = (0.9, 0.1);
        }
        MatrixGame::new(rows).unwrap()
    }

    #[test]
    fn the_report_of_the_cyclic_game() {
        let report = nash_report(&cyclic_three()).unwrap();
        assert!(report.unique);
        assert_eq!(report.support, [0, 1, 2]);
        assert_eq!(report.best_responses, [0, 1, 2]);
        assert!((report.value - 0.5).abs() < EXACT);
        assert!(report.exploitability.abs() < EXACT && report.residual < EXACT);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<NashReport>(&text).unwrap(), report);
    }

    #[test]
    fn twins_of_the_support_make_it_one_of_many_and_share_evenly() {
        let twin = MatrixGame::new(vec![
            vec![0.5, 0.5, 0.1, 0.8],
            vec![0.5, 0.5, 0.1, 0.8],
            vec![0.9, 0.9, 0.5, 0.1],
            vec![0.2, 0.2, 0.9, 0.5],
        ])
        .unwrap();
        let report = nash_report(&twin).unwrap();
        assert!(!report.unique);
        assert_eq!(report.support, [0, 1, 2, 3]);
        // The centre of the segment between (4, 0, 3, 4) / 11 and (0, 4, 3, 4) / 11.
        for (got, want) in report.strategy.iter().zip([2.0, 2.0, 3.0, 4.0]) {
            assert!((got - want / 11.0).abs() < 1e-6, "{got}");
        }
    }

    #[test]
    fn ties_at_the_top_are_not_unique() {
        let report = nash_report(&wins(3, &[])).unwrap();
        assert!(!report.unique);
        assert_eq!(report.strategy, Strategy::uniform(3));
        assert!(nash_report(&wins(1, &[])).unwrap().unique);
        // 0 and 1 tie; both beat 2: every mix of the two is a Nash policy.
        let report = nash_report(&wins(3, &[(0, 2), (1, 2)])).unwrap();
        assert!(!report.unique);
        assert_eq!(report.support, [0, 1]);
        // 0 beats 2, 2 beats 1, and 0 ties with 1: 1 may be played with up to 1/2, since then 2
        // wins 0.1 / 2 + 0.9 / 2. Pure 0 is a Nash policy and 1 a best response to it.
        let report = nash_report(&wins(3, &[(0, 2), (2, 1)])).unwrap();
        assert!(!report.unique);
        assert_eq!(report.best_responses, [0, 1]);
        assert!(report.strategy[1] > 0.01 && report.strategy[1] < 0.49);
        // 0 beats both and 1 ties with 2: a tie below the winner changes nothing.
        let report = nash_report(&wins(3, &[(0, 1), (0, 2)])).unwrap();
        assert!(report.unique);
        assert_eq!((report.support, report.best_responses), (vec![0], vec![0]));
    }

    #[test]
    fn a_tournament_has_one_nash_on_an_odd_number_of_actions() {
        // The circle of five, i beats the two that follow it, and 5, which loses to all but 0.
        let circle: Vec<(usize, usize)> = (0..5)
            .flat_map(|i| [(i, (i + 1) % 5), (i, (i + 2) % 5)])
            .chain([(5, 0), (1, 5), (2, 5), (3, 5), (4, 5)])
            .collect();
        let report = nash_report(&wins(6, &circle)).unwrap();
        assert!(report.unique);
        assert_eq!(report.support, [0, 1, 2, 3, 4]);
        for p in &report.strategy[..5] {
            assert!((p - 0.2).abs() < EXACT);
        }
    }

    #[test]
    fn hundreds_of_actions() {
        // As in the test of the regularised game, and with its entries rounded to tenths: a game
        // full of ties.
        let n = 300;
        let chance = |i: usize, j: usize| ((i * n + j) as f64 * 0.618_033_988_749_894_9).fract();
        for tenths in [false, true] {
            let entry = |i: usize, j: usize| {
                let p = chance(i.min(j), i.max(j));
                let p = if tenths { (10.0 * p).round() / 10.0 } else { p };
                match i.cmp(&j) {
                    std::cmp::Ordering::Less => p,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Greater => 1.0 - p,
                }
            };
            let rows = (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect());
            let game = MatrixGame::new(rows.collect()).unwrap();
            let report = nash_report(&game).unwrap();
            assert!(report.exploitability < 1e-14, "{}", report.exploitability);
            assert!(report.residual < 1e-14, "{}", report.residual);
            assert_eq!(report.support, report.best_responses);
        }
    }

    #[test]
    fn faint_preferences_are_solved_like_strong_ones() {
        // The cyclic game with all margins divided by 2^40: 1/2 + a 2^-40 is exact to 2^-53.
        let faint = |p: f64| 0.5 + (p - 0.5) / 2f64.powi(40);
        let rows =
            (0..3).map(|i| (0..3).map(move |j| faint(cyclic_three().preference(i, j).get())));
        let game = MatrixGame::new(rows.map(Iterator::collect).collect()).unwrap();
        let report = nash_report(&game).unwrap();
        assert!(report.unique);
        for (got, want) in report
            .strategy
            .iter()
            .zip([4.0 / 11.0, 3.0 / 11.0, 4.0 / 11.0])
        {
            assert!((got - want).abs() < 1e-3, "{got} is not {want}"); // 2^-13 of rounding
        }
    }
}
