//! Rows of JSONL data files.

use std::path::Path;

use inpo_policy::{Message, Policy};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::TrainError;
use crate::files::read_lines;

/// A prompt as it stands in a file: text, messages or token ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PromptInput {
    /// One user message.
    Text(String),
    /// A conversation.
    Messages(Vec<Message>),
}

impl PromptInput {
    /// The conversation.
    pub fn messages(&self) -> Vec<Message> {
        match self {
            Self::Text(text) => vec![Message {
                role: "user".to_owned(),
                content: text.clone(),
            }],
            Self::Messages(messages) => messages.clone(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.trim().is_empty(),
            Self::Messages(messages) => messages.iter().all(|m| m.content.trim().is_empty()),
        }
    }
}

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

/// Reads the rows of `path`; blank lines are skipped.
///
/// # Errors
///
/// A file that cannot be read or holds no rows; a row that is not a JSON object, has no prompt, an
/// empty prompt or a column of the wrong type, with file and line.
pub fn read_rows(path: &Path) -> Result<Vec<Row>, TrainError> {
    let rows: Vec<Row> = read_lines(path, parse)?;
    if rows.is_empty() {
        return Err(TrainError::NoRows(path.to_owned()));
    }
    Ok(rows)
}

fn parse(line: usize, columns: Map<String, Value>) -> Result<Row, String> {
    let prompt: Option<PromptInput> = column(&columns, "prompt", "text or a list of messages")?;
    let prompt_token_ids: Option<Vec<u32>> = column(&columns, "prompt_token_ids", "a list of ids")?;
    match (&prompt, &prompt_token_ids) {
        (None, None) => return Err("there is neither `prompt` nor `prompt_token_ids`".to_owned()),
        (_, Some(ids)) if ids.is_empty() => return Err("`prompt_token_ids` is empty".to_owned()),
        (Some(text), None) if text.is_empty() => return Err("`prompt` is empty".to_owned()),
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

/// A column of a row, when it is there and not null.
pub(crate) fn column<T: serde::de::DeserializeOwned>(
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

impl Row {
    /// The prompt's token ids: those given, or the rendered chat template's, generation prompt
    /// included.
    ///
    /// # Errors
    ///
    /// Text that cannot be rendered or encoded; `path` names the file.
    pub fn prompt_ids(&self, policy: &Policy, path: &Path) -> Result<Vec<u32>, TrainError> {
        if let Some(ids) = &self.prompt_token_ids {
            return Ok(ids.clone());
        }
        let messages = self.prompt.as_ref().map(PromptInput::messages);
        policy
            .codec()?
            .encode_prompt(&messages.unwrap_or_default())
            .map_err(|error| self.error(path, error.to_string()))
    }

    /// The response's token ids: those given, or the text's followed by the turn-end token.
    ///
    /// # Errors
    ///
    /// A row without a response; text that cannot be encoded.
    pub fn response_ids(&self, policy: &Policy, path: &Path) -> Result<Vec<u32>, TrainError> {
        let text = match (&self.response_token_ids, &self.response) {
            (Some(ids), _) => return Ok(ids.clone()),
            (None, Some(text)) => text,
            (None, None) => {
                let reason = "there is neither `response` nor `response_token_ids`";
                return Err(self.error(path, reason.to_owned()));
            }
        };
        let codec = policy.codec()?;
        let mut ids = codec
            .encode(text)
            .map_err(|error| self.error(path, error.to_string()))?;
        ids.extend(codec.end_of_turn());
        Ok(ids)
    }

    /// An error about this row.
    pub fn error(&self, path: &Path, reason: String) -> TrainError {
        TrainError::Row {
            path: path.to_owned(),
            line: self.line,
            reason,
        }
    }
}
