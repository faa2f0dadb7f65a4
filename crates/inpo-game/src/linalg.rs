//! The little dense algebra this crate needs. A linear algebra crate would be its largest
//! dependency by far for one factorisation.

/// Sum of products in four lanes, so that the compiler can use vector registers.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    let (heads_a, tail_a) = a.as_chunks::<4>();
    let (heads_b, tail_b) = b.as_chunks::<4>();
    for (x, y) in heads_a.iter().zip(heads_b) {
        for k in 0..4 {
            lanes[k] += x[k] * y[k];
        }
    }
    let tail: f64 = tail_a.iter().zip(tail_b).map(|(x, y)| x * y).sum();
    (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]) + tail
}

/// log sum exp, shifted by the largest entry. Minus infinity for no mass at all.
pub(crate) fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let max = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        return max;
    }
    max + values.map(|v| (v - max).exp()).sum::<f64>().ln()
}

/// Solves `matrix x = rhs` in place by Gaussian elimination with partial pivoting.
///
/// `matrix` is n x n in row-major order and is destroyed; `rhs` becomes x. False if a pivot is
/// zero or not finite, and then `rhs` holds nothing of use.
pub(crate) fn solve(matrix: &mut [f64], rhs: &mut [f64]) -> bool {
    let n = rhs.len();
    for k in 0..n {
        let pivot_row = (k..n)
            .max_by(|&i, &j| matrix[i * n + k].abs().total_cmp(&matrix[j * n + k].abs()))
            .unwrap_or(k);
        if pivot_row != k {
            let (upper, lower) = matrix.split_at_mut(pivot_row * n);
            upper[k * n..(k + 1) * n].swap_with_slice(&mut lower[..n]);
            rhs.swap(k, pivot_row);
        }
        let pivot = matrix[k * n + k];
        if pivot == 0.0 || !pivot.is_finite() {
            return false;
        }
        let (upper, lower) = matrix.split_at_mut((k + 1) * n);
        let top = &upper[k * n + k + 1..];
        for (row, i) in lower.chunks_exact_mut(n).zip(k + 1..) {
            let factor = row[k] / pivot;
            if factor != 0.0 {
                for (a, b) in row[k + 1..].iter_mut().zip(top) {
                    *a -= factor * b;
                }
                rhs[i] -= factor * rhs[k];
            }
        }
    }
    for k in (0..n).rev() {
        let known = dot(&matrix[k * n + k + 1..(k + 1) * n], &rhs[k + 1..]);
        rhs[k] = (rhs[k] - known) / matrix[k * n + k];
    }
    rhs.iter().all(|x| x.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_a_system_that_needs_a_pivot() {
        // 2y + z = 7, x + y = 3, x - z = -2: x = 1, y = 2, z = 3.
        let mut matrix = vec![0.0, 2.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, -1.0];
        let mut rhs = vec![7.0, 3.0, -2.0];
        assert!(solve(&mut matrix, &mut rhs));
        for (got, want) in rhs.iter().zip([1.0, 2.0, 3.0]) {
            assert!((got - want).abs() < 1e-14);
        }
    }

    #[test]
    fn a_singular_system_says_so() {
        assert!(!solve(&mut [1.0, 2.0, 2.0, 4.0], &mut [1.0, 1.0]));
    }

    #[test]
    fn dot_covers_the_tail() {
        let a: Vec<f64> = (1..=7).map(f64::from).collect();
        assert_eq!(dot(&a, &a), 140.0); // 7 * 8 * 15 / 6
    }

    #[test]
    fn log_sum_exp_of_huge_and_of_nothing() {
        let big = log_sum_exp([1e5, 1e5].into_iter());
        assert!((big - (1e5 + 2f64.ln())).abs() < 1e-10);
        assert_eq!(
            log_sum_exp([f64::NEG_INFINITY].into_iter()),
            f64::NEG_INFINITY
        );
    }
}
