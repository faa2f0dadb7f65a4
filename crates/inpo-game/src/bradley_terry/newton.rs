//! Newton's method for the equations of the fit.

use super::{FitError, check_joined, check_size};
use crate::linalg::{Lu, dot};

/// The residual, relative to the weights of its item, that is guaranteed.
const ALLOWED: f64 = 1e-12;

/// A last step this small leaves an error of about its square.
const SMALL_STEP: f64 = 1e-7;

/// Where rounding ends the search, a last step this small is still an answer: an item that wins
/// all but 1e-12 has a score known to four digits.
const LAST_STEP: f64 = 1e-3;

/// No score moves further in one step: sigmoids are saturated beyond.
const LONGEST_STEP: f64 = 4.0;

const MAX_STEPS: usize = 200;

/// A gap between two neighbouring scores that f64 cannot tell from an infinite one: the lower
/// wins exp(-33), about 5e-15, and wins are known to 1e-16.
const INFINITE_GAP: f64 = 33.0;

/// A search that got stuck with a gap above this is on its way to an infinite one.
const WIDE_GAP: f64 = 20.0;

/// The equations, each divided by the weights of its item.
pub(super) struct Equations {
    n: usize,
    /// w_ij / sum_j w_ij, n x n, row-major.
    weights: Vec<f64>,
    wins: Vec<f64>,
}

impl Equations {
    pub(super) fn new(
        n: usize,
        weight: impl Fn(usize, usize) -> f64,
        wins: &[f64],
    ) -> Result<Self, FitError> {
        if wins.len() != n {
            return Err(FitError::Length {
                what: "the list of wins",
                got: wins.len(),
                expected: n,
            });
        }
        let mut weights = Vec::with_capacity(n * n);
        let mut shares = Vec::with_capacity(n);
        for (i, &wins) in wins.iter().enumerate() {
            check_size("the number of wins", i, wins)?;
            for j in 0..n {
                let weight = weight(i, j);
                check_size("a weight", i, weight)?;
                weights.push(weight);
            }
            let row = &mut weights[i * n..];
            let sum: f64 = row.iter().sum();
            if wins > sum * (1.0 + ALLOWED) {
                return Err(FitError::TooManyWins {
                    item: i,
                    wins,
                    weights: sum,
                });
            }
            // An item without weights is found separate below.
            row.iter_mut().for_each(|w| *w /= sum);
            shares.push(wins / sum);
        }
        let meet = |i: usize, j: usize| weights[i * n + j] > 0.0 || weights[j * n + i] > 0.0;
        check_joined(n, |i, j| i != j && meet(i, j))?;
        Ok(Self {
            n,
            weights,
            wins: shares,
        })
    }

    /// Newton steps from `scores`.
    pub(super) fn solve(&self, mut scores: Vec<f64>) -> Result<Vec<f64>, FitError> {
        if self.n < 2 {
            return Ok(vec![0.0; self.n]);
        }
        let mut miss = self.miss(&scores);
        let mut step = f64::INFINITY;
        for _ in 0..MAX_STEPS {
            let Some(direction) = self.direction(&scores, &miss) else {
                break;
            };
            let size = largest(&direction);
            let norm = dot(&miss, &miss);
            let mut length = (LONGEST_STEP / size).min(1.0);
            step = length * size;
            let moved = loop {
                let walk = scores.iter().zip(&direction).map(|(f, d)| f + length * d);
                let trial: Vec<f64> = walk.collect();
                let trial_miss = self.miss(&trial);
                if dot(&trial_miss, &trial_miss) < (1.0 - 1e-4 * length) * norm {
                    (scores, miss) = (trial, trial_miss);
                    break true;
                }
                length *= 0.5;
                if length * size < f64::EPSILON {
                    break false; // Rounding: the residual cannot fall any more.
                }
            };
            let solved = largest(&miss) <= ALLOWED && step <= SMALL_STEP;
            if !moved || solved || widest_gap(&scores).0 > INFINITE_GAP {
                break;
            }
        }
        let residual = largest(&miss);
        if residual <= ALLOWED && step <= LAST_STEP {
            let mean = scores.iter().sum::<f64>() / self.n as f64;
            scores.iter_mut().for_each(|f| *f -= mean);
            return Ok(scores);
        }
        let (gap, upper) = widest_gap(&scores);
        if gap > WIDE_GAP {
            return Err(FitError::TooFarApart { upper, gap });
        }
        Err(FitError::NotConverged {
            residual,
            allowed: ALLOWED,
        })
    }

    /// F(f), each entry divided by the weights of its item.
    fn miss(&self, scores: &[f64]) -> Vec<f64> {
        let rows = self.weights.chunks_exact(self.n);
        let items = self.wins.iter().zip(scores).zip(rows);
        items
            .map(|((wins, own), row)| {
                let expected = row.iter().zip(scores).map(|(w, other)| {
                    // 1 / (1 + inf) is 0, as it should be.
                    w / (1.0 + (other - own).exp())
                });
                wins - expected.sum::<f64>()
            })
            .collect()
    }

    /// Newton's direction. `None` if rounding makes the system singular.
    fn direction(&self, scores: &[f64], miss: &[f64]) -> Option<Vec<f64>> {
        let n = self.n;
        let mut matrix = vec![0.0; n * n];
        let mut trace = 0.0;
        let rows = self.weights.chunks_exact(n);
        for (i, (out, row)) in matrix.chunks_exact_mut(n).zip(rows).enumerate() {
            let mut diagonal = 0.0;
            for (j, (out, w)) in out.iter_mut().zip(row).enumerate() {
                if i != j {
                    let e = (-(scores[i] - scores[j]).abs()).exp();
                    let slope = w * e / ((1.0 + e) * (1.0 + e));
                    *out = -slope;
                    diagonal += slope;
                }
            }
            out[i] = diagonal;
            trace += diagonal;
        }
        // The sum of the scores is free; this term, of the size of the others, makes it stay.
        let lift = trace / (n * n) as f64;
        matrix.iter_mut().for_each(|m| *m += lift);
        let mut direction = miss.to_vec();
        Lu::new(matrix, n)?.solve(&mut direction);
        direction.iter().all(|d| d.is_finite()).then_some(direction)
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, v| most.max(v.abs()))
}

/// The widest gap between neighbouring scores, and the items above it in rising order.
fn widest_gap(scores: &[f64]) -> (f64, Vec<usize>) {
    let order = crate::analysis::ranking(scores);
    let gap = |at: usize| scores[order[at - 1]] - scores[order[at]];
    let widest = (1..order.len()).max_by(|&a, &b| gap(a).total_cmp(&gap(b)));
    let Some(at) = widest else {
        return (0.0, Vec::new());
    };
    let mut upper = order[..at].to_vec();
    upper.sort_unstable();
    (gap(at), upper)
}
