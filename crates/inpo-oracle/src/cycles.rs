//! How far a preference over one prompt's responses is from an order.

use std::iter::Sum;
use std::ops::AddAssign;

use inpo_game::{Comparison, OracleError, PreferenceOracle};
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

/// Counts the cyclic triples among the responses to one prompt: `preferences[i][j]` is P(response i beats response j).
///
/// The diagonal is not read. Reports of several prompts add up with `sum()`.
pub fn cycle_report(preferences: &[Vec<f64>]) -> Result<CycleReport, CycleError> {
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
    for (i, row) in preferences.iter().enumerate() {
        for (j, &p) in row.iter().enumerate().skip(i + 1) {
            let q = preferences[j][i];
            let probabilities = (0.0..=1.0).contains(&p) && (0.0..=1.0).contains(&q);
            if !probabilities || (p + q - 1.0).abs() > COMPLEMENT_TOLERANCE {
                return Err(CycleError::NotComplementary { i, j, p, q });
            }
        }
    }
    // One half of a complementary pair decides, so that i > j and j > i exclude each other also within the tolerance.
    let beats = |i: usize, j: usize| {
        if i < j {
            preferences[i][j] > 0.5
        } else {
            preferences[j][i] < 0.5
        }
    };
    let mut report = CycleReport::default();
    for i in 0..n {
        for j in i + 1..n {
            for k in j + 1..n {
                report.triples += 1;
                let forward = beats(i, j) && beats(j, k) && beats(k, i);
                let backward = beats(j, i) && beats(k, j) && beats(i, k);
                report.cyclic += u64::from(forward || backward);
            }
        }
    }
    Ok(report)
}

/// All preferences among the responses to one prompt, as [`cycle_report`] reads them: K (K - 1) / 2 comparisons, the
/// other half being their complements and the diagonal 1/2. The oracle must not depend on the order of a pair, or be
/// wrapped so that both orders are averaged.
pub fn preference_matrix<X: ?Sized, Y>(
    oracle: &(impl PreferenceOracle<X, Y> + ?Sized),
    prompt: &X,
    responses: &[Y],
) -> Result<Vec<Vec<f64>>, OracleError> {
    let n = responses.len();
    let pairs: Vec<(usize, usize)> = (0..n)
        .flat_map(|i| (i + 1..n).map(move |j| (i, j)))
        .collect();
    let comparisons: Vec<Comparison<'_, X, Y>> = pairs
        .iter()
        .map(|&(i, j)| Comparison {
            prompt,
            first: &responses[i],
            second: &responses[j],
        })
        .collect();
    let verdicts = oracle.compare(&comparisons)?;
    if verdicts.len() != pairs.len() {
        return Err(OracleError::WrongCount {
            oracle: oracle.name(),
            expected: pairs.len(),
            got: verdicts.len(),
        });
    }
    let mut matrix = vec![vec![0.5; n]; n];
    for ((i, j), verdict) in pairs.into_iter().zip(verdicts) {
        matrix[i][j] = verdict.get();
        matrix[j][i] = verdict.complement().get();
    }
    Ok(matrix)
}

#[cfg(test)]
mod tests {
    use inpo_game::Preference;

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
        assert_eq!(cycle_report(&[]), Ok(CycleReport::default()));
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

    /// Gives one answer too few.
    struct Forgetful;

    impl PreferenceOracle<str, &str> for Forgetful {
        fn compare(
            &self,
            comparisons: &[Comparison<'_, str, &str>],
        ) -> Result<Vec<Preference>, OracleError> {
            Ok(vec![Preference::HALF; comparisons.len() - 1])
        }

        fn name(&self) -> String {
            "forgetful".into()
        }
    }

    #[test]
    fn a_missing_answer_is_an_error() {
        let error = preference_matrix(&Forgetful, "?", &["a", "b", "c"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the oracle \"forgetful\" gave 2 answers to 3 comparisons"
        );
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
