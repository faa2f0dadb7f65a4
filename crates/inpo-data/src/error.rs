//! What can go wrong with files, rows and servers.

use std::path::{Path, PathBuf};

use crate::Place;

/// The error of this crate. Each sentence names the file, and the line where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or directory that cannot be read.
    #[error("cannot read {}: {source}; check that it exists and that you may read it", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file that a key or a flag names and that cannot be read.
    #[error("{by}: {source}")]
    Named {
        /// The key or the flag.
        by: String,
        /// Why it cannot be read.
        source: Box<Self>,
    },
    /// A file or directory that cannot be written.
    #[error("cannot write {}: {source}; check the free space and that you may write there", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A place that a user named for a result and that cannot take it.
    #[error("{}: {reason}", path.display())]
    Output {
        /// The place.
        path: PathBuf,
        /// What it is and what to do.
        reason: String,
    },
    /// A malformed row of a data file.
    #[error("{}, {place}: {reason}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Its line, or its number in a file that has no lines.
        place: Place,
        /// What is wrong with it.
        reason: String,
    },
    /// A data file without a row.
    #[error("{} holds no rows", .0.display())]
    NoRows(PathBuf),
    /// A file that does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Artefact {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A directory that another process holds.
    #[error("another process is running in {}; wait for it, or choose another output_dir", .0.display())]
    Busy(PathBuf),
    /// A server that cannot be asked, or does not give what was asked for.
    #[error("{url}: {reason}")]
    Server {
        /// The address.
        url: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// One request that a server refuses or does not answer as asked, while it may answer others.
    #[error("{url}: {reason}")]
    Request {
        /// The address.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

impl DataError {
    /// For `map_err`: a failed read of `path`.
    pub fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Read { path, source }
    }

    /// For `map_err`: a failed write of `path`.
    pub fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Write { path, source }
    }

    /// For `map_err`: something wrong with a row of `path`.
    pub fn row(path: &Path, place: Place) -> impl FnOnce(String) -> Self {
        let path = path.to_path_buf();
        move |reason| Self::Row {
            path,
            place,
            reason,
        }
    }

    /// For `map_err`: something wrong with the whole of `path`.
    pub fn artefact(path: &Path) -> impl FnOnce(String) -> Self {
        let path = path.to_path_buf();
        move |reason| Self::Artefact { path, reason }
    }

    /// The same error, which says that `by`, a key or a flag, names the file, where the file cannot be read: other errors name
    /// their file and line.
    #[must_use]
    pub fn named_by(self, by: &str) -> Self {
        match self {
            Self::Read { .. } => Self::Named {
                by: by.to_owned(),
                source: Box::new(self),
            },
            other => other,
        }
    }

    /// Whether the user's input is at fault, and not the machine or a server.
    #[must_use]
    pub fn is_input(&self) -> bool {
        !matches!(self, Self::Write { .. })
    }
}
