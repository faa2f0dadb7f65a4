//! What a stage has made so far, kept in a file of its own until the stage is complete.

use std::path::PathBuf;

use inpo_data::DataError;
use inpo_data::files::SealedLog;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{RunDir, remove};
use crate::error::TrainError;
use crate::stage::Place;

/// Parts of a stage that is not complete: `responses.partial.jsonl` for `responses.jsonl`.
#[derive(Debug)]
pub(crate) struct PartialStage(SealedLog);

impl PartialStage {
    /// Keeps a part.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub(crate) fn append(&mut self, part: &impl Serialize) -> Result<(), DataError> {
        self.0.append(part)
    }
}

impl RunDir {
    fn partial_file(&self, place: Place<'_>) -> PathBuf {
        self.file(place).with_extension("partial.jsonl")
    }

    /// The parts of a stage that were kept so far. Parts that were made from anything else than `made_from` says, or are
    /// damaged, are forgotten.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or written.
    pub(crate) fn partial<T: DeserializeOwned>(
        &self,
        place: Place<'_>,
        made_from: &str,
    ) -> Result<(PartialStage, Vec<T>), TrainError> {
        let (mut log, entries) = SealedLog::open(&self.partial_file(place))?;
        let first = json!({ "made_from": made_from });
        let count = entries.len();
        let mut entries = entries.into_iter();
        let written = first.to_string();
        let same = entries.next().flatten().as_ref() == Some(&written);
        let parts = entries.map_while(|entry| serde_json::from_str(&entry?).ok());
        let parts: Vec<T> = if same { parts.collect() } else { Vec::new() };
        if same && parts.len() + 1 == count {
            return Ok((PartialStage(log), parts));
        }
        log.clear()?;
        log.append(&first)?;
        Ok((PartialStage(log), Vec::new()))
    }

    /// Removes the parts of a stage that is complete.
    pub(super) fn remove_partial(&self, place: Place<'_>) -> Result<(), TrainError> {
        remove(&self.partial_file(place))
    }
}
