//! Rows of JSONL data files.

use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{DataError, Prompt, PromptInput};

/// One row: `prompt` or `prompt_token_ids`, perhaps with `response` or `response_token_ids`. Other
/// columns are kept and handed back.
#[derive(Debug, Clone)]
pub struct Row {
    /// Line in the file, from 1.
    pub line: usize,
    /// The row as it stands.
    pub columns: Map<String, Value>,
    /// The prompt's text, unless only ids are given.
    pub prompt: Option<PromptInput>,
    /// The prompt's ids, when given; they win over the text.
    pub prompt_token_ids: Option<Vec<u32>>,
    /// The response's text.
    pub response: Option<String>,
    /// The response's ids, when given; they win over the text.
    pub response_token_ids: Option<Vec<u32>>,
}

impl Row {
    /// The prompt, numbered `number`, with the row's other columns as its metadata.
    #[must_use]
    pub fn to_prompt(&self, number: u64) -> Prompt {
        let prompt = self.prompt.as_ref().map(PromptInput::messages);
        let mut metadata = self.columns.clone();
        for own in ["prompt", "prompt_token_ids"] {
            metadata.shift_remove(own);
        }
        Prompt {
            number,
            messages: prompt.unwrap_or_default(),
            token_ids: self.prompt_token_ids.clone(),
            metadata,
        }
    }

    /// An error about this row; `path` names the file.
    #[must_use]
    pub fn error(&self, path: &Path, reason: String) -> DataError {
        DataError::row(path, self.line)(reason)
    }
}

/// Reads the rows of `path`; blank lines are skipped.
///
/// # Errors
///
/// A file that cannot be read or holds no rows; a row that is not a JSON object, has no prompt, an
/// empty prompt or a column of the wrong type, with file and line.
pub fn read_rows(path: &Path) -> Result<Vec<Row>, DataError> {
    let rows: Vec<Row> = read_lines(path, parse)?;
    if rows.is_empty() {
        return Err(DataError::NoRows(path.to_owned()));
    }
    Ok(rows)
}

fn parse(line: usize, columns: Map<String, Value>) -> Result<Row, String> {
    let prompt: Option<PromptInput> = column(&columns, "prompt", "text or a list of messages")?;
    let prompt_token_ids: Option<Vec<u32>> = column(&columns, "prompt_token_ids", "a list of ids")?;
    match (&prompt, &prompt_token_ids) {
        (None, None) => return Err("there is neither `prompt` nor `prompt_token_ids`".to_owned()),
        (_, Some(ids)) if ids.is_empty() => return Err("`prompt_token_ids` is empty".to_owned()),
        (Some(text), None) if text.is_blank() => return Err("`prompt` is empty".to_owned()),
        _ => {}
    }
    Ok(Row {
        line,
        prompt,
        prompt_token_ids,
        response: column(&columns, "response", "text")?,
        response_token_ids: column(&columns, "response_token_ids", "a list of ids")?,
        columns,
    })
}

/// A column of a row, when it is there and not null; `what` says in an error what it should be.
///
/// # Errors
///
/// A value of another type, in words.
pub fn column<T: DeserializeOwned>(
    columns: &Map<String, Value>,
    key: &str,
    what: &str,
) -> Result<Option<T>, String> {
    match columns.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value.clone())
            .map(Some)
            .map_err(|_| format!("`{key}` is not {what}")),
    }
}

/// Reads rows of a known type.
///
/// # Errors
///
/// A file that cannot be read; a row that does not fit, with its line.
pub fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, DataError> {
    read_lines(path, |_, columns| {
        serde_json::from_value(Value::Object(columns)).map_err(|e| e.to_string())
    })
}

/// Reads JSON objects line by line; blank lines are skipped. `parse` gets the line number, from 1, and says in
/// words what is wrong with a row.
///
/// # Errors
///
/// A file that cannot be read; a line that is not a JSON object, or that `parse` refuses, with its number.
pub fn read_lines<T>(
    path: &Path,
    mut parse: impl FnMut(usize, Map<String, Value>) -> Result<T, String>,
) -> Result<Vec<T>, DataError> {
    let file = std::fs::File::open(path).map_err(DataError::read(path))?;
    let mut rows = Vec::new();
    for (text, line) in BufReader::new(file).lines().zip(1..) {
        let fail = |reason: String| DataError::row(path, line)(reason);
        let text = text.map_err(|e| fail(e.to_string()))?;
        let text = text.trim_start_matches('\u{feff}');
        if text.trim().is_empty() {
            continue;
        }
        let value: Value =
            serde_json::from_str(text).map_err(|e| fail(format!("not JSON: {e}")))?;
        let Value::Object(columns) = value else {
            return Err(fail("not a JSON object".to_owned()));
        };
        rows.push(parse(line, columns).map_err(fail)?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte-order mark, as some editors write it, is not part of the first row.
    #[test]
    fn a_byte_order_mark_is_no_row() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        std::fs::write(&path, "\u{feff}{\"a\": 1}\n{\"a\": 2}\n").unwrap();
        let rows: Vec<Value> = read_jsonl(&path).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0]["a"], 1);
    }

    #[test]
    fn a_prompt_keeps_the_other_columns_of_its_row() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        let row = r#"{"key": 3, "prompt": "Name a fruit.", "instruction_id_list": ["a:b"]}"#;
        std::fs::write(&path, row).unwrap();
        let prompt = read_rows(&path).unwrap()[0].to_prompt(7);
        assert_eq!(
            (prompt.number, prompt.instruction()),
            (7, Some("Name a fruit."))
        );
        let metadata = serde_json::json!({"key": 3, "instruction_id_list": ["a:b"]});
        assert_eq!(Value::Object(prompt.metadata), metadata);
    }
}
