//! The files of a run, read as far as they can be read.

use std::path::{Path, PathBuf};

use inpo_data::input;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A part of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Which policy to ship.
    Answer,
    /// What was measured of each policy.
    Evaluation,
    /// The game among the policies.
    Game,
    /// The curves of the training, and its judge.
    Training,
    /// Responses side by side.
    Samples,
    /// Settings and versions.
    Settings,
}

/// Something that the report cannot show, said in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Where it would stand.
    pub section: Section,
    /// What is missing, why, and what to do.
    pub sentence: String,
}

/// A run's directory, with what was missing in it so far.
#[derive(Debug)]
pub(super) struct RunFiles {
    root: PathBuf,
    pub(super) missing: Vec<Missing>,
}

impl RunFiles {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            missing: Vec::new(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.path(name).is_file()
    }

    pub(super) fn lacks(&mut self, section: Section, sentence: impl Into<String>) {
        let sentence = sentence.into();
        self.missing.push(Missing { section, sentence });
    }

    /// The text of a file, none where it is not there.
    pub(super) fn text(&mut self, section: Section, name: &str) -> Option<String> {
        if !self.has(name) {
            return None;
        }
        match input::read_text(&self.path(name)) {
            Ok(text) => Some(text),
            Err(error) => {
                self.lacks(section, format!("{name} cannot be read: {error}."));
                None
            }
        }
    }

    /// A JSON document, none where it is not there or is damaged, which is noted.
    pub(super) fn json<T: DeserializeOwned>(
        &mut self,
        section: Section,
        name: &str,
        advice: &str,
    ) -> Option<T> {
        let text = self.text(section, name)?;
        match serde_json::from_str(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                let sentence = format!("{name} is damaged ({error}): {advice}.");
                self.lacks(section, sentence);
                None
            }
        }
    }

    /// The rows of a JSONL file that can be read; how many cannot is noted.
    pub(super) fn rows<T: DeserializeOwned>(&mut self, section: Section, name: &str) -> Vec<T> {
        let Some(text) = self.text(section, name) else {
            return Vec::new();
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let parsed: Vec<Option<T>> = lines.map(|line| serde_json::from_str(line).ok()).collect();
        let bad = parsed.iter().filter(|row| row.is_none()).count();
        if bad > 0 {
            let total = parsed.len();
            let sentence = format!(
                "{bad} of the {total} rows of {name} cannot be read and are left out; `--resume` of the run repairs its files."
            );
            self.lacks(section, sentence);
        }
        parsed.into_iter().flatten().collect()
    }

    /// The rows of `metrics.jsonl`.
    pub(super) fn metrics(&mut self) -> Vec<Map<String, Value>> {
        if !self.has("metrics.jsonl") {
            let sentence = "metrics.jsonl is not there: nothing was logged yet.";
            self.lacks(Section::Training, sentence);
        }
        self.rows(Section::Training, "metrics.jsonl")
    }
}
