//! `runs/` of a directory: the rows of `metrics.jsonl` as an event file of TensorBoard.
//!
//! A record of the file is an `Event` of TensorFlow's `event.proto` between its length and checksums. The rows are what
//! counts: a process writes the file anew from those that are there before it adds its own, so that a run that is resumed
//! has each step once.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use inpo_data::DataError;
use inpo_data::files::write_whole;
use inpo_data::rows::read_jsonl;
use prost::Message;
use serde_json::{Map, Value};

/// The folder of Hugging Face's Trainer.
const FOLDER: &str = "runs";
/// TensorBoard reads the files that have `tfevents` in their names.
const FILE: &str = "events.out.tfevents.inpo";

/// Numbers of a row that say where it belongs and are no curves.
const PLACES: [&str; 3] = ["step", "global_step", "iteration"];

/// `tensorflow.Event`, of which these fields are written.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// `tensorflow.Summary`.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

/// `tensorflow.Summary.Value`.
#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// The event file of a directory.
#[derive(Debug)]
pub(crate) struct EventFile {
    path: PathBuf,
    metrics: PathBuf,
    /// Once this process has written the file.
    file: Option<File>,
    /// Optimiser steps so far: where the rows of other stages stand.
    step: i64,
}

impl EventFile {
    /// That of the directory `root`, with the rows of its file `metrics`.
    pub(crate) fn new(root: &Path, metrics: &str) -> Self {
        Self {
            path: root.join(FOLDER).join(FILE),
            metrics: root.join(metrics),
            file: None,
            step: 0,
        }
    }

    /// Adds a row that was logged; the first one of a process writes the file anew, with every row that there is.
    ///
    /// # Errors
    ///
    /// Files that cannot be read or written.
    pub(crate) fn add(&mut self, row: &Map<String, Value>) -> Result<(), DataError> {
        let Some(mut file) = self.file.take() else {
            return self.rewrite();
        };
        let record = self.record(row);
        file.write_all(&record)
            .map_err(DataError::write(&self.path))?;
        self.file = Some(file);
        Ok(())
    }

    /// Writes the file with the rows of the metrics and nothing else.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub(crate) fn rewrite(&mut self) -> Result<(), DataError> {
        self.step = 0;
        let rows: Vec<Map<String, Value>> = read_jsonl(&self.metrics)?;
        let mut bytes = framed(&Event {
            wall_time: now(),
            file_version: Some("brain.Event:2".to_owned()),
            ..Event::default()
        });
        for row in &rows {
            bytes.extend(self.record(row));
        }
        write_whole(&self.path, &bytes)?;
        let file = OpenOptions::new().append(true).open(&self.path);
        self.file = Some(file.map_err(DataError::write(&self.path))?);
        Ok(())
    }

    /// A row as a record. An optimiser step counts the steps on; the rows of other stages stand at the last one.
    fn record(&mut self, row: &Map<String, Value>) -> Vec<u8> {
        let step = row.get("global_step").or_else(|| row.get("step"));
        self.step = step.and_then(Value::as_i64).unwrap_or(self.step);
        let is_eval = row
            .get("stage")
            .and_then(Value::as_str)
            .is_some_and(|stage| stage.starts_with("eval"));
        let group = if is_eval { "eval" } else { "train" };
        let of_curves = row
            .iter()
            .filter(|(name, _)| !PLACES.contains(&name.as_str()));
        let scalar = |(name, value): (&String, &Value)| {
            Some(Scalar {
                tag: format!("{group}/{name}"),
                simple_value: Some(value.as_f64()? as f32),
            })
        };
        framed(&Event {
            wall_time: now(),
            step: self.step,
            summary: Some(Summary {
                value: of_curves.filter_map(scalar).collect(),
            }),
            ..Event::default()
        })
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// An event as a record of a TFRecord file: length, its checksum, the message, its checksum.
fn framed(event: &Event) -> Vec<u8> {
    let message = event.encode_to_vec();
    let length = (message.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(message.len() + 16);
    record.extend(length);
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(&message);
    record.extend(masked_crc(&message).to_le_bytes());
    record
}

/// The checksum of a TFRecord file.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use inpo_data::files::append_jsonl;
    use serde_json::json;

    use super::*;

    /// The step, tags and values of each event of a file behind the first, whose checksums are right.
    fn read(bytes: &[u8]) -> Vec<(i64, Vec<(String, f32)>)> {
        let (mut rest, mut events) = (bytes, Vec::new());
        while !rest.is_empty() {
            let (head, behind) = rest.split_at(12);
            let length = u64::from_le_bytes(head[..8].try_into().unwrap()) as usize;
            let (message, end) = behind.split_at(length);
            for (of, crc) in [(&head[..8], &head[8..]), (message, &end[..4])] {
                assert_eq!(masked_crc(of).to_le_bytes(), crc);
            }
            let event = Event::decode(message).unwrap();
            let scalars = event.summary.unwrap_or_default().value.into_iter();
            let scalars = scalars.map(|s| (s.tag, s.simple_value.unwrap()));
            events.push((event.step, scalars.collect()));
            rest = &end[4..];
        }
        events.split_off(1)
    }

    /// RFC 3720, B.4: the CRC-32C of 32 zero bytes is aa 36 91 8a, the least significant byte first. Rotated right by 15 it is
    /// 0x6d55_1522; with TFRecord's constant 0xa282_ead8 added, modulo 2^32, 0x0fd7_fffa.
    #[test]
    fn checksums_are_those_of_tfrecord() {
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(masked_crc(&[0; 32]), 0x0fd7_fffa);
    }

    /// Rows of two processes, the second of which finds that the last row of the first is gone: each row stands once, those
    /// that are no optimiser step at the step before them, evaluations under `eval/`.
    #[test]
    fn each_row_is_one_event_however_often_the_run_is_resumed() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = dir.path().join("metrics.jsonl");
        let row = |value: Value| value.as_object().unwrap().clone();
        let rows = [
            row(json!({"stage": "generate", "iteration": 1, "timing_s/gen": 1.5})),
            row(
                json!({"stage": "train", "iteration": 1, "step": 2, "loss": 0.25, "global_step": 7}),
            ),
            row(
                json!({"stage": "eval", "iteration": 1, "game/kl_ref": 0, "judge/cycle_rate": null}),
            ),
            row(
                json!({"stage": "train", "iteration": 2, "step": 1, "loss": 0.125, "global_step": 8}),
            ),
        ];
        let log = |events: &mut EventFile, row: &Map<String, Value>| {
            append_jsonl(&metrics, row).unwrap();
            events.add(row).unwrap();
        };
        let mut first = EventFile::new(dir.path(), "metrics.jsonl");
        for row in &rows {
            log(&mut first, row);
        }
        let path = dir.path().join("runs/events.out.tfevents.inpo");
        let scalar = |tag: &str, value: f32| (tag.to_owned(), value);
        let expected = [
            (0, vec![scalar("train/timing_s/gen", 1.5)]),
            (7, vec![scalar("train/loss", 0.25)]),
            (7, vec![scalar("eval/game/kl_ref", 0.0)]),
            (8, vec![scalar("train/loss", 0.125)]),
        ];
        assert_eq!(read(&std::fs::read(&path).unwrap()), expected);
        // What was logged last is forgotten and computed again.
        let text = std::fs::read_to_string(&metrics).unwrap();
        let kept: String = text.split_inclusive('\n').take(3).collect();
        std::fs::write(&metrics, kept).unwrap();
        let mut second = EventFile::new(dir.path(), "metrics.jsonl");
        log(&mut second, &rows[3]);
        assert_eq!(read(&std::fs::read(&path).unwrap()), expected);
    }
}
