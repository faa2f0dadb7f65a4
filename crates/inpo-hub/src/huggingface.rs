//! The Hugging Face hub and its cache, which is shared with Python's `huggingface_hub`.
//!
//! The hub is not believed: names of commits and blobs are hexadecimal digits, names of files plain, and a file whose
//! contents have not the digest that the hub states is refused and removed. What the hub states is another matter: a mirror
//! that lies of both is a mirror that was chosen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use inpo_data::DataError;

use crate::{Watch, verify};

mod cache;
mod client;
mod digest;
mod download;
#[cfg(test)]
mod tests;

use cache::{Cache, is_plain};
use client::Hub;
use download::Source;

/// Why a model could not be fetched.
#[derive(Debug)]
pub(super) enum Failure {
    /// What the hub did, in words.
    Hub(String),
    /// This machine's disk.
    Disk(DataError),
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Hub(reason)
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::Disk(error)
    }
}

/// What this way of fetching is called in messages.
pub(super) const WHAT: &str = "the Hugging Face hub";

const CONFIG: &str = "config.json";
const INDEX: &str = "model.safetensors.index.json";
const WEIGHTS: &str = "model.safetensors";

/// The files of a model that are read, where the repository has them. The first is required.
const WANTED: &[&str] = &[
    CONFIG,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

pub(super) fn cache_dir() -> PathBuf {
    Cache::from_env().dir()
}

/// The model in the cache, if all its weights are there.
pub(super) fn cached(id: &str) -> Option<PathBuf> {
    cached_in(&Cache::from_env(), id)
}

fn cached_in(cache: &Cache, id: &str) -> Option<PathBuf> {
    let dir = cache.repository(id).main()?;
    let complete = match shards(&dir) {
        Ok(shards) => shards.iter().all(|shard| dir.join(shard).is_file()),
        Err(_) => dir.join(WEIGHTS).is_file(),
    };
    (complete && dir.join(CONFIG).is_file()).then_some(dir)
}

pub(super) fn fetch(id: &str, watch: Watch<'_>) -> Result<PathBuf, Failure> {
    let cache = Cache::from_env();
    let hub = Hub::from_env(&cache, watch)?;
    fetch_with(&hub, &cache, id, watch)
}

fn fetch_with(hub: &Hub, cache: &Cache, id: &str, watch: Watch<'_>) -> Result<PathBuf, Failure> {
    let listing = hub.list(id)?;
    let files = &listing.files;
    if !files.contains_key(CONFIG) {
        return Err(format!("the repository has no {CONFIG}").into());
    }
    let repository = cache.repository(id);
    std::fs::create_dir_all(&repository.0).map_err(DataError::write(&repository.0))?;
    let _lock = verify::lock(&repository.0, watch)?;
    let source = Source {
        hub,
        id,
        commit: &listing.commit,
        cache: &repository,
    };
    let mut get = |file: &str| match files.get(file) {
        Some(stated) => source.fetch(file, stated, watch).map(drop),
        None => Err(format!("the repository has no {file}").into()),
    };
    for file in WANTED.iter().filter(|file| files.contains_key(**file)) {
        get(file)?;
    }
    let dir = repository.snapshot(&listing.commit);
    if files.contains_key(WEIGHTS) {
        get(WEIGHTS)?;
    } else if files.contains_key(INDEX) {
        get(INDEX)?;
        for shard in shards(&dir)? {
            get(&shard)?;
        }
    } else {
        return Err("the repository has no safetensors weights"
            .to_owned()
            .into());
    }
    // Last: the name of a model is that of a whole one.
    repository.set_main(&listing.commit)?;
    Ok(dir)
}

/// The shards that the index in `dir` lists.
fn shards(dir: &Path) -> Result<BTreeSet<String>, String> {
    let text = std::fs::read(dir.join(INDEX)).map_err(|e| format!("{INDEX}: {e}"))?;
    let index: serde_json::Value =
        serde_json::from_slice(&text).map_err(|e| format!("{INDEX}: {e}"))?;
    let map = index.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| format!("{INDEX} has no weight_map"))?;
    map.values()
        .map(|file| match file.as_str() {
            Some(file) if is_plain(file) => Ok(file.to_owned()),
            _ => Err(format!("{INDEX} names a shard that is not a file name")),
        })
        .collect()
}
