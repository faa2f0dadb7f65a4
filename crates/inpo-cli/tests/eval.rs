//! `inpo eval --run`: a run and runs of several seeds, from their files.

mod tiny_run;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn inpo(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_inpo"))
        .args(args)
        .current_dir(dir)
        .env("INPO_OFFLINE", "1")
        .output()
        .unwrap()
}

fn ok(dir: &Path, args: &[&str]) -> (String, String) {
    let output = inpo(dir, args);
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{args:?}: {err}");
    (out, err)
}

fn snapshot(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(snapshot(&path));
        } else {
            files.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    files
}

/// The run says last which policy to ship; `inpo eval` says the same and changes nothing, or its own two files alone; runs
/// are set side by side where the seed alone differs.
#[test]
fn runs_are_evaluated_from_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tiny_run::prepare(dir);
    for (name, seed, eta) in [("a", 3, "0.1"), ("b", 4, "0.1"), ("c", 5, "0.2")] {
        let (_, told) = ok(
            dir,
            &[
                "run",
                "--config",
                "run.toml",
                "--set",
                &format!("output_dir={name}"),
                "--set",
                &format!("seed={seed}"),
                "--set",
                &format!("objective.eta={eta}"),
                "--set",
                "data.eval_prompts=prompts.jsonl",
                "--set",
                "eval.num_prompts=6",
                "--set",
                "eval.num_generations=3",
            ],
        );
        let last = told.lines().last().unwrap();
        assert!(last.starts_with("ship "), "{told}");
    }
    let before = snapshot(&dir.join("a"));
    let (out, told) = ok(dir, &["eval", "--run", "a", "--json"]);
    assert!(snapshot(&dir.join("a")) == before);
    let whole: Value = serde_json::from_slice(&before[&dir.join("a/evaluation.json")]).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), whole);
    assert_eq!(told.trim_end(), whole["recommendation"]["sentence"]);
    let (out, _) = ok(dir, &["game", "analyse", "a/empirical_game.json", "--json"]);
    let nash = serde_json::from_str::<Value>(&out).unwrap()["nash"]["strategy"].clone();
    assert_eq!(nash.as_array().unwrap().len(), 3);

    ok(
        dir,
        &[
            "eval",
            "--run",
            "a",
            "--set",
            "eval.confidence=0.5",
            "--output",
            "half.json",
        ],
    );
    assert!(snapshot(&dir.join("a")) == before);
    ok(dir, &["eval", "--run", "a", "--set", "eval.confidence=0.5"]);
    let mut after = snapshot(&dir.join("a"));
    assert_eq!(
        after[&dir.join("a/evaluation.json")],
        std::fs::read(dir.join("half.json")).unwrap()
    );
    let own = dir.join("a/evaluation.json");
    after.insert(own.clone(), before[&own].clone());
    assert!(after == before);

    let (out, _) = ok(dir, &["eval", "--run", "a", "--run", "b", "--json"]);
    let spread: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(spread["seeds"], serde_json::json!([3, 4]));
    let rate = &spread["iterations"][2]["win_rate_vs_ref"];
    let mean = (rate["values"][0].as_f64().unwrap() + rate["values"][1].as_f64().unwrap()) / 2.0;
    assert!((rate["runs"]["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert!(rate["prompts"]["high"].is_number());
    let refused = |args: &[&str], words: &str| {
        let output = inpo(dir, args);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(words), "{told}");
    };
    refused(
        &["eval", "--run", "a", "--run", "c"],
        "c: it differs from a in other settings than the seed: `objective.eta` was 0.1, is 0.2",
    );
    refused(
        &["eval", "--run", "a", "--run", "a"],
        "a: it has the seed of a, 3",
    );
    refused(&["eval", "--run", "absent"], "run.toml");
    refused(
        &["eval", "--run", "a", "--set", "seed=9"],
        "allowed: those of [eval]",
    );
}
