//! Oracles: they compare two responses to a prompt.

mod closure;
mod counts;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Preference, PreferenceGame};

pub use closure::FnOracle;
pub use counts::OracleCounts;

/// One question: with which probability does `first` beat `second` as an answer to `prompt`?
///
/// It borrows everything and is free to copy, whatever `X` and `Y` are.
#[derive(Debug)]
pub struct Comparison<'a, X: ?Sized, Y: ?Sized> {
    /// What was asked. `()` in a game without prompts.
    pub prompt: &'a X,
    /// The response whose win is the event.
    pub first: &'a Y,
    /// The response it is compared with.
    pub second: &'a Y,
}

// By hand: a derive would ask for `X: Copy` and `Y: Copy`, and `str` has neither.
impl<X: ?Sized, Y: ?Sized> Clone for Comparison<'_, X, Y> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<X: ?Sized, Y: ?Sized> Copy for Comparison<'_, X, Y> {}

impl<X: ?Sized, Y: ?Sized> Comparison<'_, X, Y> {
    /// The same question with the two responses exchanged.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self {
            first: self.second,
            second: self.first,
            ..self
        }
    }
}

/// Gives P(y > y' | x): a matrix, a rule, a reward model, a judge, people.
///
/// Questions come in batches because a judge answers many at once for the price of few.
/// `X` is the prompt's type and `Y` the response's; neither need be sized. [`FnOracle`] makes an
/// oracle of a closure.
///
/// ```
/// use inpo_game::{Comparison, OracleError, Preference, PreferenceOracle};
///
/// /// Prefers the shorter answer.
/// struct Brevity;
///
/// impl PreferenceOracle<str, str> for Brevity {
///     fn compare(
///         &self,
///         comparisons: &[Comparison<'_, str, str>],
///     ) -> Result<Vec<Preference>, OracleError> {
///         Ok(comparisons
///             .iter()
///             .map(|c| match c.first.len().cmp(&c.second.len()) {
///                 std::cmp::Ordering::Less => Preference::WIN,
///                 std::cmp::Ordering::Equal => Preference::HALF,
///                 std::cmp::Ordering::Greater => Preference::LOSS,
///             })
///             .collect())
///     }
///
///     fn name(&self) -> String {
///         "brevity".into()
///     }
/// }
///
/// let question = Comparison { prompt: "2 + 2?", first: "4", second: "It is 4." };
/// assert_eq!(Brevity.compare(&[question])?, [Preference::WIN]);
/// # Ok::<(), OracleError>(())
/// ```
pub trait PreferenceOracle<X: ?Sized, Y: ?Sized> {
    /// Answers every question, in order: entry k is P(first > second | prompt) of question k.
    ///
    /// # Errors
    /// An [`OracleError`]; then no answer of the batch may be used.
    fn compare(&self, comparisons: &[Comparison<'_, X, Y>])
    -> Result<Vec<Preference>, OracleError>;

    /// [`compare`](Self::compare) into a vector that the caller keeps from batch to batch. Replaces
    /// the content of `answers`, which has no meaning after an error.
    ///
    /// The default asks `compare`; an oracle whose answers cost less than the memory for them
    /// overrides it.
    ///
    /// # Errors
    /// As [`compare`](Self::compare).
    fn compare_into(
        &self,
        comparisons: &[Comparison<'_, X, Y>],
        answers: &mut Vec<Preference>,
    ) -> Result<(), OracleError> {
        *answers = self.compare(comparisons)?;
        Ok(())
    }

    /// What this oracle is called in messages and metrics.
    fn name(&self) -> String;

    /// What was counted since the oracle was made; an oracle that counts nothing says so with zeros.
    fn counts(&self) -> OracleCounts {
        OracleCounts::default()
    }
}

impl<X: ?Sized, Y: ?Sized> fmt::Debug for dyn PreferenceOracle<X, Y> + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PreferenceOracle")
            .field(&self.name())
            .finish()
    }
}

/// Why an oracle gave no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OracleError {
    /// The oracle could not be reached or failed as a whole. Asking again may help.
    #[error("the oracle {oracle:?} is not available: {reason}")]
    Unavailable {
        /// The oracle's name.
        oracle: String,
        /// What happened.
        reason: String,
    },
    /// One question could not be answered. Asking again will not help.
    #[error("comparison {index} of the batch cannot be answered: {reason}")]
    Invalid {
        /// Its place in the batch, from 0.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The oracle returned too few or too many answers.
    #[error("the oracle {oracle:?} gave {got} answers to {expected} comparisons")]
    WrongCount {
        /// The oracle's name.
        oracle: String,
        /// The number of questions.
        expected: usize,
        /// The number of answers.
        got: usize,
    },
}

impl<X: ?Sized, Y: ?Sized, O: PreferenceOracle<X, Y> + ?Sized> PreferenceOracle<X, Y> for &O {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, X, Y>],
    ) -> Result<Vec<Preference>, OracleError> {
        (**self).compare(comparisons)
    }

    fn compare_into(
        &self,
        comparisons: &[Comparison<'_, X, Y>],
        answers: &mut Vec<Preference>,
    ) -> Result<(), OracleError> {
        (**self).compare_into(comparisons, answers)
    }

    fn name(&self) -> String {
        (**self).name()
    }

    fn counts(&self) -> OracleCounts {
        (**self).counts()
    }
}

impl<X: ?Sized, Y: ?Sized, O: PreferenceOracle<X, Y> + ?Sized> PreferenceOracle<X, Y> for Box<O> {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, X, Y>],
    ) -> Result<Vec<Preference>, OracleError> {
        (**self).compare(comparisons)
    }

    fn compare_into(
        &self,
        comparisons: &[Comparison<'_, X, Y>],
        answers: &mut Vec<Preference>,
    ) -> Result<(), OracleError> {
        (**self).compare_into(comparisons, answers)
    }

    fn name(&self) -> String {
        (**self).name()
    }

    fn counts(&self) -> OracleCounts {
        (**self).counts()
    }
}

/// Counts what an oracle is asked, and checks that it answers every question.
///
/// The count can be read while other threads ask.
#[derive(Debug, Default)]
pub struct Counted<O> {
    oracle: O,
    comparisons: AtomicU64,
}

impl<O> Counted<O> {
    /// Wraps `oracle` with the count at 0.
    #[must_use]
    pub fn new(oracle: O) -> Self {
        Self {
            oracle,
            comparisons: AtomicU64::new(0),
        }
    }

    /// How many questions were asked, failed batches included.
    #[must_use]
    pub fn comparisons(&self) -> u64 {
        self.comparisons.load(Ordering::Relaxed)
    }

    /// The wrapped oracle.
    #[must_use]
    pub fn inner(&self) -> &O {
        &self.oracle
    }

    /// Unwraps the oracle.
    #[must_use]
    pub fn into_inner(self) -> O {
        self.oracle
    }
}

impl<X: ?Sized, Y: ?Sized, O: PreferenceOracle<X, Y>> PreferenceOracle<X, Y> for Counted<O> {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, X, Y>],
    ) -> Result<Vec<Preference>, OracleError> {
        let expected = comparisons.len();
        if expected == 0 {
            return Ok(Vec::new());
        }
        self.comparisons
            .fetch_add(expected as u64, Ordering::Relaxed);
        let answers = self.oracle.compare(comparisons)?;
        if answers.len() != expected {
            return Err(OracleError::WrongCount {
                oracle: self.oracle.name(),
                expected,
                got: answers.len(),
            });
        }
        Ok(answers)
    }

    fn name(&self) -> String {
        self.oracle.name()
    }

    fn counts(&self) -> OracleCounts {
        self.oracle.counts()
    }
}

/// A game as an oracle: there is no prompt, and a response is the index of an action.
///
/// ```
/// use inpo_game::{games, Comparison, Counted, MatrixOracle, PreferenceOracle};
///
/// let oracle = Counted::new(MatrixOracle::new(games::cyclic_three()));
/// let question = Comparison { prompt: &(), first: &0, second: &2 };
/// let answers = oracle.compare(&[question, question.swapped()])?;
/// assert_eq!((answers[0].get(), answers[1].get()), (0.8, 0.2));
/// assert_eq!(oracle.comparisons(), 2);
/// # Ok::<(), inpo_game::OracleError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MatrixOracle<G> {
    game: G,
}

impl<G: PreferenceGame> MatrixOracle<G> {
    /// An oracle that answers with the exact preferences of `game`.
    pub fn new(game: G) -> Self {
        Self { game }
    }

    /// The game it answers from.
    pub fn game(&self) -> &G {
        &self.game
    }
}

impl<G: PreferenceGame> PreferenceOracle<(), usize> for MatrixOracle<G> {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, (), usize>],
    ) -> Result<Vec<Preference>, OracleError> {
        let mut answers = Vec::new();
        self.compare_into(comparisons, &mut answers)?;
        Ok(answers)
    }

    fn compare_into(
        &self,
        comparisons: &[Comparison<'_, (), usize>],
        answers: &mut Vec<Preference>,
    ) -> Result<(), OracleError> {
        let n = self.game.num_actions();
        answers.clear();
        answers.reserve(comparisons.len());
        for (index, c) in comparisons.iter().enumerate() {
            let (first, second) = (*c.first, *c.second);
            if let Some(action) = [first, second].into_iter().find(|&action| action >= n) {
                return Err(OracleError::Invalid {
                    index,
                    reason: format!("action {action} does not exist: the game has {n} actions"),
                });
            }
            answers.push(self.game.preference(first, second));
        }
        Ok(())
    }

    fn name(&self) -> String {
        "matrix".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::games::cyclic_three;

    #[test]
    fn an_action_out_of_range_names_the_question() {
        let oracle = MatrixOracle::new(cyclic_three());
        let ok = Comparison {
            prompt: &(),
            first: &0,
            second: &1,
        };
        let bad = Comparison {
            prompt: &(),
            first: &0,
            second: &3,
        };
        let error = oracle.compare(&[ok, bad]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "comparison 1 of the batch cannot be answered: action 3 does not exist: the game has 3 actions"
        );
    }

    struct Silent;

    impl PreferenceOracle<str, str> for Silent {
        fn compare(&self, _: &[Comparison<'_, str, str>]) -> Result<Vec<Preference>, OracleError> {
            Ok(Vec::new())
        }

        fn name(&self) -> String {
            "silent".into()
        }
    }

    #[test]
    fn a_missing_answer_is_noticed_and_the_question_counted() {
        let oracle = Counted::new(Silent);
        let question = Comparison {
            prompt: "x",
            first: "y",
            second: "z",
        };
        let error = oracle.compare(&[question; 3]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the oracle \"silent\" gave 0 answers to 3 comparisons"
        );
        assert_eq!(oracle.comparisons(), 3);
        assert_eq!(oracle.compare(&[]).unwrap(), []);
        assert_eq!(oracle.comparisons(), 3);
    }

    #[test]
    fn works_behind_a_reference_and_a_box() {
        let boxed: Box<dyn PreferenceOracle<(), usize>> =
            Box::new(MatrixOracle::new(cyclic_three()));
        let counted = Counted::new(&*boxed);
        let question = Comparison {
            prompt: &(),
            first: &1,
            second: &0,
        };
        assert_eq!(counted.compare(&[question]).unwrap()[0].get(), 0.9);
        assert_eq!(boxed.compare(&[question]).unwrap()[0].get(), 0.9);
        let mut answers = vec![Preference::LOSS; 5];
        counted
            .compare_into(&[question, question.swapped()], &mut answers)
            .unwrap();
        assert_eq!(
            answers,
            boxed.compare(&[question, question.swapped()]).unwrap()
        );
        assert_eq!(counted.comparisons(), 3);
        assert_eq!(counted.name(), "matrix");
        assert_eq!(format!("{boxed:?}"), "PreferenceOracle(\"matrix\")");
    }
}
