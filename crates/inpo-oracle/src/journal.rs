//! The journal: every verdict that cost something, appended as it comes, so that none is paid for twice.
//!
//! A file holds the verdicts of one judge specification, as the lines of a [`SealedLog`]. The first entry is the
//! specification; each other one is a verdict under the key of its question. A line that is damaged is left out, and its
//! question is asked again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inpo_data::files::{SealedLog, sync};
use inpo_data::{DataError, sha256};
use inpo_game::Preference;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::verdict::{Usage, Verdict};

/// The verdicts of one judge, in memory and in a file.
#[derive(Debug)]
pub struct Journal {
    log: SealedLog,
    known: HashMap<String, Verdict>,
    damaged: usize,
}

/// A verdict as it is written.
#[derive(Serialize, Deserialize)]
struct Entry {
    key: String,
    /// P(the response shown first is better).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p: Option<Preference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invalid: Option<String>,
    calls: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    seconds: f64,
}

impl Entry {
    fn new(key: &str, verdict: &Verdict) -> Self {
        let usage = &verdict.usage;
        Self {
            key: key.to_owned(),
            p: verdict.outcome.as_ref().ok().copied(),
            invalid: verdict.outcome.as_ref().err().cloned(),
            calls: usage.calls,
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            seconds: usage.latency.as_secs_f64(),
        }
    }

    fn verdict(self) -> Option<(String, Verdict)> {
        let outcome = match (self.p, self.invalid) {
            (Some(p), None) => Ok(p),
            (None, Some(reason)) => Err(reason),
            _ => return None,
        };
        let latency = Duration::try_from_secs_f64(self.seconds).ok()?;
        let usage = Usage {
            calls: self.calls,
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
            latency,
        };
        Some((self.key, Verdict { outcome, usage }))
    }
}

impl Journal {
    /// Opens the file of `specification` in the folder `dir`, or makes both. `label` begins the file's name.
    ///
    /// # Errors
    ///
    /// A file that another process has open, that cannot be read or written, or that is the journal of another judge.
    pub fn open(dir: &Path, label: &str, specification: &Value) -> Result<Self, DataError> {
        let (log, entries) = SealedLog::open(&Self::path_in(dir, label, specification))?;
        let mut journal = Self {
            log,
            known: HashMap::new(),
            damaged: 0,
        };
        if entries.is_empty() {
            let first = serde_json::json!({ "specification": specification });
            journal.log.append(&first)?;
            journal.log.sync()?;
            sync(dir)?;
        }
        for entry in entries.into_iter().skip(1) {
            let entry = entry.and_then(|text| serde_json::from_str::<Entry>(&text).ok());
            match entry.and_then(Entry::verdict) {
                Some((key, verdict)) => drop(journal.known.insert(key, verdict)),
                None => journal.damaged += 1,
            }
        }
        Ok(journal)
    }

    /// The file of `specification` in the folder `dir`.
    #[must_use]
    pub fn path_in(dir: &Path, label: &str, specification: &Value) -> PathBuf {
        let digest = sha256(specification.to_string().as_bytes());
        dir.join(format!("{}-{}.jsonl", file_label(label), &digest[..16]))
    }

    /// Forgets verdicts that could not be used, so that their questions are asked again. Their lines stay in the file; the
    /// last one of a key counts.
    pub fn forget_invalid(&mut self) {
        self.known.retain(|_, verdict| verdict.outcome.is_ok());
    }

    /// The verdict under `key`, if it was given before.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Verdict> {
        self.known.get(key)
    }

    /// How many verdicts are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether no verdict is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Lines that were left out because their sum or their content is wrong.
    #[must_use]
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.log.path()
    }

    /// Appends a verdict.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn append(&mut self, key: &str, verdict: &Verdict) -> Result<(), DataError> {
        self.log.append(&Entry::new(key, verdict))?;
        self.known.insert(key.to_owned(), verdict.clone());
        Ok(())
    }
}

/// The letters and digits of a judge's name before its parameters.
fn file_label(name: &str) -> String {
    let name = name.split('(').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    name.chars().take(32).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn won(p: f64) -> Verdict {
        let usage = Usage {
            calls: 1,
            prompt_tokens: 120,
            completion_tokens: 1,
            latency: Duration::from_millis(250),
        };
        Verdict::new(Preference::new(p).unwrap(), usage)
    }

    #[test]
    fn what_was_appended_is_known_again_to_the_same_judge_only() {
        let dir = tempfile::tempdir().unwrap();
        let open = |t: f64| Journal::open(dir.path(), "server(m)", &json!({ "temperature": t }));
        let mut journal = open(0.0).unwrap();
        assert!(journal.is_empty());
        journal.append("a", &won(0.1 + 0.2)).unwrap();
        let refused = Verdict::invalid("prose\nand \"quotes\"", Usage::default());
        journal.append("b", &refused).unwrap();
        let held = open(0.0).unwrap_err().to_string();
        assert!(held.contains("another process"), "{held}");
        drop(journal);
        let journal = open(0.0).unwrap();
        assert_eq!(journal.get("a"), Some(&won(0.1 + 0.2)));
        assert_eq!(journal.get("b"), Some(&refused));
        assert_eq!((journal.len(), journal.damaged()), (2, 0));
        assert_eq!(open(1.0).unwrap().len(), 0);
        let mut again = open(2.0).unwrap();
        again.append("b", &refused).unwrap();
        again.forget_invalid();
        assert!(again.is_empty());
        again.append("b", &won(1.0)).unwrap();
        drop(again);
        assert_eq!(open(2.0).unwrap().get("b"), Some(&won(1.0)));
        let text = std::fs::read_to_string(journal.path()).unwrap();
        assert!(
            text.lines()
                .next()
                .unwrap()
                .contains(r#""temperature":0.0"#)
        );
        let name = journal.path().file_name().unwrap().to_string_lossy();
        assert!(name.starts_with("server-"), "{name}");
    }

    /// A crash can tear the last line anywhere; a disk can flip any bit. Neither costs another line.
    #[test]
    fn torn_and_damaged_lines_cost_themselves_alone() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Journal::open(dir.path(), "server", &json!({})).unwrap();
        let mut journal = open();
        for key in ["a", "b", "c"] {
            journal.append(key, &won(0.75)).unwrap();
        }
        let path = journal.path().to_owned();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let last = whole[..whole.len() - 1].iter().rposition(|&b| b == b'\n');
        let last = last.unwrap() + 1;
        for end in last..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let mut journal = open();
            assert_eq!((journal.len(), journal.damaged()), (2, 0), "{end}");
            journal.append("c", &won(0.75)).unwrap();
            drop(journal);
            assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {end}");
        }
        let second = whole.iter().position(|&b| b == b'\n').unwrap() + 1;
        let third = second + whole[second..].iter().position(|&b| b == b'\n').unwrap();
        for place in second..third {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let journal = open();
            assert_eq!(journal.get("a"), None, "flipped at {place}");
            assert!(journal.get("c").is_some(), "flipped at {place}");
        }
    }
}
