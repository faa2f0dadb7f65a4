//! What can be wrong with a preference matrix.

use crate::StrategyError;

/// Numbers or names that are not a preference game. Entries are named as in the game file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GameError {
    /// No rows.
    #[error("preferences is empty: a game needs at least one action")]
    Empty,
    /// A row of the wrong length.
    #[error(
        "preferences[{row}] has {got} entries, but there are {expected} rows: the matrix must be square"
    )]
    NotSquare {
        /// The row.
        row: usize,
        /// Its length.
        got: usize,
        /// The number of rows.
        expected: usize,
    },
    /// NaN.
    #[error("preferences[{row}][{column}] is NaN: it must be a probability in [0, 1]")]
    NotANumber {
        /// The row.
        row: usize,
        /// The column.
        column: usize,
    },
    /// Below 0.
    #[error(
        "preferences[{row}][{column}] is {value}, which is negative: it must be a probability in [0, 1]"
    )]
    Negative {
        /// The row.
        row: usize,
        /// The column.
        column: usize,
        /// What was given.
        value: f64,
    },
    /// Above 1.
    #[error(
        "preferences[{row}][{column}] is {value}, which is above 1: it must be a probability in [0, 1]"
    )]
    AboveOne {
        /// The row.
        row: usize,
        /// The column.
        column: usize,
        /// What was given.
        value: f64,
    },
    /// An action does not tie with itself.
    #[error(
        "preferences[{index}][{index}] is {value}: an action against itself must be 0.5 within 1e-6"
    )]
    Diagonal {
        /// The action.
        index: usize,
        /// What was given.
        value: f64,
    },
    /// Two opposite entries do not add to 1.
    #[error(
        "preferences[{row}][{column}] = {value} and preferences[{column}][{row}] = {opposite} add to {sum}: they must add to 1 within 1e-6",
        sum = .value + .opposite
    )]
    Complement {
        /// The row.
        row: usize,
        /// The column.
        column: usize,
        /// Entry (row, column).
        value: f64,
        /// Entry (column, row).
        opposite: f64,
    },
    /// Too few or too many names.
    #[error(
        "names has {got} entries, but there are {expected} actions: give one name for each row of preferences"
    )]
    NameCount {
        /// How many names.
        got: usize,
        /// How many actions.
        expected: usize,
    },
    /// A name that occurs twice.
    #[error("names[{second}] repeats names[{first}] ({name:?}): every name must be different")]
    DuplicateName {
        /// The name.
        name: String,
        /// Where it occurs first.
        first: usize,
        /// Where it occurs again.
        second: usize,
    },
    /// A name in a file that is nothing, or spaces alone.
    #[error("names[{index}] is empty: give each action a name, or none of them")]
    EmptyName {
        /// The action.
        index: usize,
    },
    /// The reference has too few or too many entries.
    #[error(
        "reference has {got} entries, but there are {expected} actions: give one probability for each row of preferences"
    )]
    ReferenceLength {
        /// How many entries.
        got: usize,
        /// How many actions.
        expected: usize,
    },
    /// The reference is not a strategy.
    #[error("reference is not a strategy: {0}")]
    Reference(#[source] StrategyError),
}

impl GameError {
    /// The row of the matrix that the error is about, if it is about one.
    #[must_use]
    pub fn row(&self) -> Option<usize> {
        match *self {
            Self::NotSquare { row, .. }
            | Self::NotANumber { row, .. }
            | Self::Negative { row, .. }
            | Self::AboveOne { row, .. }
            | Self::Complement { row, .. }
            | Self::Diagonal { index: row, .. } => Some(row),
            _ => None,
        }
    }

    /// The name that the error is about, if it is about one.
    pub(crate) fn name(&self) -> Option<usize> {
        match *self {
            Self::DuplicateName { second: name, .. } | Self::EmptyName { index: name } => {
                Some(name)
            }
            _ => None,
        }
    }
}
