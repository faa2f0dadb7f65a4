//! Game files: JSON, or CSV with or without names. Rows become the game as they are read, so that
//! a large file takes the memory of its triangle and of one row.

mod json;
mod table;
pub(crate) mod text;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use self::text::BYTE_ORDER_MARK;
use crate::{GameError, MatrixGame};

/// Bytes that are asked of the system at a time.
const BUFFER: usize = 1 << 16;

/// Why a file is not a game. Every message names the file and the place.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read.
    #[error("{}: cannot read the game file: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not JSON, or a key is unknown, missing or of the wrong type.
    #[error("{}, line {line}, column {column}: {field}{reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The entry, such as `preferences[0][1]: `, or nothing for the whole file.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// The text is not CSV.
    #[error("{}, line {line}: {reason}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A CSV cell is not a number.
    #[error("{}, line {line}: preferences[{row}][{column}] is {text:?}, which is not a number", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The row of the matrix.
        row: usize,
        /// Its column.
        column: usize,
        /// The cell; a long one is cut and ends with "..".
        text: String,
    },
    /// The name before a row of a CSV is not the one that the header gives it.
    #[error(
        "{}, line {line}: the row is named {got:?}, but name {row} of the header is {expected:?}: rows and columns must have the same names in the same order",
        path.display()
    )]
    RowName {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The row of the matrix.
        row: usize,
        /// The name before the row, cut like the cell.
        got: String,
        /// The name in the header, cut as well.
        expected: String,
    },
    /// The numbers or names are not a game.
    #[error("{}{place}: {source}", path.display())]
    Game {
        /// The file.
        path: PathBuf,
        /// The line of the entry, as `, line 3`; nothing if no line is to blame.
        place: String,
        /// What is wrong.
        source: GameError,
    },
}

impl MatrixGame {
    /// Reads a game file, JSON or CSV by its extension; without one of these extensions a text
    /// that begins with `{` is JSON. The text is UTF-8.
    ///
    /// JSON: `{"names": [..], "preferences": [[p_ij]], "reference": [..]}`, where p_ij is
    /// P(i beats j) and `names` and `reference` may be absent or null. Any other key is an error, and
    /// so is a text that is not an object.
    ///
    /// CSV: the matrix, one row a line, comma-separated, in one of three forms. Spaces around a
    /// cell are not part of it, and empty lines are passed over.
    ///
    /// ```text
    /// 0.5,0.7        alpha,beta        ,alpha,beta
    /// 0.3,0.5        0.5,0.7           alpha,0.5,0.7
    ///                0.3,0.5           beta,0.3,0.5
    /// ```
    ///
    /// A first line that is not all numbers is a header of names, unless the numbers in it and the
    /// count of rows show that it is a row with a cell gone wrong. In the third form the header has
    /// a corner cell, empty or any word, and each row begins with its name, which must be that of
    /// the header. It is told from the second by the line after the header: that one begins with
    /// 1/2, or here with what is not a number or with the header's second cell.
    ///
    /// In both formats names are neither empty nor spaces alone, and differ.
    ///
    /// # Errors
    /// A [`ReadError`] whose message names the file and the place.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let path = path.as_ref();
        let file_error = |source| ReadError::File {
            path: path.to_owned(),
            source,
        };
        let file = open_stream(path).map_err(file_error)?;
        let mut file = BufReader::with_capacity(BUFFER, file);
        let start = start(&mut file).map_err(file_error)?;
        let extension = path
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or_default();
        let is_json = match extension.to_ascii_lowercase().as_str() {
            "json" => true,
            "csv" => false,
            _ => start.last() == Some(&b'{'),
        };
        let text = start.chain(file);
        if is_json {
            json::read(text, path)
        } else {
            table::read(text, path)
        }
    }

    /// Reads the JSON format of [`read`](Self::read) from a text; `path` is for messages only.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_json(text: &str, path: &Path) -> Result<Self, ReadError> {
        json::read(text.as_bytes(), path)
    }

    /// Reads the CSV formats of [`read`](Self::read) from a text; `path` is for messages only.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_csv(text: &str, path: &Path) -> Result<Self, ReadError> {
        table::read(text.as_bytes(), path)
    }
}

/// Opens a file, or a pipe, to be read once: a directory or a device is refused.
pub(crate) fn open_stream(path: &Path) -> io::Result<File> {
    let kind = std::fs::metadata(path)?.file_type();
    #[cfg(unix)]
    let is_pipe = std::os::unix::fs::FileTypeExt::is_fifo(&kind);
    #[cfg(not(unix))]
    let is_pipe = false;
    if kind.is_file() || is_pipe {
        return File::open(path);
    }
    let what = if kind.is_dir() {
        "a directory"
    } else {
        "a device"
    };
    let reason = format!("it is {what}, and not a file");
    Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
}

/// Takes the bytes up to the first one that is not white space, and that one, off `text`. A byte
/// order mark is not among them.
fn start(text: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    for byte in text.by_ref().bytes() {
        start.push(byte?);
        if start == BYTE_ORDER_MARK {
            start.clear();
        } else if !start.last().is_some_and(u8::is_ascii_whitespace)
            && !BYTE_ORDER_MARK.starts_with(&start)
        {
            break;
        }
    }
    Ok(start)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The message of a refusal contains `want`.
    #[track_caller]
    pub(in crate::read) fn says(result: Result<MatrixGame, ReadError>, want: &str) {
        let got = result.unwrap_err().to_string();
        assert!(got.contains(want), "{got:?} does not contain {want:?}");
    }

    #[test]
    fn the_format_comes_from_the_extension_or_the_text() {
        let folder = tempfile::tempdir().unwrap();
        let game = crate::games::cyclic_three();
        let matrix = "0.5,0.1,0.8\n0.9,0.5,0.1\n0.2,0.9,0.5\n";
        for (name, text) in [
            ("g.json", game.to_json()),
            ("g.JSON", format!("\u{feff}{}", game.to_json())),
            ("g.txt", game.to_json()),
            ("g.csv", matrix.into()),
            ("g", matrix.into()),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            assert_eq!(
                MatrixGame::read(&path).unwrap().row(2),
                game.row(2),
                "{name}"
            );
        }
        let missing = folder.path().join("none.json");
        let message = MatrixGame::read(&missing).unwrap_err().to_string();
        assert!(
            message.contains("none.json: cannot read the game file"),
            "{message}"
        );
    }

    #[test]
    fn bytes_that_are_no_text_and_files_that_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            MatrixGame::read(path)
        };
        says(
            read("latin1.csv", b"0.5,0.7\nna\xefve,0.5\n"),
            "latin1.csv, line 2: cell 1 is not UTF-8",
        );
        says(
            read(
                "latin1.json",
                b"{\"names\": [\"na\xefve\"],\n \"preferences\": [[0.5]]}",
            ),
            "latin1.json, line 1",
        );
        says(read("no.json", b""), "no.json, line 1, column 0: EOF");
        says(read("no.csv", b" \n\n"), "no.csv: preferences is empty");
        says(read("no", b""), "no: preferences is empty");
        says(
            read("huge.json", b"{\"preferences\": [[1e999]]}"),
            "huge.json, line 1, column 24: preferences[0][0]: number out of range",
        );
        fs::create_dir(folder.path().join("folder.csv")).unwrap();
        says(
            MatrixGame::read(folder.path().join("folder.csv")),
            "folder.csv: cannot read the game file",
        );
    }

    #[test]
    fn a_byte_order_mark_and_lines_before_the_text_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("g");
        for text in [
            "\u{feff}a,b\n0.5,0.7\n0.3,0.5\n",
            "\u{feff}\n\r\n {\"names\": [\"a\", \"b\"], \"preferences\": [[0.5, 0.7], [0.3, 0.5]]}",
        ] {
            fs::write(&path, text).unwrap();
            let game = MatrixGame::read(&path).unwrap();
            assert_eq!(game.names().unwrap(), ["a", "b"]);
        }
        // They still count as lines.
        fs::write(&path, "\n\n{\"preferences\": [[0.5]], \"tau\": 1}").unwrap();
        says(MatrixGame::read(&path), "line 3, column");
    }
}
