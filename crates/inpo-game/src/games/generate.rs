//! Games from a rule and a seed.

use std::f64::consts::TAU as FULL_TURN;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::MatrixGame;
use crate::games::law::{logistic, settle};

/// The largest scale of log-odds. A normal number from 53 bits is below 8.6, a difference of two
/// scores below 18 and c below 26, so that the two terms and their sum stay finite.
const LARGEST_SCALE: f64 = 1e300;

/// Arguments that make no game.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum GeneratorError {
    /// No actions.
    #[error("the number of actions is 0: a game needs at least one")]
    NoActions,
    /// The strength of a cycle is not in [0, 1/2].
    #[error("strength is {value}: it is added to 1/2 and must be in [0, 0.5]")]
    Strength {
        /// What was given.
        value: f64,
    },
    /// A scale is negative, NaN, infinite or so large that log-odds overflow.
    #[error("{name} is {value:?}: the scale of log-odds must be in [0, 1e300]")]
    Scale {
        /// The argument.
        name: &'static str,
        /// What was given.
        value: f64,
    },
}

/// A game whose preferences P(i > j), i < j, are independent and uniform on [0, 1]: the set-up of
/// the tabular study of EGPO (arXiv 2503.08942). No structure at all; with n actions a Condorcet
/// winner is as rare as n 2^(1 - n).
///
/// The same `seed` gives the same game on every machine.
///
/// # Errors
/// [`GeneratorError::NoActions`].
pub fn uniform(num_actions: usize, seed: u64) -> Result<MatrixGame, GeneratorError> {
    check_actions(num_actions)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Ok(build(num_actions, |_, _| settle(rng.random())))
}

/// The circle: each action beats its floor((n - 1) / 2) successors around the circle with
/// 1/2 + `strength` and loses to as many predecessors; with n even it ties with the one opposite.
///
/// Every action wins as often as it loses, so the uniform policy has win rate 1/2 against all and
/// is a Nash policy; for odd n and `strength` > 0 it is the only one, and it is also the
/// regularised Nash policy of a uniform reference at every tau. [`rock_paper_scissors`] is n = 3,
/// strength 1/2, read backwards.
///
/// ```
/// use inpo_game::{PreferenceGame, games};
///
/// let game = games::cyclic(5, 0.2)?;
/// let row: Vec<f64> = (0..5).map(|j| game.preference(0, j).get()).collect();
/// assert_eq!(row, [0.5, 0.7, 0.7, 1.0 - 0.7, 1.0 - 0.7]);
/// # Ok::<(), inpo_game::games::GeneratorError>(())
/// ```
///
/// [`rock_paper_scissors`]: super::rock_paper_scissors
///
/// # Errors
/// [`GeneratorError::NoActions`], or [`GeneratorError::Strength`] outside [0, 1/2].
pub fn cyclic(num_actions: usize, strength: f64) -> Result<MatrixGame, GeneratorError> {
    check_actions(num_actions)?;
    if !(0.0..=0.5).contains(&strength) {
        return Err(GeneratorError::Strength { value: strength });
    }
    let win = 0.5 + strength;
    Ok(build(num_actions, |i, j| {
        let ahead = j - i;
        match (2 * ahead).cmp(&num_actions) {
            std::cmp::Ordering::Less => win,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Greater => 1.0 - win,
        }
    }))
}

/// A ranking disturbed by cycles, in log-odds:
///
/// ```text
/// logit P(i > j) = transitive (s_i - s_j) + cyclic c_ij,        s_i ~ N(0, 1)
/// c_ij = a_ij - (g_i - g_j),   a_ij = -a_ji ~ N(0, 1),   g_i = (1/n) sum_j a_ij
/// ```
///
/// c is the part of the skew matrix a that no scores explain: its rows add to 0 (it is free of
/// divergence, in the language of X. Jiang et al., Statistical ranking and combinatorial Hodge
/// theory, 2011). With `cyclic` = 0 the game is Bradley-Terry and its Nash policy plays the action
/// of the largest s; as `cyclic` grows beside `transitive` the Nash policy spreads. n <= 2 has no
/// cycles, and c is 0 there.
///
/// The draws depend on `seed` and n alone, so that games of one seed differ by their scales only.
/// They are the same on every machine, to the last bit of its logarithm and cosine.
///
/// # Errors
/// [`GeneratorError::NoActions`], or [`GeneratorError::Scale`] for a scale outside [0, 1e300].
pub fn transitive_plus_cyclic(
    num_actions: usize,
    transitive: f64,
    cyclic: f64,
    seed: u64,
) -> Result<MatrixGame, GeneratorError> {
    check_actions(num_actions)?;
    for (name, value) in [("transitive", transitive), ("cyclic", cyclic)] {
        if !(0.0..=LARGEST_SCALE).contains(&value) {
            return Err(GeneratorError::Scale { name, value });
        }
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let scores: Vec<f64> = (0..num_actions).map(|_| normal(&mut rng)).collect();
    let skew = divergence_free(num_actions, &mut rng);
    let mut entries = skew.into_iter();
    Ok(build(num_actions, |i, j| {
        let c = entries.next().expect("one entry for each pair");
        logistic(transitive * (scores[i] - scores[j]) + cyclic * c)
    }))
}

/// The entries c_ij, i < j, row by row.
fn divergence_free(n: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let pairs = || (0..n).flat_map(move |i| (i + 1..n).map(move |j| (i, j)));
    let mut entries: Vec<f64> = pairs().map(|_| normal(rng)).collect();
    let mut gradient = vec![0.0; n];
    for ((i, j), a) in pairs().zip(&entries) {
        gradient[i] += a / n as f64;
        gradient[j] -= a / n as f64;
    }
    for ((i, j), a) in pairs().zip(&mut entries) {
        *a -= gradient[i] - gradient[j];
    }
    entries
}

/// A standard normal number from two uniform ones, by the method of Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    // 1 - u is in (0, 1]: the logarithm is finite.
    let (u, turn): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (FULL_TURN * turn).cos()
}

fn check_actions(num_actions: usize) -> Result<(), GeneratorError> {
    match num_actions {
        0 => Err(GeneratorError::NoActions),
        _ => Ok(()),
    }
}

fn build(num_actions: usize, preference: impl FnMut(usize, usize) -> f64) -> MatrixGame {
    MatrixGame::from_fn(num_actions, preference).expect("probabilities of at least one action")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PreferenceGame, Strategy, analysis, exploitability, nash};

    #[test]
    fn around_the_circle_the_uniform_policy_is_nash() {
        for n in 1..=9 {
            let game = cyclic(n, 0.3).unwrap();
            let uniform = Strategy::uniform(n);
            assert!(exploitability(&game, &uniform).abs() < 1e-15, "{n}");
            if n % 2 == 1 {
                // Unique, so the linear program must find it.
                let pi = nash(&game).unwrap();
                assert!(pi.iter().all(|p| (p - 1.0 / n as f64).abs() < 1e-12));
            }
        }
        // n = 4: 0 beats 1, ties with 2, loses to 3.
        let game = cyclic(4, 0.5).unwrap();
        let row: Vec<f64> = (0..4).map(|j| game.preference(0, j).get()).collect();
        assert_eq!(row, [0.5, 1.0, 0.5, 0.0]);
    }

    #[test]
    fn uniform_preferences_have_the_moments_of_the_uniform_law() {
        // 4,950 numbers: the standard error of the mean is sqrt(1 / 12 / 4950) = 0.0041, and of
        // the mean square sqrt(4 / 45 / 4950) = 0.0042. Bands of five.
        let game = uniform(100, 7).unwrap();
        let pairs = || (0..100).flat_map(|i| (i + 1..100).map(move |j| (i, j)));
        let mean = |f: fn(f64) -> f64| {
            let sum: f64 = pairs().map(|(i, j)| f(game.preference(i, j).get())).sum();
            sum / 4950.0
        };
        assert!((mean(|p| p) - 1.0 / 2.0).abs() < 0.0205);
        assert!((mean(|p| p * p) - 1.0 / 3.0).abs() < 0.0212);
        assert_eq!(uniform(100, 7).unwrap(), game);
        assert_ne!(uniform(100, 8).unwrap(), game);
    }

    #[test]
    fn normal_numbers_have_the_moments_of_the_normal_law() {
        // 10,000 numbers: standard errors 0.01 of the mean, sqrt(2) / 100 of the mean square and
        // sqrt(96) / 100 of the fourth moment (E z^8 - 9 = 96). Bands of five.
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let draws: Vec<f64> = (0..10_000).map(|_| normal(&mut rng)).collect();
        let moment = |k: i32| draws.iter().map(|z| z.powi(k)).sum::<f64>() / 1e4;
        assert!(moment(1).abs() < 0.05);
        assert!((moment(2) - 1.0).abs() < 0.071);
        assert!((moment(4) - 3.0).abs() < 0.49);
    }

    #[test]
    fn without_the_cyclic_part_scores_explain_everything() {
        let game = transitive_plus_cyclic(8, 1.5, 0.0, 11).unwrap();
        let logit = |i, j| {
            let p: f64 = game.preference(i, j).get();
            (p / (1.0 - p)).ln()
        };
        for (i, j, k) in [(0, 1, 2), (3, 5, 7), (6, 2, 4)] {
            assert!((logit(i, j) + logit(j, k) - logit(i, k)).abs() < 1e-12);
        }
        let winner = analysis::condorcet_winner(&game).unwrap();
        assert!(nash(&game).unwrap()[winner] > 1.0 - 1e-12);
    }

    #[test]
    fn the_cyclic_part_has_no_divergence() {
        let game = transitive_plus_cyclic(9, 0.0, 0.8, 5).unwrap();
        for i in 0..9 {
            let odds = |j| {
                let p: f64 = game.preference(i, j).get();
                (p / (1.0 - p)).ln()
            };
            let sum: f64 = (0..9).map(odds).sum();
            assert!(sum.abs() < 1e-12, "row {i} adds to {sum}");
        }
        assert!(analysis::cyclic_triads(&game).cyclic > 0);
        // Two actions have no cycle: the skew number is all gradient.
        let two = transitive_plus_cyclic(2, 0.0, 3.0, 5).unwrap();
        assert!((two.preference(0, 1).get() - 0.5).abs() < 1e-15);
    }

    #[test]
    fn each_bad_argument_has_its_sentence() {
        assert_eq!(uniform(0, 1), Err(GeneratorError::NoActions));
        let text = cyclic(3, 0.6).unwrap_err().to_string();
        assert!(text.contains("strength is 0.6"), "{text}");
        assert!(cyclic(3, f64::NAN).is_err());
        let text = transitive_plus_cyclic(3, 1.0, -1.0, 0)
            .unwrap_err()
            .to_string();
        assert!(text.contains("cyclic is -1.0"), "{text}");
        let text = transitive_plus_cyclic(3, f64::INFINITY, 1.0, 0)
            .unwrap_err()
            .to_string();
        assert!(text.contains("transitive is inf"), "{text}");
        // Two infinite terms of opposite signs would be NaN.
        for n in [1, 2, 3, 40] {
            let error = transitive_plus_cyclic(n, 1e308, 1e308, 1).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("transitive is 1e308: the scale"), "{text}");
            assert!(text.ends_with("must be in [0, 1e300]"), "{text}");
            let game = transitive_plus_cyclic(n, 1e300, 1e300, 1).unwrap();
            // Log-odds of 1e300 are certain.
            assert!((1..n).all(|j| [0.0, 1.0].contains(&game.preference(0, j).get())));
        }
        assert!(transitive_plus_cyclic(3, 1.0, f64::NAN, 0).is_err());
    }
}
