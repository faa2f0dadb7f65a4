//! `metrics.jsonl` and `trainer_state.json` of a directory.

use std::path::Path;

use inpo_data::DataError;
use inpo_data::files::{append_jsonl, write_json, write_whole};
use inpo_data::rows::read_jsonl;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::ledger::{Damage, Ledger, Record};
use super::log::{self, Groups};
use super::{Layout, METRICS, RunDir, STATE};
use crate::config::TrainSection;
use crate::error::TrainError;
use crate::stage::{Place, Stage};

impl RunDir {
    /// Checks the rows of every stage of `ledger`, and forgets all others. Rows that are not what a stage logged are taken
    /// from trainer_state.json, which has them a second time.
    ///
    /// # Errors
    ///
    /// Rows of a complete stage that neither file has.
    pub(super) fn check_metrics(&mut self, ledger: &mut Ledger) -> Result<(), TrainError> {
        let path = self.root.join(METRICS);
        let bytes = read_or_empty(&path)?;
        let groups = Groups::new(&bytes, self.layout);
        let (mut kept, mut copy) = (Vec::new(), None);
        for record in &mut ledger.records {
            if record.damage == Damage::Everything {
                continue;
            }
            if let Some(rows) = groups.as_logged(record.place(), &record.metrics) {
                kept.extend(rows);
                continue;
            }
            let copy = copy.get_or_insert_with(|| log::rows_of_state(&self.root.join(STATE)));
            let copy = Groups::new(copy, self.layout);
            match (
                copy.as_logged(record.place(), &record.metrics),
                record.damage,
            ) {
                (Some(rows), _) => kept.extend(rows),
                (None, Damage::Files) => record.damage = Damage::Everything,
                (None, _) => {
                    let stage = self.layout.name(record.place());
                    let reason = format!(
                        "the rows of the stage that wrote {stage} are not those that it logged, and {STATE} does not have \
                         them either; restore one of the two, or choose another output_dir"
                    );
                    return Err(TrainError::artefact(&path, reason));
                }
            }
        }
        if !bytes.starts_with(&kept) {
            let note = format!("{METRICS} was not what was written: put right");
            self.notes.push(note);
        }
        if bytes != kept || !path.exists() {
            write_whole(&path, &kept)?;
        }
        Ok(())
    }

    /// Puts the rows of metrics.jsonl in the order of their stages, without those of stages that are gone; `held` replaces
    /// those of `place`.
    pub(super) fn arrange_metrics(
        &mut self,
        place: Place<'_>,
        held: Option<&[u8]>,
    ) -> Result<(), TrainError> {
        let path = self.root.join(METRICS);
        let bytes = read_or_empty(&path)?;
        let groups = Groups::new(&bytes, self.layout);
        let records = self.ledger.iter().flat_map(|ledger| &ledger.records);
        let rows = |record: &Record| match held {
            Some(held) if record.place() == place => held.to_vec(),
            _ => groups.of(record.place()),
        };
        let arranged: Vec<u8> = records.flat_map(rows).collect();
        if arranged != bytes {
            write_whole(&path, &arranged)?;
            if let Some(events) = &mut self.events {
                events.rewrite()?;
            }
        }
        Ok(())
    }

    /// Adds a row to metrics.jsonl: the metrics, with their stage, iteration and phase. A training on given pairs logs
    /// its optimiser steps alone.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub(crate) fn log(
        &mut self,
        place: Place<'_>,
        metrics: &impl Serialize,
    ) -> Result<(), TrainError> {
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
        let line = log::line(&row);
        self.current.add(&line);
        let known = self.ledger.as_ref().and_then(|ledger| ledger.get(place));
        if known.is_some_and(|record| record.damage == Damage::Files) {
            self.current.held.extend(line);
            return Ok(());
        }
        append_jsonl(&self.root.join(METRICS), &row)?;
        match &mut self.events {
            Some(events) => Ok(events.add(&row)?),
            None => Ok(()),
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
        let state = trainer_state(config, steps, rows);
        Ok(write_json(&self.root.join(STATE), &state)?)
    }

    /// In a directory of an earlier release, forgets the metrics of stages that are not complete.
    pub(super) fn drop_unfinished_metrics(&self) -> Result<(), TrainError> {
        let path = self.root.join(METRICS);
        if !path.exists() {
            return Ok(());
        }
        let bytes = std::fs::read(&path).map_err(DataError::read(&path))?;
        let groups = Groups::new(&bytes, self.layout);
        let kept = groups.of_complete(|place| self.is_complete(place));
        Ok(write_whole(&path, &kept)?)
    }
}

/// The state of a training after `steps` optimiser steps that logged `rows`, as Hugging Face's Trainer writes it.
pub(super) fn trainer_state(config: &TrainSection, steps: usize, rows: Vec<Value>) -> Value {
    json!({
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
    })
}

/// The bytes of a log, none where it does not exist.
///
/// # Errors
///
/// A file that cannot be read.
fn read_or_empty(path: &Path) -> Result<Vec<u8>, DataError> {
    match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        bytes => bytes.map_err(DataError::read(path)),
    }
}
