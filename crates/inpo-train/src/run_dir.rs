//! The directory of a run or a training: every arrow of the loop is a file, written whole or not at all.

use std::path::{Path, PathBuf};

use inpo_data::DataError;
use inpo_data::files::{append_jsonl, lock, read_json, sync, write_json, write_jsonl, write_whole};
use inpo_data::rows::read_jsonl;
use inpo_policy::Policy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::config::TrainSection;
use crate::error::TrainError;
use crate::inputs::Inputs;
use crate::phases::PolicyId;
use crate::resume::changed_settings;
use crate::stage::{POLICY, Place, Stage};

const MANIFEST: &str = "manifest.json";
const METRICS: &str = "metrics.jsonl";
const STATE: &str = "trainer_state.json";

/// What lies where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A folder for each iteration, and in it one for the first of two phases.
    Iterations {
        /// The folder of a first phase; empty where there is one phase.
        first_phase: &'static str,
    },
    /// One phase on given pairs: everything in the directory itself.
    OnePhase,
}

impl Layout {
    /// The file that holds the settings.
    fn settings(self) -> &'static str {
        match self {
            Self::Iterations { .. } => "run.toml",
            Self::OnePhase => "train.toml",
        }
    }
}

/// What decides whether a directory holds the run being resumed, beside the settings.
#[derive(Debug)]
pub(crate) struct Identity<'a> {
    /// What is read.
    pub(crate) inputs: &'a Inputs,
    /// The words for another `inputs.prompts`.
    pub(crate) other_prompts: &'static str,
    /// The digest of labels and log-probs that were given, in the manifest's `content`.
    pub(crate) content: Option<&'a str>,
}

impl Identity<'_> {
    fn differences(&self, manifest: &Value) -> Vec<String> {
        let inputs = &manifest["inputs"];
        let mut others = self.inputs.differences(inputs, self.other_prompts);
        if let Some(content) = self.content
            && others.is_empty()
            && manifest["content"] != content
        {
            let content =
                "other labels, other given log-probs or another policy that scores the pairs";
            others.push(content.to_owned());
        }
        others
    }
}

/// `output_dir`, held by this process.
#[derive(Debug)]
pub(crate) struct RunDir {
    root: PathBuf,
    layout: Layout,
    /// Whether the directory belongs to this run.
    claimed: bool,
    /// The manifest and the settings, to be written.
    manifest: Value,
    settings: String,
    _lock: std::fs::File,
}

impl RunDir {
    /// Opens the directory for the run of `config`. With `resume`, an existing run is resumed if it has the same settings
    /// and identity. A new directory is left as it is until it is [claimed](Self::claim).
    ///
    /// # Errors
    ///
    /// A directory that holds a run while `resume` is not set, or another run; files that cannot be read or written.
    pub(crate) fn open<C: Serialize + DeserializeOwned>(
        root: &Path,
        layout: Layout,
        config: &C,
        manifest: &impl Serialize,
        identity: &Identity<'_>,
        resume: bool,
    ) -> Result<Self, TrainError> {
        let mut dir = Self {
            root: root.to_owned(),
            layout,
            claimed: false,
            manifest: json!(manifest),
            settings: toml::to_string_pretty(config).expect("a configuration is TOML"),
            _lock: lock(root)?,
        };
        let path = dir.root.join(layout.settings());
        if !path.exists() {
            return Ok(dir);
        }
        if !resume {
            return Err(TrainError::RunExists(dir.root));
        }
        let saved = std::fs::read_to_string(&path).map_err(DataError::read(&path))?;
        let changed = changed_settings(&saved, config);
        let changed = changed.map_err(|reason| TrainError::artefact(&path, reason))?;
        let settings = format!("other settings ({})", changed.join(", "));
        let mut different = Vec::from_iter((!changed.is_empty()).then_some(settings));
        let manifest: Value = read_json(&dir.root.join(MANIFEST))?;
        different.extend(identity.differences(&manifest));
        if !different.is_empty() {
            return Err(TrainError::OtherRun {
                root: dir.root,
                different: different.join(", "),
            });
        }
        dir.claimed = true;
        dir.drop_unfinished_metrics()?;
        Ok(dir)
    }

    /// Whether the directory held this very run before, or was claimed for it.
    pub(crate) fn is_claimed(&self) -> bool {
        self.claimed
    }

    /// Writes whose directory it is: the manifest, empty metrics, and last the settings.
    ///
    /// # Errors
    ///
    /// Files that cannot be written.
    pub(crate) fn claim(&mut self) -> Result<(), TrainError> {
        if self.claimed {
            return Ok(());
        }
        write_json(&self.root.join(MANIFEST), &self.manifest)?;
        write_whole(&self.root.join(METRICS), b"")?;
        let path = self.root.join(self.layout.settings());
        write_whole(&path, self.settings.as_bytes())?;
        self.claimed = true;
        Ok(())
    }

    /// The directory of iteration `t`.
    pub(crate) fn iteration(&self, t: usize) -> PathBuf {
        match self.layout {
            Layout::Iterations { .. } => self.root.join(format!("iteration-{t:04}")),
            Layout::OnePhase => self.root.clone(),
        }
    }

    /// The file of a stage.
    pub(crate) fn file(&self, place: Place<'_>) -> PathBuf {
        let dir = self.iteration(place.iteration);
        dir.join(place.folder.unwrap_or_default())
            .join(place.stage.file())
    }

    /// The directory of the weights of `id`, when they are trained.
    fn policy(&self, id: PolicyId) -> Option<PathBuf> {
        let dir = match (id, self.layout) {
            (PolicyId::Reference | PolicyId::Previous, _) => return None,
            (PolicyId::After(0) | PolicyId::Intermediate(0), _) => return None,
            (PolicyId::After(t), _) => self.iteration(t),
            (PolicyId::Intermediate(t), Layout::Iterations { first_phase }) => {
                self.iteration(t).join(first_phase)
            }
            (PolicyId::Intermediate(_), Layout::OnePhase) => return None,
        };
        Some(dir.join(POLICY))
    }

    /// Whether the phase that makes `id` is complete.
    pub(crate) fn has(&self, id: PolicyId) -> bool {
        let marker = |dir: PathBuf| dir.with_file_name(Stage::Train.file()).exists();
        self.claimed && self.policy(id).is_some_and(marker)
    }

    /// A trained policy of a complete phase; `base` is the run's starting policy, whose full weights are dropped first.
    ///
    /// # Errors
    ///
    /// Saved weights that cannot be read.
    pub(crate) fn load(&self, id: PolicyId, base: Policy) -> Result<Policy, TrainError> {
        let dir = self.policy(id).expect("only trained policies are loaded");
        Ok(match base.lora() {
            Some(_) => base.reference().with_saved_adapters(&dir)?,
            None => base.with_saved_weights(&dir)?,
        })
    }

    /// Saves a trained policy; the marker that says that it is complete is written last.
    ///
    /// # Errors
    ///
    /// Files that cannot be written.
    pub(crate) fn save(&self, id: PolicyId, policy: &Policy, base: &str) -> Result<(), TrainError> {
        let dir = self.policy(id).expect("only trained policies are saved");
        policy.save(base, &dir)?;
        self.sync_metrics()?;
        Ok(write_whole(&dir.with_file_name(Stage::Train.file()), b"")?)
    }

    /// Adds a row to metrics.jsonl: the metrics, with their stage, iteration and phase. A training on given pairs logs
    /// its optimiser steps alone.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub(crate) fn log(&self, place: Place<'_>, metrics: &impl Serialize) -> Result<(), TrainError> {
        let mut row = Map::new();
        if self.layout == Layout::OnePhase {
            if place.stage != Stage::Train {
                return Ok(());
            }
        } else {
            row.insert("stage".into(), json!(place.stage));
            row.insert("iteration".into(), json!(place.iteration));
            let phase = place
                .folder
                .map(|folder| ("phase".to_owned(), json!(folder)));
            row.extend(phase);
        }
        let Value::Object(metrics) = json!(metrics) else {
            unreachable!("metrics have names");
        };
        row.extend(metrics);
        append_jsonl(&self.root.join(METRICS), &row)?;
        // The rows of an optimisation are synced before its marker, those of other stages before their files.
        if place.stage == Stage::Train {
            Ok(())
        } else {
            self.sync_metrics()
        }
    }

    /// Writes the metrics so far to the disk, before a file that says that a stage is complete.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub(crate) fn sync_metrics(&self) -> Result<(), TrainError> {
        let path = self.root.join(METRICS);
        if path.exists() {
            Ok(sync(&path)?)
        } else {
            Ok(())
        }
    }

    /// Writes trainer_state.json, as Hugging Face's Trainer does, after `steps` optimiser steps, from the metrics so
    /// far.
    ///
    /// # Errors
    ///
    /// Files that cannot be read or written.
    pub(crate) fn save_state(&self, config: &TrainSection, steps: usize) -> Result<(), TrainError> {
        let rows: Vec<Value> = read_jsonl(&self.root.join(METRICS))?;
        let state = json!({
            "best_global_step": null,
            "best_metric": null,
            "best_model_checkpoint": null,
            "epoch": rows.iter().rev().find_map(|row| row["epoch"].as_f64()),
            "global_step": steps,
            "is_hyper_param_search": false,
            "is_local_process_zero": true,
            "is_world_process_zero": true,
            "log_history": rows,
            "logging_steps": config.logging_steps,
            "max_steps": steps,
            "num_train_epochs": config.num_train_epochs.ceil() as u64,
            "train_batch_size": config.per_device_train_batch_size,
        });
        Ok(write_json(&self.root.join(STATE), &state)?)
    }

    /// Forgets the metrics of stages that are not complete, as they are computed again, and a last line that was cut off
    /// in the middle.
    fn drop_unfinished_metrics(&self) -> Result<(), TrainError> {
        let path = self.root.join(METRICS);
        if !path.exists() {
            return Ok(());
        }
        let mut bytes = std::fs::read(&path).map_err(DataError::read(&path))?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n');
        bytes.truncate(whole.map_or(0, |end| end + 1));
        write_whole(&path, &bytes)?;
        let rows: Vec<Value> = read_jsonl(&path)?;
        let complete = |row: &Value| {
            // The rows of a training on given pairs say no stage.
            let place = Place {
                stage: Stage::deserialize_or(&row["stage"], Stage::Train),
                iteration: row["iteration"].as_u64().unwrap_or(0) as usize,
                folder: row["phase"].as_str(),
            };
            self.file(place).exists()
        };
        let kept: Vec<Value> = rows.into_iter().filter(complete).collect();
        Ok(write_jsonl(&path, &kept)?)
    }
}
