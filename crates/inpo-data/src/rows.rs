//! Rows of data files.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::source::for_each_row;
use crate::{
    Columns, DataError, FinishReason, Message, Place, Prompt, PromptInput, TemplateInput, in_words,
};

/// Columns that hold a conversation, in the order in which they are looked for.
const CONVERSATIONS: [&str; 3] = ["prompt", "messages", "conversations"];

/// Columns of pictures and sounds, which TRL gives to models that see and hear.
const OF_OTHER_SENSES: [&str; 6] = ["image", "images", "video", "videos", "audio", "audios"];

/// One row: a conversation or `prompt_token_ids`, perhaps with answers. Other columns are kept and handed back.
#[derive(Debug, Clone)]
pub struct Row {
    /// Where it stands in its file.
    pub place: Place,
    /// The row as it stands.
    pub columns: Columns,
    /// The conversation, unless only ids are given.
    pub prompt: Option<PromptInput>,
    /// The prompt's ids, when given; they win over the text.
    pub prompt_token_ids: Option<Vec<u32>>,
    /// What the chat template is given beside the conversation.
    pub template: TemplateInput,
}

/// An answer of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What is said; absent where there are ids alone.
    pub message: Option<Message>,
    /// Its ids, when given; they win over the text.
    pub token_ids: Option<Vec<u32>>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// The answers of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Answers {
    /// `response` or `response_token_ids`.
    One(Answer),
    /// K of them, as `inpo generate` writes them: `responses`, and `response_token_ids` with K lists.
    Many(Vec<Answer>),
}

impl Row {
    /// The prompt, numbered `number`, with the row's other columns as its metadata.
    #[must_use]
    pub fn to_prompt(&self, number: u64) -> Prompt {
        let prompt = self.prompt.as_ref().map(PromptInput::messages);
        let mut metadata = self.columns.clone().into_map();
        for own in ["prompt", "prompt_token_ids"] {
            metadata.shift_remove(own);
        }
        Prompt {
            number,
            messages: prompt.unwrap_or_default(),
            token_ids: self.prompt_token_ids.clone(),
            template: self.template.clone(),
            metadata,
        }
    }

    /// The row's answers: `responses` with `response_token_ids` and `finish_reason` beside them, K of each, or else
    /// `response` (text, or an assistant's message) with one of each.
    ///
    /// # Errors
    ///
    /// In words: no answer, columns of another type, or of different lengths.
    pub fn answers(&self) -> Result<Answers, String> {
        let columns = &self.columns;
        let texts: Option<Vec<Option<String>>> = columns.read("responses", "a list of texts")?;
        let ids = columns.value("response_token_ids")?;
        let nested =
            |ids: &&Value| matches!(ids, Value::Array(ids) if ids.iter().any(Value::is_array));
        if texts.is_none() && ids.filter(nested).is_none() {
            return self.one_answer().map(Answers::One);
        }
        let ids: Option<Vec<Vec<u32>>> = columns.read(
            "response_token_ids",
            "a list of ids for each of the responses",
        )?;
        let reasons: Option<Vec<FinishReason>> = columns.read(
            "finish_reason",
            "\"stop\" or \"length\" for each of the responses",
        )?;
        let count = texts
            .as_ref()
            .map_or_else(|| ids.as_ref().map_or(0, Vec::len), Vec::len);
        let lengths = [
            ("response_token_ids", ids.as_ref().map(Vec::len)),
            ("finish_reason", reasons.as_ref().map(Vec::len)),
        ];
        for (name, length) in lengths {
            if let Some(length) = length
                && length != count
            {
                return Err(format!(
                    "there are {count} responses, but `{name}` has {length}"
                ));
            }
        }
        let answer = |k: usize| {
            let text = texts.as_ref().and_then(|texts| texts[k].clone());
            let token_ids = ids.as_ref().map(|ids| ids[k].clone());
            if text.is_none() && token_ids.is_none() {
                return Err(format!(
                    "response {k} of `responses` is null, and there are no ids of it"
                ));
            }
            Ok(Answer {
                message: text.map(Message::assistant),
                token_ids,
                finish_reason: reasons.as_ref().map_or(FinishReason::Stop, |all| all[k]),
            })
        };
        (0..count)
            .map(answer)
            .collect::<Result<_, _>>()
            .map(Answers::Many)
    }

    fn one_answer(&self) -> Result<Answer, String> {
        let columns = &self.columns;
        let token_ids: Option<Vec<u32>> = columns.read("response_token_ids", "a list of ids")?;
        let message = match columns.conversation("response")? {
            None => None,
            Some(PromptInput::Text(text)) => Some(Message::assistant(text)),
            Some(PromptInput::Messages(messages)) => match messages.as_slice() {
                [only] if only.role == "assistant" => Some(only.clone()),
                _ => {
                    return Err("`response` is not text or one message of the assistant".to_owned());
                }
            },
        };
        if message.is_none() && token_ids.is_none() {
            return Err(format!(
                "there is neither `response` nor `response_token_ids`, nor `responses`; the columns are {}",
                columns.names()
            ));
        }
        let reason = columns.read("finish_reason", "\"stop\" or \"length\"");
        Ok(Answer {
            message,
            token_ids,
            finish_reason: reason?.unwrap_or(FinishReason::Stop),
        })
    }

    /// An error about this row; `path` names the file.
    #[must_use]
    pub fn error(&self, path: &Path, reason: String) -> DataError {
        DataError::row(path, self.place)(reason)
    }
}

/// Reads the rows of `path`: JSON lines, a JSON array, either of them gzipped, or Parquet (feature `parquet`).
///
/// # Errors
///
/// A file that cannot be read or holds no rows; a row that is not a JSON object, has no prompt, an
/// empty prompt or a column of the wrong type, with file and place.
pub fn read_rows(path: &Path) -> Result<Vec<Row>, DataError> {
    let rows: Vec<Row> = read_each(path, parse)?;
    if rows.is_empty() {
        return Err(DataError::NoRows(path.to_owned()));
    }
    Ok(rows)
}

fn parse(place: Place, columns: Columns) -> Result<Row, String> {
    let prompt_token_ids: Option<Vec<u32>> = columns.read("prompt_token_ids", "a list of ids")?;
    let prompt = conversation(&columns)?;
    match (&prompt, &prompt_token_ids) {
        (None, None) => {
            return Err(format!(
                "there is neither `prompt` nor `prompt_token_ids`; the columns are {}",
                columns.names()
            ));
        }
        (_, Some(ids)) if ids.is_empty() => return Err("`prompt_token_ids` is empty".to_owned()),
        (Some((name, text)), None) if text.is_blank() => return Err(format!("`{name}` is empty")),
        _ => {}
    }
    let template = template_input(&columns)?;
    Ok(Row {
        place,
        prompt: prompt.map(|(_, prompt)| prompt),
        prompt_token_ids,
        template,
        columns,
    })
}

/// The conversation of a row with the name of its column: `prompt`, or else `messages` or ShareGPT's
/// `conversations`, before which a text in `system` is the system message.
///
/// # Errors
///
/// In words, what is wrong with which message.
pub fn conversation(columns: &Columns) -> Result<Option<(&'static str, PromptInput)>, String> {
    for name in CONVERSATIONS {
        let Some(mut prompt) = columns.conversation(name)? else {
            continue;
        };
        if name == "conversations"
            && let PromptInput::Messages(messages) = &mut prompt
            && messages
                .first()
                .is_some_and(|message| message.role != "system")
            && let Some(system) = columns.read::<String>("system", "text")?
            && !system.trim().is_empty()
        {
            messages.insert(0, Message::system(system));
        }
        return Ok(Some((name, prompt)));
    }
    Ok(None)
}

/// What the columns of a row give a chat template beside the conversation.
///
/// # Errors
///
/// In words: columns of another type; pictures and sounds, which no model here reads.
pub fn template_input(columns: &Columns) -> Result<TemplateInput, String> {
    for name in OF_OTHER_SENSES {
        let empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty) || value == "";
        if columns.value(name)?.is_some_and(|value| !empty(value)) {
            return Err(format!(
                "`{name}` is for models that see or hear, and the models here read text; leave the column out"
            ));
        }
    }
    TemplateInput::from_columns(columns)
}

/// Reads rows of a known type.
///
/// # Errors
///
/// A file that cannot be read; a row that does not fit, with its place.
pub fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, DataError> {
    read_each(path, |_, columns| {
        serde_json::from_value(Value::Object(columns.into_map()))
            .map_err(|e| in_words(&e.to_string()))
    })
}

/// Reads the rows of a file, in the formats of [`read_rows`]. `parse` says in words what is wrong with a row.
///
/// # Errors
///
/// A file that cannot be read; a row that is not a JSON object, or that `parse` refuses, with its place.
pub fn read_each<T>(
    path: &Path,
    mut parse: impl FnMut(Place, Columns) -> Result<T, String>,
) -> Result<Vec<T>, DataError> {
    let mut rows = Vec::new();
    for_each_row(path, &mut |place, columns| {
        rows.push(parse(place, columns).map_err(DataError::row(path, place))?);
        Ok(())
    })?;
    Ok(rows)
}

/// The rows of a file as JSON lines, for readers of text; none for a file that is read as it stands: plain text that
/// is no JSON array.
///
/// # Errors
///
/// Those of [`read_each`].
pub fn as_json_lines(path: &Path) -> Result<Option<Vec<u8>>, DataError> {
    if crate::source::is_plain_text(path)? {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    for_each_row(path, &mut |_, columns| {
        serde_json::to_writer(&mut bytes, &columns.into_map()).expect("plain data is JSON");
        bytes.push(b'\n');
        Ok(())
    })?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests;
