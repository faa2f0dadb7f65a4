//! The rows of `inpo generate`, kept as they come: in `OUTPUT.partial` while some are missing, then in `OUTPUT`. Rows that
//! failed leave `OUTPUT.partial` behind, which knows the settings that the others were sampled with.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inpo_core::data::files::{Output, append_jsonl, sync, write_jsonl};
use inpo_core::data::rows::read_jsonl;
use inpo_core::data::{Completion, DataError, Place, Row};
use inpo_core::policy::{Answers, PolicyError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::format::Form;
use crate::error::CliError;
use crate::output::write_rows;

/// Rows reach the disk this long after they came, if not before: the kernel holds them until then, so that only a machine
/// that fails loses them.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Columns of an earlier answer, which would be another response's.
const STALE: [&str; 6] = [
    "response_token_ids",
    "sampling_logps",
    "logp",
    "num_tokens",
    "token_logps",
    "error",
];

/// What the answers are to.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Where the prompts are from.
    pub(super) prompts: &'a Path,
    /// Their rows.
    pub(super) rows: &'a [Row],
    /// Responses to each.
    pub(super) num_generations: usize,
    /// Seed of the draws.
    pub(super) seed: u64,
    /// sha256 of all that decides the answers.
    pub(super) digest: &'a str,
    /// How the answers are written.
    pub(super) form: Form<'a>,
}

/// The first line of `OUTPUT.partial`.
#[derive(Serialize, Deserialize)]
struct Head {
    /// [`Asked::digest`].
    settings_sha256: String,
}

/// The others, in the order in which answers came.
#[derive(Serialize, Deserialize)]
struct Part {
    /// The row's place among the prompts, from 0.
    row: usize,
    columns: Map<String, Value>,
}

/// The answered rows.
pub(super) struct Answered<'a> {
    asked: Asked<'a>,
    output: Option<&'a Output>,
    /// `OUTPUT.partial`, where the output is a file.
    partial: Option<PathBuf>,
    rows: Vec<Option<Map<String, Value>>>,
    /// Whether `OUTPUT.partial` is this call's.
    begun: bool,
    synced: Instant,
}

impl<'a> Answered<'a> {
    /// No answer yet, or with `resume` those that an earlier call left.
    ///
    /// # Errors
    ///
    /// `OUTPUT.partial` of an earlier call without `resume`, or of somebody else; files of other prompts or settings.
    pub(super) fn open(
        asked: Asked<'a>,
        output: Option<&'a Output>,
        resume: bool,
    ) -> Result<Self, CliError> {
        let rows = asked.rows.iter().map(|_| None).collect();
        let mut answered = Self {
            asked,
            output,
            // What is written through keeps no rows.
            partial: output.filter(|o| o.file().is_some()).map(partial),
            rows,
            begun: false,
            synced: Instant::now(),
        };
        match (output, answered.partial.clone()) {
            (Some(output), Some(partial)) => answered.take(output.path(), &partial, resume)?,
            (Some(output), None) if resume => {
                return Err(CliError::Input(format!(
                    "--resume: {} is no file, and keeps no rows to go on with",
                    output.path().display()
                )));
            }
            _ => {}
        }
        Ok(answered)
    }

    /// Takes what an earlier call left, if this one is to go on with it.
    fn take(&mut self, output: &Path, partial: &Path, resume: bool) -> Result<(), CliError> {
        if !partial.exists() && !partial.is_symlink() {
            return match self.asked.form {
                _ if !resume || !output.exists() => Ok(()),
                Form::Rows => self.take_rows(output),
                Form::Benchmark(_) | Form::Unwritten => Err(CliError::Input(format!(
                    "{} is finished, and its format keeps nothing to go on with: remove it to sample anew",
                    output.display()
                ))),
            };
        }
        let shown = partial.display();
        if !is_of_a_call(partial) {
            return Err(CliError::Input(format!(
                "{shown}, where rows are kept while some are missing, is there and was not written by this command: \
                 move it, or name another output"
            )));
        }
        if resume {
            self.take_parts(partial)
        } else if has_parts(partial)? {
            Err(CliError::Input(format!(
                "{shown} holds rows of an earlier call: add --resume to go on with it, or remove it"
            )))
        } else {
            Ok(())
        }
    }

    /// The rows that `OUTPUT.partial` holds; a last line that was being written when the call ended is left out.
    fn take_parts(&mut self, path: &Path) -> Result<(), CliError> {
        let text = std::fs::read_to_string(path).map_err(DataError::read(path))?;
        let refuse = |line: usize, reason: &str| {
            CliError::from(DataError::row(path, Place::Line(line))(reason.to_owned()))
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut parts = whole.lines().enumerate();
        if let Some((_, head)) = parts.next() {
            let head: Option<Head> = serde_json::from_str(head).ok();
            if head.is_none_or(|head| head.settings_sha256 != self.asked.digest) {
                return Err(refuse(
                    1,
                    "these rows were sampled with other settings or of other prompts; remove the file to start anew",
                ));
            }
        }
        for (index, line) in parts {
            let part: Part = serde_json::from_str(line)
                .map_err(|error| refuse(index + 1, &error.to_string()))?;
            let Some(place) = self.rows.get_mut(part.row) else {
                return Err(refuse(index + 1, "there is no such row"));
            };
            if !part.columns.contains_key("error") {
                *place = Some(part.columns);
            }
        }
        Ok(())
    }

    /// The rows of a finished file, where nothing is left to ask.
    fn take_rows(&mut self, path: &Path) -> Result<(), CliError> {
        let written: Vec<Map<String, Value>> = read_jsonl(path)?;
        let (here, there) = (self.rows.len(), written.len());
        if here != there {
            let prompts = self.asked.prompts.display();
            return Err(CliError::Input(format!(
                "{} has {there} rows and {prompts} {here}: --resume goes on with the file that the same prompts made",
                path.display()
            )));
        }
        for (index, columns) in written.into_iter().enumerate() {
            if let Some(differs) = self.differs(index, &columns) {
                let reason = format!(
                    "{differs} differs from that of this call; --resume needs the same prompts and settings"
                );
                return Err(DataError::row(path, Place::Line(index + 1))(reason).into());
            }
            if columns.contains_key("error") {
                let reason = format!(
                    "the row failed, and {}, which knows the settings of the others, is not there; sample anew without --resume",
                    self.partial.as_deref().unwrap_or(path).display()
                );
                return Err(DataError::row(path, Place::Line(index + 1))(reason).into());
            }
            self.rows[index] = Some(columns);
        }
        Ok(())
    }

    /// The first column in which a written row is not this call's.
    fn differs(&self, index: usize, columns: &Map<String, Value>) -> Option<String> {
        let input = &self.asked.rows[index];
        // A conversation's ids are the sampler's.
        let own = ["responses", "finish_reason", "seed", "prompt_token_ids"];
        let own = &own[..own.len() - usize::from(input.prompt.is_none())];
        let kept = input
            .columns
            .iter()
            .filter(|(key, _)| !STALE.contains(&key.as_str()) && !own.contains(&key.as_str()));
        let changed = kept
            .into_iter()
            .find(|(key, value)| columns.get(*key) != Some(value));
        if let Some((key, _)) = changed {
            return Some(format!("`{key}`"));
        }
        if columns.get("seed") != Some(&json!(self.asked.seed)) {
            return Some("`seed`".to_owned());
        }
        let reasons = columns.get("finish_reason").and_then(Value::as_array);
        let other = reasons.is_some_and(|all| all.len() != self.asked.num_generations);
        other.then(|| "the number of responses".to_owned())
    }

    /// `OUTPUT.partial` with what is there.
    fn begin(&self, partial: &Path) -> Result<(), DataError> {
        let head = Head {
            settings_sha256: self.asked.digest.to_owned(),
        };
        let parts = self.rows.iter().enumerate().filter_map(|(row, columns)| {
            let columns = columns.clone()?;
            Some(json!(Part { row, columns }))
        });
        let all: Vec<Value> = std::iter::once(json!(head)).chain(parts).collect();
        write_jsonl(partial, &all)
    }

    /// The places of the rows without an answer.
    pub(super) fn missing(&self) -> Vec<usize> {
        let missing = self.rows.iter().enumerate();
        missing
            .filter(|(_, row)| row.is_none())
            .map(|(place, _)| place)
            .collect()
    }

    /// Keeps what came of the row at `place`.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub(super) fn put(
        &mut self,
        place: usize,
        answers: Result<Answers, PolicyError>,
    ) -> Result<(), DataError> {
        let input = &self.asked.rows[place];
        let columns = match answers {
            Ok(answers) => written(input, answers, self.asked.seed),
            Err(error) => failed(input, &error, self.asked.seed),
        };
        if let Some(partial) = &self.partial {
            if !self.begun {
                self.begin(partial)?;
                self.begun = true;
            }
            let columns = columns.clone();
            append_jsonl(
                partial,
                &Part {
                    row: place,
                    columns,
                },
            )?;
            if self.synced.elapsed() >= SYNC_EVERY {
                sync(partial)?;
                self.synced = Instant::now();
            }
        }
        self.rows[place] = Some(columns);
        Ok(())
    }

    /// Writes what is there in the order of the prompts, to `OUTPUT` or to standard output, and returns it. A file is written
    /// when every row has its answer or its error, and that of a benchmark when every row has its answer; until then its
    /// rows are in `OUTPUT.partial`.
    ///
    /// # Errors
    ///
    /// A file that cannot be written; rows that failed, counted, where the first is named.
    pub(super) fn finish(self) -> Result<Vec<Map<String, Value>>, CliError> {
        let total = self.rows.len();
        let rows: Vec<Map<String, Value>> = self.rows.into_iter().flatten().collect();
        let whole = rows.len() == total;
        let failed = rows.iter().filter(|row| row.contains_key("error")).count();
        let first = rows.iter().enumerate().find_map(|(place, row)| {
            let reason = row.get("error")?.as_str().unwrap_or_default();
            Some((place, reason.to_owned()))
        });
        // Rows that are not kept are written, whole or not.
        let writes = match self.asked.form {
            Form::Rows => whole || self.partial.is_none(),
            Form::Benchmark(_) | Form::Unwritten => whole && failed == 0,
        };
        if writes {
            match self.asked.form {
                Form::Rows => write_rows(self.output, rows.clone())?,
                Form::Benchmark(answers) => answers.write(self.output, self.asked.rows, &rows)?,
                Form::Unwritten => {}
            }
            if let Some(partial) = self.partial.as_ref().filter(|p| failed == 0 && p.exists()) {
                std::fs::remove_file(partial).map_err(DataError::write(partial))?;
            }
        }
        let Some((place, reason)) = first.filter(|_| whole) else {
            return Ok(rows);
        };
        let place = self.asked.rows[place].place;
        let again = if self.partial.is_some() {
            "; --resume asks for them again"
        } else {
            ""
        };
        Err(CliError::Other(format!(
            "{failed} of {total} rows failed and say so in `error`, the first at {}, {place}: {reason}{again}",
            self.asked.prompts.display()
        )))
    }

    /// Writes what is there after an `error` that ends the call, and adds to it how to go on.
    pub(super) fn broken(self, error: CliError) -> CliError {
        let total = self.rows.len();
        let there = self.rows.iter().flatten().count();
        let partial = self.partial.clone().filter(|partial| partial.exists());
        let hint = partial.map(|partial| {
            format!(
                "{there} of {total} rows are in {}: --resume goes on",
                partial.display()
            )
        });
        match (self.finish(), hint) {
            (Ok(_), Some(hint)) => error.with_hint(&hint),
            (Ok(_), None) => error,
            (Err(other), _) => other,
        }
    }
}

/// Whether a file is one that a call began: its first line is a [`Head`], or it is empty.
fn is_of_a_call(partial: &Path) -> bool {
    let is_head = |text: String| {
        let head = text.lines().next();
        head.is_none_or(|head| serde_json::from_str::<Head>(head).is_ok())
    };
    let is_file = partial.symlink_metadata().is_ok_and(|m| m.is_file());
    is_file && std::fs::read_to_string(partial).is_ok_and(is_head)
}

/// Whether a row is behind the first line.
fn has_parts(partial: &Path) -> Result<bool, DataError> {
    let text = std::fs::read_to_string(partial).map_err(DataError::read(partial))?;
    Ok(text.matches('\n').count() > 1)
}

fn partial(output: &Output) -> PathBuf {
    let mut name = output.path().as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// A row with its responses; what is not known of all of them is left out.
fn written(input: &Row, answers: Answers, seed: u64) -> Map<String, Value> {
    fn of_all<T>(all: &[Completion], what: impl Fn(&Completion) -> Option<T>) -> Option<Vec<T>> {
        all.iter().map(what).collect()
    }
    let Answers {
        completions,
        prompt_ids,
        have_text,
    } = answers;
    let texts = of_all(&completions, |c| have_text.then(|| c.text.clone()));
    let ids = of_all(&completions, |c| c.token_ids.clone());
    let sum = |c: &Completion| Some(c.token_logps.as_ref()?.iter().sum::<f64>());
    let logps = of_all(&completions, sum);
    let reasons: Vec<_> = completions.iter().map(|c| c.finish_reason).collect();
    let mut columns = input_columns(input);
    let known = [
        ("prompt_token_ids", prompt_ids.map(|ids| json!(ids))),
        ("responses", Some(json!(texts))),
        ("response_token_ids", ids.map(|ids| json!(ids))),
        ("finish_reason", Some(json!(reasons))),
        ("sampling_logps", logps.map(|logps| json!(logps))),
        ("seed", Some(json!(seed))),
    ];
    for (key, value) in known {
        if let Some(value) = value {
            columns.insert(key.to_owned(), value);
        }
    }
    columns
}

/// A row that has no responses, and why.
fn failed(input: &Row, error: &PolicyError, seed: u64) -> Map<String, Value> {
    let mut columns = input_columns(input);
    columns.insert("error".to_owned(), json!(error.to_string()));
    columns.insert("seed".to_owned(), json!(seed));
    for earlier in ["responses", "finish_reason"] {
        columns.shift_remove(earlier);
    }
    columns
}

fn input_columns(input: &Row) -> Map<String, Value> {
    let mut columns = input.columns.clone().into_map();
    for stale in STALE {
        columns.shift_remove(stale);
    }
    columns
}
