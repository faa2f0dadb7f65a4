//! A game given by its whole preference matrix.

use std::collections::HashMap;

use crate::linalg::dot;
use crate::{GameError, Preference, PreferenceGame, Strategy};

/// How far p_ij + p_ji may be from 1, and p_ii from 1/2.
pub const COMPLEMENT_TOLERANCE: f64 = 1e-6;

/// Sums this close to 1 are rounding and the two entries are kept as given.
const ROUNDING: f64 = 4.0 * f64::EPSILON;

/// A dense preference matrix with optional names and reference, checked at construction.
///
/// Entry (i, j) is P(i beats j). Where p_ij + p_ji misses 1 by more than rounding but by less than
/// [`COMPLEMENT_TOLERANCE`], the miss is shared between the two; the diagonal is set to 1/2. The
/// complement law then holds to machine precision and the game is constant-sum.
///
/// ```
/// use inpo_game::{MatrixGame, PreferenceGame};
///
/// let game = MatrixGame::new(vec![vec![0.5, 0.7], vec![0.3, 0.5]])?
///     .with_names(vec!["a".into(), "b".into()])?;
/// assert_eq!(game.preference(0, 1).get(), 0.7);
/// assert_eq!(game.index_of("b"), Some(1));
///
/// let error = MatrixGame::new(vec![vec![0.5, 0.7], vec![0.7, 0.5]]).unwrap_err();
/// assert!(error.to_string().contains("preferences[0][1]"));
/// # Ok::<(), inpo_game::GameError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixGame {
    num_actions: usize,
    /// n x n, row-major.
    entries: Vec<f64>,
    names: Option<Vec<String>>,
    reference: Option<Strategy>,
}

impl MatrixGame {
    /// Checks a matrix given by rows: square, in [0, 1], 1/2 on the diagonal, and p_ij + p_ji = 1
    /// within [`COMPLEMENT_TOLERANCE`]. Without names, and with the uniform reference.
    ///
    /// # Errors
    /// A [`GameError`] that names the first wrong entry.
    pub fn new(preferences: Vec<Vec<f64>>) -> Result<Self, GameError> {
        let n = preferences.len();
        if n == 0 {
            return Err(GameError::Empty);
        }
        let mut entries = Vec::with_capacity(n * n);
        for (row, values) in preferences.into_iter().enumerate() {
            if values.len() != n {
                let got = values.len();
                return Err(GameError::NotSquare {
                    row,
                    got,
                    expected: n,
                });
            }
            for (column, &value) in values.iter().enumerate() {
                if value.is_nan() {
                    return Err(GameError::NotANumber { row, column });
                }
                if value < 0.0 {
                    return Err(GameError::Negative { row, column, value });
                }
                if value > 1.0 {
                    return Err(GameError::AboveOne { row, column, value });
                }
            }
            entries.extend(values);
        }
        complete(&mut entries, n)?;
        Ok(Self {
            num_actions: n,
            entries,
            names: None,
            reference: None,
        })
    }

    /// The game of `num_actions` actions in which i beats j with probability `preference(i, j)`,
    /// asked once for each i < j, row by row.
    ///
    /// # Errors
    /// A [`GameError`] that names the first number that is not a probability.
    pub fn from_fn(
        num_actions: usize,
        mut preference: impl FnMut(usize, usize) -> f64,
    ) -> Result<Self, GameError> {
        let mut rows = vec![vec![0.5; num_actions]; num_actions];
        for (i, j) in (0..num_actions).flat_map(|i| (i + 1..num_actions).map(move |j| (i, j))) {
            let p = preference(i, j);
            (rows[i][j], rows[j][i]) = (p, 1.0 - p);
        }
        Self::new(rows)
    }

    /// The matrix of any game, without names and with the uniform reference.
    #[must_use]
    pub fn from_game(game: &(impl PreferenceGame + ?Sized)) -> Self {
        Self::from_fn(game.num_actions(), |i, j| game.preference(i, j).get())
            .expect("a game has actions and preferences are probabilities")
    }

    /// Names the actions.
    ///
    /// # Errors
    /// [`GameError::NameCount`] or [`GameError::DuplicateName`].
    pub fn with_names(mut self, names: Vec<String>) -> Result<Self, GameError> {
        if names.len() != self.num_actions {
            return Err(GameError::NameCount {
                got: names.len(),
                expected: self.num_actions,
            });
        }
        let mut seen = HashMap::with_capacity(names.len());
        for (second, name) in names.iter().enumerate() {
            if let Some(first) = seen.insert(name, second) {
                let name = name.clone();
                return Err(GameError::DuplicateName {
                    name,
                    first,
                    second,
                });
            }
        }
        self.names = Some(names);
        Ok(self)
    }

    /// Sets the reference policy that comes with the game.
    ///
    /// # Errors
    /// [`GameError::ReferenceLength`].
    pub fn with_reference(mut self, reference: Strategy) -> Result<Self, GameError> {
        if reference.num_actions() != self.num_actions {
            return Err(GameError::ReferenceLength {
                got: reference.num_actions(),
                expected: self.num_actions,
            });
        }
        self.reference = Some(reference);
        Ok(self)
    }

    /// The names of the actions, if they have any.
    #[must_use]
    pub fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// The action of that name.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.names.as_ref()?.iter().position(|n| n == name)
    }

    /// The reference policy: the one given, else uniform.
    #[must_use]
    pub fn reference(&self) -> Strategy {
        match &self.reference {
            Some(reference) => reference.clone(),
            None => Strategy::uniform(self.num_actions),
        }
    }

    /// The reference that was given, if one was.
    pub(crate) fn given_reference(&self) -> Option<&Strategy> {
        self.reference.as_ref()
    }

    /// Row `action` of the matrix: its n win probabilities.
    ///
    /// # Panics
    /// If `action` is out of range.
    #[must_use]
    pub fn row(&self, action: usize) -> &[f64] {
        &self.entries[action * self.num_actions..(action + 1) * self.num_actions]
    }
}

/// Checks the complement law and makes it exact.
fn complete(entries: &mut [f64], n: usize) -> Result<(), GameError> {
    for row in 0..n {
        let own = entries[row * n + row];
        if (own - 0.5).abs() > COMPLEMENT_TOLERANCE + ROUNDING {
            return Err(GameError::Diagonal {
                index: row,
                value: own,
            });
        }
        entries[row * n + row] = 0.5;
        for column in row + 1..n {
            let (value, opposite) = (entries[row * n + column], entries[column * n + row]);
            let excess = value + opposite - 1.0;
            if excess.abs() > COMPLEMENT_TOLERANCE + ROUNDING {
                return Err(GameError::Complement {
                    row,
                    column,
                    value,
                    opposite,
                });
            }
            if excess.abs() > ROUNDING {
                let shared = (value - 0.5 * excess).clamp(0.0, 1.0);
                entries[row * n + column] = shared;
                entries[column * n + row] = 1.0 - shared;
            }
        }
    }
    Ok(())
}

impl PreferenceGame for MatrixGame {
    fn num_actions(&self) -> usize {
        self.num_actions
    }

    fn win_rates_into(&self, strategy: &[f64], out: &mut [f64]) {
        assert_eq!(strategy.len(), self.num_actions, "one weight an action");
        assert_eq!(out.len(), self.num_actions, "one win rate an action");
        for (rate, row) in out
            .iter_mut()
            .zip(self.entries.chunks_exact(self.num_actions))
        {
            *rate = dot(row, strategy);
        }
    }

    fn preference(&self, first: usize, second: usize) -> Preference {
        Preference::new(self.row(first)[second]).expect("checked at construction")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(preferences: &[&[f64]]) -> String {
        MatrixGame::new(preferences.iter().map(|row| row.to_vec()).collect())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn each_bad_matrix_names_its_entry() {
        assert!(message(&[]).contains("preferences is empty"));
        let text = message(&[&[0.5, 0.5], &[0.5]]);
        assert!(text.contains("preferences[1] has 1 entries"), "{text}");
        let text = message(&[&[0.5, f64::NAN], &[0.5, 0.5]]);
        assert!(text.contains("preferences[0][1] is NaN"), "{text}");
        let text = message(&[&[0.5, 1.1], &[-0.1, 0.5]]);
        assert!(
            text.contains("preferences[0][1] is 1.1, which is above 1"),
            "{text}"
        );
        let text = message(&[&[0.5, 1.0], &[-0.1, 0.5]]);
        assert!(
            text.contains("preferences[1][0] is -0.1, which is negative"),
            "{text}"
        );
        let text = message(&[&[0.5, 1.0], &[0.0, 0.6]]);
        assert!(text.contains("preferences[1][1] is 0.6"), "{text}");
        let text = message(&[&[0.5, 0.75], &[0.5, 0.5]]);
        assert!(text.contains("preferences[0][1] = 0.75"), "{text}");
        assert!(
            text.contains("preferences[1][0] = 0.5 add to 1.25"),
            "{text}"
        );
    }

    #[test]
    fn names_and_reference_are_checked() {
        let game = MatrixGame::new(vec![vec![0.5, 0.5], vec![0.5, 0.5]]).unwrap();
        let text = game
            .clone()
            .with_names(vec!["a".into()])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("names has 1 entries, but there are 2 actions"),
            "{text}"
        );
        let twice = vec!["a".to_string(), "a".to_string()];
        let text = game.clone().with_names(twice).unwrap_err().to_string();
        assert!(text.contains("names[1] repeats names[0] (\"a\")"), "{text}");
        let text = game
            .with_reference(Strategy::uniform(3))
            .unwrap_err()
            .to_string();
        assert!(text.contains("reference has 3 entries"), "{text}");
    }

    #[test]
    fn a_small_miss_is_shared_so_that_the_game_is_constant_sum() {
        let game = MatrixGame::new(vec![vec![0.5, 0.7], vec![0.300_000_8, 0.5]]).unwrap();
        let (up, down) = (game.preference(0, 1).get(), game.preference(1, 0).get());
        assert!((up - 0.699_999_6).abs() < 1e-15);
        assert!((up + down - 1.0).abs() < 1e-16);
    }

    #[test]
    fn a_function_is_asked_for_the_upper_triangle() {
        let mut asked = Vec::new();
        let game = MatrixGame::from_fn(3, |i, j| {
            asked.push((i, j));
            if i == 0 { 0.25 } else { 1.0 }
        })
        .unwrap();
        assert_eq!(asked, [(0, 1), (0, 2), (1, 2)]);
        assert_eq!(game.preference(2, 0).get(), 0.75);
        assert_eq!(game.preference(2, 1).get(), 0.0);
        assert_eq!(MatrixGame::from_game(&game), game);
        assert_eq!(MatrixGame::from_fn(0, |_, _| 0.5), Err(GameError::Empty));
        let text = MatrixGame::from_fn(2, |_, _| 1.5).unwrap_err().to_string();
        assert!(text.contains("preferences[0][1] is 1.5"), "{text}");
    }

    #[test]
    fn exact_entries_are_kept_to_the_bit() {
        let game = crate::games::cyclic_three();
        assert_eq!(game.row(0), [0.5, 0.1, 0.8]);
        assert_eq!(game.row(2), [0.2, 0.9, 0.5]);
    }
}
