//! The Hugging Face hub and its cache, which is shared with Python's `huggingface_hub`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo};

use crate::{Progress, Watch};

/// What this way of fetching is called in messages.
pub(super) const WHAT: &str = "the Hugging Face hub";

const INDEX: &str = "model.safetensors.index.json";

/// The files of a model that are read, where the repository has them.
const WANTED: &[&str] = &[
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

pub(super) fn cache_dir() -> PathBuf {
    Cache::from_env().path().clone()
}

/// The model in the cache, if all its weights are there.
pub(super) fn cached(id: &str) -> Option<PathBuf> {
    let repo = Cache::from_env().repo(Repo::model(id.to_owned()));
    let dir = repo.get("config.json")?.parent()?.to_path_buf();
    let complete = match shards(&dir) {
        Ok(shards) => shards.iter().all(|shard| dir.join(shard).is_file()),
        Err(_) => dir.join("model.safetensors").is_file(),
    };
    complete.then_some(dir)
}

pub(super) fn fetch(id: &str, watch: Watch<'_>) -> Result<PathBuf, String> {
    fetch_with(ApiBuilder::from_env(), Cache::from_env(), id, watch)
}

fn fetch_with(
    api: ApiBuilder,
    cache: Cache,
    id: &str,
    watch: Watch<'_>,
) -> Result<PathBuf, String> {
    let api = api
        .with_progress(false)
        .build()
        .map_err(|e| e.to_string())?;
    let repo = api.model(id.to_owned());
    let info = repo.info().map_err(|e| e.to_string())?;
    let files: BTreeSet<String> = info.siblings.into_iter().map(|s| s.rfilename).collect();
    let cache = cache.repo(Repo::model(id.to_owned()));
    let mut get = |file: &str| {
        if let Some(path) = cache.get(file) {
            return Ok(path);
        }
        let fetched = repo.download_with_progress(file, Download { watch, done: 0 });
        fetched.map_err(|e| format!("{file}: {e}"))
    };
    if !files.contains("config.json") {
        return Err("the repository has no config.json".to_owned());
    }
    let dir = get("config.json")?
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default();
    for file in WANTED.iter().filter(|file| files.contains(**file)) {
        get(file)?;
    }
    if files.contains("model.safetensors") {
        get("model.safetensors")?;
    } else if files.contains(INDEX) {
        get(INDEX)?;
        for shard in shards(&dir)? {
            get(&shard)?;
        }
    } else {
        return Err("the repository has no safetensors weights".to_owned());
    }
    Ok(dir)
}

/// One file's download, as `watch` is told of it.
struct Download<'w, 'c> {
    watch: &'w mut (dyn FnMut(Progress<'_>) + 'c),
    done: u64,
}

impl hf_hub::api::Progress for Download<'_, '_> {
    fn init(&mut self, size: usize, filename: &str) {
        (self.watch)(Progress::Begin {
            what: &format!("fetching {filename}"),
            bytes: size as u64,
        });
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        (self.watch)(Progress::At(self.done));
    }

    fn finish(&mut self) {
        (self.watch)(Progress::End);
    }
}

/// The shards that the index in `dir` lists.
fn shards(dir: &Path) -> Result<BTreeSet<String>, String> {
    let text = std::fs::read(dir.join(INDEX)).map_err(|e| format!("{INDEX}: {e}"))?;
    let index: serde_json::Value =
        serde_json::from_slice(&text).map_err(|e| format!("{INDEX}: {e}"))?;
    let map = index.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| format!("{INDEX} has no weight_map"))?;
    let plain = |file: &str| Path::new(file).file_name().is_some_and(|name| name == file);
    map.values()
        .map(|file| match file.as_str() {
            Some(file) if plain(file) => Ok(file.to_owned()),
            _ => Err(format!("{INDEX} names a shard that is not a file name")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    /// Serves one repository as the hub does: its list, and files with their digests and ranges.
    fn serve(files: BTreeMap<&'static str, &'static str>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap())
                    .lines()
                    .map_while(Result::ok);
                let request = lines.next().unwrap_or_default();
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                let path = request.split(' ').nth(1).unwrap_or_default();
                let list = || {
                    let names = files.keys().map(|f| serde_json::json!({"rfilename": f}));
                    serde_json::json!({"sha": "c0", "siblings": names.collect::<Vec<_>>()})
                        .to_string()
                };
                let file = path.strip_prefix("/owner/name/resolve/main/");
                let body = match file.map(|f| files.get(f)) {
                    Some(Some(body)) => (*body).to_owned(),
                    None if path.starts_with("/api/models/owner/name") => list(),
                    _ => {
                        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                        continue;
                    }
                };
                let (n, tag) = (body.len(), path.len());
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {n}\r\nContent-Range: bytes 0-0/{n}\r\nX-Repo-Commit: c0\r\nETag: \"{tag}\"\r\nConnection: close\r\n\r\n{body}"
                );
            }
        });
        format!("http://{address}")
    }

    fn fetch_from(files: &[(&'static str, &'static str)], cache: &Path) -> Result<PathBuf, String> {
        let endpoint = serve(files.iter().copied().collect());
        let cache = Cache::new(cache.to_path_buf());
        let api = ApiBuilder::from_cache(cache.clone()).with_endpoint(endpoint);
        fetch_with(api, cache, "owner/name", &mut |_| ())
    }

    #[test]
    fn configuration_tokenizer_and_all_shards_are_fetched() {
        let cache = tempfile::tempdir().unwrap();
        let index = r#"{"weight_map": {"x": "a.safetensors", "y": "bb.safetensors"}}"#;
        let files = [
            ("config.json", "{}"),
            ("tokenizer.json", "{ }"),
            (INDEX, index),
            ("a.safetensors", "A"),
            ("bb.safetensors", "B"),
            ("pytorch_model.bin", "not wanted"),
        ];
        let dir = fetch_from(&files, cache.path()).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.join("bb.safetensors")).unwrap(),
            "B"
        );
        let mut names: Vec<_> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "a.safetensors",
                "bb.safetensors",
                "config.json",
                INDEX,
                "tokenizer.json"
            ]
        );
    }

    #[test]
    fn a_repository_that_is_not_a_model_is_refused() {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(
            fetch_from(&[("a", "b")], cache.path()).unwrap_err(),
            "the repository has no config.json"
        );
        assert_eq!(
            fetch_from(&[("config.json", "{}")], cache.path()).unwrap_err(),
            "the repository has no safetensors weights"
        );
        let files = [
            ("config.json", "{}"),
            (INDEX, r#"{"weight_map": {"x": "../a"}}"#),
        ];
        assert_eq!(
            fetch_from(&files, cache.path()).unwrap_err(),
            "model.safetensors.index.json names a shard that is not a file name"
        );
    }
}
