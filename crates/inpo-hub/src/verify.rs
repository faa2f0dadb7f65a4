//! Whether a cached file is the published one, and who may write it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use inpo_data::files::{open_lock, remove_left_overs, write_whole};
use inpo_data::{DataError, sha256_file};

use crate::{Progress, Watch};

/// What is known of a cached file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    Absent,
    Good,
    /// It is not the published file; `found` is its size or its digest.
    Wrong {
        found: String,
    },
}

/// Compares a file with its published size and sha256.
///
/// The digest is computed once: a marker beside the file then records size, modification time and
/// digest. A file that was changed since is hashed again.
pub(super) fn check(path: &Path, bytes: u64, sha256: &str) -> Result<State, DataError> {
    let Ok(metadata) = std::fs::metadata(path) else {
        return Ok(State::Absent);
    };
    if metadata.len() != bytes {
        return Ok(State::Wrong {
            found: format!("{} bytes instead of {bytes}", metadata.len()),
        });
    }
    let modified = metadata.modified().map_err(DataError::read(path))?;
    let modified = modified
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos());
    let mark = format!("{bytes} {modified} {sha256}\n");
    let marker = marker(path);
    if std::fs::read_to_string(&marker).is_ok_and(|text| text == mark) {
        return Ok(State::Good);
    }
    let found = sha256_file(path)?;
    if found != sha256 {
        return Ok(State::Wrong { found });
    }
    // A cache that cannot be written only costs the hash again.
    let _ = write_whole(&marker, mark.as_bytes());
    Ok(State::Good)
}

fn marker(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".ok");
    path.with_file_name(name)
}

/// Waits for the right to write into a directory; dropping the result gives it back.
pub(super) fn lock(dir: &Path, watch: Watch<'_>) -> Result<File, DataError> {
    let file = open_lock(dir)?;
    if file.try_lock().is_err() {
        let shown = dir.display();
        let note = format!("waiting for another process that is fetching into {shown}");
        watch(Progress::Note(&note));
        file.lock().map_err(DataError::write(&dir.join(".lock")))?;
    }
    remove_left_overs(dir);
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use inpo_data::sha256;

    #[test]
    fn a_marked_file_is_hashed_again_only_when_it_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model");
        let digest = sha256(b"abc");
        assert_eq!(check(&path, 3, &digest).unwrap(), State::Absent);

        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(check(&path, 3, &digest).unwrap(), State::Good);
        assert!(marker(&path).is_file());

        // The marker is believed: with its mark for another digest, no hash is computed.
        let text = std::fs::read_to_string(marker(&path)).unwrap();
        std::fs::write(marker(&path), text.replace(&digest, "other")).unwrap();
        assert_eq!(check(&path, 3, "other").unwrap(), State::Good);
        assert_eq!(
            check(&path, 3, &digest).unwrap(),
            State::Good,
            "hashed again"
        );

        let later = std::fs::metadata(&path).unwrap().modified().unwrap()
            + std::time::Duration::from_secs(1);
        std::fs::write(&path, b"abd").unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(later)
            .unwrap();
        assert_eq!(
            check(&path, 3, &digest).unwrap(),
            State::Wrong {
                found: sha256(b"abd")
            }
        );

        std::fs::write(&path, b"ab").unwrap();
        let found = "2 bytes instead of 3".to_owned();
        assert_eq!(check(&path, 3, &digest).unwrap(), State::Wrong { found });
    }

    #[test]
    fn one_lock_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path(), &mut |_| ()).unwrap();
        let other = File::options()
            .write(true)
            .open(dir.path().join(".lock"))
            .unwrap();
        assert!(other.try_lock().is_err());
        drop(held);
        assert!(other.try_lock().is_ok());
    }
}
