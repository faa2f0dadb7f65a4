//! Outputs that a user names.

use std::fs::{Metadata, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::whole::{FileSystem, behind_links, parent, replace};
use super::{json_bytes, jsonl_bytes};
use crate::DataError;

/// A place that a user named for a result. It is checked before the work, and written after it.
///
/// A file is written whole or not at all, and keeps its mode and owner; behind a symbolic link the link stays, and the
/// file that it leads to is written so. A character device or a pipe is written through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    named: PathBuf,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A file behind all links, which may be absent.
    File(PathBuf),
    /// What is opened and written through.
    Stream,
}

impl Output {
    /// Checks that `path` can be written.
    ///
    /// # Errors
    ///
    /// A directory, a disk, a socket, a read-only file, also for a user who may write everything; a directory in which
    /// nothing can be written.
    pub fn check(path: &Path) -> Result<Self, DataError> {
        let refuse = |reason: &str| Err(refused(path, reason.to_owned()));
        let named = path.to_owned();
        if is_directory_name(path) {
            return refuse("this is the name of a directory; name a file");
        }
        let place = match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                return refuse("this is a directory; name a file in it");
            }
            Ok(metadata) if !metadata.is_file() => {
                let Some(kind) = no_stream(&metadata) else {
                    let place = Place::Stream;
                    return Ok(Self { named, place });
                };
                return refuse(&format!("this is {kind}; name a file"));
            }
            Ok(_) if is_open_file(path) => {
                let place = Place::Stream;
                return Ok(Self { named, place });
            }
            Ok(metadata) if is_read_only(&metadata) => {
                return refuse("this file is read-only; let it be written, or name another file");
            }
            Ok(_) => {
                // Opened, and left as it is: whether it is allowed is known then.
                let opened = OpenOptions::new().append(true).open(path);
                opened.map_err(DataError::write(path))?;
                canonical(path)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                behind_links(path).and_then(|target| canonical(&target))
            }
            Err(error) => Err(error),
        };
        let place = place.map_err(|error| refused(path, error.to_string()))?;
        check_directory(parent(&place))?;
        let place = Place::File(place);
        Ok(Self { named, place })
    }

    /// Checks that the output is none of `inputs`, whatever they are called, and no file of one that is a directory.
    ///
    /// # Errors
    ///
    /// The input that it is.
    pub fn check_apart<P: AsRef<Path>>(
        &self,
        inputs: impl IntoIterator<Item = P>,
    ) -> Result<(), DataError> {
        let Place::File(file) = &self.place else {
            return Ok(());
        };
        let mut inputs = inputs.into_iter();
        match inputs.find(|input| is_part_of(file, input.as_ref(), INPUT_DEPTH)) {
            None => Ok(()),
            Some(input) => {
                let input = input.as_ref();
                let which = if input == self.named {
                    "this file is read".to_owned()
                } else {
                    format!(
                        "this is {}, or a file of it, which is read",
                        input.display()
                    )
                };
                Err(refused(&self.named, format!("{which}; name another file")))
            }
        }
    }

    /// Whether both are the same file.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        matches!((&self.place, &other.place), (Place::File(a), Place::File(b)) if a == b)
            || self
                .file()
                .zip(other.file())
                .is_some_and(|(a, b)| is_part_of(a, b, 0))
    }

    /// The path that the user named.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.named
    }

    /// The file that is written, behind all links; none of what is written through.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.place {
            Place::File(file) => Some(file),
            Place::Stream => None,
        }
    }

    /// Writes what `write` writes. A reader of a pipe who has seen enough is no error.
    ///
    /// # Errors
    ///
    /// What cannot be written; those of `write`.
    pub fn write_with(
        &self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), DataError> {
        let written = match &self.place {
            Place::File(file) => {
                let like = file.metadata().ok();
                replace(&mut FileSystem, file, like.as_ref(), write)
            }
            Place::Stream => match self.write_through(write) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                written => written,
            },
        };
        written.map_err(DataError::write(&self.named))
    }

    fn write_through(
        &self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        // At the end, where what is open is a file.
        let file = OpenOptions::new().append(true).open(&self.named)?;
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.flush()
    }

    /// Writes bytes.
    ///
    /// # Errors
    ///
    /// What cannot be written.
    pub fn write(&self, bytes: &[u8]) -> Result<(), DataError> {
        self.write_with(|out| out.write_all(bytes))
    }

    /// Writes one JSON document.
    ///
    /// # Errors
    ///
    /// What cannot be written.
    pub fn write_json(&self, value: &impl Serialize) -> Result<(), DataError> {
        self.write(&json_bytes(value))
    }

    /// Writes one row a line.
    ///
    /// # Errors
    ///
    /// What cannot be written.
    pub fn write_jsonl<T: Serialize>(&self, rows: &[T]) -> Result<(), DataError> {
        self.write(&jsonl_bytes(rows))
    }
}

/// Checks that `dir`, or where it is missing the nearest directory above it, is one in which files can be created.
///
/// # Errors
///
/// A file in the place of a directory; a directory that cannot be written.
pub fn check_directory(dir: &Path) -> Result<(), DataError> {
    match std::fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => {
            let created = tempfile::tempfile_in(dir);
            created.map(drop).map_err(DataError::write(dir))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !dir.is_symlink() => {
            check_directory(parent(dir))
        }
        _ => Err(refused(
            dir,
            "this is no directory; name another place".to_owned(),
        )),
    }
}

fn refused(path: &Path, reason: String) -> DataError {
    let path = path.to_owned();
    DataError::Output { path, reason }
}

/// Directories within an input that is one, as a model's: its files, and its templates.
const INPUT_DEPTH: usize = 2;

/// Whether `input`, or a file in so many levels of it, is the file `output`.
fn is_part_of(output: &Path, input: &Path, depth: usize) -> bool {
    let (Ok(ours), Ok(theirs)) = (output.metadata(), input.metadata()) else {
        return false;
    };
    if theirs.is_dir() && depth > 0 {
        let entries = std::fs::read_dir(input).into_iter().flatten().flatten();
        return entries
            .into_iter()
            .any(|entry| is_part_of(output, &entry.path(), depth - 1));
    }
    is_same(&ours, &theirs)
}

/// The path with the directories that exist in one spelling, of a file that may be absent.
fn canonical(path: &Path) -> io::Result<PathBuf> {
    if path.exists() {
        return path.canonicalize();
    }
    let Some(name) = path.file_name() else {
        return Err(io::Error::other("this is no name of a file"));
    };
    let dir = parent(path);
    // What is not there yet has no other spelling.
    let dir = dir.canonicalize().unwrap_or(dir.to_owned());
    Ok(dir.join(name))
}

/// Whether the path ends as that of a directory: `out/`.
fn is_directory_name(path: &Path) -> bool {
    let ends = |byte: &u8| std::path::is_separator(char::from(*byte));
    path.as_os_str().is_empty() || path.as_os_str().as_encoded_bytes().last().is_some_and(ends)
}

/// Whether the path is that of a file which is open, such as `/dev/stdout`: others write to it too.
fn is_open_file(path: &Path) -> bool {
    let mut place = path.to_owned();
    // The names that lead there, of which one is in /proc.
    while let Ok(target) = std::fs::read_link(&place) {
        let dir = parent(&place).canonicalize().unwrap_or_default();
        if dir.starts_with("/proc") || dir.starts_with("/dev/fd") {
            return true;
        }
        place = parent(&place).join(target);
    }
    false
}

/// Whether its owner may not write a file: another user who may, as root, would have to mean it.
#[cfg(unix)]
fn is_read_only(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    const OWNER_WRITES: u32 = 0o200;
    metadata.permissions().mode() & OWNER_WRITES == 0
}

#[cfg(not(unix))]
fn is_read_only(metadata: &Metadata) -> bool {
    metadata.permissions().readonly()
}

#[cfg(unix)]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    false
}

/// What it is that cannot be written through, in words.
#[cfg(unix)]
fn no_stream(metadata: &Metadata) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_char_device() || kind.is_fifo() {
        None
    } else if kind.is_block_device() {
        Some("a disk, all of which would be lost")
    } else {
        Some("a socket")
    }
}

#[cfg(not(unix))]
fn no_stream(_: &Metadata) -> Option<&'static str> {
    Some("no file")
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn refusal(path: &Path) -> String {
        let error = Output::check(path).unwrap_err();
        assert!(error.is_input(), "{error}");
        let (path, text) = (path.display().to_string(), error.to_string());
        text.strip_prefix(&format!("{path}: ")).unwrap().to_owned()
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn files_and_links_to_them_are_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let fresh = Output::check(&at("new/deep/file")).unwrap();
        assert!(!at("new").exists(), "nothing is made before the work");
        fresh.write(b"fresh").unwrap();
        assert_eq!(read(&at("new/deep/file")), "fresh");

        std::fs::write(at("file"), "old").unwrap();
        set_mode(&at("file"), 0o600);
        symlink("file", at("link")).unwrap();
        symlink(at("link"), at("new/link")).unwrap();
        let before = at("file").metadata().unwrap().ino();
        let through = Output::check(&at("new/link")).unwrap();
        assert_eq!(read(&at("file")), "old");
        through.write(b"written").unwrap();
        assert_eq!(read(&at("file")), "written");
        assert!(at("link").is_symlink() && at("new/link").is_symlink());
        let after = at("file").metadata().unwrap();
        assert_ne!(after.ino(), before, "it was replaced whole");
        assert_eq!(after.permissions().mode() & 0o777, 0o600);
        // A link to nothing yet.
        symlink("new/later", at("dangling")).unwrap();
        Output::check(&at("dangling")).unwrap().write(b"x").unwrap();
        assert_eq!(read(&at("new/later")), "x");
        assert!(at("dangling").is_symlink());
        // What fails midway changes nothing.
        let failed = through.write_with(|out| {
            out.write_all(b"half")?;
            Err(io::Error::other("full"))
        });
        assert!(!failed.unwrap_err().is_input());
        assert_eq!(read(&at("file")), "written");
        let left = |name: &str| name.starts_with(".partial-");
        let names = std::fs::read_dir(dir.path()).unwrap().flatten();
        assert!(
            !names
                .into_iter()
                .any(|e| left(&e.file_name().to_string_lossy()))
        );
    }

    #[test]
    fn what_is_no_file_is_written_through_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let null = Output::check(Path::new("/dev/null")).unwrap();
        assert_eq!(null.file(), None);
        null.write(b"gone").unwrap();
        let kind = std::fs::symlink_metadata("/dev/null").unwrap().file_type();
        assert!(kind.is_char_device());

        let fifo = at("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        let piped = Output::check(&fifo).unwrap();
        let reader = {
            let fifo = fifo.clone();
            std::thread::spawn(move || read(&fifo))
        };
        piped.write(b"through").unwrap();
        assert_eq!(reader.join().unwrap(), "through");
        let kind = std::fs::symlink_metadata(&fifo).unwrap().file_type();
        assert!(kind.is_fifo());

        let socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        assert_eq!(refusal(&at("socket")), "this is a socket; name a file");
        drop(socket);
        assert_eq!(
            refusal(dir.path()),
            "this is a directory; name a file in it"
        );
        let named = "this is the name of a directory; name a file";
        assert_eq!(refusal(&at("absent/")), named);
        assert_eq!(refusal(Path::new("")), named);
        std::fs::write(at("file"), "mine").unwrap();
        set_mode(&at("file"), 0o444);
        symlink("file", at("link")).unwrap();
        for name in ["file", "link"] {
            assert!(refusal(&at(name)).starts_with("this file is read-only;"));
        }
        let error = Output::check(&at("file/out")).unwrap_err().to_string();
        assert!(error.contains("Not a directory"), "{error}");
        symlink("loop", at("loop")).unwrap();
        assert!(Output::check(&at("loop")).is_err());
        assert!(!at("absent").exists());
    }

    #[test]
    fn an_output_is_no_input_under_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("model/templates")).unwrap();
        for name in ["rows", "other", "model/weights", "model/templates/one"] {
            std::fs::write(at(name), name).unwrap();
        }
        symlink("rows", at("link")).unwrap();
        std::fs::hard_link(at("rows"), at("second")).unwrap();
        let inputs = [at("rows"), at("model"), at("absent")];
        for name in [
            "rows",
            "link",
            "second",
            "model/../rows",
            "model/weights",
            "model/templates/one",
        ] {
            let output = Output::check(&at(name)).unwrap();
            let error = output.check_apart(&inputs).unwrap_err();
            assert!(error.is_input(), "{error}");
            let text = error.to_string();
            assert!(text.ends_with("read; name another file"), "{text}");
        }
        for name in ["other", "new", "model/new", "absent"] {
            let output = Output::check(&at(name)).unwrap();
            output.check_apart(&inputs).unwrap();
        }
        let null = Output::check(Path::new("/dev/null")).unwrap();
        null.check_apart(["/dev/null"]).unwrap();

        let check = |name: &str| Output::check(&at(name)).unwrap();
        for (a, b) in [
            ("new", "model/../new"),
            ("rows", "link"),
            ("rows", "second"),
        ] {
            assert!(check(a).is_same_file(&check(b)), "{a} {b}");
        }
        assert!(!check("new").is_same_file(&check("other")));
        assert!(!null.is_same_file(&null));
    }
}
