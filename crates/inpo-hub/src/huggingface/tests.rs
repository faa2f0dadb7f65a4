//! Against a mirror on this machine, hostile ones among them.

use std::collections::BTreeMap;
use std::sync::Arc;

use inpo_data::sha256;
use serde_json::{Value, json};

use super::*;

#[path = "../../../inpo-data/tests/support/faulty.rs"]
mod faulty;

use faulty::{Log, Reply, Seen, serve};

const COMMIT: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";

/// The files of a repository.
type Files = BTreeMap<&'static str, &'static str>;

fn of(status: u16, headers: &str, body: &str) -> Reply {
    Reply::Of(status, headers.to_owned(), body.to_owned())
}

/// The list that the hub gives: sizes and digests of files in Git LFS.
fn list(files: &Files) -> Value {
    let file = |(name, body): (&&str, &&str)| {
        let sum = sha256(body.as_bytes());
        json!({"rfilename": name, "size": body.len(), "lfs": {"sha256": sum, "size": body.len()}})
    };
    let siblings: Vec<Value> = files.iter().map(file).collect();
    json!({"sha": COMMIT, "siblings": siblings})
}

/// A mirror of `owner/name` whose list and replies are changed: by the name of a file, none for what is asked of no file.
fn mirror(
    files: &Files,
    list: Value,
    change: impl Fn(&str, &Seen) -> Option<Reply> + Send + Sync + 'static,
) -> (String, Log) {
    let files = files.clone();
    serve(move |_, seen| {
        if seen
            .path
            .starts_with("/v1/api/models/owner/name/revision/main")
        {
            return Reply::Json(list.clone());
        }
        let file = seen
            .path
            .strip_prefix(&format!("/v1/owner/name/resolve/{COMMIT}/"));
        let file = file.unwrap_or_default();
        let found = || match files.get(file) {
            Some(body) => of(200, "", body),
            None => of(
                404,
                "X-Error-Message: not found, hf_secret, https://me:pw@h\r\n",
                "",
            ),
        };
        change(file, seen).unwrap_or_else(found)
    })
}

/// A home with a cache and a token, in a directory of which nothing else may be touched.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn fetch(&self, endpoint: &str) -> Result<PathBuf, String> {
        let hub = Hub::new(endpoint, Some("hf_secret".to_owned()))?;
        let cache = Cache::new(self.0.path().join("home"));
        let path = fetch_with(&hub, &cache, "owner/name", &mut |_| ());
        let path = path.map_err(|failure| match failure {
            Failure::Hub(reason) => reason,
            Failure::Disk(error) => format!("disk: {error}"),
        })?;
        assert_eq!(cached_in(&cache, "owner/name").as_ref(), Some(&path));
        Ok(path)
    }

    /// All files, below the directory.
    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.0.path().to_path_buf()];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    found.push(path.strip_prefix(self.0.path()).unwrap().to_path_buf());
                }
            }
        }
        found.retain(|path| !path.ends_with(".lock"));
        found.sort();
        found
    }
}

fn model() -> Files {
    [("config.json", "{}"), ("model.safetensors", "weights")].into()
}

fn unchanged(_: &str, _: &Seen) -> Option<Reply> {
    None
}

#[test]
fn configuration_tokenizer_and_all_shards_are_fetched() {
    let home = Home::new();
    let index = r#"{"weight_map": {"x": "a.safetensors", "y": "bb.safetensors"}}"#;
    let files: Files = [
        ("config.json", "{}"),
        ("tokenizer.json", "{ }"),
        (INDEX, index),
        ("a.safetensors", "A"),
        ("bb.safetensors", "B"),
        ("pytorch_model.bin", "not wanted"),
    ]
    .into();
    let (endpoint, log) = mirror(&files, list(&files), unchanged);
    let dir = home.fetch(&endpoint).unwrap();
    assert!(dir.ends_with(format!("home/hub/models--owner--name/snapshots/{COMMIT}")));
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
    let asked = log.lock().unwrap().len();
    assert_eq!(asked, 1 + 5);
    // What is there, and is what it should be, is not fetched again; what was damaged is.
    let blob = dir.join("a.safetensors").canonicalize().unwrap();
    std::fs::write(blob, "C").unwrap();
    let dir = home.fetch(&endpoint).unwrap();
    let shard = std::fs::read_to_string(dir.join("a.safetensors")).unwrap();
    assert_eq!(shard, "A");
    assert_eq!(log.lock().unwrap().len(), asked + 2);
}

#[test]
fn a_repository_that_is_not_a_model_is_refused() {
    let refused = |files: &[(&'static str, &'static str)]| {
        let files: Files = files.iter().copied().collect();
        let (endpoint, _) = mirror(&files, list(&files), unchanged);
        Home::new().fetch(&endpoint).unwrap_err()
    };
    assert_eq!(refused(&[("a", "b")]), "the repository has no config.json");
    assert_eq!(
        refused(&[("config.json", "{}")]),
        "the repository has no safetensors weights"
    );
    let config = ("config.json", "{}");
    for shard in ["../a", "/a", "..", ".a", "a\\b", "a\u{1b}b"] {
        let index = json!({"weight_map": {"x": shard}}).to_string();
        assert_eq!(
            refused(&[config, (INDEX, Box::leak(index.into_boxed_str()))]),
            "model.safetensors.index.json names a shard that is not a file name"
        );
    }
    let index = r#"{"weight_map": {"x": "a.safetensors"}}"#;
    assert_eq!(
        refused(&[config, (INDEX, index)]),
        "the repository has no a.safetensors"
    );
}

/// Commits, digests and names that lead out of the cache.
#[test]
fn nothing_is_written_outside_of_the_cache() {
    let files = model();
    for (place, value, reason) in [
        (
            "/sha",
            "../../../../out",
            r#"the hub names the commit "../../../../out", and a commit is 40 hexadecimal digits"#,
        ),
        ("/sha", "/tmp/out", "and a commit is 40 hexadecimal digits"),
        ("/sha", "main", "and a commit is 40 hexadecimal digits"),
        (
            "/siblings/0/lfs/sha256",
            "../../../../out",
            r#"config.json: the hub states the digest "../../../../out", which is none"#,
        ),
        (
            "/siblings/0/rfilename",
            "../config.json",
            "the repository has no config.json",
        ),
        (
            "/siblings/0/rfilename",
            "/config.json",
            "the repository has no config.json",
        ),
    ] {
        let home = Home::new();
        let mut list = list(&files);
        *list.pointer_mut(place).unwrap() = json!(value);
        let (endpoint, _) = mirror(&files, list, unchanged);
        let error = home.fetch(&endpoint).unwrap_err();
        assert!(error.ends_with(reason), "{error}");
        assert_eq!(home.files(), Vec::<PathBuf>::new());
    }
    // A mirror whose list says nothing of digests, and whose ETag is a path.
    for etag in ["../../../../out", "/tmp/out", "a/../../b", "W/\"short\""] {
        let home = Home::new();
        let list = json!({"sha": COMMIT, "siblings": [{"rfilename": "config.json"}]});
        let headers = format!("ETag: \"{etag}\"\r\nX-Repo-Commit: ../../out\r\n");
        let (endpoint, _) = mirror(&files, list, move |_, _| Some(of(200, &headers, "{}")));
        assert_eq!(
            home.fetch(&endpoint).unwrap_err(),
            "config.json: the hub states neither a sha256 nor git's digest, so that it cannot be checked"
        );
        assert_eq!(home.files(), Vec::<PathBuf>::new());
    }
    // A name in the cache that leads elsewhere names nothing.
    let home = Home::new();
    let cache = Cache::new(home.0.path().join("home"));
    let repository = cache.repository("owner/name");
    let outside = home.0.path().join("outside");
    for (file, text) in [("config.json", "{}"), (WEIGHTS, "")] {
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join(file), text).unwrap();
    }
    repository.set_main("../../../../outside").unwrap();
    assert_eq!(cached_in(&cache, "owner/name"), None);
}

/// Weights, and small files by git's digest, in the place of which something else comes.
#[test]
fn what_has_another_digest_is_refused_and_removed() {
    let files = model();
    let weights = sha256(b"weights");
    let sent = |body: &'static str| {
        let home = Home::new();
        let (endpoint, _) = mirror(&files, list(&files), move |file, _| {
            (file == WEIGHTS).then(|| of(200, "", body))
        });
        let error = home.fetch(&endpoint).unwrap_err();
        let names: Vec<PathBuf> = home.files();
        assert!(
            names
                .iter()
                .all(|name| !name.to_string_lossy().contains(&weights)),
            "{names:?}"
        );
        assert!(
            !names.iter().any(|name| name.ends_with("main")),
            "{names:?}"
        );
        error
    };
    assert_eq!(
        sent("Weights"),
        format!(
            "model.safetensors: its digest is {}, and the hub states {weights}",
            sha256(b"Weights")
        )
    );
    assert_eq!(
        sent("weights and more"),
        "model.safetensors: 16 bytes come, and the hub states 7"
    );
    assert_eq!(
        sent("weigh"),
        "model.safetensors: 5 bytes come, and the hub states 7"
    );

    // `printf '{}' | git hash-object --stdin`, and the sha1 of `{}` and of `{ }`.
    let (git, plain) = (
        "9e26dfeeb6e641a33dae4961196235bdb965b21b",
        "bf21a9e8fbc5a3846fb05b4fa0859e0917b2202f",
    );
    let mut list = list(&files);
    for (digest, body, good) in [(git, "{}", true), (plain, "{}", true), (git, "[]", false)] {
        list["siblings"][0] = json!({"rfilename": "config.json", "size": 2, "blobId": digest});
        let (endpoint, _) = mirror(&files, list.clone(), move |file, _| {
            (file == "config.json").then(|| of(200, "", body))
        });
        let fetched = Home::new().fetch(&endpoint);
        assert_eq!(fetched.is_ok(), good, "{fetched:?}");
    }
    // Without a list of digests, the ETag counts.
    list["siblings"][0] = json!({"rfilename": "config.json"});
    let headers = format!("ETag: W/\"{git}\"\r\n");
    let (endpoint, _) = mirror(&files, list, move |file, _| {
        (file == "config.json").then(|| of(200, &headers, "{}"))
    });
    Home::new().fetch(&endpoint).unwrap();
}

/// Large files come from another host: without the token, and checked by what the hub said, not that host.
#[test]
fn the_token_stays_with_the_hub() {
    let files = model();
    let sum = sha256(b"weights");
    let (elsewhere, seen_elsewhere) = serve(move |_, seen| match seen.path.as_str() {
        "/v1/good" => of(200, "ETag: \"0\"\r\n", "weights"),
        _ => of(200, &format!("ETag: \"{sum}\"\r\n"), "Weights"),
    });
    let from = |there: &'static str, list: Value| {
        let location = format!("Location: {elsewhere}{there}\r\n");
        let (endpoint, log) = mirror(&files, list, move |file, _| {
            (file == WEIGHTS).then(|| of(302, &location, ""))
        });
        (Home::new().fetch(&endpoint), log)
    };
    let (fetched, log) = from("/good", list(&files));
    fetched.unwrap();
    let token = Some("Bearer hf_secret".to_owned());
    assert!(
        log.lock()
            .unwrap()
            .iter()
            .all(|seen| seen.authorization == token)
    );
    let (fetched, _) = from("/bad", list(&files));
    assert!(fetched.unwrap_err().contains("and the hub states "));
    let mut unstated = list(&files);
    unstated["siblings"][1] = json!({"rfilename": WEIGHTS, "size": 7});
    let (fetched, _) = from("/bad", unstated);
    assert!(fetched.unwrap_err().contains("states neither a sha256"));
    let seen = seen_elsewhere.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|seen| seen.authorization.is_none()));
}

/// A cache that cannot be written is this machine's fault.
#[test]
fn a_cache_that_cannot_be_written_is_no_fault_of_the_hub() {
    let files = model();
    let (endpoint, _) = mirror(&files, list(&files), unchanged);
    let home = Home::new();
    std::fs::write(home.0.path().join("home"), "").unwrap();
    let error = home.fetch(&endpoint).unwrap_err();
    assert!(error.starts_with("disk: cannot write "), "{error}");
}

/// A connection that breaks off goes on where it did.
#[test]
fn a_file_is_fetched_in_parts() {
    // What `Reply::Cut` sends of its 500 bytes.
    let begun = "{\"choices\"";
    let whole: &'static str = Box::leak(format!("{begun:500}").into_boxed_str());
    let files: Files = [("config.json", whole), (WEIGHTS, "weights")].into();
    let tries = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (endpoint, _) = mirror(&files, list(&files), move |file, _| {
        let first = || tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        (file == "config.json").then(|| match first() {
            true => Reply::Cut,
            false => {
                let range = format!("Content-Range: bytes {}-499/500\r\n", begun.len());
                of(206, &range, &whole[begun.len()..])
            }
        })
    });
    let dir = Home::new().fetch(&endpoint);
    assert!(dir.is_ok(), "{dir:?}");
}

#[test]
fn what_the_hub_says_is_safe_to_print() {
    let files = model();
    let mut unlisted = files.clone();
    unlisted.insert("tokenizer.json", "{ }");
    let (endpoint, _) = mirror(&files, list(&unlisted), unchanged);
    assert_eq!(
        Home::new().fetch(&endpoint).unwrap_err(),
        "tokenizer.json: the hub answers 404 Not Found: not found, ***, https://***@h"
    );
    let (endpoint, _) = serve(|_, _| of(200, "", "\u{1b}]0;title\u{7}"));
    assert_eq!(
        Home::new().fetch(&endpoint).unwrap_err(),
        r#"the list of the model's files is no JSON: "\u{1b}]0;title\u{7}""#
    );
    let (endpoint, _) = serve(|_, _| of(302, "Location: ftp://me:pw@h/?token=t\r\n", ""));
    assert_eq!(
        Home::new().fetch(&endpoint).unwrap_err(),
        r#"it redirects to "ftp://***@h/?token=***", which is not followed"#
    );
    assert_eq!(
        Home::new().fetch("me:pw@mirror").unwrap_err(),
        r#"HF_ENDPOINT is "***@mirror"; allowed: an address such as https://huggingface.co"#
    );
}
