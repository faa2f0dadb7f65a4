//! Files that are replaced as a whole, and that are on the disk when the call returns.
//!
//! The order is that of every such writer: the content is written under another name and synced, the name is changed, and
//! the directory is synced. A machine that fails at any moment leaves the old content or the new one.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::DataError;

/// What the names of temporary files and directories begin with.
pub(super) const PARTIAL: &str = ".partial-";

/// The calls of the file system whose order decides what a failing machine leaves.
pub(super) trait Disk {
    /// Writes what a file holds, or which names a directory has, to the disk.
    fn sync(&mut self, path: &Path) -> io::Result<()>;
    /// Gives a file another name, in the place of the file that has it.
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
}

/// The file system.
pub(super) struct FileSystem;

impl Disk for FileSystem {
    fn sync(&mut self, path: &Path) -> io::Result<()> {
        sync_path(path)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }
}

/// Writes a file whole or not at all, with the directories above it.
///
/// # Errors
///
/// A file that cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let write = |out: &mut dyn Write| out.write_all(bytes);
    replace(&mut FileSystem, path, None, write).map_err(DataError::write(path))
}

/// [`write_whole`] with a function that writes to the path that it is given, perhaps with files of its own beside it: they
/// are in a directory that goes afterwards.
///
/// # Errors
///
/// A file that cannot be written.
pub fn write_whole_with(
    path: &Path,
    write: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), DataError> {
    let replaced = || {
        let dir = parent(path);
        make_dirs(dir)?;
        let temporary = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(dir)?;
        let file = temporary.path().join("file");
        let mode = File::create(&file)?.metadata()?.permissions();
        write(&file)?;
        // By its name: `write` may have put another file in its place, that only its owner may read.
        std::fs::set_permissions(&file, mode)?;
        put(&mut FileSystem, &file, path)
    };
    replaced().map_err(DataError::write(path))
}

/// Writes a temporary file beside `path` and puts it there, with the mode and owner of the file `like`.
pub(super) fn replace(
    disk: &mut impl Disk,
    path: &Path,
    like: Option<&Metadata>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let dir = parent(path);
    make_dirs(dir)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL);
    let mode = ordinary_mode();
    if let Some(mode) = &mode {
        builder.permissions(mode.clone());
    }
    let (file, temporary) = builder.tempfile_in(dir)?.into_parts();
    let mut out = BufWriter::new(&file);
    write(&mut out)?;
    out.flush()?;
    drop(out);
    if let Some(like) = like {
        file.set_permissions(like.permissions())?;
        keep_owner(&file, like);
    }
    put(disk, &temporary, path)?;
    // It has another name now.
    temporary.keep().map(drop).map_err(|error| error.error)
}

/// Gives a written file its name, for good.
fn put(disk: &mut impl Disk, temporary: &Path, path: &Path) -> io::Result<()> {
    disk.sync(temporary)?;
    match disk.rename(temporary, path) {
        // A file that is mounted, as into a container, has its name for good: its content is replaced.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            std::fs::copy(temporary, path)?;
            disk.sync(path)?;
            std::fs::remove_file(temporary)
        }
        Err(error) => Err(error),
        Ok(()) => disk.sync(parent(path)),
    }
}

/// Creates `dir` and the directories above it, each of them on the disk.
///
/// # Errors
///
/// Those of the operating system.
pub(super) fn make_dirs(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = parent(dir);
    make_dirs(above)?;
    match std::fs::create_dir(dir) {
        // Another process was first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_path(above),
    }
}

/// The directory that `path` lies in.
pub(super) fn parent(path: &Path) -> &Path {
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Writes what a file holds, or which names a directory has, to the disk: what was appended to a log, or a file that is gone.
///
/// # Errors
///
/// A file that cannot be opened or written.
pub fn sync(path: &Path) -> Result<(), DataError> {
    sync_path(path).map_err(DataError::write(path))
}

fn sync_path(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) && path.is_dir() {
        return Ok(());
    }
    match File::open(path)?.sync_all() {
        // A file system that does not sync directories.
        Err(error) if path.is_dir() && is_unsupported(&error) => Ok(()),
        synced => synced,
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::InvalidInput, io::ErrorKind::Unsupported];
    kinds.contains(&error.kind())
}

/// The mode of a new file before the umask: that of a temporary one lets only its owner read.
#[cfg(unix)]
fn ordinary_mode() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn ordinary_mode() -> Option<Permissions> {
    None
}

/// Keeps the owner of a file that is replaced, where that is allowed.
#[cfg(unix)]
fn keep_owner(file: &File, like: &Metadata) {
    use std::os::unix::fs::{MetadataExt, fchown};
    let _ = fchown(file, Some(like.uid()), Some(like.gid()));
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &Metadata) {}

/// Gives a temporary file, which only its owner may read, the mode of an ordinary file.
///
/// # Errors
///
/// Those of the operating system.
pub fn share_reading(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(Permissions::from_mode(0o644))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        Ok(())
    }
}

/// The file behind symbolic links, which need not exist.
///
/// # Errors
///
/// Links without an end.
pub(super) fn behind_links(path: &Path) -> io::Result<PathBuf> {
    // As many as Linux follows.
    const MOST: usize = 40;
    let mut place = path.to_owned();
    for _ in 0..MOST {
        match std::fs::read_link(&place) {
            Ok(target) => place = parent(&place).join(target),
            Err(_) => return Ok(place),
        }
    }
    let message = "too many levels of symbolic links";
    Err(io::Error::other(message))
}

#[cfg(all(test, unix))]
mod tests {
    use std::collections::HashMap;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    /// A disk of a machine that may fail after any call. What was not synced may be lost then: the content of a file, so
    /// that it is empty, and the names of a directory, which are the old ones or the new ones.
    struct Failing<'a> {
        watched: &'a Path,
        contents: HashMap<u64, Vec<u8>>,
        names: HashMap<PathBuf, u64>,
        /// What the watched file could hold after a failure, one entry a call.
        found: Vec<Vec<Vec<u8>>>,
    }

    impl<'a> Failing<'a> {
        /// A disk that has all of the watched file.
        fn new(watched: &'a Path) -> Self {
            let mut disk = Self {
                watched,
                contents: HashMap::new(),
                names: HashMap::new(),
                found: Vec::new(),
            };
            disk.sync(watched).unwrap();
            disk.sync(parent(watched)).unwrap();
            disk.found.clear();
            disk
        }

        fn look(&mut self) {
            let on_disk = self.names.get(self.watched).copied();
            let in_memory = inode(self.watched).filter(|inode| Some(*inode) != on_disk);
            let content = |inode| self.contents.get(&inode).cloned().unwrap_or_default();
            let states = [on_disk, in_memory].into_iter().flatten().map(content);
            self.found.push(states.collect());
        }
    }

    impl Disk for Failing<'_> {
        fn sync(&mut self, path: &Path) -> io::Result<()> {
            if path.is_dir() {
                self.names.retain(|name, _| parent(name) != path);
                let entries = std::fs::read_dir(path)?.flatten();
                let named = entries.filter_map(|e| Some((e.path(), inode(&e.path())?)));
                self.names.extend(named);
            } else {
                let inode = inode(path).unwrap();
                self.contents.insert(inode, std::fs::read(path)?);
            }
            self.look();
            Ok(())
        }

        fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
            std::fs::rename(from, to)?;
            self.look();
            Ok(())
        }
    }

    fn inode(path: &Path) -> Option<u64> {
        path.metadata().ok().map(|metadata| metadata.ino())
    }

    #[test]
    fn a_failing_machine_leaves_the_old_content_or_the_new() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"old").unwrap();
        // Its number is not given to another file.
        std::fs::hard_link(&path, dir.path().join("kept")).unwrap();
        let mut disk = Failing::new(&path);
        let write = |out: &mut dyn Write| out.write_all(b"new");
        replace(&mut disk, &path, None, write).unwrap();
        assert_eq!(disk.found.len(), 3);
        for found in disk.found.concat() {
            assert!(found == b"old" || found == b"new", "{found:?}");
        }
        // Nothing is left to chance when the call returns.
        assert_eq!(*disk.found.last().unwrap(), [b"new"]);

        // The same disk shows what a rename alone may leave.
        let careless = dir.path().join("careless");
        std::fs::write(&careless, b"newer").unwrap();
        disk.rename(&careless, &path).unwrap();
        assert_eq!(*disk.found.last().unwrap(), [b"new".to_vec(), Vec::new()]);
    }

    /// Also where the writer puts a file of its own in the temporary one's place, as safetensors' does.
    #[test]
    fn a_written_file_can_be_read_by_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/file");
        let ordinary = File::create(dir.path().join("ordinary")).unwrap();
        let mode = |file: std::io::Result<Metadata>| file.unwrap().permissions().mode();
        let expected = mode(ordinary.metadata());
        write_whole(&path, b"a").unwrap();
        assert_eq!(mode(path.metadata()), expected);
        let replace = |temporary: &Path| {
            let other = tempfile::NamedTempFile::new_in(temporary.parent().unwrap())?;
            std::fs::write(other.path(), b"abc")?;
            other.persist(temporary).map_err(|e| e.error)?;
            std::fs::write(temporary.with_file_name("forgotten"), b"")
        };
        write_whole_with(&path, replace).unwrap();
        assert_eq!(mode(path.metadata()), expected);
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1
        );
        let refuse = |_: &Path| Err(io::Error::other("no"));
        assert!(write_whole_with(&path, refuse).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1
        );
    }
}
