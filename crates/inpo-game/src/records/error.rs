//! What can be wrong with a file of records.

use std::io;
use std::path::PathBuf;

use crate::EmpiricalError;

/// Why a file of records was not read. Every message names the file and the place.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file could not be read.
    #[error("{}: cannot read the records: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Two of the columns asked for have one name.
    #[error("{}: {column:?} is given for two of the columns: first, second and winner must differ", path.display())]
    SameColumn {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
    },
    /// Nothing in the file, not even a header.
    #[error("{}: the file is empty: it needs a header row and a row for each comparison, or a JSON object for each", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A header, and no rows.
    #[error("{}: there are no records below the header", path.display())]
    NoRecords {
        /// The file.
        path: PathBuf,
    },
    /// A row that is not a record.
    #[error("{}, line {line}: {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line that the row begins on, or that a quote in it is on, from 1.
        line: u64,
        /// What is wrong.
        problem: Box<RowError>,
    },
    /// Nobody has as many records as asked for.
    #[error("{}: no name has {min_votes} records or more; the most is {most}", path.display())]
    TooFew {
        /// The file.
        path: PathBuf,
        /// How many were asked for.
        min_votes: u64,
        /// How many the name of the most records has.
        most: u64,
    },
    /// The names or the prior asked for make no game of these records.
    #[error("{}: {source}", path.display())]
    Game {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: EmpiricalError,
    },
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// A column that is not there.
    #[error("there is no column {column:?}; the columns are {there}")]
    MissingColumn {
        /// The column.
        column: String,
        /// Those there are.
        there: String,
    },
    /// A column that is there twice.
    #[error("the column {column:?} occurs twice: it is not clear which to read")]
    RepeatedColumn {
        /// The column.
        column: String,
    },
    /// A row with more or fewer fields than the header.
    #[error("the row has {got} fields, but the header has {expected}")]
    Ragged {
        /// Fields of the row.
        got: usize,
        /// Fields of the header.
        expected: usize,
    },
    /// A quote of a CSV that is not closed, or that text follows.
    #[error("{reason}")]
    Quotes {
        /// What is wrong.
        reason: &'static str,
    },
    /// A field is not text.
    #[error("{column} is not UTF-8 text")]
    NotUtf8 {
        /// The column.
        column: String,
    },
    /// A line is not a JSON object with a record.
    #[error("column {column}: {reason}")]
    Json {
        /// The byte of the line, from 1.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// A side without a name.
    #[error("{column} is empty: it must name a side of the comparison")]
    EmptyName {
        /// The column.
        column: String,
    },
    /// One name on both sides.
    #[error("{first} and {second} are both {name:?}: a record compares two")]
    SameName {
        /// The column of one side.
        first: String,
        /// The column of the other.
        second: String,
        /// The name.
        name: String,
    },
    /// A winner that is not of this row.
    #[error(
        "{column} is {winner:?}, which is neither {first:?} nor {second:?}, nor a side (left, right, a, b, first, second, ..), nor a tie (tie, draw, both, neither or nothing)"
    )]
    Winner {
        /// The column.
        column: String,
        /// What stands there.
        winner: String,
        /// The name of one side.
        first: String,
        /// The name of the other.
        second: String,
    },
}
