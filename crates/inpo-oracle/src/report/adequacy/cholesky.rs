//! The factorisation of small positive definite matrices. A linear algebra crate would be this crate's largest
//! dependency by far for matrices of a few dozen rows.

/// The lower triangle L of `matrix` = L L', in row-major order with `n` rows; what stands above the diagonal is left
/// as it was. False where the matrix is not positive definite.
pub(super) fn factor(matrix: &mut [f64], n: usize) -> bool {
    for i in 0..n {
        for j in 0..=i {
            let (above, row) = matrix.split_at(i * n);
            let upper = if j < i {
                &above[j * n..j * n + j]
            } else {
                &row[..j]
            };
            let product: f64 = row[..j].iter().zip(upper).map(|(a, b)| a * b).sum();
            let rest = matrix[i * n + j] - product;
            if j < i {
                matrix[i * n + j] = rest / matrix[j * n + j];
            } else if rest > 0.0 {
                matrix[i * n + i] = rest.sqrt();
            } else {
                return false;
            }
        }
    }
    true
}

/// Replaces `rhs` by L^-1 rhs.
pub(super) fn solve_lower(lower: &[f64], rhs: &mut [f64]) {
    let n = rhs.len();
    for i in 0..n {
        let row = &lower[i * n..i * n + i];
        let product: f64 = row.iter().zip(&rhs[..i]).map(|(a, b)| a * b).sum();
        rhs[i] = (rhs[i] - product) / lower[i * n + i];
    }
}

/// Replaces `rhs` by L'^-1 rhs.
pub(super) fn solve_upper(lower: &[f64], rhs: &mut [f64]) {
    let n = rhs.len();
    for i in (0..n).rev() {
        rhs[i] /= lower[i * n + i];
        let (before, at) = rhs.split_at_mut(i);
        let row = &lower[i * n..i * n + i];
        before
            .iter_mut()
            .zip(row)
            .for_each(|(x, l)| *x -= l * at[0]);
    }
}

/// The logarithm of the determinant of L L'.
pub(super) fn log_determinant(lower: &[f64], n: usize) -> f64 {
    2.0 * (0..n).map(|i| lower[i * n + i].ln()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (4 2; 2 5) = (2 0; 1 2)(2 1; 0 2), determinant 16. Of (8, 9) the solution is (1.375, 1.25).
    #[test]
    fn a_two_by_two_system_by_hand() {
        let mut matrix = [4.0, 2.0, 2.0, 5.0];
        assert!(factor(&mut matrix, 2));
        assert_eq!([matrix[0], matrix[2], matrix[3]], [2.0, 1.0, 2.0]);
        assert!((log_determinant(&matrix, 2) - 16f64.ln()).abs() < 1e-15);
        let mut x = [8.0, 9.0];
        solve_lower(&matrix, &mut x);
        solve_upper(&matrix, &mut x);
        assert_eq!(x, [1.375, 1.25]);
        assert!(!factor(&mut [1.0, 2.0, 2.0, 1.0], 2));
    }
}
