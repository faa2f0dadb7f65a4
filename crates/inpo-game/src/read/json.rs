//! The JSON game file.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::ReadError;
use super::text::{SHOWN_REASON, cut, named, without_place};
use crate::matrix::TriangleBuilder;
use crate::{GameError, MatrixGame, PreferenceGame, Strategy};

/// The keys of a game file. Others are errors.
#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Names,
    Preferences,
    Reference,
}

/// What stands in a file, and on which lines. What is wrong with the numbers is told after what is
/// wrong with the JSON.
struct GameFile {
    /// Each with the line of its key.
    names: Option<(usize, Names)>,
    preferences: (usize, Rows),
    reference: Option<(usize, Vec<f64>)>,
}

/// Names, and the line of each.
#[derive(Default)]
struct Names {
    names: Vec<String>,
    lines: Vec<usize>,
}

/// The matrix, and the line that each row begins on.
#[derive(Default)]
struct Rows {
    rows: TriangleBuilder,
    lines: Vec<usize>,
}

/// Counts lines as the parser asks for bytes. It never asks for more than the one that it looks at.
struct LineCounter<'a, R> {
    reader: R,
    line: &'a Cell<usize>,
}

impl<R: io::Read> io::Read for LineCounter<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let feeds = buffer[..read].iter().filter(|&&byte| byte == b'\n');
        self.line.set(self.line.get() + feeds.count());
        Ok(read)
    }
}

/// Reads the whole file: an object, never the array of its values. Holds the line of the parser.
struct GameVisitor<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for GameVisitor<'_> {
    type Value = GameFile;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<GameFile, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for GameVisitor<'_> {
    type Value = GameFile;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("an object: a game file is an object with the key `preferences`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<GameFile, A::Error> {
        let (mut names, mut preferences, mut reference) = (None, None, None);
        while let Some(key) = map.next_key()? {
            let line = self.0.get();
            match key {
                Key::Names if names.is_some() => return Err(A::Error::duplicate_field("names")),
                Key::Names => names = Some((line, map.next_value_seed(NamesVisitor(self.0))?)),
                Key::Preferences if preferences.is_some() => {
                    return Err(A::Error::duplicate_field("preferences"));
                }
                Key::Preferences => {
                    preferences = Some((line, map.next_value_seed(RowsVisitor(self.0))?));
                }
                Key::Reference if reference.is_some() => {
                    return Err(A::Error::duplicate_field("reference"));
                }
                Key::Reference => reference = Some((line, map.next_value::<Option<Vec<f64>>>()?)),
            }
        }
        Ok(GameFile {
            // A null is as good as no key.
            names: names.and_then(|(line, names)| Some((line, names?))),
            preferences: preferences.ok_or_else(|| A::Error::missing_field("preferences"))?,
            reference: reference.and_then(|(line, reference)| Some((line, reference?))),
        })
    }
}

struct NamesVisitor<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for NamesVisitor<'_> {
    type Value = Option<Names>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for NamesVisitor<'_> {
    type Value = Option<Names>;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("a sequence of names")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut names = Names::default();
        while let Some(name) = list.next_element()? {
            names.names.push(name);
            names.lines.push(self.0.get());
        }
        Ok(Some(names))
    }
}

struct RowsVisitor<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for RowsVisitor<'_> {
    type Value = Rows;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Rows, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowsVisitor<'_> {
    type Value = Rows;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("a sequence of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Rows, A::Error> {
        let mut rows = Rows::default();
        let mut values = Vec::new();
        while let Some(line) = list.next_element_seed(Row {
            values: &mut values,
            line: self.0,
        })? {
            rows.rows.push_row(&values);
            rows.lines.push(line);
        }
        Ok(rows)
    }
}

/// One row, into the memory of the row before. Its value is the line that it begins on.
struct Row<'a> {
    values: &'a mut Vec<f64>,
    line: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = usize;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("a row of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<usize, A::Error> {
        let line = self.line.get();
        self.values.clear();
        while let Some(value) = row.next_element()? {
            self.values.push(value);
        }
        Ok(line)
    }
}

/// Reads a whole text as a game file.
pub(super) fn read(text: impl io::Read, path: &Path) -> Result<MatrixGame, ReadError> {
    let line = Cell::new(1);
    let mut text = serde_json::Deserializer::from_reader(LineCounter {
        reader: text,
        line: &line,
    });
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut text, &mut track);
    let file = GameVisitor(&line).deserialize(tracked).map_err(|error| {
        let field = match track.path().to_string().as_str() {
            "." => String::new(),
            field => format!("{}: ", cut(field, SHOWN_REASON)),
        };
        read_error(error, field, path)
    })?;
    text.end()
        .map_err(|error| read_error(error, String::new(), path))?;
    build(file).map_err(|(line, source)| ReadError::Game {
        path: path.to_owned(),
        place: format!(", line {line}"),
        source,
    })
}

fn read_error(error: serde_json::Error, field: String, path: &Path) -> ReadError {
    let path = path.to_owned();
    if error.is_io() {
        let source = io::Error::from(error);
        return ReadError::File { path, source };
    }
    ReadError::Json {
        path,
        line: error.line(),
        column: error.column(),
        field,
        reason: without_place(&error),
    }
}

/// The game of a file; an error comes with its line.
fn build(file: GameFile) -> Result<MatrixGame, (usize, GameError)> {
    let (line, Rows { rows, lines }) = file.preferences;
    let mut game = MatrixGame::from_rows(rows).map_err(|error| {
        let row = error.row().and_then(|row| lines.get(row));
        (*row.unwrap_or(&line), error)
    })?;
    if let Some((line, Names { names, lines })) = file.names {
        game = named(game, names).map_err(|error| {
            let name = error.name().and_then(|name| lines.get(name));
            (*name.unwrap_or(&line), error)
        })?;
    }
    if let Some((line, reference)) = file.reference {
        game = with_reference(game, reference).map_err(|error| (line, error))?;
    }
    Ok(game)
}

fn with_reference(game: MatrixGame, reference: Vec<f64>) -> Result<MatrixGame, GameError> {
    if reference.len() != game.num_actions() {
        return Err(GameError::ReferenceLength {
            got: reference.len(),
            expected: game.num_actions(),
        });
    }
    game.with_reference(Strategy::new(reference).map_err(GameError::Reference)?)
}

#[cfg(test)]
mod tests;
