//! The lock of a directory, and what processes that were killed left in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use super::whole::{PARTIAL, make_dirs};
use crate::DataError;

/// The file that is locked.
const LOCK: &str = ".lock";

/// What earlier versions, and libraries in their directories of weights, called temporary files.
const TEMPORARY: &str = ".tmp";

/// Random letters at the end of a temporary name.
const RANDOM: usize = 6;

/// Directories below a locked one in which files are written: a run's, an iteration's, a phase's, a policy's.
const DEPTH: usize = 3;

/// Holds the directory `root`, which is created when it is missing, for this process until the returned file is
/// dropped. What a killed process left half-written in it goes.
///
/// # Errors
///
/// Another process that holds it; a directory that cannot be made or written; a `.lock` that is no regular file.
pub fn lock(root: &Path) -> Result<File, DataError> {
    make_dirs(root).map_err(DataError::write(root))?;
    let file = open_lock(root)?;
    match file.try_lock() {
        Ok(()) => {
            remove_left_overs(root);
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => Err(DataError::Busy(root.to_owned())),
        Err(TryLockError::Error(error)) => Err(DataError::write(&root.join(LOCK))(error)),
    }
}

/// Opens the file by which `dir` is locked, or creates it. What it holds stays.
///
/// # Errors
///
/// A file that cannot be opened; a link, a pipe or anything else that is no regular file.
pub fn open_lock(dir: &Path) -> Result<File, DataError> {
    let path = dir.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    stay_here(&mut options);
    let refused = || DataError::Output {
        path: path.clone(),
        reason:
            "a lock is a file of the directory, and this is a link or no regular file; remove it"
                .to_owned(),
    };
    let file = match options.open(&path) {
        Err(_) if path.is_symlink() => return Err(refused()),
        opened => opened.map_err(DataError::write(&path))?,
    };
    let metadata = file.metadata().map_err(DataError::write(&path))?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(refused())
    }
}

/// Links are not followed, and a pipe is not waited for.
#[cfg(unix)]
fn stay_here(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
}

#[cfg(not(unix))]
fn stay_here(_: &mut OpenOptions) {}

/// Removes the temporary files and directories that killed processes left in `dir`, which this process has locked, and in
/// the directories below it. Links, and files of other names, stay.
pub fn remove_left_overs(dir: &Path) {
    // What cannot be removed only takes room.
    let _ = remove_below(dir, DEPTH);
}

fn remove_below(dir: &Path, depth: usize) -> io::Result<()> {
    let of_weights = dir.file_name().is_some_and(|name| name == "policy");
    for entry in std::fs::read_dir(dir)?.flatten() {
        let (name, path, kind) = (entry.file_name(), entry.path(), entry.file_type()?);
        let name = name.to_string_lossy();
        let partial = is_temporary(&name, PARTIAL);
        let of_library = of_weights && is_temporary(&name, TEMPORARY);
        let _ = if kind.is_dir() && partial {
            std::fs::remove_dir_all(path)
        } else if kind.is_dir() && depth > 0 {
            remove_below(&path, depth - 1)
        } else if kind.is_file() && (partial || of_library) {
            std::fs::remove_file(path)
        } else {
            Ok(())
        };
    }
    Ok(())
}

/// Whether `name` is one that a temporary file is given.
fn is_temporary(name: &str, prefix: &str) -> bool {
    let random = name.strip_prefix(prefix);
    random.is_some_and(|end| end.len() == RANDOM && end.bytes().all(|b| b.is_ascii_alphanumeric()))
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

    #[cfg(unix)]
    #[test]
    fn a_lock_follows_no_link_and_empties_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let (mine, path) = (dir.path().join("mine"), dir.path().join("run/.lock"));
        std::fs::write(&mine, b"precious").unwrap();
        std::fs::create_dir(dir.path().join("run")).unwrap();
        let root = path.parent().unwrap();
        for target in [mine.clone(), dir.path().join("absent")] {
            std::os::unix::fs::symlink(target, &path).unwrap();
            let error = lock(root).unwrap_err();
            assert!(error.is_input(), "{error}");
            assert!(error.to_string().ends_with("remove it"), "{error}");
            std::fs::remove_file(&path).unwrap();
        }
        assert!(!dir.path().join("absent").exists());
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        if made.is_ok_and(|status| status.success()) {
            assert!(lock(root).unwrap_err().is_input());
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::hard_link(&mine, &path).unwrap();
        lock(root).unwrap();
        assert_eq!(std::fs::read(&mine).unwrap(), b"precious");
    }

    #[cfg(unix)]
    #[test]
    fn left_overs_of_killed_processes_go_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (root, mine) = (dir.path().join("run"), dir.path().join("mine"));
        let policy = root.join("iteration-0001/intermediate/policy");
        std::fs::create_dir_all(&policy).unwrap();
        std::fs::create_dir(&mine).unwrap();
        std::fs::write(mine.join(".partial-abc123"), b"").unwrap();
        let gone = [
            root.join(".partial-aB3dE6"),
            policy.join(".partial-000000"),
            policy.join(".tmpaB3dE6"),
        ];
        let kept = [
            root.join(".partial-notes"),
            root.join(".partial-a.b.c."),
            root.join(".tmpaB3dE6"),
            root.join("x.partial-aB3dE6"),
            policy.join("model.safetensors"),
        ];
        for path in gone.iter().chain(&kept) {
            std::fs::write(path, b"x").unwrap();
        }
        std::fs::create_dir(root.join(".partial-direct")).unwrap();
        std::fs::write(root.join(".partial-direct/file"), b"x").unwrap();
        // Links are nobody's left-overs, whatever their names are and wherever they lead.
        let links = [root.join(".partial-linked"), root.join("linked")];
        for link in &links {
            std::os::unix::fs::symlink(&mine, link).unwrap();
        }
        let held = lock(&root).unwrap();
        for path in &gone {
            assert!(!path.exists(), "{}", path.display());
        }
        assert!(!root.join(".partial-direct").exists());
        for path in kept.iter().chain(&links) {
            assert!(path.exists(), "{}", path.display());
        }
        assert!(mine.join(".partial-abc123").exists());
        // Who does not hold the lock removes nothing.
        std::fs::write(&gone[0], b"x").unwrap();
        lock(&root).unwrap_err();
        assert!(gone[0].exists());
        drop(held);
    }
}
