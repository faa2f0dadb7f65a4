//! The preferences of a game without the half that the complement law gives.

use super::{COMPLEMENT_TOLERANCE, ROUNDING};
use crate::GameError;

/// P(i beats j) of n actions as one number for each pair: n (n - 1) / 2 in all.
///
/// For i < j the number kept is the smaller of p_ij and p_ji; its sign bit says whose it is:
///
/// ```text
/// sign clear    p_ij = s       p_ji = 1 - s
/// sign set      p_ji = -s      p_ij = 1 + s        (s = -0.0 too: p_ji = 0)
/// A = P - 1/2:  a_ij = s - copysign(1/2, s)
/// ```
///
/// Nothing is lost: above 1/2 the difference 1 - p is exact, so both entries of a pair that obeys
/// the law in f64 come back to the bit. A tie is +1/2, so equal games have equal bits.
#[derive(Clone, Debug)]
pub(crate) struct Triangle {
    num_actions: usize,
    /// Row by row above the diagonal: row i has the n - 1 - i pairs (i, i + 1), .., (i, n - 1).
    entries: Vec<f64>,
}

/// Where row `i` of the triangle begins. For i + 1 = n, where it ends.
pub(super) fn row_start(n: usize, i: usize) -> usize {
    i * (2 * n - i - 1) / 2
}

/// The number kept for a pair with `value` = p_ij and `opposite` = p_ji.
fn encode(value: f64, opposite: f64) -> f64 {
    let smaller = value.min(opposite).abs().min(0.5);
    if value <= opposite || smaller == 0.5 {
        smaller
    } else {
        -smaller
    }
}

/// p_ij of the number kept.
fn upper(kept: f64) -> f64 {
    if kept.is_sign_positive() {
        kept
    } else {
        1.0 + kept
    }
}

/// p_ji of the number kept.
fn lower(kept: f64) -> f64 {
    if kept.is_sign_positive() {
        1.0 - kept
    } else {
        -kept
    }
}

/// Whether `value` is a probability; the error names its place.
fn check(value: f64, row: usize, column: usize) -> Result<(), GameError> {
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else if value.is_nan() {
        Err(GameError::NotANumber { row, column })
    } else if value < 0.0 {
        Err(GameError::Negative { row, column, value })
    } else {
        Err(GameError::AboveOne { row, column, value })
    }
}

impl Triangle {
    /// Asks `preference` for P(i beats j) once for each i < j, in row-major order.
    pub(super) fn from_fn(
        n: usize,
        mut preference: impl FnMut(usize, usize) -> f64,
    ) -> Result<Self, GameError> {
        if n == 0 {
            return Err(GameError::Empty);
        }
        let mut entries = Vec::with_capacity(row_start(n, n - 1));
        for i in 0..n {
            for j in i + 1..n {
                let value = preference(i, j);
                check(value, i, j)?;
                entries.push(encode(value, 1.0 - value));
            }
        }
        Ok(Self {
            num_actions: n,
            entries,
        })
    }

    pub(super) fn num_actions(&self) -> usize {
        self.num_actions
    }

    /// The numbers kept, rows of the triangle one after the other.
    pub(super) fn entries(&self) -> &[f64] {
        &self.entries
    }

    /// P(i beats j).
    pub(super) fn get(&self, i: usize, j: usize) -> f64 {
        let n = self.num_actions;
        assert!(i < n && j < n, "actions {i} and {j} of {n}");
        let at = |i: usize, j: usize| self.entries[row_start(n, i) + j - i - 1];
        match i.cmp(&j) {
            std::cmp::Ordering::Less => upper(at(i, j)),
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Greater => lower(at(j, i)),
        }
    }

    /// P(i beats j) for j = 0, .., n - 1.
    pub(super) fn row(&self, i: usize) -> impl Iterator<Item = f64> {
        let n = self.num_actions;
        assert!(i < n, "action {i} of {n}");
        let start = row_start(n, i);
        let above = column(n, i).map(|at| lower(self.entries[at]));
        let right = &self.entries[start..start + n - 1 - i];
        above
            .chain([0.5])
            .chain(right.iter().map(|&kept| upper(kept)))
    }
}

/// Where the pairs (0, j), .., (j - 1, j) lie.
fn column(n: usize, j: usize) -> impl Iterator<Item = usize> {
    // The step from row i to row i + 1 is the length of row i less one.
    (0..j).scan(j.wrapping_sub(1), move |next, i| {
        let at = *next;
        *next += n - 2 - i;
        Some(at)
    })
}

impl PartialEq for Triangle {
    /// By bits: 0.0 and -0.0 are equal numbers and opposite preferences.
    fn eq(&self, other: &Self) -> bool {
        let mut pairs = self.entries.iter().zip(&other.entries);
        self.num_actions == other.num_actions && pairs.all(|(a, b)| a.to_bits() == b.to_bits())
    }
}

/// A square matrix that comes row by row and becomes a [`Triangle`] on the way, so that no more
/// than the triangle and one row are ever held.
///
/// Entries above the diagonal wait as they came until the row of their opposite does. After the
/// first problem rows are only counted: [`finish`](Self::finish) must know how many there were.
#[derive(Debug, Default)]
pub(crate) struct TriangleBuilder {
    /// The length of the first row, which all others must have.
    width: usize,
    rows: usize,
    entries: Vec<f64>,
    problem: Option<GameError>,
}

impl TriangleBuilder {
    /// The next row of the matrix.
    pub(crate) fn push_row(&mut self, row: &[f64]) {
        let index = self.rows;
        self.rows += 1;
        if self.problem.is_some() {
            return;
        }
        if index == 0 {
            self.width = row.len();
            // A hint: what a first row announces need not come, nor fit into memory.
            let pairs = row.len().saturating_mul(row.len().saturating_sub(1)) / 2;
            let _ = self.entries.try_reserve_exact(pairs);
        }
        if let Err(problem) = self.take(index, row) {
            self.entries = Vec::new();
            self.problem = Some(problem);
        }
    }

    /// Counts a row that cannot be read.
    pub(crate) fn skip_row(&mut self) {
        self.rows += 1;
    }

    /// Whether a row was wrong.
    pub(crate) fn has_problem(&self) -> bool {
        self.problem.is_some()
    }

    fn take(&mut self, row: usize, values: &[f64]) -> Result<(), GameError> {
        if values.len() != self.width || row >= self.width {
            return Err(GameError::NotSquare {
                row,
                got: values.len(),
                expected: self.width,
            });
        }
        for (column, &value) in values.iter().enumerate() {
            check(value, row, column)?;
        }
        for (above, (at, &opposite)) in column(self.width, row).zip(values).enumerate() {
            self.entries[at] = pair(above, row, self.entries[at], opposite)?;
        }
        let own = values[row];
        if (own - 0.5).abs() > COMPLEMENT_TOLERANCE + ROUNDING {
            return Err(GameError::Diagonal {
                index: row,
                value: own,
            });
        }
        self.entries.extend_from_slice(&values[row + 1..]);
        Ok(())
    }

    /// The triangle, if the rows were a preference matrix.
    pub(crate) fn finish(self) -> Result<Triangle, GameError> {
        let expected = self.rows;
        if expected == 0 {
            return Err(GameError::Empty);
        }
        if self.width != expected {
            return Err(GameError::NotSquare {
                row: 0,
                got: self.width,
                expected,
            });
        }
        match self.problem {
            None => Ok(Triangle {
                num_actions: expected,
                entries: self.entries,
            }),
            Some(GameError::NotSquare { row, got, .. }) => {
                Err(GameError::NotSquare { row, got, expected })
            }
            Some(problem) => Err(problem),
        }
    }
}

/// The number kept for two opposite entries, whose miss of the complement law is shared.
fn pair(row: usize, column: usize, value: f64, opposite: f64) -> Result<f64, GameError> {
    let excess = value + opposite - 1.0;
    if excess.abs() > COMPLEMENT_TOLERANCE + ROUNDING {
        return Err(GameError::Complement {
            row,
            column,
            value,
            opposite,
        });
    }
    if excess.abs() <= ROUNDING {
        return Ok(encode(value, opposite));
    }
    let shared = (value - 0.5 * excess).clamp(0.0, 1.0);
    Ok(encode(shared, 1.0 - shared))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_number_says_both_preferences() {
        // (p_ij, p_ji, what is kept): the smaller one, negative if it is p_ji.
        for (value, opposite, kept) in [
            (0.1, 0.9, 0.1),
            (0.8, 0.2, -0.2),
            (0.0, 1.0, 0.0),
            (1.0, 0.0, -0.0),
            (0.5, 0.5, 0.5),
            (-0.0, 1.0, 0.0),
            (1e-300, 1.0, 1e-300),
            (1.0, 5e-324, -5e-324),
        ] {
            let got = encode(value, opposite);
            assert_eq!(got.to_bits(), f64::to_bits(kept), "{value} {opposite}");
            assert_eq!((upper(got), lower(got)), (value, opposite));
        }
        // A pair that misses the law by rounding is a tie, not a tie and a bit.
        let bit = f64::EPSILON;
        assert_eq!(encode(0.5 + bit, 0.5).to_bits(), 0.5f64.to_bits());
        assert_eq!(encode(0.5 + bit, 0.5 + bit).to_bits(), 0.5f64.to_bits());
    }

    #[test]
    fn columns_and_rows_find_their_pairs() {
        // n = 4: pairs 01 02 03 | 12 13 | 23 at 0 .. 5.
        assert_eq!([0, 1, 2, 3].map(|i| row_start(4, i)), [0, 3, 5, 6]);
        assert_eq!(column(4, 0).count(), 0);
        assert_eq!(column(4, 1).collect::<Vec<_>>(), [0]);
        assert_eq!(column(4, 2).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(column(4, 3).collect::<Vec<_>>(), [2, 4, 5]);
    }

    #[test]
    fn certain_wins_and_losses_are_not_equal() {
        let win = Triangle::from_fn(2, |_, _| 1.0).unwrap();
        let loss = Triangle::from_fn(2, |_, _| 0.0).unwrap();
        assert_ne!(win, loss);
        assert_eq!(win, win.clone());
    }

    #[test]
    fn a_ragged_matrix_is_measured_by_its_number_of_rows() {
        let finish = |lengths: &[usize]| {
            let mut builder = TriangleBuilder::default();
            lengths
                .iter()
                .for_each(|&length| builder.push_row(&vec![0.5; length]));
            builder.finish().unwrap_err()
        };
        let not_square = |row, got, expected| GameError::NotSquare { row, got, expected };
        assert_eq!(finish(&[]), GameError::Empty);
        assert_eq!(finish(&[0]), not_square(0, 0, 1));
        assert_eq!(finish(&[2, 2, 2]), not_square(0, 2, 3));
        assert_eq!(finish(&[3, 3]), not_square(0, 3, 2));
        assert_eq!(finish(&[3, 4, 3]), not_square(1, 4, 3));
    }
}
