//! Games as files, in the formats that [`MatrixGame::read`] reads.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};

use serde::{Serialize, Serializer};

use crate::{MatrixGame, PreferenceGame};

/// The JSON game file.
#[derive(Serialize)]
struct GameFile<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<&'a [String]>,
    preferences: Rows<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a [f64]>,
}

/// The matrix, row by row, none of which is ever held.
struct Rows<'a>(&'a MatrixGame);

struct Row<'a>(&'a MatrixGame, usize);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((0..self.0.num_actions()).map(|action| Row(self.0, action)))
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.row_entries(self.1))
    }
}

impl<'a> GameFile<'a> {
    fn new(game: &'a MatrixGame) -> Self {
        Self {
            names: game.names(),
            preferences: Rows(game),
            reference: game.given_reference().map(|reference| &reference[..]),
        }
    }
}

impl MatrixGame {
    /// The game as a JSON game file. Read again, it is the same to the bit.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&GameFile::new(self)).expect("numbers and strings")
    }

    /// Writes what [`to_json`](Self::to_json) returns, without a copy of the game in memory.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write_json(&self, out: impl Write) -> io::Result<()> {
        let mut out = BufWriter::new(out);
        serde_json::to_writer(&mut out, &GameFile::new(self))?;
        out.flush()
    }

    /// The game as a CSV, with a header row if the actions have names. Read again, it is the same
    /// to the bit, but for the reference and for spaces around names, which a CSV does not hold.
    ///
    /// Names that could be taken for a row of numbers, or for the corner of a table, come with a
    /// column of row names.
    ///
    /// ```
    /// use inpo_game::MatrixGame;
    ///
    /// let game = MatrixGame::from_fn(2, |_, _| 0.7)?.with_names(vec!["a".into(), "b".into()])?;
    /// assert_eq!(game.to_csv(), "a,b\n0.5,0.7\n0.30000000000000004,0.5\n");
    /// # Ok::<(), inpo_game::GameError>(())
    /// ```
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut text = Vec::new();
        self.write_csv(&mut text)
            .expect("a vector takes everything");
        String::from_utf8(text).expect("numbers and strings")
    }

    /// Writes what [`to_csv`](Self::to_csv) returns, without a copy of the game in memory.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write_csv(&self, out: impl Write) -> io::Result<()> {
        let mut out = csv::Writer::from_writer(out);
        let row_names = self.names().filter(|names| needs_row_names(names));
        if let Some(names) = self.names() {
            let corner = row_names.map(|_| "");
            out.write_record(corner.into_iter().chain(names.iter().map(String::as_str)))?;
        }
        let mut cell = String::new();
        for action in 0..self.num_actions() {
            if let Some(names) = row_names {
                out.write_field(&names[action])?;
            }
            for value in self.row_entries(action) {
                cell.clear();
                // Unlike `{}`, the shortest form that has an exponent where one is due.
                let _ = write!(cell, "{value:?}");
                out.write_field(&cell)?;
            }
            out.write_record(None::<&[u8]>)?;
        }
        out.flush()
    }
}

/// Whether a header row of these names alone would be read as something else.
fn needs_row_names(names: &[String]) -> bool {
    let first = names.first().map_or("", |name| name.trim());
    // An empty one looks like a corner, and a byte order mark is not part of a text.
    first.is_empty()
        || first.starts_with('\u{feff}')
        || names.iter().all(|name| name.trim().parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: [&str; 2]) -> String {
        let game = MatrixGame::from_fn(2, |_, _| 0.25).unwrap();
        let names = names.map(str::to_owned).to_vec();
        game.with_names(names).unwrap().to_csv()
    }

    #[test]
    fn a_csv_has_row_names_only_where_a_header_would_be_misread() {
        let game = MatrixGame::from_fn(2, |_, _| 1e-9).unwrap();
        assert_eq!(game.to_csv(), "0.5,1e-9\n0.999999999,0.5\n");
        assert_eq!(named(["a", "b, c"]), "a,\"b, c\"\n0.5,0.25\n0.75,0.5\n");
        assert_eq!(named(["1", "b"]), "1,b\n0.5,0.25\n0.75,0.5\n");
        assert_eq!(named(["1", "2"]), ",1,2\n1,0.5,0.25\n2,0.75,0.5\n");
        assert_eq!(named(["", "b"]), ",,b\n,0.5,0.25\nb,0.75,0.5\n");
    }

    #[test]
    fn json_has_names_and_reference_where_they_were_given() {
        let game = MatrixGame::from_fn(2, |_, _| 0.25).unwrap();
        let matrix = r#""preferences":[[0.5,0.25],[0.75,0.5]]"#;
        assert_eq!(game.to_json(), format!("{{{matrix}}}"));
        let game = game
            .with_names(vec!["a".into(), "b".into()])
            .and_then(|game| game.with_reference(crate::Strategy::uniform(2)))
            .unwrap();
        let want = format!(r#"{{"names":["a","b"],{matrix},"reference":[0.5,0.5]}}"#);
        assert_eq!(game.to_json(), want);
    }

    #[test]
    fn a_writer_that_fails_is_an_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is full"))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let game = crate::games::cyclic_three();
        for error in [game.write_json(Full), game.write_csv(Full)] {
            assert!(error.unwrap_err().to_string().contains("disk is full"));
        }
    }
}
