//! Questions of benchmarks, and answers as the benchmarks' own tools read them.

use std::path::Path;

use clap::ValueEnum;
use inpo_core::data::files::Output;
use inpo_core::data::rows::{read_each, template_input};
use inpo_core::data::{Columns, DataError, Message, Place, PromptInput, Row, sha256};
use serde_json::{Map, Value, json};

use crate::error::CliError;
use crate::output::write_rows;
use crate::print::lines;

/// The benchmark whose questions are read, and whose tools read the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// AlpacaEval: `instruction` in, model_outputs.json out.
    AlpacaEval,
    /// Arena-Hard-Auto: `uid` and `prompt` in, model_answer/MODEL.jsonl out.
    ArenaHard,
    /// MT-Bench of FastChat: `question_id` and `turns` in, model_answer/MODEL.jsonl out.
    MtBench,
    /// IFEval: `prompt` in, input_response_data.jsonl out.
    Ifeval,
}

/// How answered rows are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form<'a> {
    /// As rows that other commands read.
    Rows,
    /// As a benchmark's tools read them.
    Benchmark(Answers<'a>),
    /// Not at all: answers to a turn before the last, without a file beside which they could be kept.
    Unwritten,
}

/// The answers of a model to a benchmark's questions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answers<'a> {
    pub(super) format: Format,
    /// The model's name there.
    pub(super) model: &'a str,
}

impl Format {
    /// What a question must have beside what is asked.
    fn id(self) -> Option<&'static str> {
        match self {
            Self::ArenaHard => Some("uid"),
            Self::MtBench => Some("question_id"),
            Self::AlpacaEval | Self::Ifeval => None,
        }
    }

    /// What a user says, turn by turn.
    fn turns(self, columns: &Columns) -> Result<Vec<String>, String> {
        let (key, what) = match self {
            Self::AlpacaEval => ("instruction", "a text"),
            Self::ArenaHard | Self::Ifeval => ("prompt", "a text"),
            Self::MtBench => ("turns", "a list of texts"),
        };
        let turns: Option<Vec<String>> = match self {
            Self::MtBench => columns.read(key, what)?,
            _ => columns.read(key, what)?.map(|text| vec![text]),
        };
        let blank = |turns: &Vec<String>| turns.iter().any(|turn| turn.trim().is_empty());
        match turns {
            None => Err(format!(
                "there is no `{key}`, {what}; the columns are {}",
                columns.names()
            )),
            Some(turns) if turns.is_empty() || blank(&turns) => Err(format!("`{key}` is empty")),
            Some(turns) => Ok(turns),
        }
    }

    /// Reads a file of questions: the rows of their first turn.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or holds no question; a question without what the benchmark asks, with its line; questions
    /// with other numbers of turns.
    pub(super) fn read(self, path: &Path) -> Result<Questions, DataError> {
        let mut count = None;
        let question = |place: Place, columns: Columns| {
            if let Some(id) = self.id()
                && columns.value(id)?.is_none()
            {
                let columns = columns.names();
                return Err(format!("there is no `{id}`; the columns are {columns}"));
            }
            let turns = self.turns(&columns)?;
            let first = *count.get_or_insert(turns.len());
            if turns.len() != first {
                let here = turns.len();
                return Err(format!(
                    "it has {here} turns, and the first question has {first}"
                ));
            }
            let row = Row {
                place,
                prompt: Some(PromptInput::Messages(vec![Message::user(&turns[0])])),
                prompt_token_ids: None,
                template: template_input(&columns)?,
                columns,
            };
            Ok((row, turns))
        };
        let read = read_each(path, question)?;
        let (rows, turns): (Vec<Row>, Vec<Vec<String>>) = read.into_iter().unzip();
        let Some(count) = count else {
            return Err(DataError::NoRows(path.to_owned()));
        };
        Ok(Questions { rows, turns, count })
    }
}

/// Questions under way.
pub(super) struct Questions {
    /// The conversation of each, up to the turn that is asked.
    pub(super) rows: Vec<Row>,
    turns: Vec<Vec<String>>,
    /// Turns of each.
    pub(super) count: usize,
}

impl Questions {
    /// Goes on to a turn (from 0), after these answers to the one before.
    ///
    /// # Errors
    ///
    /// An answer without a text.
    pub(super) fn go_on(
        &mut self,
        turn: usize,
        answers: &[Map<String, Value>],
    ) -> Result<(), CliError> {
        for ((row, turns), answer) in self.rows.iter_mut().zip(&self.turns).zip(answers) {
            let mut messages = row
                .prompt
                .as_ref()
                .map_or(Vec::new(), PromptInput::messages);
            messages.push(Message::assistant(text(answer)?));
            messages.push(Message::user(&turns[turn]));
            row.prompt = Some(PromptInput::Messages(messages));
        }
        Ok(())
    }
}

/// The first response of an answered row.
fn text(answer: &Map<String, Value>) -> Result<&str, CliError> {
    let text = answer.get("responses").and_then(|all| all.get(0)?.as_str());
    text.ok_or_else(|| CliError::Other("a response has no text, which --format needs".to_owned()))
}

impl Answers<'_> {
    /// Writes the answers to the last turn of `rows`, with those before it.
    ///
    /// # Errors
    ///
    /// An answer without a text; a file that cannot be written.
    pub(super) fn write(
        self,
        output: Option<&Output>,
        rows: &[Row],
        answers: &[Map<String, Value>],
    ) -> Result<(), CliError> {
        let written = rows.iter().zip(answers);
        let written = written.map(|(row, answer)| Ok(self.row(row, text(answer)?)));
        let written: Vec<Map<String, Value>> = written.collect::<Result<_, CliError>>()?;
        match (self.format, output) {
            (Format::AlpacaEval, Some(output)) => Ok(output.write_json(&written)?),
            (Format::AlpacaEval, None) => lines([json!(written).to_string()]),
            (_, output) => write_rows(output, written),
        }
    }

    /// A question's row in the file of the benchmark.
    fn row(self, row: &Row, last: &str) -> Map<String, Value> {
        let messages = row
            .prompt
            .as_ref()
            .map_or(Vec::new(), PromptInput::messages);
        let column = |key: &str| row.columns.value(key).ok().flatten().cloned();
        let before = messages.iter().filter(|m| m.role == "assistant");
        let turns: Vec<&str> = before.map(|m| m.content.as_str()).chain([last]).collect();
        let asked = messages.first().map(|message| &message.content);
        let model = self.model;
        // Same call, same bytes: an id from the content, and no time.
        let id = || {
            let id = self.format.id().and_then(column);
            sha256(json!([id, model, turns]).to_string().as_bytes())[..22].to_owned()
        };
        let fields = match self.format {
            Format::AlpacaEval => {
                json!({"dataset": column("dataset"), "instruction": asked, "output": last, "generator": model})
            }
            Format::ArenaHard => json!({
                "uid": column("uid"), "ans_id": id(), "model": model,
                "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": {"answer": last}}],
                "tstamp": 0.0,
            }),
            Format::MtBench => json!({
                "question_id": column("question_id"), "answer_id": id(), "model_id": model,
                "choices": [{"index": 0, "turns": turns}], "tstamp": 0.0,
            }),
            Format::Ifeval => json!({"prompt": asked, "response": last}),
        };
        let Value::Object(mut fields) = fields else {
            unreachable!("a row is an object");
        };
        fields.retain(|_, value| !value.is_null());
        fields
    }
}
