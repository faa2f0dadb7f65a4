//! Reading at a position, from many threads at once.

use std::fs::File;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::error::PolicyError;

/// An open file of known length.
pub(crate) struct FileReader {
    file: File,
    path: PathBuf,
    len: u64,
}

impl FileReader {
    pub(crate) fn open(path: &Path) -> Result<Self, PolicyError> {
        let file = inpo_data::input::open(path).map_err(PolicyError::read(path))?;
        let len = file.metadata().map_err(PolicyError::read(path))?.len();
        Ok(Self {
            file,
            path: path.to_path_buf(),
            len,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The file itself, for sequential reading from its start while it is opened.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Reads `len` bytes at `offset`. The caller has checked both against [`FileReader::len`], so
    /// that the allocation is bounded by the file.
    pub(crate) fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, PolicyError> {
        let mut bytes = vec![0; len];
        read_exact_at(&self.file, &mut bytes, offset).map_err(PolicyError::read(&self.path))?;
        Ok(bytes)
    }

    /// The sha256 of the whole file, in hexadecimal.
    pub(crate) fn sha256(&self) -> Result<String, PolicyError> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        let mut offset = 0;
        while offset < self.len {
            let n = buffer
                .len()
                .min(usize::try_from(self.len - offset).unwrap_or(usize::MAX));
            read_exact_at(&self.file, &mut buffer[..n], offset)
                .map_err(PolicyError::read(&self.path))?;
            hasher.update(&buffer[..n]);
            offset += n as u64;
        }
        Ok(inpo_data::hex(&hasher.finalize()))
    }
}

/// The sha256 of a file; of several, in their order, that of the text that `sha256sum` prints for them.
pub(crate) fn identity(files: &[FileReader]) -> Result<String, PolicyError> {
    let digests = files.par_iter().map(FileReader::sha256);
    let digests = digests.collect::<Result<Vec<_>, _>>()?;
    if let [one] = digests.as_slice() {
        return Ok(one.clone());
    }
    let lines = digests.iter().zip(files).map(|(digest, file)| {
        let name = file.path().file_name().unwrap_or_default();
        format!("{digest}  {}\n", name.to_string_lossy())
    });
    Ok(inpo_data::sha256(lines.collect::<String>().as_bytes()))
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => {
                bytes = &mut bytes[n..];
                offset += n as u64;
            }
        }
    }
    Ok(())
}
