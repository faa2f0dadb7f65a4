//! Files written whole or not at all, JSON, and the lock of a directory.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::DataError;

/// Writes a file whole or not at all, with the directories above it: to a temporary file beside it, then renamed.
///
/// # Errors
///
/// A file that cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    write_whole_with(path, |temporary| std::fs::write(temporary, bytes))
}

/// [`write_whole`] with a function that writes the temporary file, which exists and is empty.
///
/// # Errors
///
/// A file that cannot be written.
pub fn write_whole_with(
    path: &Path,
    write: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<(), DataError> {
    let dir = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(DataError::write(dir))?;
    let file = tempfile::Builder::new()
        .prefix(".partial-")
        .tempfile_in(dir)
        .map_err(DataError::write(path))?;
    write(file.path()).map_err(DataError::write(path))?;
    // By its name: `write` may have put another file in its place.
    std::fs::File::open(file.path())
        .and_then(|written| share_reading(&written))
        .map_err(DataError::write(path))?;
    file.persist(path)
        .map_err(|e| DataError::write(path)(e.error))?;
    Ok(())
}

/// Gives a temporary file, which only its owner may read, the mode of an ordinary file.
///
/// # Errors
///
/// Those of the operating system.
pub fn share_reading(file: &std::fs::File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        Ok(())
    }
}

/// Holds the directory `root`, which is created when it is missing, for this process until the returned file is
/// dropped.
///
/// # Errors
///
/// Another process that holds it; a directory that cannot be made or written.
pub fn lock(root: &Path) -> Result<std::fs::File, DataError> {
    std::fs::create_dir_all(root).map_err(DataError::write(root))?;
    let path = root.join(".lock");
    let file = std::fs::File::create(&path).map_err(DataError::write(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(DataError::Busy(root.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(DataError::write(&path)(error)),
    }
}

/// Writes one JSON document.
///
/// # Errors
///
/// A file that cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), DataError> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain data is JSON");
    bytes.push(b'\n');
    write_whole(path, &bytes)
}

/// Writes one row a line.
///
/// # Errors
///
/// A file that cannot be written.
pub fn write_jsonl<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), DataError> {
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

    /// Also where the writer puts a file of its own in the temporary one's place, as safetensors' does.
    #[cfg(unix)]
    #[test]
    fn a_written_file_can_be_read_by_others() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let replace = |temporary: &Path| {
            let other = tempfile::NamedTempFile::new_in(dir.path())?;
            std::fs::write(other.path(), b"abc")?;
            other.persist(temporary).map_err(|e| e.error)?;
            Ok(())
        };
        write_whole_with(&path, replace).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
    }
}
