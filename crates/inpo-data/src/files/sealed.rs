//! A log whose lines say whether they are whole: entries that cost something, appended as they come.
//!
//! A line is `{"sum":"..","entry":{..}}`: the sum is the first 16 digits of the sha256 of the entry as it is written. A last
//! line without its end was torn by a crash and is cut off.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::{DataError, sha256};

/// Written lines reach the disk this long after they were written, if not before: the kernel holds them until then, so
/// that only a machine that fails loses them.
const SYNC_EVERY: Duration = Duration::from_secs(1);

const BEFORE_SUM: &str = r#"{"sum":""#;
const BEFORE_ENTRY: &str = r#"","entry":"#;
const SUM_DIGITS: usize = 16;

/// A file of sealed lines, held by this process.
#[derive(Debug)]
pub struct SealedLog {
    path: PathBuf,
    file: File,
    synced: Instant,
}

impl SealedLog {
    /// Opens the file, or makes it and the directories above it. Returns the JSON of each entry as it was written, none for a
    /// line whose sum is wrong.
    ///
    /// # Errors
    ///
    /// A file that another process has open, that cannot be read or written.
    pub fn open(path: &Path) -> Result<(Self, Vec<Option<String>>), DataError> {
        super::whole::make_dirs(super::whole::parent(path)).map_err(DataError::write(path))?;
        let mut options = OpenOptions::new();
        let options = options.read(true).append(true).create(true);
        let mut file = options.open(path).map_err(DataError::write(path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataError::Busy(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(DataError::write(path)(error)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(DataError::read(path))?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n');
        let whole = whole.map_or(0, |end| end + 1);
        if whole < bytes.len() {
            cut(&mut file, whole).map_err(DataError::write(path))?;
        }
        let lines = bytes[..whole].split(|&byte| byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        let entries = lines.map(|line| std::str::from_utf8(line).ok().and_then(entry));
        let entries = entries.map(|entry| entry.map(str::to_owned)).collect();
        let log = Self {
            path: path.to_owned(),
            file,
            synced: Instant::now(),
        };
        Ok((log, entries))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends an entry, in one write.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn append(&mut self, entry: &impl Serialize) -> Result<(), DataError> {
        let entry = serde_json::to_string(entry).expect("plain data is JSON");
        let sum = sum(&entry);
        let line = format!("{BEFORE_SUM}{sum}{BEFORE_ENTRY}{entry}}}\n");
        let written = self.file.write_all(line.as_bytes());
        written.map_err(DataError::write(&self.path))?;
        if self.synced.elapsed() >= SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    /// Removes every entry.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn clear(&mut self) -> Result<(), DataError> {
        cut(&mut self.file, 0).map_err(DataError::write(&self.path))
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
}

impl Drop for SealedLog {
    fn drop(&mut self) {
        // Nobody is left to tell; the lines are written.
        let _ = self.sync();
    }
}

fn cut(file: &mut File, length: usize) -> std::io::Result<()> {
    file.set_len(length as u64)?;
    file.seek(SeekFrom::End(0)).map(drop)
}

/// The entry of a line; none of one that is damaged.
fn entry(line: &str) -> Option<&str> {
    let rest = line.strip_prefix(BEFORE_SUM)?;
    let (stated, rest) = rest.split_at_checked(SUM_DIGITS)?;
    let entry = rest.strip_prefix(BEFORE_ENTRY)?.strip_suffix('}')?;
    (sum(entry) == stated).then_some(entry)
}

fn sum(entry: &str) -> String {
    sha256(entry.as_bytes())[..SUM_DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_lines_come_back_and_others_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder/log.jsonl");
        let (mut log, entries) = SealedLog::open(&path).unwrap();
        assert!(entries.is_empty());
        for number in 0..3 {
            log.append(&json!({ "n": number, "text": "a \"b\"\n" }))
                .unwrap();
        }
        let held = SealedLog::open(&path).unwrap_err().to_string();
        assert!(held.contains("another process"), "{held}");
        drop(log);
        let text = std::fs::read_to_string(&path).unwrap();
        let torn = text.replacen("\"n\":1", "\"n\":7", 1) + "{\"sum\":\"0123";
        std::fs::write(&path, torn).unwrap();
        let (mut log, entries) = SealedLog::open(&path).unwrap();
        let first = r#"{"n":0,"text":"a \"b\"\n"}"#;
        let third = first.replace('0', "2");
        assert_eq!(
            entries,
            [Some(first.to_owned()), None, Some(third.to_owned())]
        );
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("}\n"));
        log.clear().unwrap();
        log.append(&json!({ "n": 9 })).unwrap();
        drop(log);
        let (_, entries) = SealedLog::open(&path).unwrap();
        assert_eq!(entries, [Some("{\"n\":9}".to_owned())]);
    }
}
