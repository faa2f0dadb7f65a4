//! The Nash policy in exact arithmetic, for the games whose margins are too different for f64.

use num_bigint::BigInt;

use crate::linalg::dot;

/// The most actions that are solved exactly at once. A pivot costs n^2 products of numbers of some
/// 55 n bits.
const MOST_ACTIONS: usize = 40;

/// What the f64 product A x may be wrong by, in units of the largest |A_ij|.
const ROUNDING: f64 = 8.0 * f64::EPSILON;

/// P - 1/2, rounded to f64, is a multiple of 1 / UNIT for every P in [0, 1].
const UNIT: f64 = (1_i64 << 54) as f64;

/// The masses of a Nash policy of the game with payoffs A = P - 1/2, n x n in row-major order: the
/// exact one, rounded at the end. `None` if more than [`MOST_ACTIONS`] actions have to be looked at.
///
/// The game among a few actions, `start`, is solved by [`solve`], and the action that wins most
/// against its Nash policy is added until none wins more than half: the double oracle method of
/// McMahan, Gordon and Blum (ICML 2003). It ends, at the latest with all actions.
pub(super) fn exact_nash(skew: &[f64], n: usize, start: &[usize]) -> Option<Vec<f64>> {
    let largest = skew.iter().fold(0.0_f64, |most, a| most.max(a.abs()));
    let mut actions = start.to_vec();
    if actions.is_empty() || actions.len() > MOST_ACTIONS {
        actions = vec![0];
    }
    loop {
        let part = |&i: &usize| {
            actions
                .iter()
                .map(move |&j| (skew[i * n + j] * UNIT) as i64)
        };
        let payoffs: Vec<i64> = actions.iter().flat_map(part).collect();
        let mut masses = vec![0.0; n];
        for (&y, mass) in actions.iter().zip(solve(&payoffs, actions.len())) {
            masses[y] = mass;
        }
        let wins = skew.chunks_exact(n).map(|row| dot(row, &masses));
        let others = wins.enumerate().filter(|(y, _)| !actions.contains(y));
        match others.max_by(|(_, a), (_, b)| a.total_cmp(b)) {
            Some((best, win)) if win > ROUNDING * largest => actions.push(best),
            _ => return Some(masses),
        }
        if actions.len() > MOST_ACTIONS {
            return None;
        }
    }
}

/// The masses, which add to 1, of a Nash policy of the game with skew-symmetric payoffs `skew`, in
/// units of 2^-54. With c = 2^54, above every |A_ij|, it is x / sum x of the linear program
///
/// ```text
/// maximise sum x   subject to   (A + c) x <= 1,   x >= 0
/// ```
///
/// by the simplex method with Bland's rule, which does not cycle (Mathematics of Operations
/// Research 2, 1977). The tableau is held in integers over one common denominator, the last pivot,
/// by which each 2 x 2 determinant is divisible (Edmonds 1967, Bareiss 1968), so there is no
/// rounding and no tolerance before the last line.
fn solve(skew: &[i64], n: usize) -> Vec<f64> {
    let shift = UNIT as i64;
    let mut tableau = Tableau {
        rows: skew
            .chunks_exact(n)
            .map(|row| {
                let entries = row.iter().map(|a| BigInt::from(a + shift));
                entries.chain([BigInt::from(1)]).collect()
            })
            .chain([(0..=n).map(|j| BigInt::from(-i64::from(j < n))).collect()])
            .collect(),
        denominator: BigInt::from(1),
        // Variables below n are the x, the others the slacks.
        columns: (0..n).collect(),
        basis: (n..2 * n).collect(),
    };
    while let Some((row, column)) = tableau.next_pivot() {
        tableau.pivot(row, column);
    }
    let total = &tableau.rows[n][n];
    let mut masses = vec![0.0; n];
    for (&variable, row) in tableau.basis.iter().zip(&tableau.rows) {
        if variable < n {
            masses[variable] = ratio(&row[n], total);
        }
    }
    masses
}

/// `part` / `whole`, both not negative, to about 60 bits and then to f64.
fn ratio(part: &BigInt, whole: &BigInt) -> f64 {
    let shift = (64 + whole.bits()).saturating_sub(part.bits());
    let quotient = (part << shift) / whole;
    let quotient = u128::try_from(quotient).expect("64 or 65 bits");
    // Two steps, for a power of two that f64 has not; what is below its range is 0.
    let half = i32::try_from(shift / 2).unwrap_or(i32::MAX);
    let rest = i32::try_from(shift - shift / 2).unwrap_or(i32::MAX);
    quotient as f64 * 0.5_f64.powi(half) * 0.5_f64.powi(rest)
}

/// Basic variable i is (entry n of row i - sum_j entry j of row i times variable j) / denominator.
/// The last row is the objective's.
struct Tableau {
    rows: Vec<Vec<BigInt>>,
    denominator: BigInt,
    columns: Vec<usize>,
    basis: Vec<usize>,
}

impl Tableau {
    /// Of the columns that raise the objective the one with the lowest variable; of the rows that
    /// limit it the same. `None` at the optimum: the set is bounded, since A + c > 0.
    fn next_pivot(&self) -> Option<(usize, usize)> {
        let n = self.basis.len();
        let zero = BigInt::from(0);
        let column = (0..n)
            .filter(|&j| self.rows[n][j] < zero)
            .min_by_key(|&j| self.columns[j])?;
        let row = (0..n)
            .filter(|&i| self.rows[i][column] > zero)
            .min_by(|&i, &k| {
                let (a, b) = (&self.rows[i], &self.rows[k]);
                let ratios = (&a[n] * &b[column]).cmp(&(&b[n] * &a[column]));
                ratios.then(self.basis[i].cmp(&self.basis[k]))
            })?;
        Some((row, column))
    }

    /// Exchanges the basic variable of `row` and the variable of `column`.
    fn pivot(&mut self, row: usize, column: usize) {
        let pivots = self.rows[row].clone();
        let pivot = &pivots[column];
        for (i, entries) in self.rows.iter_mut().enumerate() {
            if i == row {
                entries[column] = self.denominator.clone();
                continue;
            }
            let factor = entries[column].clone();
            for (j, entry) in entries.iter_mut().enumerate() {
                *entry = if j == column {
                    -&factor
                } else {
                    (&*entry * pivot - &factor * &pivots[j]) / &self.denominator
                };
            }
        }
        self.denominator = pivot.clone();
        std::mem::swap(&mut self.basis[row], &mut self.columns[column]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_is_solved_to_the_last_bit() {
        // 0 beats 1 by 1, 1 beats 2 by 2, 2 beats 0 by 5 (of 2^-54): the Nash policy is
        // proportional to the opposite margins, (2, 5, 1) / 8, all of which f64 has.
        assert_eq!(
            solve(&[0, 1, -5, -1, 0, 2, 5, -2, 0], 3),
            [0.25, 0.625, 0.125]
        );
        // One action, and a tie.
        assert_eq!(solve(&[0], 1), [1.0]);
        assert_eq!(solve(&[0; 4], 2).iter().sum::<f64>(), 1.0);
    }

    #[test]
    fn ratios_of_any_size_are_rounded_once() {
        let big = |shift: u32| BigInt::from(1) << shift;
        assert_eq!(ratio(&big(3000), &big(3001)), 0.5);
        assert_eq!(ratio(&BigInt::from(0), &big(9)), 0.0);
        assert_eq!(ratio(&big(0), &big(1000)), 0.5_f64.powi(1000));
        assert_eq!(ratio(&big(0), &big(4000)), 0.0);
        assert_eq!(ratio(&BigInt::from(1), &BigInt::from(3)), 1.0 / 3.0);
    }

    #[test]
    fn actions_are_added_until_none_wins() {
        // The cycle above among the actions 1, 2, 3, all of which beat 0; the start is 0 alone.
        let unit = 1.0 / 64.0;
        let margins = [
            [0.0, -1.0, -1.0, -1.0],
            [1.0, 0.0, 1.0, -5.0],
            [1.0, -1.0, 0.0, 2.0],
            [1.0, 5.0, -2.0, 0.0],
        ];
        let skew: Vec<f64> = margins.iter().flatten().map(|a| a * unit).collect();
        let pi = exact_nash(&skew, 4, &[0]).unwrap();
        assert_eq!(pi, [0.0, 0.25, 0.625, 0.125]);
    }
}
