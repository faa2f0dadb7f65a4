//! The LU factorisation, blocked and in parallel.

use rayon::prelude::*;

use super::dot;

/// Columns factored before the rest of the matrix is brought up to date. Wide enough that nearly
/// all work is a matrix product, narrow enough that the block stays in the second cache.
const BLOCK: usize = 48;

/// Rows and columns of the tile whose sums are held in registers.
const TILE: usize = 4;

/// Below this many multiplications a product is done by the calling thread alone.
const PARALLEL_FROM: usize = 1 << 20;

/// A square matrix factored by Gaussian elimination with partial pivoting, to be solved with any
/// number of right-hand sides.
///
/// The elimination is right-looking and blocked: most of the 2 n^3 / 3 operations are the product
/// of a tall and a wide block, done in register tiles and by all threads of the rayon pool. Each
/// entry is computed by one thread in a fixed order: the result does not depend on their number.
pub(crate) struct Lu {
    n: usize,
    /// L below the diagonal (its own diagonal is 1), U from the diagonal on; row-major.
    factors: Vec<f64>,
    /// Row k was exchanged with row `swaps[k]` in step k.
    swaps: Vec<usize>,
}

impl Lu {
    /// Factors an n x n matrix in row-major order. `None` if a pivot is zero or not finite.
    pub(crate) fn new(mut matrix: Vec<f64>, n: usize) -> Option<Self> {
        debug_assert_eq!(matrix.len(), n * n, "a square matrix");
        let mut swaps = Vec::with_capacity(n);
        for start in (0..n).step_by(BLOCK) {
            let end = (start + BLOCK).min(n);
            if !factor_panel(&mut matrix, n, start, end, &mut swaps) {
                return None;
            }
            finish_rows(&mut matrix, n, start, end);
            subtract_product(&mut matrix, n, start, end);
        }
        Some(Self {
            n,
            factors: matrix,
            swaps,
        })
    }

    /// Replaces `rhs` by the solution x of `matrix x = rhs`.
    pub(crate) fn solve(&self, rhs: &mut [f64]) {
        let n = self.n;
        for (k, &other) in self.swaps.iter().enumerate() {
            rhs.swap(k, other);
        }
        for (k, row) in self.factors.chunks_exact(n).enumerate() {
            rhs[k] -= dot(&row[..k], &rhs[..k]);
        }
        for (k, row) in self.factors.chunks_exact(n).enumerate().rev() {
            rhs[k] = (rhs[k] - dot(&row[k + 1..], &rhs[k + 1..])) / row[k];
        }
    }
}

/// Eliminates columns `start..end` in all rows below, within these columns only. Whole rows are
/// exchanged. False if a pivot is zero or not finite.
fn factor_panel(
    matrix: &mut [f64],
    n: usize,
    start: usize,
    end: usize,
    swaps: &mut Vec<usize>,
) -> bool {
    for k in start..end {
        let size = |i: usize| matrix[i * n + k].abs();
        let pivot_row = (k..n)
            .max_by(|&i, &j| size(i).total_cmp(&size(j)))
            .unwrap_or(k);
        swaps.push(pivot_row);
        if pivot_row != k {
            let (upper, lower) = matrix.split_at_mut(pivot_row * n);
            upper[k * n..(k + 1) * n].swap_with_slice(&mut lower[..n]);
        }
        let pivot = matrix[k * n + k];
        if pivot == 0.0 || !pivot.is_finite() {
            return false;
        }
        let (upper, lower) = matrix.split_at_mut((k + 1) * n);
        let top = &upper[k * n + k + 1..k * n + end];
        for row in lower.chunks_exact_mut(n) {
            let factor = row[k] / pivot;
            row[k] = factor;
            if factor != 0.0 {
                subtract_multiple(&mut row[k + 1..end], factor, top);
            }
        }
    }
    true
}

/// Brings the columns right of the panel up to date in the panel's own rows.
fn finish_rows(matrix: &mut [f64], n: usize, start: usize, end: usize) {
    for k in start..end {
        let (upper, lower) = matrix.split_at_mut((k + 1) * n);
        let top = &upper[k * n + end..];
        for row in lower.chunks_exact_mut(n).take(end - k - 1) {
            let factor = row[k];
            subtract_multiple(&mut row[end..], factor, top);
        }
    }
}

fn subtract_multiple(row: &mut [f64], factor: f64, top: &[f64]) {
    row.iter_mut().zip(top).for_each(|(a, b)| *a -= factor * b);
}

/// The rest of the matrix, less the product of the block below the panel and the block right of it.
fn subtract_product(matrix: &mut [f64], n: usize, start: usize, end: usize) {
    let depth = end - start;
    let (upper, lower) = matrix.split_at_mut(end * n);
    // The right block by tiles of columns, each tile's rows one after the other.
    let tiles = (n - end).div_ceil(TILE);
    let mut right = vec![[0.0; TILE]; tiles * depth];
    for (k, row) in upper[start * n..].chunks_exact(n).enumerate() {
        for (tile, values) in row[end..].chunks(TILE).enumerate() {
            right[tile * depth + k][..values.len()].copy_from_slice(values);
        }
    }
    let update = |rows: &mut [f64]| {
        let mut left = [[0.0; TILE]; BLOCK];
        for (r, row) in rows.chunks_exact(n).enumerate() {
            for (column, &value) in left.iter_mut().zip(&row[start..end]) {
                column[r] = value;
            }
        }
        for (tile, block) in right.chunks_exact(depth).enumerate() {
            let mut sums = [[0.0; TILE]; TILE];
            for (l, u) in left.iter().zip(block) {
                for (sums, l) in sums.iter_mut().zip(l) {
                    sums.iter_mut().zip(u).for_each(|(sum, u)| *sum += l * u);
                }
            }
            let from = end + tile * TILE;
            let to = (from + TILE).min(n);
            for (row, sums) in rows.chunks_exact_mut(n).zip(&sums) {
                let entries = row[from..to].iter_mut();
                entries.zip(sums).for_each(|(a, sum)| *a -= sum);
            }
        }
    };
    if (n - end) * (n - end) * depth < PARALLEL_FROM {
        lower.chunks_mut(TILE * n).for_each(update);
    } else {
        lower.par_chunks_mut(TILE * n).for_each(update);
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn solves_a_system_that_needs_a_pivot() {
        // 2y + z = 7, x + y = 3, x - z = -2: x = 1, y = 2, z = 3.
        let matrix = vec![0.0, 2.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, -1.0];
        let mut rhs = vec![7.0, 3.0, -2.0];
        Lu::new(matrix, 3).unwrap().solve(&mut rhs);
        for (got, want) in rhs.iter().zip([1.0, 2.0, 3.0]) {
            assert!((got - want).abs() < 1e-14);
        }
    }

    #[test]
    fn a_singular_system_says_so() {
        assert!(Lu::new(vec![1.0, 2.0, 2.0, 4.0], 2).is_none());
        assert!(Lu::new(vec![f64::NAN], 1).is_none());
    }

    #[test]
    fn sizes_around_the_block_and_beyond() {
        // x = (1, 2, .., n) is the solution by construction. Random entries have no large
        // diagonal, so that pivots are needed; 300 takes the parallel path.
        for n in [1, 3, 4, 5, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3, 300] {
            let mut rng = ChaCha8Rng::seed_from_u64(n as u64);
            let matrix: Vec<f64> = (0..n * n).map(|_| rng.random::<f64>() - 0.5).collect();
            let x: Vec<f64> = (1..=n).map(|i| i as f64).collect();
            let mut rhs: Vec<f64> = matrix.chunks_exact(n).map(|row| dot(row, &x)).collect();
            Lu::new(matrix, n).unwrap().solve(&mut rhs);
            for (got, want) in rhs.iter().zip(&x) {
                assert!((got - want).abs() < 1e-7, "{got} is not {want}, n = {n}");
            }
        }
    }
}
