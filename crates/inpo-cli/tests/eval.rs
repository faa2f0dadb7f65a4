//! `inpo eval --run`: a run and runs of several seeds, from their files.

mod command;
mod tiny_run;

use std::path::Path;

use serde_json::Value;

use command::{inpo, snapshot};

fn ok(dir: &Path, args: &[&str]) -> (String, String) {
    let output = inpo(dir, args);
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{args:?}: {err}");
    (out, err)
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

/// Exit status, standard output, standard error.
fn call(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = inpo(dir, args);
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), out, err)
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
    let (_, said) = ok(
        dir,
        &["run", "--config", "run.toml", "--set", "output_dir=out"],
    );
    let evaluation = json(&dir.join("out/evaluation.json"));
    let sentence = evaluation["recommendation"]["sentence"].as_str().unwrap();
    assert!(said.trim_end().ends_with(sentence), "{said}");

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
    let (status, analysis, said) = call(dir, &["game", "analyse", "out/empirical_game.json"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(analysis.contains("iteration 2"), "{analysis}");

    // The same again from the files, without a question and without a change.
    let before = snapshot(&dir.join("out"));
    std::fs::remove_file(dir.join("out/evaluation.json")).unwrap();
    let (status, out, said) = call(dir, &["eval", "--run", "out", "--json"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(sentence), "{said}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), evaluation);
    assert!(snapshot(&dir.join("out")) == before);

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
    let (status, _, said) = call(dir, &narrow);
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
    let (status, _, said) = call(dir, &few);
    assert_eq!(status, Some(0), "{said}");
    let few = &json(&dir.join("few.json"))["iterations"][1];
    assert_eq!(
        (few["prompts"].as_u64(), few["samples"].as_u64()),
        (Some(7), Some(3))
    );
    assert!(snapshot(&dir.join("out")) == before);

    // What is not there is named.
    let refused = |sets: &[&str], key: &str| {
        let mut args = vec!["eval", "--run", "out"];
        sets.iter().for_each(|set| args.extend(["--set", *set]));
        let (status, _, said) = call(dir, &args);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(key), "{said}");
    };
    refused(&["train.learning_rate=1"], "train.learning_rate");
    refused(&["eval.num_prompts=99"], "eval.num_prompts");
    refused(&["eval.opponents=['reference', 'nowhere']"], "nowhere");
    refused(&["eval.opponents=['previous']"], "\"reference\"");
    let (status, _, said) = call(dir, &["eval", "--run", "prompts"]);
    assert_eq!(status, Some(2), "{said}");
    assert!(snapshot(&dir.join("out")) == before);

    // A run that is not finished: as far as its responses go.
    std::fs::remove_dir_all(dir.join("out/iteration-0002")).unwrap();
    let (status, out, said) = call(dir, &["eval", "--run", "out", "--json"]);
    assert_eq!(status, Some(0), "{said}");
    let part: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(part["iterations"].as_array().unwrap().len(), 2);
    assert_eq!(part["iterations"][1], evaluation["iterations"][1]);
}
