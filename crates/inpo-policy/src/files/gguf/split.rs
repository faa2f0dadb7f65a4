//! A model in several files, as llama.cpp's `gguf-split` writes them: `NAME-00001-of-00003.gguf` has the metadata, and
//! each file has some of the tensors.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::header::{Header, TensorEntry};
use super::metadata::Metadata;
use crate::error::{PolicyError, excerpt};
use crate::files::FileReader;

const NUMBER: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";
/// `gguf-split` writes five digits.
const MOST_PARTS: u64 = 99_999;

/// All files of a model as one.
pub(super) struct Joined {
    pub(super) parts: Vec<FileReader>,
    /// That of the first file.
    pub(super) metadata: Metadata,
    pub(super) table: BTreeMap<String, TensorEntry>,
}

/// Reads the header of the file at `path`, and of those that follow it where it is the first of several.
pub(super) fn read(path: &Path) -> Result<Joined, PolicyError> {
    let (first, Header { metadata, tensors }) = open(path)?;
    let count = metadata.unsigned(COUNT)?.unwrap_or(1);
    let mut joined = Joined {
        parts: vec![first],
        metadata,
        table: BTreeMap::new(),
    };
    joined.add(tensors)?;
    if count <= 1 {
        return Ok(joined);
    }
    let metadata = &joined.metadata;
    if count > MOST_PARTS {
        let allowed = format!("at most {MOST_PARTS} files are read");
        return Err(metadata.refuse(COUNT, count.to_string(), &allowed));
    }
    let number = metadata.unsigned(NUMBER)?.unwrap_or(0);
    let stem = stem(path, number, count).ok_or_else(|| misnamed(metadata, path, number, count))?;
    if number != 0 {
        let allowed = format!(
            "the first file has the metadata; give {}",
            part(path, &stem, 0, count).display()
        );
        return Err(metadata.refuse(NUMBER, number.to_string(), &allowed));
    }
    let wanted = metadata.unsigned(TENSORS)?;
    for number in 1..count {
        let path = part(path, &stem, number, count);
        let (reader, Header { metadata, tensors }) = open(&path)?;
        for (key, expected) in [(NUMBER, number), (COUNT, count)] {
            if metadata.unsigned(key)? != Some(expected) {
                let allowed = format!("the file's name says {expected}; fetch the file again");
                return Err(metadata.refuse(key, metadata.shown(key), &allowed));
            }
        }
        joined.parts.push(reader);
        joined.add(tensors)?;
    }
    match wanted {
        Some(wanted) if wanted != joined.table.len() as u64 => {
            let allowed = format!(
                "the {count} files have {}; fetch them again",
                joined.table.len()
            );
            Err(joined
                .metadata
                .refuse(TENSORS, wanted.to_string(), &allowed))
        }
        _ => Ok(joined),
    }
}

fn open(path: &Path) -> Result<(FileReader, Header), PolicyError> {
    let reader = FileReader::open(path)?;
    let header = Header::read(BufReader::new(reader.file()), reader.len(), path)?;
    Ok((reader, header))
}

impl Joined {
    /// Adds the tensors of the last file.
    fn add(&mut self, tensors: Vec<TensorEntry>) -> Result<(), PolicyError> {
        let part = self.parts.len() - 1;
        for tensor in tensors {
            let name = tensor.name.clone();
            let tensor = TensorEntry { part, ..tensor };
            if let Some(other) = self.table.insert(name.clone(), tensor) {
                let other = self.parts[other.part].path().display();
                return Err(PolicyError::Tensor {
                    path: self.parts[part].path().to_owned(),
                    tensor: name,
                    reason: format!("it is also in {other}; fetch both again"),
                });
            }
        }
        Ok(())
    }
}

/// What stands before the number in the name of the file that is `number` of `count`, from 0; none where it has another
/// name.
fn stem(path: &Path, number: u64, count: u64) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let end = format!("-{:05}-of-{count:05}.gguf", number.saturating_add(1));
    Some(name.strip_suffix(&end)?.to_owned())
}

fn part(path: &Path, stem: &str, number: u64, count: u64) -> PathBuf {
    path.with_file_name(format!(
        "{stem}-{:05}-of-{count:05}.gguf",
        number.saturating_add(1)
    ))
}

fn misnamed(metadata: &Metadata, path: &Path, number: u64, count: u64) -> PolicyError {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let allowed = format!(
        "the name {} does not end in -{:05}-of-{count:05}.gguf, so the other files cannot be found; name them as `gguf-split` does, or join them with `gguf-split --merge`",
        excerpt(&name),
        number.saturating_add(1)
    );
    metadata.refuse(COUNT, count.to_string(), &allowed)
}
