//! Opening files that others name: what is not a file is refused before it is read.
//!
//! A device may have no end, and a pipe without a writer no beginning. So an input is a regular file, or a pipe
//! where it is read once from start to end.

use std::fs::{File, FileType, Metadata};
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// The most bytes of a text that is read whole: 64 MiB.
pub const LARGEST_TEXT: u64 = 64 << 20;

/// Opens a regular file, also through symbolic links.
///
/// # Errors
///
/// A path that is something else, with the word for it; those of the operating system.
pub fn open(path: &Path) -> Result<File> {
    check(&std::fs::metadata(path)?, false)?;
    File::open(path)
}

/// Opens a regular file or a pipe, to be read once.
///
/// # Errors
///
/// As [`open`].
pub fn open_stream(path: &Path) -> Result<File> {
    check(&std::fs::metadata(path)?, true)?;
    File::open(path)
}

/// Reads a regular file of any size.
///
/// # Errors
///
/// As [`open`].
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a text, such as a configuration, from a regular file or a pipe.
///
/// # Errors
///
/// As [`open`]; more than [`LARGEST_TEXT`] bytes; bytes that are not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let mut limited = open_stream(path)?.take(LARGEST_TEXT + 1);
    limited.read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_TEXT {
        let limit = LARGEST_TEXT >> 20;
        return Err(refused(format!("it holds more than {limit} MiB of text")));
    }
    let reason = |e: std::string::FromUtf8Error| {
        let offset = e.utf8_error().valid_up_to();
        Error::new(
            ErrorKind::InvalidData,
            format!("it is not UTF-8 text: byte {offset} is not part of a character"),
        )
    };
    String::from_utf8(bytes).map_err(reason)
}

/// Whether a regular file is there. What is there and is not one, a broken link for example, is an error and not
/// absence.
///
/// # Errors
///
/// As [`open`].
pub fn is_there(path: &Path) -> Result<bool> {
    match std::fs::symlink_metadata(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(error),
        Ok(_) => {
            let metadata = std::fs::metadata(path).map_err(|error| {
                let broken = error.kind() == ErrorKind::NotFound;
                if broken {
                    refused("it is a link to what does not exist".to_owned())
                } else {
                    error
                }
            })?;
            check(&metadata, false).map(|()| true)
        }
    }
}

fn check(metadata: &Metadata, stream: bool) -> Result<()> {
    if metadata.is_file() || (stream && is_pipe(metadata.file_type())) {
        return Ok(());
    }
    let what = kind(metadata);
    Err(refused(format!("it is {what}, and not a file")))
}

fn refused(reason: String) -> Error {
    Error::new(ErrorKind::InvalidInput, reason)
}

#[cfg(unix)]
fn is_pipe(kind: FileType) -> bool {
    use std::os::unix::fs::FileTypeExt;
    kind.is_fifo()
}

#[cfg(not(unix))]
fn is_pipe(_: FileType) -> bool {
    false
}

#[cfg(unix)]
fn kind(metadata: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() {
        "a directory"
    } else {
        "a device"
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    fn says<T: std::fmt::Debug>(result: Result<T>, want: &str) {
        let got = result.unwrap_err().to_string();
        assert!(got.contains(want), "{got:?} does not contain {want:?}");
    }

    /// A device that never ends and a pipe that nobody writes to come back at once.
    #[test]
    fn what_is_not_a_file_is_refused_before_it_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let zero = PathBuf::from("/dev/zero");
        says(open(&zero), "it is a device");
        says(open_stream(&zero), "it is a device");
        says(read_text(&zero), "it is a device");
        says(open(dir.path()), "it is a directory");
        says(open_stream(dir.path()), "it is a directory");
        says(open(&pipe), "it is a pipe");
        says(read(&pipe), "it is a pipe");
    }

    #[test]
    fn a_stream_may_be_a_pipe() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let writer = {
            let pipe = pipe.clone();
            std::thread::spawn(move || std::fs::write(pipe, "abc"))
        };
        assert_eq!(read_text(&pipe).unwrap(), "abc");
        writer.join().unwrap().unwrap();
    }

    #[test]
    fn a_broken_link_and_a_directory_are_not_absence() {
        let dir = tempfile::tempdir().unwrap();
        let [absent, link, file] = ["absent", "link", "file"].map(|name| dir.path().join(name));
        assert!(!is_there(&absent).unwrap());
        assert!(!is_there(&absent.join("below")).unwrap());
        symlink(&absent, &link).unwrap();
        says(is_there(&link), "it is a link to what does not exist");
        says(is_there(dir.path()), "it is a directory");
        std::fs::write(&file, "").unwrap();
        std::fs::remove_file(&link).unwrap();
        symlink(&file, &link).unwrap();
        assert!(is_there(&link).unwrap() && is_there(&file).unwrap());
    }

    #[test]
    fn a_text_is_utf8_and_has_an_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"ab\xff").unwrap();
        says(read_text(file.path()), "not UTF-8 text: byte 2");
        file.as_file().set_len(LARGEST_TEXT + 1).unwrap();
        says(read_text(file.path()), "more than 64 MiB");
    }
}
