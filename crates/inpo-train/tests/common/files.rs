//! The files of a directory: copied, damaged, compared.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use inpo_train::Observer;
use serde_json::{Map, Value};

/// Makes a directory as earlier releases left it: without digests.
pub(crate) fn forget_digests(root: &Path) {
    let path = root.join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut manifest: Map<String, Value> = serde_json::from_str(&text).unwrap();
    for key in ["settings_sha256", "stages", "sha256"] {
        manifest.shift_remove(key).unwrap();
    }
    let text = serde_json::to_string_pretty(&manifest).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Every file of a directory with its bytes.
pub(crate) type Snapshot = BTreeMap<PathBuf, Vec<u8>>;

/// Every file below `root`.
pub(crate) fn snapshot(root: &Path) -> Snapshot {
    let mut files = Snapshot::new();
    for entry in std::fs::read_dir(root).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(snapshot(&path));
        } else {
            files.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    files
}

/// Gives `root` the files of a snapshot, and nothing else.
pub(crate) fn restore(root: &Path, files: &Snapshot) {
    std::fs::remove_dir_all(root).unwrap();
    for (path, bytes) in files {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Takes all times out of a snapshot: those of the metrics, their copies and their digests.
pub(crate) fn without_times(files: &Snapshot) -> Snapshot {
    let is_time = |key: &str| key.starts_with("timing_s/") || key.starts_with("perf/");
    let strip = |row: &mut Value| {
        row.as_object_mut().unwrap().retain(|key, _| !is_time(key));
    };
    let mut files = files.clone();
    for (path, bytes) in &mut files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        match name {
            "metrics.jsonl" => {
                let lines = bytes.split_inclusive(|&byte| byte == b'\n');
                let rows = lines.map(|line| {
                    let mut row = json(line);
                    strip(&mut row);
                    format!("{row}\n")
                });
                *bytes = rows.collect::<String>().into_bytes();
            }
            "trainer_state.json" => {
                let mut state = json(bytes);
                let history = state["log_history"].as_array_mut().unwrap();
                history.iter_mut().for_each(strip);
                *bytes = state.to_string().into_bytes();
            }
            "manifest.json" => {
                let mut manifest = json(bytes);
                manifest["sha256"].take();
                for stage in manifest["stages"].as_array_mut().unwrap() {
                    stage["metrics"]["sha256"].take();
                }
                *bytes = manifest.to_string().into_bytes();
            }
            "checkpoint.json" => {
                let mut checkpoint = json(bytes);
                checkpoint["sha256"].take();
                checkpoint["files"]["trainer_state.json"].take();
                *bytes = checkpoint.to_string().into_bytes();
            }
            "events.out.tfevents.inpo" => {
                let mut events = events(bytes);
                for (_, scalars) in &mut events {
                    let group = |tag: &str| tag.split_once('/').map(|(_, name)| name.to_owned());
                    scalars.retain(|(tag, _)| !group(tag).is_some_and(|name| is_time(&name)));
                }
                *bytes = format!("{events:?}").into_bytes();
            }
            _ => {}
        }
    }
    files
}

/// `tensorflow.Event`, and what it holds.
#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, tag = "2")]
    simple_value: f32,
}

/// The step and the scalars of each event of a file of TensorBoard.
pub(crate) fn events(mut bytes: &[u8]) -> Vec<(i64, Vec<(String, f32)>)> {
    let mut events = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(12) {
        let length = u64::from_le_bytes(head[..8].try_into().unwrap()) as usize;
        let (message, rest) = rest.split_at(length);
        let event = <Event as prost::Message>::decode(message).unwrap();
        let scalars = event.summary.into_iter().flat_map(|summary| summary.value);
        let scalars = scalars.map(|scalar| (scalar.tag, scalar.simple_value));
        events.push((event.step, scalars.collect()));
        bytes = &rest[4..];
    }
    events
}

/// Panics unless both have the same files but for times; names those that differ.
#[track_caller]
pub(crate) fn assert_same_files(got: &Snapshot, expected: &Snapshot, what: &str) {
    let (got, expected) = (without_times(got), without_times(expected));
    let names: BTreeSet<_> = got.keys().chain(expected.keys()).collect();
    let differ: Vec<_> = names
        .into_iter()
        .filter(|&name| got.get(name) != expected.get(name))
        .collect();
    assert!(differ.is_empty(), "{what}: {differ:?} differ");
}

/// Remembers the notes.
#[derive(Default)]
pub(crate) struct Notes(pub(crate) Vec<String>);

impl Observer for Notes {
    fn note(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

/// A file with one kind of damage each: cut in half, emptied, a bit flipped, a row dropped, two rows swapped. An empty file
/// gets a byte.
pub(crate) fn damages(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    if bytes.is_empty() {
        return vec![("grown", b"x".to_vec())];
    }
    let mut flipped = bytes.to_vec();
    flipped[bytes.len() / 2] ^= 4;
    let mut all = vec![
        ("cut", bytes[..bytes.len() / 2].to_vec()),
        ("emptied", Vec::new()),
        ("flipped", flipped),
    ];
    let rows: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    if rows.len() > 1 && std::str::from_utf8(bytes).is_ok() {
        all.push(("without a row", rows[1..].concat()));
        let mut swapped = rows.clone();
        swapped.swap(0, 1);
        all.push(("swapped", swapped.concat()));
    }
    all.retain(|(_, damaged)| damaged != bytes);
    all
}
