//! Weighted means of games.

use crate::games::law::{check_lengths, complementary};
use crate::{Preference, PreferenceGame};

/// Weights that make no mean.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum WeightError {
    /// Not one for each part.
    #[error("there are {got} weights for {expected} {what}: give one for each")]
    Count {
        /// How many weights.
        got: usize,
        /// How many parts.
        expected: usize,
        /// What the parts are.
        what: &'static str,
    },
    /// Zero, negative, NaN or infinite.
    #[error("weights[{index}] is {value}: every weight must be positive and finite")]
    NotPositive {
        /// The part.
        index: usize,
        /// What was given.
        value: f64,
    },
}

/// `weights` divided by their sum.
pub(super) fn normalise(
    mut weights: Vec<f64>,
    expected: usize,
    what: &'static str,
) -> Result<Vec<f64>, WeightError> {
    if weights.len() != expected {
        return Err(WeightError::Count {
            got: weights.len(),
            expected,
            what,
        });
    }
    for (index, &value) in weights.iter().enumerate() {
        if !(value > 0.0 && value.is_finite()) {
            return Err(WeightError::NotPositive { index, value });
        }
    }
    // By the largest first: a sum of huge weights does not overflow.
    let largest = weights.iter().copied().fold(0.0, f64::max);
    weights.iter_mut().for_each(|weight| *weight /= largest);
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    Ok(weights)
}

/// sum_k w_k P_k pi, for games over the same actions.
pub(super) fn weighted_win_rates<G: PreferenceGame>(
    games: &[G],
    weights: &[f64],
    strategy: &[f64],
    out: &mut [f64],
) {
    let n = games[0].num_actions();
    check_lengths(n, strategy, out);
    out.fill(0.0);
    let mut rates = vec![0.0; n];
    for (game, weight) in games.iter().zip(weights) {
        game.win_rates_into(strategy, &mut rates);
        for (sum, rate) in out.iter_mut().zip(&rates) {
            *sum += weight * rate;
        }
    }
}

/// sum_k w_k P_k(first > second).
pub(super) fn weighted_preference<G: PreferenceGame>(
    games: &[G],
    weights: &[f64],
    first: usize,
    second: usize,
) -> Preference {
    complementary(games[0].num_actions(), first, second, |i, j| {
        let terms = games.iter().zip(weights);
        terms.map(|(game, w)| w * game.preference(i, j).get()).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_shares() {
        assert_eq!(normalise(vec![1.0, 3.0], 2, "games"), Ok(vec![0.25, 0.75]));
        assert_eq!(
            normalise(vec![f64::MAX, f64::MAX], 2, "games"),
            Ok(vec![0.5, 0.5])
        );
    }

    #[test]
    fn each_bad_weight_has_its_sentence() {
        let text = normalise(vec![1.0], 2, "judges").unwrap_err().to_string();
        assert_eq!(text, "there are 1 weights for 2 judges: give one for each");
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let text = normalise(vec![1.0, bad], 2, "judges")
                .unwrap_err()
                .to_string();
            assert!(text.starts_with(&format!("weights[1] is {bad}")), "{text}");
        }
    }
}
