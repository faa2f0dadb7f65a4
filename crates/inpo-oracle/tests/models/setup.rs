//! Fixtures, and questions made of them.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inpo_data::{Completion, Message, Prompt};
use inpo_game::{Comparison, OracleError};
use inpo_oracle::{Judge, OracleConfigError, OracleKind, Surroundings, Verdict};
use serde_json::{Map, Value};
use tempfile::TempDir;

/// How far P may be from that in float64.
pub(crate) const TOLERANCE: f64 = 1e-4;

/// How far P may be from what it is in another batch.
pub(crate) const BATCH_TOLERANCE: f64 = 1e-5;

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models")
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// `expected.json`.
pub(crate) struct Expected(pub(crate) Value);

impl Expected {
    pub(crate) fn read() -> Self {
        Self(json(&fixtures().join("expected.json")))
    }

    /// The rows of a table, those of one template.
    pub(crate) fn rows<'a>(&'a self, table: &str, template: &str) -> Vec<&'a Value> {
        let rows = self.0[table].as_array().unwrap().iter();
        rows.filter(|row| row["template"] == template).collect()
    }

    pub(crate) fn prompt(&self, row: &Value) -> Prompt {
        let name = row["conversation"].as_str().unwrap();
        let messages = &self.0["conversations"][name];
        let messages: Vec<Message> = serde_json::from_value(messages.clone()).unwrap();
        Prompt::new(messages)
    }

    pub(crate) fn response(&self, place: &Value) -> Completion {
        let place = usize::try_from(place.as_u64().unwrap()).unwrap();
        Completion::finished(self.0["responses"][place].as_str().unwrap())
    }

    /// Prompt and responses of each row that has a `first` and a `second`.
    pub(crate) fn asked(&self, rows: &[&Value]) -> Vec<Asked> {
        let asked = rows.iter().map(|row| Asked {
            prompt: self.prompt(row),
            first: self.response(&row["first"]),
            second: self.response(&row["second"]),
        });
        asked.collect()
    }
}

/// A question that owns what it asks about.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) prompt: Prompt,
    pub(crate) first: Completion,
    pub(crate) second: Completion,
}

impl Asked {
    pub(crate) fn text(prompt: &str, first: &str, second: &str) -> Self {
        Self {
            prompt: Prompt::user(prompt),
            first: Completion::finished(first),
            second: Completion::finished(second),
        }
    }

    pub(crate) fn question(&self) -> Comparison<'_, Prompt, Completion> {
        Comparison {
            prompt: &self.prompt,
            first: &self.first,
            second: &self.second,
        }
    }
}

/// Copies the files of a directory, those of folders in it left out.
pub(crate) fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// The model `name` with the tokenizer and the chat template `template`.
pub(crate) fn model(name: &str, template: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixtures().join(name), dir.path());
    add_tokenizer(dir.path(), template);
    dir
}

pub(crate) fn add_tokenizer(dir: &Path, template: &str) {
    let tokenizer = fixtures().join("tokenizer.json");
    std::fs::copy(tokenizer, dir.join("tokenizer.json")).unwrap();
    let config = json(&fixtures().join("templates.json"))[template].to_string();
    std::fs::write(dir.join("tokenizer_config.json"), config).unwrap();
}

/// The judge of a kind's keys on the CPU.
pub(crate) fn judge(keys: &Value) -> Result<Box<dyn Judge>, OracleConfigError> {
    let kind: OracleKind = serde_json::from_value(keys.clone()).unwrap();
    let device = Device::flex();
    kind.init(&Surroundings {
        device: Some(&device),
        ..Surroundings::default()
    })
}

/// Why a judge cannot be built.
pub(crate) fn refused(keys: &Value) -> String {
    judge(keys).err().unwrap().to_string()
}

/// `keys` with others over them.
pub(crate) fn with(keys: &Value, others: Value) -> Value {
    let mut all: Map<String, Value> = keys.as_object().unwrap().clone();
    all.extend(others.as_object().unwrap().clone());
    Value::Object(all)
}

/// The verdicts in the order of the questions.
pub(crate) fn verdicts(judge: &dyn Judge, asked: &[Asked]) -> Result<Vec<Verdict>, OracleError> {
    let questions: Vec<_> = asked.iter().map(Asked::question).collect();
    let mut verdicts = vec![None; asked.len()];
    judge.judge(&questions, &mut |place, verdict| {
        assert!(verdicts[place].replace(verdict).is_none(), "heard twice");
        Ok(())
    })?;
    Ok(verdicts.into_iter().map(Option::unwrap).collect())
}

/// P of each question.
pub(crate) fn probabilities(judge: &dyn Judge, asked: &[Asked]) -> Vec<f64> {
    let verdicts = verdicts(judge, asked).unwrap().into_iter();
    verdicts.map(|v| v.outcome.unwrap().get()).collect()
}

/// Asserts that two lists agree to `tolerance`.
pub(crate) fn assert_close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (place, (got, expected)) in got.iter().zip(expected).enumerate() {
        let gap = (got - expected).abs();
        assert!(gap < tolerance, "{place}: {got} is not {expected}");
    }
}
