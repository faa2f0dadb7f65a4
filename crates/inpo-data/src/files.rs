//! Files written whole or not at all, outputs that a user names, JSON, and the lock of a directory.

mod lock;
mod output;
mod sealed;
mod whole;

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::DataError;

pub use lock::{lock, open_lock, remove_left_overs};
pub use output::{Output, check_directory};
pub use sealed::SealedLog;
pub use whole::{share_reading, sync, write_whole, write_whole_with};

/// Writes one JSON document.
///
/// # Errors
///
/// A file that cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), DataError> {
    write_whole(path, &json_bytes(value))
}

fn json_bytes(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain data is JSON");
    bytes.push(b'\n');
    bytes
}

/// Writes one row a line.
///
/// # Errors
///
/// A file that cannot be written.
pub fn write_jsonl<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), DataError> {
    write_whole(path, &jsonl_bytes(rows))
}

fn jsonl_bytes<T: Serialize>(rows: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut bytes, row).expect("plain data is JSON");
        bytes.push(b'\n');
    }
    bytes
}

/// Appends one row to a log. The row is on the disk after [`sync`].
///
/// # Errors
///
/// A file that cannot be written.
pub fn append_jsonl(path: &Path, row: &impl Serialize) -> Result<(), DataError> {
    let mut bytes = serde_json::to_vec(row).expect("plain data is JSON");
    bytes.push(b'\n');
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(&bytes))
        .map_err(DataError::write(path))
}

/// Reads one JSON document.
///
/// # Errors
///
/// A file that cannot be read or does not hold what it should.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, DataError> {
    let bytes = crate::input::read(path).map_err(DataError::read(path))?;
    serde_json::from_slice(&bytes).map_err(|e| DataError::artefact(path)(e.to_string()))
}
