//! Scores of the fused attention and the loops over them, for vector instructions.

use super::plan::{Piece, Plan, Tile};
use crate::flex::matrix::{Matrix, MatrixMut};
use crate::flex::vector::exp;

/// Below this an exponential counts as 0: `e^-87` is near the smallest normal number.
const NOTHING: f32 = -87.0;

/// Where the scores of a piece lie among those of its block: its keys' rows, from the first query on
/// that may see some.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// Rows before it.
    above: usize,
    keys: usize,
    /// Queries before it.
    pub(super) first: usize,
    /// Queries of the tile.
    queries: usize,
}

impl Part {
    pub(super) fn new(plan: &Plan, tile: &Tile, piece: &Piece) -> Self {
        Self {
            above: piece.first,
            keys: piece.count,
            first: piece.token * plan.sharing,
            queries: tile.tokens * plan.sharing,
        }
    }

    fn shape(self) -> [usize; 2] {
        [self.keys, self.queries - self.first]
    }

    /// Its scores as a matrix.
    pub(super) fn matrix(self, scores: &[f32]) -> Matrix<'_> {
        let scores = &scores[self.above * self.queries + self.first..];
        Matrix::new(scores, self.shape(), [self.queries, 1])
    }

    pub(super) fn matrix_mut(self, scores: &mut [f32]) -> MatrixMut<'_> {
        let scores = &mut scores[self.above * self.queries + self.first..];
        MatrixMut::new(scores, self.shape(), self.queries)
    }

    /// Its scores, key by key.
    #[inline(always)]
    pub(super) fn of_keys(self, scores: &mut [f32]) -> impl Iterator<Item = &mut [f32]> {
        let scores = &mut scores[self.above * self.queries..][..self.keys * self.queries];
        let first = self.first;
        scores
            .chunks_exact_mut(self.queries)
            .map(move |scores| &mut scores[first..])
    }

    /// Its queries' rows.
    pub(super) fn rows(self, matrix: Matrix<'_>) -> Matrix<'_> {
        matrix.slice_rows(self.first, self.queries - self.first)
    }

    pub(super) fn rows_mut(self, values: &mut [f32], width: usize) -> MatrixMut<'_> {
        let shape = [self.queries - self.first, width];
        MatrixMut::rows(&mut values[self.first * width..], shape)
    }
}

/// `e^x`, 0 for the smallest.
#[inline(always)]
fn weight(x: f32) -> f32 {
    if x < NOTHING { 0.0 } else { exp(x) }
}

/// `cap tanh(score / cap)`.
#[inline(always)]
pub(super) fn soften(scores: &mut [f32], cap: f32) {
    let factor = 2.0 / cap;
    for score in scores {
        // tanh(x) = 1 - 2 / (1 + e^2x).
        *score = cap * (1.0 - 2.0 / (1.0 + exp(factor * *score)));
    }
}

/// Scores of a block to weights relative to the largest so far, and the sum of all weights so far
/// relative to it; `factor` is what the weights before have to be multiplied with.
#[inline(always)]
pub(super) fn weigh(
    parts: impl Iterator<Item = Part> + Clone,
    scores: &mut [f32],
    max: &mut [f32],
    sum: &mut [f32],
    factor: &mut [f32],
) {
    factor.copy_from_slice(max);
    for part in parts.clone() {
        let max = &mut max[part.first..];
        for scores in part.of_keys(scores) {
            for (max, &mut score) in max.iter_mut().zip(scores) {
                *max = if score > *max { score } else { *max };
            }
        }
    }
    for ((factor, sum), &max) in factor.iter_mut().zip(&mut *sum).zip(&*max) {
        *factor = weight(*factor - max);
        *sum *= *factor;
    }
    for part in parts {
        let (max, sum) = (&max[part.first..], &mut sum[part.first..]);
        for scores in part.of_keys(scores) {
            for ((score, sum), &max) in scores.iter_mut().zip(&mut *sum).zip(max) {
                *score = weight(*score - max);
                *sum += *score;
            }
        }
    }
}

/// Scores to weights, and gradients of weights to gradients of scores (before the cap).
#[inline(always)]
pub(super) fn differentiate(
    part: Part,
    scores: &mut [f32],
    grads: &mut [f32],
    sums: &[f32],
    delta: &[f32],
    cap: Option<f32>,
) {
    let (sums, delta) = (&sums[part.first..], &delta[part.first..]);
    for (scores, grads) in part.of_keys(scores).zip(part.of_keys(grads)) {
        if let Some(cap) = cap {
            // The derivative of cap tanh(x / cap) is 1 - tanh^2.
            for ((&mut score, grad), &delta) in scores.iter_mut().zip(&mut *grads).zip(delta) {
                let tanh = (score / cap).max(-1.0);
                *grad = delta + (*grad - delta) * (1.0 - tanh * tanh);
            }
        }
        let of_query = sums.iter().zip(delta);
        for ((score, grad), (&sum, &delta)) in scores.iter_mut().zip(grads).zip(of_query) {
            *score = weight(*score - sum);
            *grad = *score * (*grad - delta);
        }
    }
}

/// `sum_i a_i b_i`, in sixteen sums at a time.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<16>();
    let (b, b_rest) = b.as_chunks::<16>();
    let mut sums = [0.0_f32; 16];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = a.mul_add(*b, *sum);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}
