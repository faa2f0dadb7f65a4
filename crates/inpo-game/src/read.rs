//! Game files: JSON, or CSV with or without a row of names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{GameError, MatrixGame, PreferenceGame, Strategy};

/// The JSON game file. Unknown keys are errors.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GameFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    names: Option<Vec<String>>,
    preferences: Vec<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<Vec<f64>>,
}

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
        /// The cell.
        text: String,
    },
    /// The numbers or names are not a game.
    #[error("{}{place}: {source}", path.display())]
    Game {
        /// The file.
        path: PathBuf,
        /// The line of the entry where the format has lines, as `, line 3`; else nothing.
        place: String,
        /// What is wrong.
        source: GameError,
    },
}

impl MatrixGame {
    /// Reads a game file, JSON or CSV by its extension; without one of these extensions a text
    /// that begins with `{` is JSON.
    ///
    /// JSON: `{"names": [..], "preferences": [[p_ij]], "reference": [..]}`, where p_ij is
    /// P(i beats j) and `names` and `reference` may be absent. Any other key is an error.
    ///
    /// CSV: the matrix, one row a line, comma-separated, without header; or with one header row
    /// that holds the names (a table with one row more than columns whose first row is not all
    /// numbers).
    ///
    /// # Errors
    /// A [`ReadError`] whose message names the file and the place.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|source| ReadError::File {
            path: path.to_owned(),
            source,
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let extension = path
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "json" => Self::from_json(text, path),
            "csv" => Self::from_csv(text, path),
            _ if text.trim_start().starts_with('{') => Self::from_json(text, path),
            _ => Self::from_csv(text, path),
        }
    }

    /// Reads the JSON format of [`read`](Self::read) from a text; `path` is for messages only.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_json(text: &str, path: &Path) -> Result<Self, ReadError> {
        let json_error = |error: &serde_json::Error, field: String| ReadError::Json {
            path: path.to_owned(),
            line: error.line(),
            column: error.column(),
            field,
            reason: without_place(error),
        };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let file: GameFile =
            serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
                let field = match error.path().to_string().as_str() {
                    "." => String::new(),
                    field => format!("{field}: "),
                };
                json_error(error.inner(), field)
            })?;
        deserializer
            .end()
            .map_err(|error| json_error(&error, String::new()))?;

        build(file).map_err(|source| ReadError::Game {
            path: path.to_owned(),
            place: String::new(),
            source,
        })
    }

    /// Reads the CSV formats of [`read`](Self::read) from a text; `path` is for messages only.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_csv(text: &str, path: &Path) -> Result<Self, ReadError> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let mut records = Vec::new();
        for record in reader.records() {
            records.push(record.map_err(|error| ReadError::Csv {
                path: path.to_owned(),
                line: error.position().map_or(0, csv::Position::line),
                reason: error.to_string(),
            })?);
        }
        let line = |record: &csv::StringRecord| record.position().map_or(0, csv::Position::line);
        let is_number = |cell: &str| cell.parse::<f64>().is_ok();
        let named = records
            .first()
            .is_some_and(|first| records.len() == first.len() + 1 && !first.iter().all(is_number));
        let (header, body) = records.split_at(usize::from(named));

        let mut preferences = Vec::with_capacity(body.len());
        for (row, record) in body.iter().enumerate() {
            let cell = |(column, text): (usize, &str)| {
                text.parse::<f64>().map_err(|_| ReadError::Cell {
                    path: path.to_owned(),
                    line: line(record),
                    row,
                    column,
                    text: text.to_owned(),
                })
            };
            preferences.push(
                record
                    .iter()
                    .enumerate()
                    .map(cell)
                    .collect::<Result<_, _>>()?,
            );
        }
        let names = header
            .first()
            .map(|names| names.iter().map(str::to_owned).collect());
        let file = GameFile {
            names,
            preferences,
            reference: None,
        };
        build(file).map_err(|source| ReadError::Game {
            path: path.to_owned(),
            place: match source.row().and_then(|row| body.get(row)) {
                Some(record) => format!(", line {}", line(record)),
                None => String::new(),
            },
            source,
        })
    }

    /// The game as a JSON game file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let file = GameFile {
            names: self.names().map(<[String]>::to_vec),
            preferences: (0..self.num_actions()).map(|y| self.row(y)).collect(),
            reference: self.given_reference().map(|reference| reference.to_vec()),
        };
        serde_json::to_string(&file).expect("numbers and strings")
    }
}

fn build(file: GameFile) -> Result<MatrixGame, GameError> {
    let mut game = MatrixGame::new(file.preferences)?;
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
    use super::*;

    fn json(text: &str) -> Result<MatrixGame, ReadError> {
        MatrixGame::from_json(text, Path::new("g.json"))
    }

    fn csv(text: &str) -> Result<MatrixGame, ReadError> {
        MatrixGame::from_csv(text, Path::new("g.csv"))
    }

    #[track_caller]
    fn says(result: Result<MatrixGame, ReadError>, want: &str) {
        let got = result.unwrap_err().to_string();
        assert!(got.contains(want), "{got:?} does not contain {want:?}");
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
        says(csv("a,a\n0.5,0.7\n0.3,0.5\n"), "names[1] repeats names[0]");
        says(
            csv("a,b\n0.5,0.7\n\n0.4,0.5\n"),
            "g.csv, line 2: preferences[0][1] = 0.7",
        );
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
}
