//! The CSV game file.

use std::io;
use std::path::Path;

use csv::StringRecord;

use super::ReadError;
use super::text::{named, shortened};
use crate::csv_rows::{Rows, RowsError};
use crate::matrix::TriangleBuilder;
use crate::{COMPLEMENT_TOLERANCE, MatrixGame};

/// Reads a whole text as a game file.
pub(super) fn read(text: impl io::Read, path: &Path) -> Result<MatrixGame, ReadError> {
    let mut rows = Rows::new(text);
    let mut table = Table {
        path,
        header: None,
        rows: TriangleBuilder::default(),
        lines: Vec::new(),
        problem: None,
    };
    let mut row = Vec::new();
    let failed = |error| {
        let path = path.to_owned();
        match error {
            RowsError::Io(source) => ReadError::File { path, source },
            RowsError::Quotes { line, reason } => ReadError::Csv {
                path,
                line,
                reason: reason.to_owned(),
            },
        }
    };
    while let Some(line) = rows.next().map_err(failed)? {
        let mut record = StringRecord::from_byte_record(rows.record.clone()).map_err(|error| {
            ReadError::Csv {
                path: path.to_owned(),
                line,
                reason: format!("cell {} is not UTF-8", error.utf8_error().field() + 1),
            }
        })?;
        record.trim();
        table.push(&record, line, &mut row);
    }
    table.finish()
}

/// What has been read so far. Whether the first line is a header is known only when the rows have
/// been counted, so a problem waits for the end of the file.
struct Table<'a> {
    path: &'a Path,
    header: Option<Header>,
    rows: TriangleBuilder,
    /// The line of each row.
    lines: Vec<u64>,
    /// The first cell or name that is wrong.
    problem: Option<ReadError>,
}

/// A first line that is not all numbers.
struct Header {
    line: u64,
    cells: Vec<String>,
    /// Rows begin with their name, so the first cell is a corner.
    row_names: bool,
}

fn is_number(cell: &str) -> bool {
    cell.parse::<f64>().is_ok()
}

impl Header {
    fn names(&self) -> &[String] {
        &self.cells[usize::from(self.row_names)..]
    }

    /// Whether rows begin with their name, by the first cell of the first of them.
    fn is_name(&self, cell: &str) -> bool {
        match (self.cells.first(), cell.parse::<f64>()) {
            (Some(corner), _) if is_number(corner) => false,
            (Some(_), Err(_)) => true,
            // A number, which is the name above the first column or the first entry, 1/2.
            (Some(corner), Ok(value)) => {
                let named = self.cells.get(1).is_some_and(|name| name == cell);
                named && (corner.is_empty() || (value - 0.5).abs() > COMPLEMENT_TOLERANCE)
            }
            (None, _) => false,
        }
    }
}

impl Table<'_> {
    fn push(&mut self, record: &StringRecord, line: u64, row: &mut Vec<f64>) {
        if self.header.is_none() && self.lines.is_empty() && !record.iter().all(is_number) {
            self.header = Some(Header {
                line,
                cells: record.iter().map(str::to_owned).collect(),
                row_names: false,
            });
            return;
        }
        if self.lines.is_empty()
            && let (Some(header), Some(first)) = (&mut self.header, record.get(0))
        {
            header.row_names = header.is_name(first);
        }
        self.lines.push(line);
        if self.problem.is_none() && !self.rows.has_problem() {
            match self.numbers(record, line, row) {
                Ok(()) => return self.rows.push_row(row),
                Err(problem) => self.problem = Some(problem),
            }
        }
        self.rows.skip_row();
    }

    /// The numbers of the newest row, into `row`.
    fn numbers(
        &self,
        record: &StringRecord,
        line: u64,
        row: &mut Vec<f64>,
    ) -> Result<(), ReadError> {
        let index = self.lines.len() - 1;
        let mut cells = record.iter();
        if let Some(header) = self.header.as_ref().filter(|header| header.row_names) {
            let got = cells.next().unwrap_or_default();
            match header.names().get(index) {
                Some(expected) if expected != got => {
                    return Err(ReadError::RowName {
                        path: self.path.to_owned(),
                        line,
                        row: index,
                        got: shortened(got),
                        expected: shortened(expected),
                    });
                }
                _ => {}
            }
        }
        row.clear();
        for (column, cell) in cells.enumerate() {
            match cell.parse() {
                Ok(value) => row.push(value),
                Err(_) => return Err(self.cell(line, index, column, cell)),
            }
        }
        Ok(())
    }

    fn cell(&self, line: u64, row: usize, column: usize, text: &str) -> ReadError {
        ReadError::Cell {
            path: self.path.to_owned(),
            line,
            row,
            column,
            text: shortened(text),
        }
    }

    fn finish(mut self) -> Result<MatrixGame, ReadError> {
        if let Some(problem) = self.not_a_header().or(self.problem.take()) {
            return Err(problem);
        }
        let game_error = |source: crate::GameError| ReadError::Game {
            path: self.path.to_owned(),
            place: match source.row().and_then(|row| self.lines.get(row)) {
                Some(line) => format!(", line {line}"),
                None => String::new(),
            },
            source,
        };
        let game = MatrixGame::from_rows(self.rows).map_err(game_error)?;
        let Some(header) = self.header else {
            return Ok(game);
        };
        let names = header.names().to_vec();
        named(game, names).map_err(|source| ReadError::Game {
            path: self.path.to_owned(),
            place: format!(", line {}", header.line),
            source,
        })
    }

    /// The cell that was wrong where the count of rows says that it was no name.
    fn not_a_header(&self) -> Option<ReadError> {
        let header = self.header.as_ref()?;
        let as_many = self.lines.len() == header.cells.len();
        match &self.problem {
            // As many rows as cells above them: a first row with a bad first cell.
            Some(ReadError::RowName {
                line, row: 0, got, ..
            }) if as_many => Some(self.cell(*line, 0, 0, got)),
            // Numbers in the first line, and not one row for each cell below it: a row itself.
            _ if !header.row_names && !as_many && header.cells.iter().any(|c| is_number(c)) => {
                let mut cells = header.cells.iter().enumerate();
                let (column, cell) = cells.find(|(_, cell)| !is_number(cell))?;
                Some(self.cell(header.line, 0, column, cell))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::says;
    use super::*;

    fn csv(text: &str) -> Result<MatrixGame, ReadError> {
        MatrixGame::from_csv(text, Path::new("g.csv"))
    }

    #[test]
    fn lines_are_counted_over_blank_lines_and_carriage_returns() {
        let want = "g.csv, line 5: preferences[1][1] is \"x\"";
        says(csv("a,b\r\n\r\n0.5,0.7\r\n\r\n0.3,x\r\n"), want);
        says(csv("a,b\n\n0.5,0.7\n\n0.3,x"), want);
        let read = csv("a,b\r\n0.5,0.7\r\n0.3,0.5\r\n").unwrap();
        assert_eq!(read.index_of("b"), Some(1));
    }

    #[test]
    fn csv_without_and_with_names() {
        let plain = csv("0.5, 0.7\n0.3, 0.5\n").unwrap();
        assert_eq!((plain.names(), plain.row(0)), (None, vec![0.5, 0.7]));
        let named = csv("a,\"b, c\"\n0.5,0.7\n0.3,0.5").unwrap();
        assert_eq!(named.index_of("b, c"), Some(1));
        assert_eq!(named.row(1), [0.3, 0.5]);
    }

    #[test]
    fn bad_csv_names_file_and_line() {
        says(csv(""), "g.csv: preferences is empty");
        says(
            csv("0.5,0.7\n0.3\n"),
            "g.csv, line 2: preferences[1] has 1 entries",
        );
        says(
            csv("0.5,x\n0.3,0.5\n"),
            "g.csv, line 1: preferences[0][1] is \"x\"",
        );
        says(
            csv("a,b\n0.5,0.7\n0.3,?\n"),
            "g.csv, line 3: preferences[1][1] is \"?\"",
        );
        says(
            csv("0.5,nan\n0.3,0.5\n"),
            "g.csv, line 1: preferences[0][1] is NaN",
        );
        says(
            csv("\n\na,a\n0.5,0.7\n0.3,0.5\n"),
            "g.csv, line 3: names[1] repeats names[0]",
        );
        says(
            csv("a,b\n0.5,0.7\n\n0.4,0.5\n"),
            "g.csv, line 2: preferences[0][1] = 0.7",
        );
        says(
            csv("0.5,inf\n0.3,0.5\n"),
            "g.csv, line 1: preferences[0][1] is inf, which is above 1",
        );
        says(
            csv("0.5,0.7\n-inf,0.5\n"),
            "g.csv, line 2: preferences[1][0] is -inf, which is negative",
        );
        says(
            csv("0.5,0.7\n0.3,0.6\n"),
            "g.csv, line 2: preferences[1][1] is 0.6",
        );
        says(
            csv("0.5,0.7,0.1\n0.3,0.5\n0.9,x,0.5\n"),
            "g.csv, line 2: preferences[1] has 2 entries, but there are 3 rows",
        );
    }

    #[test]
    fn empty_names_and_long_cells() {
        says(
            csv("a,\"\"\n0.5,0.7\n0.3,0.5\n"),
            "g.csv, line 1: names[1] is empty: give each action a name",
        );
        says(
            csv("\n,a, \na,0.5,0.7\n,0.3,0.5\n"),
            "g.csv, line 2: names[1] is empty",
        );
        let long = "x".repeat(10_000);
        let shown = format!("\"{}..\"", "x".repeat(40));
        says(
            csv(&format!("0.5,{long}\n0.5,0.5\n")),
            &format!("preferences[0][1] is {shown}, which"),
        );
        says(
            csv(&format!(",a,{long}\n{long},0.5,0.7\na,0.3,0.5\n")),
            &format!("named {shown}, but name 0"),
        );
    }

    #[test]
    fn broken_quotes_are_no_game() {
        says(
            csv("0.5,0.6\n0.4,\"0.5"),
            "g.csv, line 2: the quote that opens a cell is never closed",
        );
        says(
            csv("0.5,0.6\n\"0.4\"0,0.5\n"),
            "g.csv, line 2: text follows the quote that closes a cell",
        );
        let quoted = csv("\"a, \"\"b\"\"\",\"c\nd\"\n\"0.5\",\"0.6\"\n\"0.4\" ,0.5\n").unwrap();
        assert_eq!(quoted.names().unwrap(), ["a, \"b\"", "c\nd"]);
        assert_eq!(quoted.row(0), [0.5, 0.6]);
    }

    #[test]
    fn csv_with_a_corner_and_names_of_rows() {
        for text in [
            ",a,b\na,0.5,0.7\nb,0.3,0.5\n",
            "model, a, b\n a,0.5,0.7\n b,0.3,0.5\n",
        ] {
            let game = csv(text).unwrap();
            assert_eq!(game.names().unwrap(), ["a", "b"]);
            assert_eq!(game.row(0), [0.5, 0.7]);
        }
        // Names that are numbers, with an empty corner and with a word there.
        for corner in ["", "id"] {
            let game = csv(&format!("{corner},2,1\n2,0.5,0.7\n1,0.3,0.5\n")).unwrap();
            assert_eq!(game.names().unwrap(), ["2", "1"]);
        }
        // Names of columns that look like a corner and like a first entry.
        let game = csv("x,0.5\n0.5,0.7\n0.3,0.5\n").unwrap();
        assert_eq!(game.names().unwrap(), ["x", "0.5"]);
        assert_eq!(csv("x,a\na,0.5").unwrap().names().unwrap(), ["a"]);
    }

    #[test]
    fn bad_csv_with_names_of_rows_names_line_and_both_names() {
        says(
            csv(",a,b\na,0.5,0.7\nc,0.3,0.5\n"),
            "g.csv, line 3: the row is named \"c\", but name 1 of the header is \"b\"",
        );
        says(
            csv(",a,b\nb,0.5,0.7\na,0.3,0.5\n"),
            "g.csv, line 2: the row is named \"b\", but name 0 of the header is \"a\"",
        );
        says(
            csv(",a,b\na,0.5,0.7\nb,0.4,0.5\n"),
            "g.csv, line 2: preferences[0][1] = 0.7",
        );
        says(
            csv(",a,b\na,0.5,0.7\nb,0.3\n"),
            "g.csv, line 3: preferences[1] has 1 entries",
        );
        says(
            csv(",a,b\na,0.5,0.7\nb,0.3,no\n"),
            "g.csv, line 3: preferences[1][1] is \"no\"",
        );
        says(
            csv(",a,b\na,0.5,0.7\n"),
            "g.csv, line 2: preferences[0] has 2 entries, but there are 1 rows",
        );
        says(
            csv(",a,b,c\na,0.5,0.7\nb,0.3,0.5\n"),
            "g.csv, line 1: names has 3 entries, but there are 2 actions",
        );
        says(
            csv(",a,a\na,0.5,0.7\na,0.3,0.5\n"),
            "g.csv, line 1: names[1] repeats names[0]",
        );
    }

    #[test]
    fn a_first_line_is_a_header_or_a_bad_row() {
        // A cell of the first row after a header, not the name of a row: two names, two rows.
        says(
            csv("a,b\n-,0.7\n0.3,0.5\n"),
            "g.csv, line 2: preferences[0][0] is \"-\"",
        );
        // Two numbers and three rows in all: the first line is one of them.
        says(
            csv("0.5,0.7,?\n0.3,0.5,x\n0.1,0.2,0.5\n"),
            "g.csv, line 1: preferences[0][2] is \"?\"",
        );
        // No number at all: names, and a row of theirs is missing.
        says(
            csv("a,b\n0.5,0.7\n"),
            "g.csv, line 2: preferences[0] has 2 entries, but there are 1 rows",
        );
        says(csv("a,b\n"), "g.csv: preferences is empty");
    }
}
