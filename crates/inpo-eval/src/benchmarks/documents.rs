//! The files of documents.

use std::path::{Path, PathBuf};

use inpo_data::rows::read_each;
use inpo_data::{Columns, DataError, Place, input};
use serde_json::{Map, Value};

use super::error::BenchmarkError;
use super::task::{Document, Source, Task};

/// Endings of files that are read, in the order in which they are looked for.
const ENDINGS: [&str; 4] = ["jsonl", "json", "jsonl.gz", "parquet"];

/// The documents of one split, with their files: several where Parquet is in parts.
#[derive(Debug)]
pub(super) struct Documents {
    /// Each with the place of its file in `files`.
    pub(super) rows: Vec<(usize, Document)>,
    pub(super) files: Vec<PathBuf>,
}

impl Documents {
    /// Something wrong with the document at `index`, in words.
    pub(super) fn error(&self, index: usize, reason: String) -> BenchmarkError {
        let (file, document) = &self.rows[index];
        BenchmarkError::document(&self.files[*file], document.place)(reason)
    }

    /// The pool's name, for messages.
    pub(super) fn name(&self) -> String {
        self.files
            .first()
            .map_or_else(String::new, |file| file.display().to_string())
    }
}

/// A document of these columns, which are an object.
pub(super) fn document_at(place: Place, columns: &Value) -> Document {
    let columns = columns.as_object().cloned().unwrap_or_else(Map::new);
    Document {
        place,
        columns: Columns::from(columns),
    }
}

/// [`document_at`] the first row.
#[cfg(test)]
pub(super) fn document(columns: &Value) -> Document {
    document_at(Place::Row(1), columns)
}

/// The documents that a task asks about.
pub(super) fn asked(dir: &Path, task: &dyn Task) -> Result<Documents, BenchmarkError> {
    let source = task.source();
    match find(dir, task.name(), &source, &source.split)? {
        Some(files) => {
            let documents = read(files)?;
            match documents.rows.is_empty() {
                true => Err(DataError::NoRows(documents.files[0].clone()).into()),
                false => Ok(documents),
            }
        }
        None => Err(none(dir, task)),
    }
}

/// Whether a task's documents are in `dir`.
pub(super) fn are_there(dir: &Path, task: &dyn Task) -> Result<bool, BenchmarkError> {
    let source = task.source();
    Ok(find(dir, task.name(), &source, &source.split)?.is_some())
}

/// The error for a task without documents.
pub(super) fn none(dir: &Path, task: &dyn Task) -> BenchmarkError {
    let source = task.source();
    BenchmarkError::NoData {
        task: task.name().to_owned(),
        path: dir.join(format!("{}.jsonl", task.name())),
        hint: hint(&source, &source.split),
    }
}

/// The rows that a task's few-shot examples come from; none where there is no file.
pub(super) fn shots(dir: &Path, task: &dyn Task) -> Result<Option<Documents>, BenchmarkError> {
    let source = task.source();
    let split = source.shots.as_deref().unwrap_or(&source.split);
    let own = format!("{}.fewshot", task.name());
    match find(dir, &own, &source, split)? {
        Some(files) => read(files).map(Some),
        None => Ok(None),
    }
}

/// The file that few-shot examples are looked for in first.
pub(super) fn shots_path(dir: &Path, task: &dyn Task) -> PathBuf {
    dir.join(format!("{}.fewshot.jsonl", task.name()))
}

/// Where a split comes from, in words.
pub(super) fn hint(source: &Source, split: &str) -> String {
    if source.dataset.is_empty() {
        return "write one document a line".to_owned();
    }
    let config = source
        .config
        .as_ref()
        .map(|config| format!(", configuration {config}"));
    format!(
        "it has the rows of split {split} of {}{} on the Hugging Face hub",
        source.dataset,
        config.unwrap_or_default()
    )
}

/// `DIR/NAME.jsonl` and the like, or else the Parquet files of the hub: `DIR/CONFIG/SPLIT-*.parquet` or
/// `DIR/CONFIG/SPLIT/*.parquet`, in `DIR/data` where the data set has no configurations, all of them also below `DIR/DATASET`.
fn find(
    dir: &Path,
    name: &str,
    source: &Source,
    split: &str,
) -> Result<Option<Vec<PathBuf>>, BenchmarkError> {
    for ending in ENDINGS {
        let path = dir.join(format!("{name}.{ending}"));
        if input::is_there(&path).map_err(DataError::read(&path))? {
            return Ok(Some(vec![path]));
        }
    }
    if source.dataset.is_empty() {
        return Ok(None);
    }
    let config = source.config.as_deref().unwrap_or("data");
    let dataset = source.dataset.rsplit('/').next().unwrap_or_default();
    for folder in [dir.join(config), dir.join(dataset).join(config)] {
        for (folder, front) in [
            (folder.clone(), format!("{split}-")),
            (folder.join(split), String::new()),
        ] {
            let parts = parts(&folder, &front);
            if !parts.is_empty() {
                return Ok(Some(parts));
            }
        }
    }
    Ok(None)
}

/// The Parquet files in `folder` whose names begin with `front`, in order.
fn parts(folder: &Path, front: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_part = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(front) && name.ends_with(".parquet")
    };
    let mut parts: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_part).collect();
    parts.sort();
    parts
}

fn read(files: Vec<PathBuf>) -> Result<Documents, BenchmarkError> {
    let mut rows = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let read = read_each(file, |place, columns| Ok(Document { place, columns }))
            .map_err(|error| error.named_by("--data"))?;
        rows.extend(read.into_iter().map(|document| (number, document)));
    }
    Ok(Documents { rows, files })
}
