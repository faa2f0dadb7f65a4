//! The checkpoints of an optimisation: directories from which it is resumed, written whole or not at all.
//!
//! `checkpoint-000050/` holds the policy as `policy/` does, `optimizer.bpk`, `trainer_state.json` with the rows that were
//! logged so far, and `checkpoint.json`, which has the digests of the others and is written last. The order of the pairs and
//! every random draw follow from the seed and the step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inpo_data::DataError;
use inpo_data::files::{sync, write_json, write_whole};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::foreign::{files_below, names};
use super::ledger::{FileDigest, is_sealed, seal};
use super::metrics::trainer_state;
use super::{PARTIAL_CHECKPOINT as PARTIAL, RunDir, STATE, remove};
use crate::config::TrainSection;
use crate::divergence::Divergence;
use crate::error::TrainError;
use crate::stage::Place;

/// What a checkpoint's name begins with, before its step.
const NAME: &str = "checkpoint-";

/// The file that is written last.
const SEALED: &str = "checkpoint.json";

/// What a checkpoint says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Steps that are done.
    pub(crate) step: usize,
    /// Their tokens.
    pub(crate) num_tokens: usize,
    /// What was seen of them.
    pub(crate) divergence: Divergence,
}

/// `checkpoint.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    #[serde(flatten)]
    progress: Progress,
    /// The digest of what is trained: the starting policy, the pairs, their anchors and their order.
    training: String,
    files: BTreeMap<String, FileDigest>,
}

/// A checkpoint that is whole.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) path: PathBuf,
    pub(crate) progress: Progress,
    /// What was logged so far.
    pub(crate) rows: Vec<Map<String, Value>>,
}

/// The checkpoints of one optimisation.
#[derive(Debug)]
pub(crate) struct Checkpoints<'a> {
    folder: PathBuf,
    training: String,
    config: &'a TrainSection,
}

impl RunDir {
    /// The checkpoints of the optimisation of `place`; `training` is the digest of what it reads.
    pub(crate) fn checkpoints<'a>(
        &self,
        place: Place<'_>,
        training: String,
        config: &'a TrainSection,
    ) -> Checkpoints<'a> {
        let policy = self.file(place);
        let folder = policy.parent().and_then(Path::parent);
        Checkpoints {
            folder: folder.expect("a policy is in a folder").to_owned(),
            training,
            config,
        }
    }
}

impl Checkpoints<'_> {
    /// The steps that have one, ascending. What has another name, as a checkpoint of another trainer does, is none.
    ///
    /// # Errors
    ///
    /// A directory of such a name without the file that is written last: nothing says that this training wrote it.
    fn steps(&self) -> Result<Vec<usize>, TrainError> {
        let mut steps = Vec::new();
        for name in names(&self.folder)? {
            let step = name.strip_prefix(NAME).and_then(|step| step.parse().ok());
            let Some(step) = step.filter(|&step| self.path(step).ends_with(&name)) else {
                continue;
            };
            if !self.path(step).join(SEALED).is_file() {
                let reason = format!(
                    "it has no {SEALED}, so that nothing says whose it is; restore the file, or move the directory away"
                );
                return Err(TrainError::artefact(&self.path(step), reason));
            }
            steps.push(step);
        }
        steps.sort_unstable();
        Ok(steps)
    }

    fn path(&self, step: usize) -> PathBuf {
        self.folder.join(format!("{NAME}{step:06}"))
    }

    /// The latest checkpoint that is whole and of this training. The others after it are removed, each with a sentence.
    ///
    /// # Errors
    ///
    /// Files that cannot be read or removed.
    pub(crate) fn latest(&self) -> Result<(Option<Checkpoint>, Vec<String>), TrainError> {
        let mut notes = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            let path = self.path(step);
            match self.read(&path)? {
                Ok(checkpoint) if checkpoint.progress.step == step => {
                    return Ok((Some(checkpoint), notes));
                }
                Ok(_) => notes.push(format!("{} is of another step: removed", path.display())),
                Err(how) => notes.push(format!("{} {how}: removed", path.display())),
            }
            self.remove(step)?;
        }
        Ok((None, notes))
    }

    /// A checkpoint, or how it is not one of this training, in words that follow its name.
    fn read(&self, path: &Path) -> Result<Result<Checkpoint, String>, TrainError> {
        let text = std::fs::read_to_string(path.join(SEALED)).ok();
        let sealed = text.filter(|text| is_sealed(text));
        let Some(sealed) = sealed.and_then(|text| serde_json::from_str::<Sealed>(&text).ok())
        else {
            return Ok(Err(format!("has no {SEALED} as it was written")));
        };
        if sealed.training != self.training {
            return Ok(Err(
                "is of other pairs or another starting policy".to_owned()
            ));
        }
        for (name, file) in &sealed.files {
            if let Some(how) = file.difference(&path.join(name))? {
                return Ok(Err(format!("is damaged ({name} {how})")));
            }
        }
        let state = std::fs::read(path.join(STATE)).map_err(DataError::read(path))?;
        let state: Option<Value> = serde_json::from_slice(&state).ok();
        let rows = state.and_then(|mut state| {
            serde_json::from_value(state.get_mut("log_history")?.take()).ok()
        });
        Ok(match rows {
            None => Err(format!("has no {STATE} as it was written")),
            Some(rows) => Ok(Checkpoint {
                path: path.to_owned(),
                progress: sealed.progress,
                rows,
            }),
        })
    }

    /// Whether `step` is one that is kept.
    pub(crate) fn keeps(&self, step: usize) -> bool {
        step.is_multiple_of(self.config.save_steps)
    }

    /// Writes a checkpoint, whose policy and optimiser `write` writes into an empty directory, and removes the oldest beyond
    /// `train.save_total_limit`.
    ///
    /// # Errors
    ///
    /// Those of `write`; files that cannot be written.
    pub(crate) fn save(
        &self,
        progress: &Progress,
        rows: &[Value],
        write: impl FnOnce(&Path) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let partial = self.folder.join(PARTIAL);
        remove(&partial)?;
        write(&partial)?;
        let state = trainer_state(self.config, progress.step, rows.to_vec());
        write_json(&partial.join(STATE), &state)?;
        let mut files = BTreeMap::new();
        for file in files_below(&self.folder, PARTIAL)? {
            let digest = FileDigest::read(&self.folder.join(&file))?;
            let name = file.strip_prefix(PARTIAL).unwrap_or(&file);
            files.insert(name.trim_start_matches('/').to_owned(), digest);
        }
        let sealed = Sealed {
            progress: progress.clone(),
            training: self.training.clone(),
            files,
        };
        let text = serde_json::to_string_pretty(&sealed).expect("plain data is JSON");
        write_whole(&partial.join(SEALED), seal(&text).as_bytes())?;
        let path = self.path(progress.step);
        std::fs::rename(&partial, &path).map_err(DataError::write(&path))?;
        sync(&self.folder)?;
        self.tidy(Some(progress.step))
    }

    /// Removes, once the policy is complete, the checkpoints that a training without interruption would not have.
    ///
    /// # Errors
    ///
    /// Files that cannot be removed.
    pub(crate) fn finish(&self) -> Result<(), TrainError> {
        self.tidy(None)
    }

    /// Removes the oldest checkpoints beyond `train.save_total_limit`, and all that an interruption left but `latest`. Those
    /// do not count, so that the same ones stay whether or not a training was interrupted.
    fn tidy(&self, latest: Option<usize>) -> Result<(), TrainError> {
        let steps = self.steps()?.into_iter();
        let (kept, left): (Vec<usize>, Vec<usize>) = steps.partition(|&step| self.keeps(step));
        let most = self.config.save_total_limit.unwrap_or(usize::MAX);
        let old = &kept[..kept.len().saturating_sub(most)];
        let left = left.iter().filter(|&&step| Some(step) != latest);
        left.chain(old).try_for_each(|&step| self.remove(step))
    }

    /// Removes a checkpoint, which is none from the first moment on.
    fn remove(&self, step: usize) -> Result<(), TrainError> {
        let partial = self.folder.join(PARTIAL);
        remove(&partial)?;
        let path = self.path(step);
        std::fs::rename(&path, &partial).map_err(DataError::write(&path))?;
        remove(&partial)
    }
}
