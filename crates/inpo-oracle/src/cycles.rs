//! How far a preference over one prompt's responses is from an order.

use std::iter::Sum;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// How far P(i > j) + P(j > i) may be from 1.
const COMPLEMENT_TOLERANCE: f64 = 1e-6;

/// How many triples of responses a preference turns round in a circle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CycleReport {
    /// All triples of responses to one prompt, summed over prompts.
    pub triples: u64,
    /// Triples with i > j > k > i by strict majority, P > 1/2 each time.
    pub cyclic: u64,
}

impl CycleReport {
    /// The share of triples that are cyclic (`judge/cycle_rate`); 0 when there are no triples.
    pub fn rate(&self) -> f64 {
        if self.triples == 0 {
            0.0
        } else {
            self.cyclic as f64 / self.triples as f64
        }
    }
}

impl AddAssign for CycleReport {
    fn add_assign(&mut self, other: Self) {
        self.triples += other.triples;
        self.cyclic += other.cyclic;
    }
}

impl Sum for CycleReport {
    fn sum<I: Iterator<Item = Self>>(reports: I) -> Self {
        reports.fold(Self::default(), |mut total, report| {
            total += report;
            total
        })
    }
}

/// What is wrong with a matrix given to [`cycle_report`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CycleError {
    /// A row is too short or too long.
    #[error(
        "row {row} of the preferences has {got} entries, expected {expected}: the matrix must be square"
    )]
    NotSquare {
        /// The row, counted from 0.
        row: usize,
        /// Its length.
        got: usize,
        /// The number of rows.
        expected: usize,
    },
    /// Two entries are no complement.
    #[error("P({i} > {j}) = {p} and P({j} > {i}) = {q}: both must lie in [0, 1] and add up to 1")]
    NotComplementary {
        /// The row.
        i: usize,
        /// The column.
        j: usize,
        /// The entry at (i, j).
        p: f64,
        /// The entry at (j, i).
        q: f64,
    },
}

/// Counts the cyclic triples among the responses to one prompt: `preferences[i][j]` is P(response i beats response j),
/// a number, or an option that is none where nothing was asked.
///
/// Only triples whose three comparisons were asked are counted, in [`CycleReport::triples`] too. The diagonal is not
/// read. Reports of several prompts add up with `sum()`.
///
/// # Errors
///
/// A matrix that is not square, or two entries that are no complement of each other.
pub fn cycle_report<P: Copy + Into<Option<f64>>>(
    preferences: &[Vec<P>],
) -> Result<CycleReport, CycleError> {
    let n = preferences.len();
    for (row, entries) in preferences.iter().enumerate() {
        if entries.len() != n {
            return Err(CycleError::NotSquare {
                row,
                got: entries.len(),
                expected: n,
            });
        }
    }
    let entry = |i: usize, j: usize| -> Option<f64> { preferences[i][j].into() };
    for i in 0..n {
        for j in i + 1..n {
            let (Some(p), Some(q)) = (entry(i, j), entry(j, i)) else {
                continue;
            };
            let probabilities = (0.0..=1.0).contains(&p) && (0.0..=1.0).contains(&q);
            if !probabilities || (p + q - 1.0).abs() > COMPLEMENT_TOLERANCE {
                return Err(CycleError::NotComplementary { i, j, p, q });
            }
        }
    }
    // The entry above the diagonal decides, so that i > j and j > i exclude each other also within the tolerance.
    let beats = |i: usize, j: usize| {
        let p = entry(i.min(j), i.max(j))?;
        Some(if i < j { p > 0.5 } else { p < 0.5 })
    };
    let mut report = CycleReport::default();
    for i in 0..n {
        for j in i + 1..n {
            for k in j + 1..n {
                let turns = [(i, j), (j, k), (k, i), (j, i), (k, j), (i, k)];
                let [a, b, c, d, e, f] = turns.map(|(x, y)| beats(x, y));
                let (Some(forward), Some(backward)) = (all(a, b, c), all(d, e, f)) else {
                    continue;
                };
                report.triples += 1;
                report.cyclic += u64::from(forward || backward);
            }
        }
    }
    Ok(report)
}

/// Whether all three hold; none where one is not known.
fn all(a: Option<bool>, b: Option<bool>, c: Option<bool>) -> Option<bool> {
    let (a, b, c) = (a?, b?, c?);
    Some(a && b && c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matrix with P(i > j) = 1 for the listed pairs, 1/2 elsewhere.
    fn tournament(n: usize, wins: &[(usize, usize)]) -> Vec<Vec<f64>> {
        let mut matrix = vec![vec![0.5; n]; n];
        for &(i, j) in wins {
            matrix[i][j] = 1.0;
            matrix[j][i] = 0.0;
        }
        matrix
    }

    #[test]
    fn rock_paper_scissors_is_one_cycle_either_way_round() {
        let expected = CycleReport {
            triples: 1,
            cyclic: 1,
        };
        assert_eq!(
            cycle_report(&tournament(3, &[(0, 1), (1, 2), (2, 0)])),
            Ok(expected)
        );
        assert_eq!(
            cycle_report(&tournament(3, &[(1, 0), (2, 1), (0, 2)])),
            Ok(expected)
        );
    }

    #[test]
    fn orders_and_ties_are_no_cycles() {
        let none = CycleReport {
            triples: 1,
            cyclic: 0,
        };
        assert_eq!(
            cycle_report(&tournament(3, &[(0, 1), (1, 2), (0, 2)])),
            Ok(none)
        );
        assert_eq!(cycle_report(&tournament(3, &[(0, 1), (1, 2)])), Ok(none));
        assert_eq!(cycle_report::<f64>(&[]), Ok(CycleReport::default()));
        assert_eq!(CycleReport::default().rate(), 0.0);
    }

    #[test]
    fn the_rotating_tournament_of_five_has_five_cycles() {
        // Each of five beats the next two. Cyclic triads = C(5,3) - 5 C(2,2) = 10 - 5 (Kendall and Babington Smith).
        let wins: Vec<(usize, usize)> = (0..5)
            .flat_map(|i| [(i, (i + 1) % 5), (i, (i + 2) % 5)])
            .collect();
        let report = cycle_report(&tournament(5, &wins)).unwrap();
        assert_eq!(
            report,
            CycleReport {
                triples: 10,
                cyclic: 5
            }
        );
        assert_eq!(report.rate(), 0.5);
        assert_eq!(
            [report, report].into_iter().sum::<CycleReport>(),
            CycleReport {
                triples: 20,
                cyclic: 10
            }
        );
    }

    /// Of the four triples of a cycle 0 > 1 > 2 > 0 and a response 3 that met 0 alone, one was asked; of three responses
    /// with two matches, whoever won them, none.
    #[test]
    fn triples_that_were_not_asked_are_not_counted() {
        let counts = |n: usize, wins: &[(usize, usize)]| {
            let mut matrix = vec![vec![None; n]; n];
            for &(i, j) in wins {
                matrix[i][j] = Some(1.0);
                matrix[j][i] = Some(0.0);
            }
            let report = cycle_report(&matrix).unwrap();
            (report.triples, report.cyclic)
        };
        assert_eq!(counts(4, &[(0, 1), (1, 2), (2, 0), (3, 0)]), (1, 1));
        for (a, b) in [(0, 1), (1, 2), (0, 2)].into_iter().flat_map(|(i, j)| {
            let others = [(0, 1), (1, 2), (0, 2)];
            let others = others.into_iter().filter(move |&pair| pair != (i, j));
            others.map(move |other| ((i, j), other))
        }) {
            let swap = |(i, j): (usize, usize)| (j, i);
            for wins in [[a, b], [swap(a), b], [a, swap(b)], [swap(a), swap(b)]] {
                assert_eq!(counts(3, &wins), (0, 0), "{wins:?}");
            }
        }
    }

    #[test]
    fn bad_matrices_are_named() {
        let message = cycle_report(&[vec![0.5, 1.0], vec![0.0]])
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            "row 1 of the preferences has 1 entries, expected 2: the matrix must be square"
        );
        let message = cycle_report(&[vec![0.5, 0.7], vec![0.7, 0.5]])
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            "P(0 > 1) = 0.7 and P(1 > 0) = 0.7: both must lie in [0, 1] and add up to 1"
        );
        assert!(cycle_report(&[vec![0.5, f64::NAN], vec![0.5, 0.5]]).is_err());
    }
}
