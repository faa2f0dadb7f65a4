//! Games that scores explain: Bradley-Terry and Elo.

use crate::games::law::{check_actions, logistic, pairwise_win_rates};
use crate::{Preference, PreferenceGame};

/// The Bradley-Terry game of scores s, in natural log-odds (R. A. Bradley and M. E. Terry,
/// Biometrika 39, 1952):
///
/// ```text
/// P(i > j) = exp(s_i) / (exp(s_i) + exp(s_j)) = 1 / (1 + exp(-(s_i - s_j)))
/// ```
///
/// This is what a reward model assumes. Every such game is transitive: the action of the highest
/// score beats all others, and playing it for certain is the Nash policy. The game is held by its
/// n scores; a product with a strategy evaluates n (n - 1) / 2 sigmoids, so a solver that asks for
/// many is faster on [`MatrixGame::from_game`](crate::MatrixGame::from_game) where n x n entries
/// fit into memory.
///
/// ```
/// use inpo_game::{PreferenceGame, ScoreGame};
///
/// // Odds of 3 to 1.
/// let game = ScoreGame::bradley_terry(vec![3f64.ln(), 0.0])?;
/// assert!((game.preference(0, 1).get() - 0.75).abs() < 1e-15);
/// // Ratings 400 points apart: odds of 10 to 1.
/// let game = ScoreGame::elo(vec![1600.0, 1200.0])?;
/// assert!((game.preference(0, 1).get() - 10.0 / 11.0).abs() < 1e-15);
/// # Ok::<(), inpo_game::ScoreError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreGame {
    scores: Vec<f64>,
}

/// Numbers that are not the scores of a game.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ScoreError {
    /// No scores.
    #[error("scores is empty: a game needs at least one action")]
    Empty,
    /// NaN or infinite.
    #[error("scores[{index}] is {value}: every score must be finite")]
    NotFinite {
        /// The action.
        index: usize,
        /// What was given.
        value: f64,
    },
}

impl ScoreGame {
    /// The game of `scores` in natural log-odds. Only their differences matter.
    ///
    /// # Errors
    /// [`ScoreError`] if there is none or one is not finite.
    pub fn bradley_terry(scores: Vec<f64>) -> Result<Self, ScoreError> {
        if scores.is_empty() {
            return Err(ScoreError::Empty);
        }
        match scores.iter().position(|score| !score.is_finite()) {
            Some(index) => Err(ScoreError::NotFinite {
                index,
                value: scores[index],
            }),
            None => Ok(Self { scores }),
        }
    }

    /// The game of Elo ratings, 400 points for odds of 10 to 1:
    /// P(i > j) = 1 / (1 + 10^(-(r_i - r_j) / 400)), that is s = r ln(10) / 400.
    ///
    /// # Errors
    /// As [`bradley_terry`](Self::bradley_terry).
    pub fn elo(ratings: Vec<f64>) -> Result<Self, ScoreError> {
        let mut game = Self::bradley_terry(ratings)?;
        for score in &mut game.scores {
            *score *= std::f64::consts::LN_10 / 400.0;
        }
        Ok(game)
    }

    /// The scores, in natural log-odds, one for each action.
    #[must_use]
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }
}

impl PreferenceGame for ScoreGame {
    fn num_actions(&self) -> usize {
        self.scores.len()
    }

    fn win_rates_into(&self, strategy: &[f64], out: &mut [f64]) {
        let s = &self.scores;
        pairwise_win_rates(s.len(), strategy, out, |i, j| logistic(s[i] - s[j]));
    }

    fn preference(&self, first: usize, second: usize) -> Preference {
        check_actions(self.num_actions(), first, second);
        let p = logistic(self.scores[first] - self.scores[second]);
        Preference::new(p).expect("a sigmoid of finite scores")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Strategy, exploitability};

    #[test]
    fn bradley_terry_of_odds_one_two_five() {
        // Strengths 1, 2, 5: P(i > j) = w_i / (w_i + w_j) = 1/3, 1/6, 2/7.
        let game = ScoreGame::bradley_terry(vec![0.0, 2f64.ln(), 5f64.ln()]).unwrap();
        for (i, j, want) in [(0, 1, 1.0 / 3.0), (0, 2, 1.0 / 6.0), (1, 2, 2.0 / 7.0)] {
            assert!((game.preference(i, j).get() - want).abs() < 1e-15);
            assert!((game.preference(j, i).get() - (1.0 - want)).abs() < 1e-15);
        }
        // Against (1/2, 1/4, 1/4): 1/4 + 1/12 + 1/24 = 3/8 for the first.
        let rates = game.win_rates(&[0.5, 0.25, 0.25]);
        assert!((rates[0] - 0.375).abs() < 1e-15);
        // 5/12 + 5/28 + 1/8 = 121/168 for the last.
        assert!((rates[2] - 121.0 / 168.0).abs() < 1e-15);
        assert!(exploitability(&game, &Strategy::pure(3, 2)).abs() < 1e-15);
    }

    #[test]
    fn elo_of_the_official_table() {
        // Differences of 100, 200 and 400 points: 0.64006, 0.75975, 0.90909.
        let game = ScoreGame::elo(vec![1400.0, 1300.0, 1200.0, 1000.0]).unwrap();
        for (j, want) in [(1, 0.640_065), (2, 0.759_747), (3, 0.909_091)] {
            assert!((game.preference(0, j).get() - want).abs() < 1e-6);
        }
    }

    #[test]
    fn scores_far_apart_do_not_overflow() {
        let game = ScoreGame::bradley_terry(vec![f64::MAX, -f64::MAX, 0.0]).unwrap();
        assert_eq!(game.preference(0, 1), Preference::WIN);
        assert_eq!(game.preference(1, 0), Preference::LOSS);
        assert_eq!(game.win_rates(&[0.0, 0.0, 1.0]), [1.0, 0.0, 0.5]);
    }

    #[test]
    fn each_bad_score_has_its_sentence() {
        let text = ScoreGame::bradley_terry(vec![]).unwrap_err().to_string();
        assert!(text.contains("scores is empty"), "{text}");
        let text = ScoreGame::elo(vec![1.0, f64::NAN]).unwrap_err().to_string();
        assert_eq!(text, "scores[1] is NaN: every score must be finite");
        let text = ScoreGame::elo(vec![f64::INFINITY]).unwrap_err().to_string();
        assert!(text.contains("scores[0] is inf"), "{text}");
    }
}
