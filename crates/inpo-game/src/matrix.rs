//! A game given by its whole preference matrix.

mod product;
mod triangle;

use std::collections::HashMap;

pub(crate) use triangle::TriangleBuilder;

use crate::{GameError, Preference, PreferenceGame, Strategy};
use triangle::Triangle;

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
/// The law makes one triangle of the matrix enough, and no more is held: n (n - 1) / 2 numbers of
/// 8 bytes (400 MB at n = 10 000), from which every entry comes back to the bit. Win rates are
/// computed as
///
/// ```text
/// P pi = (sum pi) / 2 + A pi,     A = P - 1/2,     A^T = -A
/// ```
///
/// in one pass over the triangle, on all threads of the current rayon pool where the game is large
/// (from about 700 actions on). The bits of the result depend neither on the machine nor on the
/// number of threads.
///
/// ```
/// use inpo_game::{MatrixGame, PreferenceGame};
///
/// let game = MatrixGame::new(vec![vec![0.5, 0.7], vec![0.3, 0.5]])?
///     .with_names(vec!["a".into(), "b".into()])?;
/// assert_eq!(game.preference(0, 1).get(), 0.7);
/// assert_eq!(game.row(1), [0.3, 0.5]);
/// assert_eq!(game.index_of("b"), Some(1));
///
/// let error = MatrixGame::new(vec![vec![0.5, 0.7], vec![0.7, 0.5]]).unwrap_err();
/// assert!(error.to_string().contains("preferences[0][1]"));
/// # Ok::<(), inpo_game::GameError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixGame {
    preferences: Triangle,
    names: Option<Vec<String>>,
    reference: Option<Strategy>,
}

impl MatrixGame {
    /// Checks a matrix given by rows: square, in [0, 1], 1/2 on the diagonal, and p_ij + p_ji = 1
    /// within [`COMPLEMENT_TOLERANCE`]. Without names, and with the uniform reference.
    ///
    /// # Errors
    /// A [`GameError`] that names the first wrong entry; of two opposite entries that do not add
    /// to 1, the one above the diagonal.
    pub fn new(preferences: Vec<Vec<f64>>) -> Result<Self, GameError> {
        let mut rows = TriangleBuilder::default();
        for row in preferences {
            rows.push_row(&row);
        }
        Self::from_rows(rows)
    }

    /// The game in which i beats j with the probability `preference(i, j)`, asked once for each
    /// i < j in row-major order. Never holds more than its triangle.
    ///
    /// ```
    /// use inpo_game::{MatrixGame, PreferenceGame};
    ///
    /// // Elo ratings 100 points apart, the best first.
    /// let game = MatrixGame::from_fn(3, |i, j| 1.0 / (1.0 + 10f64.powf((i as f64 - j as f64) / 4.0)))?;
    /// assert!((game.preference(0, 2).get() - 0.759747).abs() < 1e-6);
    /// assert_eq!(game.preference(2, 0), game.preference(0, 2).complement());
    /// # Ok::<(), inpo_game::GameError>(())
    /// ```
    ///
    /// # Errors
    /// [`GameError::Empty`] if `num_actions` is 0; [`GameError::NotANumber`],
    /// [`GameError::Negative`] or [`GameError::AboveOne`] for what is not a probability.
    pub fn from_fn(
        num_actions: usize,
        preference: impl FnMut(usize, usize) -> f64,
    ) -> Result<Self, GameError> {
        Triangle::from_fn(num_actions, preference).map(Self::without_names)
    }

    /// The matrix of any game, without names and with the uniform reference.
    ///
    /// # Panics
    /// If the game has no action.
    #[must_use]
    pub fn from_game<G: PreferenceGame + ?Sized>(game: &G) -> Self {
        Self::from_fn(game.num_actions(), |i, j| game.preference(i, j).get())
            .expect("checked preferences of at least one action")
    }

    pub(crate) fn from_rows(rows: TriangleBuilder) -> Result<Self, GameError> {
        rows.finish().map(Self::without_names)
    }

    fn without_names(preferences: Triangle) -> Self {
        Self {
            preferences,
            names: None,
            reference: None,
        }
    }

    /// Names the actions.
    ///
    /// # Errors
    /// [`GameError::NameCount`] or [`GameError::DuplicateName`].
    pub fn with_names(mut self, names: Vec<String>) -> Result<Self, GameError> {
        if names.len() != self.num_actions() {
            return Err(GameError::NameCount {
                got: names.len(),
                expected: self.num_actions(),
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
        if reference.num_actions() != self.num_actions() {
            return Err(GameError::ReferenceLength {
                got: reference.num_actions(),
                expected: self.num_actions(),
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
            None => Strategy::uniform(self.num_actions()),
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
    pub fn row(&self, action: usize) -> Vec<f64> {
        self.row_entries(action).collect()
    }

    /// [`row`](Self::row) without a vector.
    pub(crate) fn row_entries(&self, action: usize) -> impl Iterator<Item = f64> {
        self.preferences.row(action)
    }
}

impl PreferenceGame for MatrixGame {
    fn num_actions(&self) -> usize {
        self.preferences.num_actions()
    }

    fn win_rates_into(&self, strategy: &[f64], out: &mut [f64]) {
        assert_eq!(strategy.len(), self.num_actions(), "one weight an action");
        assert_eq!(out.len(), self.num_actions(), "one win rate an action");
        product::product(self.preferences.entries(), strategy, out);
        let tie = 0.5 * product::sum(strategy);
        out.iter_mut().for_each(|rate| *rate += tie);
    }

    fn preference(&self, first: usize, second: usize) -> Preference {
        Preference::new(self.preferences.get(first, second)).expect("checked at construction")
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

    #[test]
    fn a_function_is_asked_once_for_each_pair_and_checked() {
        let mut asked = Vec::new();
        let game = MatrixGame::from_fn(3, |i, j| {
            asked.push((i, j));
            [0.1, 0.8, 0.1][asked.len() - 1]
        })
        .unwrap();
        assert_eq!(asked, [(0, 1), (0, 2), (1, 2)]);
        let known = crate::games::cyclic_three();
        assert_eq!(game.row(1), known.row(1));
        assert_eq!(MatrixGame::from_game(&known), game);

        let message = |value: f64| {
            let game = MatrixGame::from_fn(3, |i, _| if i == 1 { value } else { 0.5 });
            game.unwrap_err().to_string()
        };
        assert!(message(f64::NAN).contains("preferences[1][2] is NaN"));
        assert!(message(-0.5).contains("preferences[1][2] is -0.5, which is negative"));
        assert!(message(f64::INFINITY).contains("preferences[1][2] is inf, which is above 1"));
        assert_eq!(
            MatrixGame::from_fn(0, |_, _| 0.5).unwrap_err(),
            GameError::Empty
        );
    }
}
