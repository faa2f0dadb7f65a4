//! Bradley-Terry scores: the one number an item that explains who beats whom best.
//!
//! The model of Zermelo (1929) and of Bradley and Terry (Biometrika 39, 1952) says
//!
//! ```text
//! P(i beats j) = sigmoid(f_i - f_j),      sigmoid(d) = 1 / (1 + exp(-d))
//! ```
//!
//! It is what a reward model and DPO assume, and what Elo ratings estimate. It has no cycles: a
//! game that has them is fitted as well as scores can, and [`analysis::hodge`](crate::analysis::hodge)
//! says how well that is.
//!
//! [`scores`] fits a preference game, [`fit_counts`] a table of wins, and [`fit`] solves the
//! equations of both, and of any other weights. [`elo`] changes the unit.
//!
//! ```
//! use inpo_game::{bradley_terry, games};
//!
//! let scores = bradley_terry::scores(&games::cyclic_three())?;
//! // c wins 1.1 of 2 on average, b 1.0 and a 0.9: scores can say no more about a cycle.
//! assert!(scores[2] > scores[1] && scores[1] > scores[0]);
//! assert!((scores.iter().sum::<f64>()).abs() < 1e-12);
//! # Ok::<(), inpo_game::bradley_terry::FitError>(())
//! ```

mod newton;

use newton::Equations;

use crate::PreferenceGame;
use crate::graph::reach;

/// How far the wins of two items against each other may be from the number of their comparisons,
/// relative to it.
const COUNT_TOLERANCE: f64 = 1e-6;

/// Why there are no scores.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FitError {
    /// A list has the wrong length.
    #[error("{what} has {got} entries, but there are {expected} items: give one for each item")]
    Length {
        /// Which list.
        what: &'static str,
        /// Its entries.
        got: usize,
        /// The items.
        expected: usize,
    },
    /// A weight, a number of wins or a starting score is negative or not finite.
    #[error("{what} of item {item} is {value}: it must be {allowed}")]
    Value {
        /// What it is.
        what: &'static str,
        /// The item.
        item: usize,
        /// What was given.
        value: f64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// An item wins more than it is compared.
    #[error("item {item} wins {wins}, but the weights of its comparisons add to {weights} only")]
    TooManyWins {
        /// The item.
        item: usize,
        /// Its wins.
        wins: f64,
        /// The sum of its weights.
        weights: f64,
    },
    /// The wins of two items do not add to their comparisons.
    #[error(
        "items {first} and {second} have {forwards} and {backwards} wins against each other, but {count} comparisons: the wins must add to the comparisons, a tie being half a win for both"
    )]
    Counts {
        /// The first item.
        first: usize,
        /// The second item.
        second: usize,
        /// Wins of the first.
        forwards: f64,
        /// Wins of the second.
        backwards: f64,
        /// Comparisons of the two.
        count: f64,
    },
    /// Some items were never compared with the rest.
    #[error(
        "no comparison joins {} to the others, so their scores have no common scale: compare some of them, or fit the parts one by one",
        listed(.part)
    )]
    Separate {
        /// The items of one part.
        part: Vec<usize>,
    },
    /// Some items win everything against the rest.
    #[error(
        "{} lost nothing to the others, so their scores are infinite: add a pseudo-count to both sides of each comparison, or leave these items out",
        listed(.upper)
    )]
    Unbeaten {
        /// The items that are infinitely better than the others.
        upper: Vec<usize>,
    },
    /// The scores are too far apart for f64: finite ones may exist.
    #[error(
        "the search for the scores ended with {} a gap of {gap:.1} above the others: scores more than 33 apart, which f64 cannot tell from infinite, are not fitted; add a pseudo-count to both sides of each comparison, or leave these items out",
        listed(.upper)
    )]
    TooFarApart {
        /// The items above the gap.
        upper: Vec<usize>,
        /// The gap between the lowest of them and the highest other when the search ended.
        gap: f64,
    },
    /// The equations were not solved.
    #[error(
        "the scores leave a residual of {residual:e}, above {allowed:e}: check that weights and wins are of the same comparisons, so that each comparison gives one win in all"
    )]
    NotConverged {
        /// The largest residual, relative to the weights of its item.
        residual: f64,
        /// The residual required.
        allowed: f64,
    },
}

/// "item 3", "items 0, 4 and 7", "items 0, 1, 2, 3, 4 and 17 more".
fn listed(items: &[usize]) -> String {
    const SHOWN: usize = 5;
    let names: Vec<String> = items.iter().take(SHOWN).map(usize::to_string).collect();
    let (noun, rest) = (
        if items.len() == 1 { "item" } else { "items" },
        items.len() - names.len(),
    );
    match names.as_slice() {
        names if rest > 0 => format!("{noun} {} and {rest} more", names.join(", ")),
        [before @ .., last] if !before.is_empty() => {
            format!("{noun} {} and {last}", before.join(", "))
        }
        names => format!("{noun} {}", names.concat()),
    }
}

/// The scores f, with mean 0, that solve
///
/// ```text
/// F_i(f) = wins_i - sum_j w_ij sigmoid(f_i - f_j) = 0      for all i
/// ```
///
/// to |F_i| <= 1e-12 sum_j w_ij. `weight(i, j)` is w_ij >= 0, how much the comparison of i with j
/// counts in the equation of i, and `wins[i]` what i won of them, sum_j w_ij P(i beats j), so that
/// the equation says: i wins as much as the scores predict. w_ii may be positive and adds
/// w_ii / 2.
///
/// w need not be symmetric, but positive factors c must exist that make it so: c_i w_ij = c_j w_ji.
/// Counts of comparisons are symmetric as they are. With w_ij = pi_j, symmetric by c = pi, the
/// scores are the Bradley-Terry fit under comparisons of two draws of pi, and the wins are the
/// win rates P(i > pi): one step of iterative DPO. Then pi_j = 0 is allowed as well.
///
/// Solved by damped Newton steps from `start` (any scores; by default all 0), some five from
/// nearby. The derivative diag(sum_j w_ij s_ij) - w_ij s_ij with s = sigmoid' has the kernel 1, to
/// which a term of rank one is added. Each step factors an n x n matrix.
///
/// Two neighbouring scores more than 33 apart are not fitted: there the lower item wins less than
/// exp(-33), about 5e-15, of its comparisons with the higher, and wins are known to about 1e-16.
///
/// ```
/// use inpo_game::bradley_terry::fit;
///
/// // Two items compared 4 times, of which the first wins 3: f_0 - f_1 = log 3.
/// let weight = |i: usize, j: usize| if i == j { 0.0 } else { 4.0 };
/// let scores = fit(2, weight, &[3.0, 1.0], None)?;
/// assert!((scores[0] - 0.5 * 3f64.ln()).abs() < 1e-12);
/// # Ok::<(), inpo_game::bradley_terry::FitError>(())
/// ```
///
/// # Errors
/// [`FitError::Length`], [`FitError::Value`], [`FitError::TooManyWins`] for numbers that are none of
/// this; [`FitError::Separate`] if the weights do not connect the items; [`FitError::TooFarApart`] if
/// some items win everything against the rest or nearly so, which totals of wins cannot tell apart;
/// and [`FitError::NotConverged`] if the wins contradict the weights.
pub fn fit(
    num_items: usize,
    weight: impl Fn(usize, usize) -> f64,
    wins: &[f64],
    start: Option<&[f64]>,
) -> Result<Vec<f64>, FitError> {
    let equations = Equations::new(num_items, weight, wins)?;
    let Some(start) = start else {
        return equations.solve(vec![0.0; num_items]);
    };
    if start.len() != num_items {
        return Err(FitError::Length {
            what: "the start",
            got: start.len(),
            expected: num_items,
        });
    }
    if let Some(item) = start.iter().position(|f| !f.is_finite()) {
        return Err(FitError::Value {
            what: "the starting score",
            item,
            value: start[item],
            allowed: "finite",
        });
    }
    // A bad start saturates the sigmoids; then begin in the middle.
    let warm = equations.solve(start.to_vec());
    warm.or_else(|_| equations.solve(vec![0.0; num_items]))
}

/// The Bradley-Terry scores of a preference game, with mean 0: every pair counts the same,
///
/// ```text
/// sum_{j != i} P(i beats j) = sum_{j != i} sigmoid(f_i - f_j)      for all i
/// ```
///
/// which is the maximum of the expected log-likelihood sum_ij P(i beats j) log sigmoid(f_i - f_j).
/// The scores rank the actions as [`borda`](crate::analysis::borda) does.
///
/// # Errors
/// [`FitError::Unbeaten`] if some actions win with certainty against all others, and
/// [`FitError::TooFarApart`] if they do so but for less than about 5e-15, so that their scores are
/// more than 33 above the rest.
pub fn scores<G: PreferenceGame + ?Sized>(game: &G) -> Result<Vec<f64>, FitError> {
    let pairs = |i: usize, j: usize| if i == j { 0.0 } else { 1.0 };
    let wins = |i: usize, j: usize| game.preference(i, j).get();
    fit_counts(game.num_actions(), pairs, wins)
}

/// The Bradley-Terry scores of a table of comparisons, with mean 0: the maximum likelihood
///
/// ```text
/// maximise sum_ij wins_ij log sigmoid(f_i - f_j)
/// ```
///
/// `counts(i, j)` = n_ij is how often i and j were compared and `wins(i, j)` how often i won, a tie
/// being half a win for both, so that wins_ij + wins_ji = n_ij. Both are asked for i != j. Finite
/// scores exist exactly if the items cannot be split so that one part never lost to the other
/// (Ford, American Mathematical Monthly 64, 1957); this is checked before the fit.
///
/// ```
/// use inpo_game::bradley_terry::{FitError, fit_counts};
///
/// let wins = [[0.0, 3.0, 1.0], [1.0, 0.0, 2.0], [1.0, 1.0, 0.0]];
/// let scores = fit_counts(3, |i, j| wins[i][j] + wins[j][i], |i, j| wins[i][j])?;
/// assert!(scores[0] > scores[1] && scores[1] > scores[2]);
///
/// let error = fit_counts(2, |_, _| 5.0, |i, _| if i == 0 { 5.0 } else { 0.0 }).unwrap_err();
/// assert!(error.to_string().starts_with("item 0 lost nothing to the others"));
/// # Ok::<(), FitError>(())
/// ```
///
/// # Errors
/// [`FitError::Value`] and [`FitError::Counts`] for tables that are none; [`FitError::Separate`] and
/// [`FitError::Unbeaten`] if no finite scores exist; [`FitError::TooFarApart`] if they do, but
/// more than 33 apart (odds of 2e14), which f64 cannot tell from infinite.
pub fn fit_counts(
    num_items: usize,
    counts: impl Fn(usize, usize) -> f64,
    wins: impl Fn(usize, usize) -> f64,
) -> Result<Vec<f64>, FitError> {
    for first in 0..num_items {
        for second in first + 1..num_items {
            let count = counts(first, second);
            let (forwards, backwards) = (wins(first, second), wins(second, first));
            for (item, value) in [(first, forwards), (second, backwards)] {
                check_size("a number of wins", item, value)?;
            }
            check_size("a number of comparisons", first, count)?;
            if (forwards + backwards - count).abs() > COUNT_TOLERANCE * count {
                return Err(FitError::Counts {
                    first,
                    second,
                    forwards,
                    backwards,
                    count,
                });
            }
        }
    }
    let won = |i: usize, j: usize| i != j && wins(i, j) > 0.0;
    let met = |i: usize, j: usize| i != j && (wins(i, j) > 0.0 || wins(j, i) > 0.0);
    check_joined(num_items, met)?;
    // Whoever is not reached from 0 along wins never lost to those who are; whoever reaches 0 never
    // lost to those who do not.
    let beaten = reached(num_items, &won);
    if beaten.contains(&false) {
        let upper = (0..num_items).filter(|&i| !beaten[i]).collect();
        return Err(FitError::Unbeaten { upper });
    }
    let above = reached(num_items, &|i, j| won(j, i));
    if above.contains(&false) {
        let upper = (0..num_items).filter(|&i| above[i]).collect();
        return Err(FitError::Unbeaten { upper });
    }
    let others = |i: usize| (0..num_items).filter(move |&j| j != i);
    let totals: Vec<f64> = (0..num_items)
        .map(|i| others(i).map(|j| wins(i, j)).sum())
        .collect();
    // The weights are what was won on both sides, so that they agree with the wins to rounding.
    let weight = |i: usize, j: usize| {
        if i == j { 0.0 } else { wins(i, j) + wins(j, i) }
    };
    fit(num_items, weight, &totals, None)
}

/// Scores in the unit of Elo, with mean 1500: 400 points are odds of 10 to 1,
///
/// ```text
/// elo_i = 1500 + (400 / log 10) (f_i - mean f)
/// ```
///
/// ```
/// let elo = inpo_game::bradley_terry::elo(&[10f64.ln(), 0.0]);
/// assert!((elo[0] - 1700.0).abs() < 1e-9 && (elo[1] - 1300.0).abs() < 1e-9);
/// ```
#[must_use]
pub fn elo(scores: &[f64]) -> Vec<f64> {
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let points = |f: &f64| 1500.0 + 400.0 / std::f64::consts::LN_10 * (f - mean);
    scores.iter().map(points).collect()
}

fn check_size(what: &'static str, item: usize, value: f64) -> Result<(), FitError> {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(FitError::Value {
        what,
        item,
        value,
        allowed: "finite and not negative",
    })
}

/// Whether each item is joined to the first by comparisons.
fn check_joined(n: usize, met: impl Fn(usize, usize) -> bool) -> Result<(), FitError> {
    let joined = reached(n, &met);
    if !joined.contains(&false) {
        return Ok(());
    }
    // Name the smaller side.
    let few = 2 * joined.iter().filter(|&&in_it| in_it).count() <= n;
    let part = (0..n).filter(|&i| joined[i] == few).collect();
    Err(FitError::Separate { part })
}

/// Who is reached from item 0 along the edges of a relation.
fn reached(n: usize, edge: &impl Fn(usize, usize) -> bool) -> Vec<bool> {
    let mut marked = vec![false; n];
    if n > 0 {
        reach(0, edge, &mut marked);
    }
    marked
}

#[cfg(test)]
mod tests;
