//! The run directory: every arrow of the loop is a file, written whole or not at all.

use std::path::{Path, PathBuf};

use inpo_policy::Policy;

use crate::config::{Algorithm, RunConfig, TrainSection};
use crate::error::TrainError;
use crate::files::{
    append_jsonl, lock, read_json, read_jsonl, write_json, write_jsonl, write_whole,
};
use crate::header::RunHeader;
use crate::phases::{Phase, PolicyId, phases};
use crate::resume::{self, other_inputs};

/// `output_dir` of a run.
#[derive(Debug)]
pub(crate) struct RunDir {
    root: PathBuf,
    /// The folder of an iteration's first phase where there are two.
    side: &'static str,
    /// Held while the run goes on.
    _lock: std::fs::File,
}

impl RunDir {
    /// Opens the directory: a new one gets `run.toml` and `manifest.json`; one that holds a run is gone
    /// on with when `resume` is set and its settings are the same.
    ///
    /// # Errors
    ///
    /// A directory that holds a run while `resume` is not set, or a run with other settings; files that
    /// cannot be written.
    pub(crate) fn open(
        config: &RunConfig,
        header: &RunHeader,
        resume: bool,
    ) -> Result<Self, TrainError> {
        let dir = Self {
            root: config.output_dir.clone(),
            side: side(config.objective.algorithm),
            _lock: lock(&config.output_dir)?,
        };
        let path = dir.root.join("run.toml");
        if path.exists() {
            if !resume {
                return Err(TrainError::RunExists(dir.root));
            }
            let manifest: serde_json::Value = read_json(&dir.root.join("manifest.json"))?;
            let others = other_inputs(&header.inputs, &manifest["inputs"], "other prompts");
            resume::check(&dir.root, "run.toml", config, others)?;
            dir.drop_unfinished_metrics()?;
        } else {
            write_json(&dir.root.join("manifest.json"), header)?;
            let text = toml::to_string_pretty(config).expect("a configuration is TOML");
            write_whole(&path, text.as_bytes())?;
        }
        Ok(dir)
    }

    /// The directory of iteration `t`.
    pub(crate) fn iteration(&self, t: usize) -> PathBuf {
        self.root.join(format!("iteration-{t:04}"))
    }

    /// The directory of a phase: the iteration's, or a folder of it.
    pub(crate) fn phase(&self, phase: &Phase) -> PathBuf {
        let iteration = self.iteration(phase.iteration);
        phase
            .name
            .map_or(iteration.clone(), |name| iteration.join(name))
    }

    /// Where a phase's responses, preferences and pairs are.
    pub(crate) fn data(&self, phase: &Phase) -> PathBuf {
        match phase.shares_pairs {
            true => self.iteration(phase.iteration),
            false => self.phase(phase),
        }
    }

    /// Where the weights of `id` are, when they were trained.
    fn policy(&self, id: PolicyId) -> Option<PathBuf> {
        let dir = match id {
            PolicyId::Reference | PolicyId::After(0) | PolicyId::Side(0) => return None,
            PolicyId::After(t) => self.iteration(t),
            PolicyId::Side(t) => self.iteration(t).join(self.side),
        };
        Some(dir.join("policy"))
    }

    /// Whether the phase that makes `id` is finished.
    pub(crate) fn has(&self, id: PolicyId) -> bool {
        self.policy(id)
            .is_some_and(|dir| dir.join(".complete").exists())
    }

    /// A trained policy of a finished phase; `base` is the run's starting policy, whose full weights go first.
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

    /// Saves a trained policy; the marker that makes it count is written last.
    ///
    /// # Errors
    ///
    /// Files that cannot be written.
    pub(crate) fn save(&self, id: PolicyId, policy: &Policy, base: &str) -> Result<(), TrainError> {
        let dir = self.policy(id).expect("only trained policies are saved");
        policy.save(base, &dir)?;
        write_whole(&dir.join(".complete"), b"")
    }

    /// The rows of a JSONL stage: read when the file is there, else computed and written.
    ///
    /// # Errors
    ///
    /// Those of `compute`; a file that does not hold what it should.
    pub(crate) fn stage<T>(
        &self,
        path: &Path,
        compute: impl FnOnce() -> Result<Vec<T>, TrainError>,
    ) -> Result<Vec<T>, TrainError>
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        if path.exists() {
            return read_jsonl(path);
        }
        let rows = compute()?;
        write_jsonl(path, &rows)?;
        Ok(rows)
    }

    /// Adds a row to metrics.jsonl.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub(crate) fn log(&self, row: &serde_json::Value) -> Result<(), TrainError> {
        append_jsonl(&self.root.join("metrics.jsonl"), row)
    }

    /// Writes trainer_state.json from everything logged so far.
    ///
    /// # Errors
    ///
    /// Files that cannot be read or written.
    pub(crate) fn save_state(&self, config: &TrainSection, steps: usize) -> Result<(), TrainError> {
        save_state(&self.root, config, steps)
    }

    /// Forgets the metrics of stages whose file is missing, as they are computed again, and a last line
    /// that was cut off in the middle.
    fn drop_unfinished_metrics(&self) -> Result<(), TrainError> {
        let path = self.root.join("metrics.jsonl");
        if !path.exists() {
            return Ok(());
        }
        let mut bytes = std::fs::read(&path).map_err(|e| TrainError::io(&path, e))?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n');
        bytes.truncate(whole.map_or(0, |end| end + 1));
        write_whole(&path, &bytes)?;
        let rows: Vec<serde_json::Value> = read_jsonl(&path)?;
        let finished = |row: &serde_json::Value| {
            let file = match row["stage"].as_str() {
                Some("generate") => "responses.jsonl",
                Some("judge") => "preferences.jsonl",
                Some("select") => "pairs.jsonl",
                Some("anchors") => "anchors.safetensors",
                Some("train") => "policy/.complete",
                Some("evaluate") => "eval_responses.jsonl",
                Some("evaluate_start") => "start_responses.jsonl",
                _ => "eval.json",
            };
            let t = row["iteration"].as_u64().unwrap_or(0) as usize;
            let phase = row["phase"].as_str().unwrap_or_default();
            self.iteration(t).join(phase).join(file).exists()
        };
        let kept: Vec<serde_json::Value> = rows.into_iter().filter(finished).collect();
        write_jsonl(&path, &kept)
    }

    /// Reads a JSON file of an iteration when it is there.
    ///
    /// # Errors
    ///
    /// A file that does not hold what it should.
    pub(crate) fn read_if_there<T: serde::de::DeserializeOwned>(
        &self,
        path: &Path,
    ) -> Result<Option<T>, TrainError> {
        path.exists().then(|| read_json(path)).transpose()
    }
}

/// The folder of an iteration's first phase where there are two.
fn side(algorithm: Algorithm) -> &'static str {
    let first = phases(algorithm, 1, 0, 0.0).swap_remove(0);
    first.name.unwrap_or_default()
}

/// Writes trainer_state.json, as Hugging Face's Trainer does, after `steps` optimiser steps, from the
/// metrics.jsonl beside it.
///
/// # Errors
///
/// Files that cannot be read or written.
pub(crate) fn save_state(
    root: &Path,
    config: &TrainSection,
    steps: usize,
) -> Result<(), TrainError> {
    let rows: Vec<serde_json::Value> = read_jsonl(&root.join("metrics.jsonl"))?;
    let state = serde_json::json!({
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
        "num_train_epochs": config.num_train_epochs,
        "train_batch_size": config.per_device_train_batch_size,
    });
    write_json(&root.join("trainer_state.json"), &state)
}
