//! The JSON game file.

use std::fmt;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};

use super::ReadError;
use crate::matrix::TriangleBuilder;
use crate::{GameError, MatrixGame, PreferenceGame, Strategy};

/// Unknown keys are errors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GameFile {
    #[serde(default)]
    names: Option<Vec<String>>,
    preferences: Rows,
    #[serde(default)]
    reference: Option<Vec<f64>>,
}

/// The matrix. What is wrong with its numbers is told after what is wrong with the JSON.
struct Rows(TriangleBuilder);

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowsVisitor)
    }
}

struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = Rows;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("a sequence of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Rows, A::Error> {
        let mut builder = TriangleBuilder::default();
        let mut row = Vec::new();
        while rows.next_element_seed(Row(&mut row))?.is_some() {
            builder.push_row(&row);
        }
        Ok(Rows(builder))
    }
}

/// One row, into the memory of the row before.
struct Row<'a>(&'a mut Vec<f64>);

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("a row of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<(), A::Error> {
        self.0.clear();
        while let Some(value) = row.next_element()? {
            self.0.push(value);
        }
        Ok(())
    }
}

/// Reads a whole text as a game file.
pub(super) fn read<'de, R: serde_json::de::Read<'de>>(
    text: &mut serde_json::Deserializer<R>,
    path: &Path,
) -> Result<MatrixGame, ReadError> {
    let file: GameFile = serde_path_to_error::deserialize(&mut *text).map_err(|error| {
        let field = match error.path().to_string().as_str() {
            "." => String::new(),
            field => format!("{field}: "),
        };
        read_error(error.into_inner(), field, path)
    })?;
    text.end()
        .map_err(|error| read_error(error, String::new(), path))?;
    build(file).map_err(|source| ReadError::Game {
        path: path.to_owned(),
        place: String::new(),
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

fn build(file: GameFile) -> Result<MatrixGame, GameError> {
    let mut game = MatrixGame::from_rows(file.preferences.0)?;
    if let Some(names) = file.names {
        game = game.with_names(names)?;
    }
    if let Some(reference) = file.reference {
        if reference.len() != game.num_actions() {
            return Err(GameError::ReferenceLength {
                got: reference.len(),
                expected: game.num_actions(),
            });
        }
        game = game.with_reference(Strategy::new(reference).map_err(GameError::Reference)?)?;
    }
    Ok(game)
}

/// serde_json's message without its own "at line .. column ..", which ours gives first.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::says;
    use super::*;

    fn json(text: &str) -> Result<MatrixGame, ReadError> {
        MatrixGame::from_json(text, Path::new("g.json"))
    }

    #[test]
    fn json_round_trip() {
        let game = json(
            r#"{"names": ["a", "b"], "preferences": [[0.5, 0.7], [0.3, 0.5]], "reference": [0.25, 0.75]}"#,
        )
        .unwrap();
        assert_eq!(game.index_of("b"), Some(1));
        assert_eq!(game.reference().as_slice(), [0.25, 0.75]);
        assert_eq!(json(&game.to_json()).unwrap(), game);
    }

    #[test]
    fn names_and_reference_may_be_absent() {
        let game = json(r#"{"preferences": [[0.5, 0.7], [0.3, 0.5]]}"#).unwrap();
        assert_eq!(game.names(), None);
        assert_eq!(game.reference(), Strategy::uniform(2));
    }

    #[test]
    fn bad_json_names_file_line_and_entry() {
        says(json("{"), "g.json, line 1");
        says(
            json(r#"{"preferences": [[0.5]], "tau": 1}"#),
            "unknown field `tau`",
        );
        says(
            json("{}"),
            "g.json, line 1, column 2: missing field `preferences`",
        );
        says(
            json("{\"preferences\": [\n[0.5, null], [0.5, 0.5]]}"),
            "line 2",
        );
        says(
            json(r#"{"preferences": [[0.5, NaN], [0.5, 0.5]]}"#),
            "preferences[0][1]: expected value",
        );
        says(json(r#"{"preferences": [[0.5]]} x"#), "trailing characters");
        says(
            json(r#"{"preferences": [[0.5, 0.7], [0.4, 0.5]]}"#),
            "g.json: preferences[0][1] = 0.7 and preferences[1][0] = 0.4",
        );
        says(
            json(r#"{"preferences": [[0.5]], "reference": [0.9]}"#),
            "g.json: reference is not a strategy: the probabilities of a strategy add to 0.9",
        );
        says(
            json(r#"{"preferences": [[0.5]], "reference": []}"#),
            "g.json: reference has 0 entries",
        );
    }

    #[test]
    fn what_is_no_json_is_told_before_what_is_no_game() {
        says(
            json(r#"{"preferences": [[0.5, 0.7], [0.4, 0.5]], "names": 3}"#),
            "names: invalid type: integer `3`",
        );
        says(
            json(r#"{"preferences": [[0.5, 2], [0.4]]}"#),
            "g.json: preferences[0][1] is 2, which is above 1",
        );
        says(
            json(r#"{"preferences": [[0.5], [0.4]]}"#),
            "g.json: preferences[0] has 1 entries, but there are 2 rows",
        );
        says(
            json(r#"{"preferences": [0.5]}"#),
            "preferences[0]: invalid type: floating point `0.5`, expected a row of numbers",
        );
        says(
            json(r#"{"preferences": [], "preferences": []}"#),
            "duplicate field `preferences`",
        );
    }
}
