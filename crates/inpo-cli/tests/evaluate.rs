//! What a run says of itself at its end, and `inpo eval`, which says it again from the run's files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

mod tiny_run;

/// Exit status, standard output, standard error.
fn inpo(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_inpo"))
        .args(args)
        .current_dir(dir)
        .env("INPO_OFFLINE", "1")
        .output()
        .unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), out, err)
}

/// Runs with `sets` into `dir/out` and returns what standard error says.
fn run(dir: &Path, out: &str, sets: &[&str]) -> String {
    let place = format!("output_dir={out}");
    let mut args = vec!["run", "--config", "run.toml", "--set", &place];
    sets.iter().for_each(|set| args.extend(["--set", *set]));
    let (status, _, said) = inpo(dir, &args);
    assert_eq!(status, Some(0), "{said}");
    said
}

/// Every file below `root` with its bytes.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.clone(), std::fs::read(path).unwrap());
            }
        }
    }
    files
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn mean(value: &Value) -> f64 {
    value["mean"].as_f64().unwrap_or_else(|| panic!("{value}"))
}

/// The tiny run with held-out prompts, a second oracle and an opponent by its path, which is the reference itself.
fn prepare(dir: &Path) {
    tiny_run::prepare(dir);
    let path = dir.join("run.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace(
        "[data]\n",
        "[eval]\nopponents = ['reference', 'previous', 'initial', 'model']\n[eval.oracle]\nkind = 'rules'\n\
         target_words = 3\n[data]\neval_prompts = 'prompts.jsonl'\n",
    );
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_run_is_evaluated_at_its_end_and_again_from_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    prepare(dir);
    let said = run(dir, "out", &[]);
    let last = said.lines().rev().find(|line| line.contains("ship "));
    let evaluation = json(&dir.join("out/evaluation.json"));
    let sentence = evaluation["recommendation"]["sentence"].as_str().unwrap();
    assert!(last.is_some_and(|line| line.contains(sentence)), "{said}");

    // Every measure is there, and those of one thing agree.
    let second = &evaluation["iterations"][2];
    assert_eq!(*second, json(&dir.join("out/iteration-0002/eval.json")));
    let rate = |key: &str| mean(&second[key]);
    assert_eq!(rate("win_rate_vs_ref"), rate("win_rate_vs_init"));
    let gap = rate("win_rate_vs_ref") - rate("held_out_win_rate_vs_ref");
    assert!((rate("oracle_gap") - gap).abs() < 1e-12);
    assert!(gap.abs() > 1e-3, "the oracles want other lengths: {gap}");
    let progress = rate("win_rate_vs_ref") - mean(&evaluation["iterations"][1]["win_rate_vs_ref"]);
    assert!((rate("progress") - progress).abs() < 1e-12);
    assert_eq!(second["opponents"][0]["opponent"], "model");
    assert!(second["probe"].is_object() && second["probe_of_ref"].is_object());
    assert!(second["length_controlled"]["win_rate"].is_object());
    let metrics = std::fs::read_to_string(dir.join("out/metrics.jsonl")).unwrap();
    for name in ["prev", "init", "ref_lc", "ref_held_out"] {
        assert!(
            metrics.contains(&format!("\"game/win_rate_vs_{name}\"")),
            "{name}"
        );
    }
    for name in ["probe", "probe_of_ref", "oracle_gap_low"] {
        assert!(metrics.contains(&format!("\"game/{name}\"")), "{name}");
    }
    let players = evaluation["game"]["players"].as_array().unwrap();
    let names: Vec<&Value> = players.iter().map(|player| &player["name"]).collect();
    assert_eq!(names, ["reference", "model", "iteration 1", "iteration 2"]);
    assert_eq!(
        evaluation["game"]["preferences"][3][0].as_f64().unwrap(),
        rate("win_rate_vs_ref")
    );
    let (status, analysis, said) = inpo(dir, &["game", "analyse", "out/empirical_game.json"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(analysis.contains("iteration 2"), "{analysis}");

    // The same again from the files, without a question and without a change.
    let before = contents(&dir.join("out"));
    std::fs::remove_file(dir.join("out/evaluation.json")).unwrap();
    let (status, out, said) = inpo(dir, &["eval", "--run", "out", "--json"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(sentence), "{said}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), evaluation);
    assert!(contents(&dir.join("out")) == before);

    // Other settings, elsewhere.
    let narrow = [
        "eval",
        "--run",
        "out",
        "--set",
        "eval.confidence=0.5",
        "--output",
        "narrow.json",
    ];
    let (status, _, said) = inpo(dir, &narrow);
    assert_eq!(status, Some(0), "{said}");
    let narrow = &json(&dir.join("narrow.json"))["iterations"][2]["win_rate_vs_ref"];
    let wide = &second["win_rate_vs_ref"];
    assert_eq!(mean(narrow), mean(wide));
    assert!(narrow["low"].as_f64() > wide["low"].as_f64());
    let few = [
        "eval",
        "--run",
        "out",
        "--set",
        "eval.num_prompts=7",
        "--set",
        "eval.num_generations=3",
        "--output",
        "few.json",
    ];
    let (status, _, said) = inpo(dir, &few);
    assert_eq!(status, Some(0), "{said}");
    let few = &json(&dir.join("few.json"))["iterations"][1];
    assert_eq!(
        (few["prompts"].as_u64(), few["samples"].as_u64()),
        (Some(7), Some(3))
    );
    assert!(contents(&dir.join("out")) == before);

    // What is not there is named.
    let refused = |sets: &[&str], key: &str| {
        let mut args = vec!["eval", "--run", "out"];
        sets.iter().for_each(|set| args.extend(["--set", *set]));
        let (status, _, said) = inpo(dir, &args);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(key), "{said}");
    };
    refused(&["train.learning_rate=1"], "train.learning_rate");
    refused(&["eval.num_prompts=99"], "eval.num_prompts");
    refused(&["eval.opponents=['reference', 'nowhere']"], "nowhere");
    refused(&["eval.opponents=['previous']"], "\"reference\"");
    let (status, _, said) = inpo(dir, &["eval", "--run", "prompts"]);
    assert_eq!(status, Some(2), "{said}");
    assert!(contents(&dir.join("out")) == before);

    // A run that is not finished: as far as its responses go.
    std::fs::remove_dir_all(dir.join("out/iteration-0002")).unwrap();
    let (status, out, said) = inpo(dir, &["eval", "--run", "out", "--json"]);
    assert_eq!(status, Some(0), "{said}");
    let part: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(part["iterations"].as_array().unwrap().len(), 2);
    assert_eq!(part["iterations"][1], evaluation["iterations"][1]);
}

#[test]
fn runs_that_differ_in_their_seed_are_set_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    prepare(dir);
    let short = ["iteration.num_iterations=1", "eval.empirical_game=false"];
    run(dir, "a", &short);
    run(dir, "b", &[short[0], short[1], "seed=4"]);
    run(
        dir,
        "c",
        &[short[0], short[1], "seed=5", "objective.eta=0.2"],
    );
    assert!(!dir.join("a/empirical_game.json").exists());
    let before = contents(&dir.join("a"));
    let (status, out, said) = inpo(dir, &["eval", "--run", "a", "--run", "b", "--json"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(contents(&dir.join("a")) == before);
    let spread: Value = serde_json::from_str(&out).unwrap();
    let of_run =
        |run: &str| mean(&json(&dir.join(run).join("iteration-0001/eval.json"))["win_rate_vs_ref"]);
    let rate = &spread["iterations"][1]["win_rate_vs_ref"];
    let (a, b) = (of_run("a"), of_run("b"));
    assert!(
        (mean(&rate["runs"]) - (a + b) / 2.0).abs() < 1e-12,
        "{rate}"
    );
    assert!((rate["sd"].as_f64().unwrap() - (a - b).abs() / 2_f64.sqrt()).abs() < 1e-12);
    assert!(rate["prompts"].is_object());
    for (other, key) in [("c", "eta"), ("a", "seed")] {
        let (status, _, said) = inpo(dir, &["eval", "--run", "a", "--run", other]);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(key), "{said}");
    }
}
