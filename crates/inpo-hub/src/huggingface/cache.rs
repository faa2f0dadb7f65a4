//! The layout of the hub's cache, as Python's `huggingface_hub` has it: `models--OWNER--NAME` with `blobs`, `snapshots` and
//! `refs`.

use std::path::{Path, PathBuf};

use inpo_data::DataError;
use inpo_data::files::write_whole;

/// The cache of all models.
pub(super) struct Cache {
    /// `HF_HOME`, else `.cache/huggingface` in the home directory.
    home: PathBuf,
}

impl Cache {
    pub(super) fn from_env() -> Self {
        let home = std::env::var_os("HF_HOME").map(PathBuf::from);
        let default = || {
            let user = std::env::home_dir().unwrap_or_else(std::env::temp_dir);
            user.join(".cache").join("huggingface")
        };
        Self::new(home.unwrap_or_else(default))
    }

    pub(super) fn new(home: PathBuf) -> Self {
        Self { home }
    }

    pub(super) fn dir(&self) -> PathBuf {
        self.home.join("hub")
    }

    /// The file of the user's token, which `hf auth login` writes.
    pub(super) fn token_file(&self) -> PathBuf {
        self.home.join("token")
    }

    /// The part of a model whose id is `OWNER/NAME` and valid.
    pub(super) fn repository(&self, id: &str) -> Repository {
        let name = format!("models--{}", id.replace('/', "--"));
        Repository(self.dir().join(name))
    }
}

/// The cache of one model.
pub(super) struct Repository(pub(super) PathBuf);

impl Repository {
    /// The snapshot that `main` names; none where there is no such name, or one that is no plain name.
    pub(super) fn main(&self) -> Option<PathBuf> {
        let commit = std::fs::read_to_string(self.main_file()).ok()?;
        let commit = commit.trim();
        is_plain(commit).then(|| self.snapshot(commit))
    }

    fn main_file(&self) -> PathBuf {
        self.0.join("refs").join("main")
    }

    /// Makes `main` the name of a commit.
    pub(super) fn set_main(&self, commit: &str) -> Result<(), DataError> {
        write_whole(&self.main_file(), commit.as_bytes())
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.0.join("snapshots").join(commit)
    }

    pub(super) fn blob(&self, digest: &str) -> PathBuf {
        self.0.join("blobs").join(digest)
    }

    /// Puts the blob of `digest` into the snapshot of `commit` as `file`.
    pub(super) fn link(
        &self,
        digest: &str,
        commit: &str,
        file: &str,
    ) -> Result<PathBuf, DataError> {
        let snapshot = self.snapshot(commit);
        std::fs::create_dir_all(&snapshot).map_err(DataError::write(&snapshot))?;
        let link = snapshot.join(file);
        if std::fs::symlink_metadata(&link).is_ok() {
            std::fs::remove_file(&link).map_err(DataError::write(&link))?;
        }
        #[cfg(unix)]
        let linked = {
            let blob = Path::new("..").join("..").join("blobs").join(digest);
            std::os::unix::fs::symlink(blob, &link)
        };
        #[cfg(not(unix))]
        let linked = std::fs::hard_link(self.blob(digest), &link);
        linked.map_err(DataError::write(&link))?;
        Ok(link)
    }
}

/// Whether a name is one of a file: letters, digits, `-`, `_`, `.`, `+` and `=`, not beginning with a dot.
pub(super) fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+=".contains(c);
    !name.is_empty() && name.len() <= 200 && !name.starts_with('.') && name.chars().all(plain)
}

/// Whether a text is so many hexadecimal digits.
pub(super) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit())
}
