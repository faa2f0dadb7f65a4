//! The journal: every verdict that cost something, appended as it comes, so that none is paid for twice.
//!
//! A file holds the verdicts of one judge specification. Its lines are `{"sum":"..","entry":{..}}`: the sum is the first 16
//! digits of the sha256 of the entry as it is written. The first entry is the specification; each other one is a verdict
//! under the key of its question. A last line without its end was torn by a crash and is cut off; a line whose sum is wrong
//! is left out, and its question is asked again.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inpo_data::{DataError, sha256};
use inpo_game::Preference;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::verdict::{Usage, Verdict};

/// Written lines reach the disk this long after they were written, if not before: the kernel holds them until then, so
/// that only a machine that fails loses them.
const SYNC_EVERY: Duration = Duration::from_secs(1);

const BEFORE_SUM: &str = r#"{"sum":""#;
const BEFORE_ENTRY: &str = r#"","entry":"#;
const SUM_DIGITS: usize = 16;

/// The verdicts of one judge, in memory and in a file.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    known: HashMap<String, Verdict>,
    damaged: usize,
    synced: Instant,
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
        std::fs::create_dir_all(dir).map_err(DataError::write(dir))?;
        let path = Self::path_in(dir, label, specification);
        let mut options = OpenOptions::new();
        let options = options.read(true).append(true).create(true);
        let mut file = options.open(&path).map_err(DataError::write(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataError::Busy(path)),
            Err(TryLockError::Error(error)) => return Err(DataError::write(&path)(error)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(DataError::read(&path))?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n');
        let whole = whole.map_or(0, |end| end + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64)
                .map_err(DataError::write(&path))?;
            file.seek(SeekFrom::End(0))
                .map_err(DataError::write(&path))?;
        }
        let mut journal = Self {
            path,
            file,
            known: HashMap::new(),
            damaged: 0,
            synced: Instant::now(),
        };
        if whole == 0 {
            journal.write(&serde_json::json!({ "specification": specification }))?;
            journal.sync()?;
            inpo_data::files::sync(dir)?;
        } else {
            journal.read(&bytes[..whole]);
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
        &self.path
    }

    /// Appends a verdict.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn append(&mut self, key: &str, verdict: &Verdict) -> Result<(), DataError> {
        self.write(&Entry::new(key, verdict))?;
        self.known.insert(key.to_owned(), verdict.clone());
        if self.synced.elapsed() >= SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn sync(&mut self) -> Result<(), DataError> {
        let synced = self.file.sync_data();
        // From here on: a disk that takes long is not waited for at every line.
        self.synced = Instant::now();
        synced.map_err(DataError::write(&self.path))
    }

    /// One line in one write.
    fn write(&mut self, entry: &impl Serialize) -> Result<(), DataError> {
        let entry = serde_json::to_string(entry).expect("plain data is JSON");
        let sum = sum(&entry);
        let line = format!("{BEFORE_SUM}{sum}{BEFORE_ENTRY}{entry}}}\n");
        let written = self.file.write_all(line.as_bytes());
        written.map_err(DataError::write(&self.path))
    }

    /// The entries behind the first line, which names the judge.
    fn read(&mut self, bytes: &[u8]) {
        let lines = bytes.split(|&byte| byte == b'\n').skip(1);
        for line in lines.filter(|line| !line.is_empty()) {
            match std::str::from_utf8(line).ok().and_then(entry) {
                Some((key, verdict)) => drop(self.known.insert(key, verdict)),
                None => self.damaged += 1,
            }
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Nobody is left to tell; the lines are written.
        let _ = self.sync();
    }
}

/// The verdict of a line; none of one that is damaged.
fn entry(line: &str) -> Option<(String, Verdict)> {
    let rest = line.strip_prefix(BEFORE_SUM)?;
    let (stated, rest) = rest.split_at_checked(SUM_DIGITS)?;
    let entry = rest.strip_prefix(BEFORE_ENTRY)?.strip_suffix('}')?;
    if sum(entry) != stated {
        return None;
    }
    serde_json::from_str::<Entry>(entry).ok()?.verdict()
}

fn sum(entry: &str) -> String {
    sha256(entry.as_bytes())[..SUM_DIGITS].to_owned()
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
