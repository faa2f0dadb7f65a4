//! Files written whole or not at all, and JSONL.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::error::TrainError;

/// Writes `bytes` under a temporary name beside `path`, then renames: the file is whole or absent.
///
/// # Errors
///
/// A file that cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|e| TrainError::io(dir, e))?;
    }
    Ok(inpo_policy::files::write_whole(path, bytes)?)
}

/// Holds the directory `root` for this process, which is created when it is missing, until the file is
/// dropped: two runs in one directory would mix their rows.
///
/// # Errors
///
/// Another process that holds it; a directory that cannot be made or written.
pub(crate) fn lock(root: &Path) -> Result<std::fs::File, TrainError> {
    std::fs::create_dir_all(root).map_err(|e| TrainError::io(root, e))?;
    let path = root.join(".lock");
    let file = std::fs::File::create(&path).map_err(|e| TrainError::io(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(TrainError::Busy(root.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(TrainError::io(&path, error)),
    }
}

/// Writes one JSON document.
///
/// # Errors
///
/// A file that cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain data is JSON");
    bytes.push(b'\n');
    write_whole(path, &bytes)
}

/// Writes one row a line.
///
/// # Errors
///
/// A file that cannot be written.
pub fn write_jsonl<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), TrainError> {
    let mut bytes = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut bytes, row).expect("plain data is JSON");
        bytes.push(b'\n');
    }
    write_whole(path, &bytes)
}

/// Appends one row to a log.
///
/// # Errors
///
/// A file that cannot be written.
pub fn append_jsonl(path: &Path, row: &impl Serialize) -> Result<(), TrainError> {
    let mut bytes = serde_json::to_vec(row).expect("plain data is JSON");
    bytes.push(b'\n');
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(&bytes))
        .map_err(|e| TrainError::io(path, e))
}

/// Reads one JSON document.
///
/// # Errors
///
/// A file that cannot be read or does not hold what it should.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, TrainError> {
    let bytes = std::fs::read(path).map_err(|e| TrainError::io(path, e))?;
    serde_json::from_slice(&bytes).map_err(|e| TrainError::Artefact {
        path: path.to_owned(),
        reason: e.to_string(),
    })
}

/// Reads rows of a known type.
///
/// # Errors
///
/// A file that cannot be read; a row that does not fit, with its line.
pub fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, TrainError> {
    read_lines(path, |_, columns| {
        serde_json::from_value(Value::Object(columns)).map_err(|e| e.to_string())
    })
}

/// Reads JSON objects line by line; blank lines are skipped. `parse` gets the line number, from 1.
pub(crate) fn read_lines<T>(
    path: &Path,
    mut parse: impl FnMut(usize, Map<String, Value>) -> Result<T, String>,
) -> Result<Vec<T>, TrainError> {
    let file = std::fs::File::open(path).map_err(|e| TrainError::io(path, e))?;
    let mut rows = Vec::new();
    for (index, text) in BufReader::new(file).lines().enumerate() {
        let fail = |reason: String| TrainError::Row {
            path: path.to_owned(),
            line: index + 1,
            reason,
        };
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
        rows.push(parse(index + 1, columns).map_err(fail)?);
    }
    Ok(rows)
}

/// sha256 of `bytes`, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_for_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("run");
        let held = lock(&root).unwrap();
        let error = lock(&root).unwrap_err().to_string();
        assert!(
            error.starts_with("another process is running in "),
            "{error}"
        );
        drop(held);
        lock(&root).unwrap();
    }

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
}
