//! Files of pairwise records, one comparison a row: CSV with a header, or JSON lines.

mod csv_file;
mod error;
mod json_lines;
mod tally;
#[cfg(test)]
mod tests;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

pub use self::error::{RecordError, RowError};

use self::csv_file::read_csv;
use self::json_lines::read_json_lines;
use self::tally::Tally;
use crate::EmpiricalGame;
use crate::read::open_stream;
use crate::read::text::BYTE_ORDER_MARK;

/// The names of the three columns (CSV) or keys (JSON lines) that a record is made of. Others are
/// passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordColumns {
    /// The name of one side.
    pub first: String,
    /// The name of the other.
    pub second: String,
    /// Who won.
    pub winner: String,
}

impl RecordColumns {
    /// Columns of these names.
    #[must_use]
    pub fn new(first: &str, second: &str, winner: &str) -> Self {
        Self {
            first: first.to_owned(),
            second: second.to_owned(),
            winner: winner.to_owned(),
        }
    }
}

impl Default for RecordColumns {
    /// `model_x`, `model_y` and `winner`.
    fn default() -> Self {
        Self::new("model_x", "model_y", "winner")
    }
}

/// What is read from a file of records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordOptions {
    /// The columns.
    pub columns: RecordColumns,
    /// Only these names, in this order, and the records among them. Absent: all names, in the
    /// order in which the file has them first.
    pub names: Option<Vec<String>>,
    /// Only names with at least so many records in the file (among `names`, if given). Records
    /// with another one count, but are then left out themselves.
    pub min_votes: u64,
    /// The prior strength of the game, as in [`EmpiricalGame::with_prior`].
    pub prior: f64,
}

/// A game of recorded votes, and how much of the file it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Records {
    /// The game.
    pub game: EmpiricalGame,
    /// The records in the file.
    pub rows: u64,
    /// Those that are not in the game, because a name was not asked for or has too few.
    pub left_out: u64,
    /// The ties in the file, however they are spelt and whether or not they are in the game.
    pub ties: u64,
    /// Those of the ties whose winner was empty (or null): an answer that is missing looks the same.
    pub blank: u64,
}

/// Reads pairwise records from a file, row by row, and counts them.
///
/// `.csv` is CSV with a header row and `.jsonl` or `.ndjson` is one JSON object a line; with
/// another extension a file that begins with `{` is JSON lines. Spaces around names are trimmed.
/// In JSON lines a name may be a number, and a null stands for nothing.
///
/// The winner is one of the two names of its row; or the side, spelt as the column's own name or
/// as `first`/`second`, `left`/`right`, `a`/`b`, `model_a`/`model_b` or `model_x`/`model_y`; or a
/// tie, spelt `tie`, `tie (bothbad)`, `bothbad`, `draw`, `both`, `neither` or nothing at all. Case
/// does not matter, except in names. A name goes before an alias. [`Records::blank`] counts the
/// winners that were nothing at all.
///
/// # Errors
/// A [`RecordError`] that names the file and the place: nothing that cannot be counted is passed
/// over.
pub fn read_records(
    path: impl AsRef<Path>,
    options: &RecordOptions,
) -> Result<Records, RecordError> {
    let path = path.as_ref();
    let failed = |source| RecordError::File {
        path: path.to_owned(),
        source,
    };
    let mut reader = BufReader::new(open_stream(path).map_err(failed)?);
    let extension = path.extension().and_then(|e| e.to_str());
    let json = match extension.unwrap_or_default().to_ascii_lowercase().as_str() {
        "csv" => false,
        "jsonl" | "ndjson" => true,
        _ => {
            let start = reader.fill_buf().map_err(failed)?;
            let start = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
            start.trim_ascii_start().starts_with(b"{")
        }
    };
    if json {
        read_records_json(reader, path, options)
    } else {
        read_records_csv(reader, path, options)
    }
}

/// Reads the CSV format of [`read_records`] from any reader; `path` is for messages only.
///
/// ```
/// use inpo_game::{PreferenceGame, RecordOptions, read_records_csv};
///
/// let text = "model_x,model_y,winner\n\
///             alpha,beta,alpha\n\
///             beta,alpha,right\n\
///             alpha,beta,tie\n\
///             beta,gamma,model_x\n";
/// let records = read_records_csv(text.as_bytes(), "votes.csv".as_ref(), &RecordOptions::default())?;
/// assert_eq!(records.game.names(), ["alpha", "beta", "gamma"]);
/// assert_eq!(records.game.preference(0, 1).get(), 2.5 / 3.0);
/// assert_eq!((records.rows, records.ties, records.blank), (4, 1, 0));
///
/// let text = "model_x,model_y,winner\nalpha,beta,alpa\n";
/// let error = read_records_csv(text.as_bytes(), "votes.csv".as_ref(), &RecordOptions::default());
/// assert!(error.unwrap_err().to_string().starts_with("votes.csv, line 2: winner is \"alpa\""));
/// # Ok::<(), inpo_game::RecordError>(())
/// ```
///
/// # Errors
/// As [`read_records`].
pub fn read_records_csv(
    reader: impl Read,
    path: &Path,
    options: &RecordOptions,
) -> Result<Records, RecordError> {
    let mut tally = Tally::new(path, options);
    read_csv(reader, &mut tally)?;
    tally.finish()
}

/// Reads the JSON-lines format of [`read_records`] from any reader; `path` is for messages only.
///
/// # Errors
/// As [`read_records`].
pub fn read_records_json(
    reader: impl BufRead,
    path: &Path,
    options: &RecordOptions,
) -> Result<Records, RecordError> {
    let mut tally = Tally::new(path, options);
    read_json_lines(reader, &mut tally)?;
    tally.finish()
}
