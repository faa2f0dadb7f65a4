//! General preference embeddings: games that may cycle, in linear memory.

mod error;

pub use self::error::LowRankError;

use crate::games::law::{check_actions, check_lengths, logistic, pairwise_win_rates, settle};
use crate::linalg::dot;
use crate::{Preference, PreferenceGame};

/// How far S + S^T may be from 0, relative to the larger of 1 and the entry.
const SKEW_TOLERANCE: f64 = 1e-9;

/// By how much a score may leave [-1/2, 1/2] under the linear link: rounding.
const LINEAR_ROUNDING: f64 = 1e-12;

/// From a score to a probability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// P = 1 / (1 + exp(-s)): scores are log-odds. The model of the paper.
    Logistic,
    /// P = 1/2 + s, for |s| <= 1/2. Win rates then cost O(n d) instead of O(n^2 d).
    Linear,
}

/// The general preference model (GPM, arXiv 2410.02197): an embedding e_i of dimension d for each
/// action and a skew-symmetric operator S.
///
/// ```text
/// s(i, j) = e_i^T S e_j,        S^T = -S,        P(i > j) = link(s(i, j))
/// ```
///
/// Scores are the special case of rank two: e_i = (s_i, 1) gives s_i - s_j. With more dimensions
/// preferences can cycle, and every skew-symmetric score matrix has such embeddings. Memory is
/// O(n d). Under [`Link::Linear`] the product with a strategy goes through the mean embedding,
/// P pi = sum(pi)/2 + E S (E^T pi), in O(n d); under [`Link::Logistic`] it visits each pair, in
/// O(n^2 d).
///
/// ```
/// use inpo_game::{Link, LowRankGame, PreferenceGame, exploitability, Strategy};
///
/// // Three points on the circle, 120 degrees apart: each beats the next one.
/// let point = |k: f64| {
///     let (sin, cos) = (k * std::f64::consts::TAU / 3.0).sin_cos();
///     vec![cos, sin]
/// };
/// let points = vec![point(0.0), point(1.0), point(2.0)];
/// let game = LowRankGame::new(&points, &[1.0], Link::Logistic)?;
/// // sigmoid(sin 120 degrees)
/// assert!((game.preference(0, 1).get() - 0.703918).abs() < 1e-6);
/// assert!((game.preference(2, 0).get() - 0.703918).abs() < 1e-6);
/// assert!(exploitability(&game, &Strategy::uniform(3)).abs() < 1e-15);
/// # Ok::<(), inpo_game::LowRankError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LowRankGame {
    num_actions: usize,
    dimension: usize,
    /// n x d, row-major.
    embeddings: Vec<f64>,
    /// Row i is S^T e_i, so that s(i, j) is its product with e_j. n x d, row-major.
    turned: Vec<f64>,
    link: Link,
}

impl LowRankGame {
    /// The model of the paper: n `embeddings` of even dimension d and d/2 `weights` lambda_k >= 0
    /// of block-diagonal rotations,
    ///
    /// ```text
    /// s(i, j) = <R e_i, e_j> = sum_k lambda_k (e_i[2k] e_j[2k+1] - e_i[2k+1] e_j[2k])
    /// ```
    ///
    /// where R turns the k-th two coordinates by 90 degrees and scales them by lambda_k. Seen in
    /// one of these planes, i beats what lies up to 180 degrees counterclockwise of it.
    ///
    /// # Errors
    /// A [`LowRankError`] that names what is wrong. Under [`Link::Linear`] every pair is checked,
    /// in O(n^2 d).
    pub fn new(embeddings: &[Vec<f64>], weights: &[f64], link: Link) -> Result<Self, LowRankError> {
        let dimension = check_embeddings(embeddings)?;
        if dimension != 2 * weights.len() {
            return Err(LowRankError::WeightCount {
                got: weights.len(),
                dimension,
            });
        }
        for (index, &value) in weights.iter().enumerate() {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(LowRankError::Weight { index, value });
            }
        }
        Self::build(embeddings, dimension, link, |embedding, turned| {
            let planes = embedding.chunks_exact(2).zip(weights);
            for ((from, weight), to) in planes.zip(turned.chunks_exact_mut(2)) {
                (to[0], to[1]) = (-weight * from[1], weight * from[0]);
            }
        })
    }

    /// The model with any skew-symmetric d x d operator: s(i, j) = e_i^T S e_j. With n unit
    /// vectors as embeddings, S is the whole matrix of scores.
    ///
    /// # Errors
    /// As [`new`](Self::new). S + S^T must be 0 within 1e-9 of the larger of 1 and the entry; what
    /// is left is shared between the two entries.
    pub fn with_skew(
        embeddings: &[Vec<f64>],
        skew: &[Vec<f64>],
        link: Link,
    ) -> Result<Self, LowRankError> {
        let dimension = check_embeddings(embeddings)?;
        let odd_row = skew.iter().position(|row| row.len() != dimension);
        if skew.len() != dimension || odd_row.is_some() {
            let row = odd_row.unwrap_or(skew.len().saturating_sub(1));
            return Err(LowRankError::SkewShape {
                rows: skew.len(),
                row,
                columns: skew.get(row).map_or(0, Vec::len),
                dimension,
            });
        }
        for (row, values) in skew.iter().enumerate() {
            for (column, &value) in values.iter().enumerate().skip(row) {
                let opposite = skew[column][row];
                let allowed = SKEW_TOLERANCE * value.abs().max(1.0);
                if !(value.is_finite() && (value + opposite).abs() <= allowed) {
                    return Err(LowRankError::NotSkew {
                        row,
                        column,
                        value,
                        opposite,
                    });
                }
            }
        }
        Self::build(embeddings, dimension, link, |embedding, turned| {
            for (a, x) in embedding.iter().enumerate() {
                for (b, to) in turned.iter_mut().enumerate() {
                    *to += x * (0.5 * skew[a][b] - 0.5 * skew[b][a]);
                }
            }
        })
    }

    /// `turn` adds S^T e to a row of zeros.
    fn build(
        embeddings: &[Vec<f64>],
        dimension: usize,
        link: Link,
        turn: impl Fn(&[f64], &mut [f64]),
    ) -> Result<Self, LowRankError> {
        let num_actions = embeddings.len();
        let mut turned = vec![0.0; num_actions * dimension];
        for (embedding, row) in embeddings.iter().zip(turned.chunks_exact_mut(dimension)) {
            turn(embedding, row);
        }
        let game = Self {
            num_actions,
            dimension,
            embeddings: embeddings.concat(),
            turned,
            link,
        };
        game.check_scores()?;
        Ok(game)
    }

    /// Finite scores; and under the linear link, probabilities.
    fn check_scores(&self) -> Result<(), LowRankError> {
        // |s(i, j)| <= |S^T e_i|_1 |e_j|_inf, and every partial sum obeys the same bound.
        let largest = self.embeddings.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        for (index, row) in self.turned.chunks_exact(self.dimension).enumerate() {
            let size: f64 = row.iter().map(|x| x.abs()).sum();
            // A NaN, from infinity minus infinity in S^T e, is not finite either.
            if !(size * largest.max(1.0)).is_finite() {
                return Err(LowRankError::Overflow { index });
            }
        }
        if self.link == Link::Linear {
            for first in 0..self.num_actions {
                for second in first + 1..self.num_actions {
                    let score = self.score(first, second);
                    if score.abs() > 0.5 + LINEAR_ROUNDING {
                        return Err(LowRankError::OutOfRange {
                            first,
                            second,
                            score,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// The dimension d of the embeddings.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The link from scores to probabilities.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// The embedding of an action: d coordinates.
    ///
    /// # Panics
    /// If `action` is out of range.
    #[must_use]
    pub fn embedding(&self, action: usize) -> &[f64] {
        &self.embeddings[action * self.dimension..][..self.dimension]
    }

    /// The score s(first, second) = -s(second, first), to the bit; 0 for an action against itself.
    ///
    /// # Panics
    /// If an index is out of range.
    #[must_use]
    pub fn score(&self, first: usize, second: usize) -> f64 {
        check_actions(self.num_actions, first, second);
        // The two products e_i^T S e_j and -e_j^T S e_i round apart, so one of them stands for both.
        match first.cmp(&second) {
            std::cmp::Ordering::Less => dot(self.turned(first), self.embedding(second)),
            std::cmp::Ordering::Equal => 0.0,
            std::cmp::Ordering::Greater => -dot(self.turned(second), self.embedding(first)),
        }
    }

    fn turned(&self, action: usize) -> &[f64] {
        &self.turned[action * self.dimension..][..self.dimension]
    }

    fn probability(&self, score: f64) -> f64 {
        match self.link {
            Link::Logistic => logistic(score),
            Link::Linear => {
                let larger = settle(0.5 + score.abs());
                if score < 0.0 { 1.0 - larger } else { larger }
            }
        }
    }
}

/// The common dimension of finite embeddings.
fn check_embeddings(embeddings: &[Vec<f64>]) -> Result<usize, LowRankError> {
    let expected = embeddings.first().ok_or(LowRankError::Empty)?.len();
    if expected == 0 {
        return Err(LowRankError::NoCoordinates);
    }
    for (index, embedding) in embeddings.iter().enumerate() {
        let got = embedding.len();
        if got != expected {
            return Err(LowRankError::Dimension {
                index,
                got,
                expected,
            });
        }
        for (coordinate, &value) in embedding.iter().enumerate() {
            if !value.is_finite() {
                return Err(LowRankError::Coordinate {
                    index,
                    coordinate,
                    value,
                });
            }
        }
    }
    Ok(expected)
}

impl PreferenceGame for LowRankGame {
    fn num_actions(&self) -> usize {
        self.num_actions
    }

    fn win_rates_into(&self, strategy: &[f64], out: &mut [f64]) {
        check_lengths(self.num_actions, strategy, out);
        if self.link == Link::Logistic {
            let preference = |i, j| logistic(dot(self.turned(i), self.embedding(j)));
            return pairwise_win_rates(self.num_actions, strategy, out, preference);
        }
        let mut mean = vec![0.0; self.dimension];
        for (weight, embedding) in strategy.iter().zip(self.embeddings.chunks(self.dimension)) {
            for (to, x) in mean.iter_mut().zip(embedding) {
                *to += weight * x;
            }
        }
        let half = 0.5 * strategy.iter().sum::<f64>();
        for (rate, turned) in out.iter_mut().zip(self.turned.chunks(self.dimension)) {
            *rate = half + dot(turned, &mean);
        }
    }

    fn preference(&self, first: usize, second: usize) -> Preference {
        Preference::new(self.probability(self.score(first, second))).expect("a link of a score")
    }
}

#[cfg(test)]
mod tests;
