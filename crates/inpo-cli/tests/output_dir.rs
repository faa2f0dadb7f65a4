//! `output_dir` of `inpo train` and `inpo train-oracle`: nothing that is there is written over, and nothing that is read
//! lies inside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

fn model(name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../inpo-policy/tests/fixtures");
    fixtures.join(name)
}

fn inpo(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_inpo"))
        .args(args)
        .env("INPO_OFFLINE", "1")
        .output()
        .unwrap()
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn pair() -> String {
    let row = json!({
        "prompt_token_ids": [5, 9, 11],
        "chosen_token_ids": [7, 8, 9, 2, 4, 6],
        "rejected_token_ids": [1, 2, 3, 4, 5],
    });
    format!("{row}\n")
}

/// Trains into `dir/out` on the pairs of `pairs`, with what `policy` adds to the section.
fn train(dir: &Path, policy: &str, pairs: &Path, flags: &[&str]) -> (Option<i32>, String) {
    let text = format!(
        "output_dir = '{}'\n[policy]\n{policy}\n[data]\npairs = '{}'\n[objective]\neta = 0.1\n[train]\nmax_steps = 1\n\
         gradient_accumulation_steps = 1\n",
        dir.join("out").display(),
        pairs.display()
    );
    let config = dir.join("config.toml");
    write(&config, &text);
    let config = config.display().to_string();
    let output = inpo(&[&["train", "--config", &config], flags].concat());
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn base() -> String {
    format!("model = '{}'", model("tiny_llama_untied").display())
}

/// Every file below `root` with its bytes, without the lock.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else if !path.ends_with(".lock") {
            files.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    files
}

/// A run's directory, a policy of another program, stages without their settings, anything at all.
#[test]
fn what_is_not_of_the_training_is_never_written_over() {
    let cases: [(&[&str], &str); 5] = [
        (
            &[
                "run.toml",
                "manifest.json",
                "metrics.jsonl",
                "iteration-0001/pairs.jsonl",
            ],
            "holds run.toml, which is not of this training; choose another output_dir",
        ),
        (
            &["policy/adapter_model.safetensors", "policy/.complete"],
            "holds policy, but no train.toml that says whose it is; restore that, or choose another output_dir",
        ),
        (
            &["anchors.safetensors", "metrics.jsonl"],
            "holds anchors.safetensors, but no train.toml",
        ),
        (&["manifest.json"], "holds manifest.json, but no train.toml"),
        (
            &["notes.txt"],
            "holds notes.txt, which is not of this training",
        ),
    ];
    for (files, words) in cases {
        let dir = tempfile::tempdir().unwrap();
        let pairs = dir.path().join("pairs.jsonl");
        write(&pairs, &pair());
        let out = dir.path().join("out");
        for file in files {
            write(&out.join(file), "{\"mine\": 1}\n");
        }
        let before = contents(&out);
        for flags in [&[][..], &["--resume"]] {
            let (status, message) = train(dir.path(), &base(), &pairs, flags);
            assert_eq!(status, Some(2), "{files:?}, {flags:?}: {message}");
            assert!(message.contains(words), "{files:?}: {message}");
            assert!(contents(&out) == before, "{files:?} changed");
        }
    }
}

/// An empty directory and what a killed process leaves are nobody's; where nothing is to be resumed the training begins.
#[test]
fn an_empty_directory_is_taken_and_resume_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = dir.path().join("pairs.jsonl");
    write(&pairs, &pair());
    let out = dir.path().join("out");
    for file in [".lock", ".partial-abc", ".tmpdef"] {
        write(&out.join(file), "");
    }
    let (status, message) = train(dir.path(), &base(), &pairs, &["--resume"]);
    assert_eq!(status, Some(0), "{message}");
    let note = format!(
        "note: {} holds nothing to resume; the training begins",
        out.display()
    );
    assert!(message.contains(&note), "{message}");
    assert!(out.join("policy/model.safetensors").exists());
    let (status, message) = train(dir.path(), &base(), &pairs, &["--resume"]);
    assert_eq!(status, Some(0), "{message}");
    assert!(!message.contains("note: "), "{message}");
}

/// Data, model and adapter inside of `output_dir`, as they are and through links and `..`.
#[cfg(unix)]
#[test]
fn nothing_that_is_read_lies_inside() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let (out, outside) = (dir.path().join("out"), dir.path().join("pairs.jsonl"));
    write(&outside, &pair());
    write(&out.join("pairs.jsonl"), &pair());
    let copy = out.join("model");
    std::fs::create_dir_all(&copy).unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(model("tiny_llama_untied").join(file), copy.join(file)).unwrap();
    }
    let of_links = dir.path().join("of_links");
    std::fs::create_dir_all(&of_links).unwrap();
    for file in ["config.json", "model.safetensors"] {
        symlink(copy.join(file), of_links.join(file)).unwrap();
    }
    symlink(out.join("pairs.jsonl"), dir.path().join("link.jsonl")).unwrap();
    symlink(&outside, out.join("outwards.jsonl")).unwrap();
    symlink(&out, dir.path().join("other_name")).unwrap();
    let before = contents(&out);
    let path = |name: &str| dir.path().join(name);
    let named = |name: &str| format!("model = '{}'", path(name).display());
    for (policy, pairs, key) in [
        (base(), path("out/pairs.jsonl"), "data.pairs"),
        (base(), path("of_links/../out/pairs.jsonl"), "data.pairs"),
        (base(), path("link.jsonl"), "data.pairs"),
        (base(), path("out/outwards.jsonl"), "data.pairs"),
        (base(), path("other_name/pairs.jsonl"), "data.pairs"),
        (named("out/model"), outside.clone(), "policy.model"),
        (named("of_links"), outside.clone(), "policy.model"),
    ] {
        for flags in [&[][..], &["--resume"]] {
            let (status, message) = train(dir.path(), &policy, &pairs, flags);
            assert_eq!(status, Some(2), "{key}: {message}");
            let words = format!("`{key}` is ");
            let rest = format!(
                "lies inside of output_dir, {}; move it, or choose another output_dir",
                out.display()
            );
            assert!(
                message.contains(&words) && message.contains(&rest),
                "{key}: {message}"
            );
        }
    }
    assert!(contents(&out) == before, "out changed");
}

/// The same for a judge: `inpo train-oracle` writes `train.toml` too.
#[test]
fn a_judge_does_not_replace_a_policy() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = dir.path().join("pairs.jsonl");
    write(&pairs, &pair());
    let (status, message) = train(dir.path(), &base(), &pairs, &[]);
    assert_eq!(status, Some(0), "{message}");
    let (out, votes) = (dir.path().join("out"), dir.path().join("votes.jsonl"));
    write(
        &votes,
        "{\"prompt\": \"x\", \"response_a\": \"y\", \"response_b\": \"z\", \"winner\": \"a\"}\n",
    );
    let fixtures =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../inpo-oracle/tests/fixtures/models");
    let judge = dir.path().join("model");
    std::fs::create_dir_all(&judge).unwrap();
    for (file, name) in [
        ("pair/config.json", "config.json"),
        ("pair/model.safetensors", "model.safetensors"),
        ("tokenizer.json", "tokenizer.json"),
    ] {
        std::fs::copy(fixtures.join(file), judge.join(name)).unwrap();
    }
    let templates = std::fs::read(fixtures.join("templates.json")).unwrap();
    let templates: serde_json::Value = serde_json::from_slice(&templates).unwrap();
    let template = templates["chatml"].to_string();
    write(&judge.join("tokenizer_config.json"), &template);
    let config = dir.path().join("judge.toml");
    let text = format!(
        "output_dir = '{}'\npolicy.model = '{}'\ndata.votes = '{}'\n",
        out.display(),
        judge.display(),
        votes.display()
    );
    write(&config, &text);
    let before = contents(&out);
    for (flags, words) in [
        (&[][..], "already holds a run"),
        (&["--resume"], "train.toml"),
    ] {
        let config = config.display().to_string();
        let output = inpo(&[&["train-oracle", "--config", &config], flags].concat());
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(words), "{message}");
        assert!(contents(&out) == before, "out changed");
    }
}
