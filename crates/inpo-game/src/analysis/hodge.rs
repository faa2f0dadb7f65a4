//! How much of a game scores explain: the Hodge decomposition of the complete graph.

use serde::{Deserialize, Serialize};

use crate::PreferenceGame;

/// In which numbers a preference is compared with a difference of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// x = P - 1/2: preferences that are differences of scores in win probability.
    Probability,
    /// x = log(P / (1 - P)): Bradley-Terry preferences are differences of scores. Preferences of
    /// 0 and 1 are infinite here.
    LogOdds,
}

/// A game as scores and the rest. Made by [`hodge`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hodge {
    /// The scores s_i, with mean 0, in the units of the scale.
    pub scores: Vec<f64>,
    /// The share of the sum of squares that differences of scores explain, in [0, 1].
    pub transitive_share: f64,
    /// The rest: 1 - `transitive_share`.
    pub cyclic_share: f64,
}

/// Why a game has no decomposition.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum HodgeError {
    /// Certain outcomes have no log-odds.
    #[error(
        "the preference of action {first} over action {second} is {preference}: its log-odds are infinite; use the probability scale, or move the preferences away from 0 and 1"
    )]
    Certain {
        /// The first action.
        first: usize,
        /// The second action.
        second: usize,
        /// P(first beats second), 0 or 1.
        preference: f64,
    },
}

/// Splits a game into the part that scores explain and the cyclic rest:
///
/// ```text
/// x_ij = (s_i - s_j) + c_ij,   s_i = mean_j x_ij,   sum_j c_ij = 0
/// transitive share = sum_ij (s_i - s_j)^2 / sum_ij x_ij^2
/// ```
///
/// with x of the [`Scale`]. The differences s_i - s_j are the least-squares fit of scores, which on
/// the complete graph with equal weights is the mean over all j, j = i included (x_ii = 0). The
/// two parts are orthogonal: the shares add to 1. In the words of Jiang, Lim, Yao and Ye
/// (Mathematical Programming 127, 2011) s is the gradient part and c the curl; the complete graph
/// has no harmonic part. For a game of pure ties the transitive share is 1.
///
/// ```
/// use inpo_game::MatrixGame;
/// use inpo_game::analysis::{Scale, hodge};
///
/// // Odds of 2 to 1, 3 to 1 and 6 to 1: Bradley-Terry with scores log 6, log 3 and 0, less their mean.
/// let game = MatrixGame::new(vec![
///     vec![0.5, 2.0 / 3.0, 6.0 / 7.0],
///     vec![1.0 / 3.0, 0.5, 0.75],
///     vec![1.0 / 7.0, 0.25, 0.5],
/// ])?;
/// let parts = hodge(&game, Scale::LogOdds)?;
/// assert!((parts.scores[0] - parts.scores[1] - 2f64.ln()).abs() < 1e-14);
/// assert!(parts.cyclic_share < 1e-14);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`HodgeError::Certain`] for the first preference of 0 or 1 on the scale of log-odds.
pub fn hodge<G: PreferenceGame + ?Sized>(game: &G, scale: Scale) -> Result<Hodge, HodgeError> {
    let n = game.num_actions();
    let mut scores = vec![0.0; n];
    let mut whole = 0.0;
    for first in 0..n {
        for second in first + 1..n {
            let p = game.preference(first, second).get();
            let x = match scale {
                Scale::Probability => p - 0.5,
                Scale::LogOdds => (p / (1.0 - p)).ln(),
            };
            if !x.is_finite() {
                return Err(HodgeError::Certain {
                    first,
                    second,
                    preference: p,
                });
            }
            scores[first] += x / n as f64;
            scores[second] -= x / n as f64;
            whole += 2.0 * x * x;
        }
    }
    let transitive_share = if whole == 0.0 {
        1.0
    } else {
        // The scores add to 0, so sum_ij (s_i - s_j)^2 = 2 n sum_i s_i^2.
        let explained = 2.0 * n as f64 * scores.iter().map(|s| s * s).sum::<f64>();
        (explained / whole).clamp(0.0, 1.0)
    };
    Ok(Hodge {
        scores,
        transitive_share,
        cyclic_share: 1.0 - transitive_share,
    })
}

/// The transitive share of [`hodge`] on the scale of probabilities, in [0, 1]:
///
/// ```text
/// A = P - 1/2,   s_i = mean_j A_ij,   share = sum_ij (s_i - s_j)^2 / sum_ij A_ij^2
/// ```
#[must_use]
pub fn transitive_share<G: PreferenceGame + ?Sized>(game: &G) -> f64 {
    let parts = hodge(game, Scale::Probability);
    parts.expect("probabilities are finite").transitive_share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MatrixGame;
    use crate::games::cyclic_three;

    /// P = f(s_i - s_j).
    fn game(s: &[f64], f: impl Fn(f64) -> f64) -> MatrixGame {
        let rows = s
            .iter()
            .map(|a| s.iter().map(|b| f(a - b)).collect())
            .collect();
        MatrixGame::new(rows).unwrap()
    }

    #[test]
    fn the_cyclic_game_is_nearly_all_cycle() {
        // s = (-1, 0, 1)/30; 2 * 3 * (2/900) / (2 * (.16 + .09 + .16)) = 0.0133.. / 0.82
        let parts = hodge(&cyclic_three(), Scale::Probability).unwrap();
        let want = 12.0 / 900.0 / 0.82;
        assert!((parts.transitive_share - want).abs() < 1e-14);
        assert!((parts.cyclic_share - (1.0 - want)).abs() < 1e-14);
        assert_eq!(transitive_share(&cyclic_three()), parts.transitive_share);
        for (got, want) in parts.scores.iter().zip([-1.0, 0.0, 1.0]) {
            assert!((got - want / 30.0).abs() < 1e-15);
        }
    }

    #[test]
    fn each_scale_has_its_own_transitive_games() {
        let s = [0.0, 0.1, 0.3, 0.05];
        let mean = 0.1125; // 0.45 / 4
        let additive = game(&s, |d| 0.5 + d);
        let logistic = game(&s, |d| 1.0 / (1.0 + (-d).exp()));
        for (game, scale) in [(&additive, Scale::Probability), (&logistic, Scale::LogOdds)] {
            let parts = hodge(game, scale).unwrap();
            assert!((parts.transitive_share - 1.0).abs() < 1e-12);
            for (got, s) in parts.scores.iter().zip(s) {
                assert!((got - (s - mean)).abs() < 1e-14);
            }
        }
        let other = hodge(&logistic, Scale::Probability).unwrap();
        assert!(other.cyclic_share > 1e-8, "{}", other.cyclic_share);
    }

    #[test]
    fn certain_outcomes_have_no_log_odds() {
        let certain = MatrixGame::new(vec![
            vec![0.5, 0.7, 0.5],
            vec![0.3, 0.5, 0.0],
            vec![0.5, 1.0, 0.5],
        ])
        .unwrap();
        let text = hodge(&certain, Scale::LogOdds).unwrap_err().to_string();
        assert!(
            text.starts_with("the preference of action 1 over action 2 is 0: its log-odds are"),
            "{text}"
        );
        assert!(hodge(&certain, Scale::Probability).is_ok());
    }

    #[test]
    fn ties_are_explained_by_equal_scores() {
        for n in [1, 3] {
            let flat = MatrixGame::new(vec![vec![0.5; n]; n]).unwrap();
            for scale in [Scale::Probability, Scale::LogOdds] {
                let parts = hodge(&flat, scale).unwrap();
                assert_eq!((parts.transitive_share, parts.cyclic_share), (1.0, 0.0));
                assert_eq!(parts.scores, vec![0.0; n]);
            }
        }
    }
}
