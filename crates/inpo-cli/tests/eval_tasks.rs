//! `inpo eval --tasks`: against lm-evaluation-harness on two tiny checkpoints, and one sentence with exit status 2 for bad
//! input.

mod command;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use command::{inpo, snapshot};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../inpo-eval/tests/fixtures/benchmarks")
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// Asks a fixture's model; the documents of the fixtures, unless `flags` name others. Returns the results.
fn eval(dir: &Path, model: &str, flags: &[&str]) -> Result<Value, String> {
    let (model, data) = (
        path(&fixtures().join(model)),
        path(&fixtures().join("data")),
    );
    let mut args = vec!["eval", "--model", &model, "--output", "out.json"];
    if !flags.contains(&"--max-new-tokens") {
        args.extend(["--max-new-tokens", "16"]);
    }
    if !flags.contains(&"--data") {
        args.extend(["--data", &data]);
    }
    args.extend(flags);
    let output = inpo(dir, &args);
    let told = String::from_utf8(output.stderr).unwrap();
    match output.status.code() {
        Some(0) => {
            Ok(serde_json::from_slice(&std::fs::read(dir.join("out.json")).unwrap()).unwrap())
        }
        Some(2) => Err(told),
        code => panic!("{code:?}: {told}"),
    }
}

fn samples(file: &Path) -> BTreeMap<String, Vec<Value>> {
    let mut samples: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in std::fs::read_to_string(file).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let task = row["task"].as_str().unwrap().to_owned();
        samples.entry(task).or_default().push(row);
    }
    samples
}

const ALL: &str = "arc_easy,arc_challenge,hellaswag,winogrande,truthfulqa_mc1,truthfulqa_mc2,gsm8k,mmlu,minerva_math";

/// Every task in every way of asking (`make_benchmarks.py`): each log-likelihood within 2e-3, each text, and each score exactly;
/// that of truthfulqa_mc2 is a share of probabilities, and as exact as those. Gemma's context is shorter than most few-shot
/// prompts, which are cut.
#[test]
fn answers_and_scores_are_the_harness_s() {
    let dir = tempfile::tempdir().unwrap();
    let expected = std::fs::read(fixtures().join("expected.json")).unwrap();
    let expected: BTreeMap<String, BTreeMap<String, Map<String, Value>>> =
        serde_json::from_slice(&expected).unwrap();
    let ways: [(&str, &[&str]); 4] = [
        ("plain", &[]),
        ("shots", &["--num-fewshot", "2"]),
        (
            "chat",
            &[
                "--num-fewshot",
                "1",
                "--apply-chat-template",
                "--fewshot-as-multiturn",
                "false",
            ],
        ),
        (
            "turns",
            &[
                "--num-fewshot",
                "2",
                "--apply-chat-template",
                "--system-instruction",
                "Be brief.",
            ],
        ),
    ];
    let mut compared = 0;
    let own = ["letters.yaml", "stops.yaml"].map(|file| path(&fixtures().join(file)));
    let tasks = format!("{ALL},{}", own.join(","));
    for (model, expected) in &expected {
        for (way, flags) in ways {
            let flags = [&["--tasks", &tasks, "--samples", "samples.jsonl"], flags].concat();
            let results = eval(dir.path(), model, &flags).unwrap();
            let samples = samples(&dir.path().join("samples.jsonl"));
            for (task, expected) in &expected[way] {
                let at = format!("{model} {way} {task}");
                let row = &results["results"][task];
                for (key, score) in expected["results"].as_object().unwrap() {
                    // Named as the lower bound that it is.
                    let own = if task.starts_with("minerva") {
                        "exact_match_lower_bound"
                    } else {
                        "exact_match"
                    };
                    let got = &row[key.replace("exact_match", own)];
                    match score.as_f64() {
                        Some(score) if task == "truthfulqa_mc2" => {
                            let got = got.as_f64().unwrap();
                            assert!((got - score).abs() < 1e-4, "{at} {key}: {got} {score}");
                        }
                        Some(score) => {
                            let got = got.as_f64().unwrap();
                            assert!((got - score).abs() < 1e-15, "{at} {key}: {got} {score}");
                        }
                        None => assert_eq!(got, score, "{at} {key}"),
                    }
                }
                let Some(documents) = expected.get("documents").and_then(Value::as_array) else {
                    continue;
                };
                assert_eq!(
                    results["n-samples"][task],
                    json!({"original": documents.len(), "effective": documents.len()})
                );
                for (place, (expected, got)) in documents.iter().zip(&samples[task]).enumerate() {
                    let (expected, got) = (
                        expected.as_array().unwrap(),
                        got["resps"].as_array().unwrap(),
                    );
                    assert_eq!(expected.len(), got.len(), "{at} {place}");
                    for (expected, got) in expected.iter().zip(got) {
                        compared += 1;
                        match expected.as_f64() {
                            Some(logp) => assert!(
                                (got.as_f64().unwrap() - logp).abs() < 2e-3,
                                "{at} {place}: {got} {logp}"
                            ),
                            None => assert_eq!(got, expected, "{at} {place}"),
                        }
                    }
                }
            }
        }
    }
    assert_eq!(compared, 2 * 4 * 176);
}

/// What the harness's results have beside the scores; of a limit, and of one document.
#[test]
fn results_have_the_harness_s_shape() {
    let dir = tempfile::tempdir().unwrap();
    let results = eval(
        dir.path(),
        "qwen3",
        &["--tasks", "arc_easy,mmlu_anatomy", "--limit", "1"],
    )
    .unwrap();
    let row = &results["results"]["arc_easy"];
    assert_eq!(row["alias"], "arc_easy");
    assert_eq!(row["acc_stderr,none"], "N/A");
    assert!(row["acc_norm,none"].is_number());
    assert_eq!(results["results"]["mmlu_anatomy"]["alias"], "anatomy");
    assert_eq!(
        results["n-samples"]["arc_easy"],
        json!({"original": 5, "effective": 1})
    );
    assert_eq!(results["n-shot"], json!({"arc_easy": 0, "mmlu_anatomy": 0}));
    assert_eq!(results["versions"]["arc_easy"], 1.0);
    assert_eq!(
        results["higher_is_better"]["arc_easy"],
        json!({"acc": true, "acc_norm": true})
    );
    assert_eq!(results["configs"]["arc_easy"]["dataset_name"], "ARC-Easy");
    assert_eq!(results["config"]["limit"], 1);
    assert!(results.get("groups").is_none());
}

/// Answers are kept for each document: a call that was stopped goes on, and a line that was torn is computed again.
#[test]
fn a_stopped_evaluation_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let flags = ["--tasks", "arc_easy,gsm8k", "--num-fewshot", "0"];
    eval(dir, "qwen3", &[&flags[..], &["--limit", "2"]].concat()).unwrap();
    let files = || -> Vec<PathBuf> { snapshot(&dir.join("out.json.cache")).into_keys().collect() };
    let [file] = files().try_into().unwrap();
    let lines = |file: &Path| -> Vec<String> {
        let text = std::fs::read_to_string(file).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    let first = lines(&file);
    assert_eq!(first.len(), 4);
    let results = eval(dir, "qwen3", &flags).unwrap();
    let whole = lines(&file);
    assert_eq!(whole.len(), 10);
    assert_eq!(whole[..4], first);
    let torn = std::fs::read(&file).unwrap();
    std::fs::write(&file, &torn[..torn.len() - 30]).unwrap();
    assert_eq!(eval(dir, "qwen3", &flags).unwrap(), results);
    assert_eq!(lines(&file), whole);
    // Another model has a file of its own.
    eval(dir, "gemma2", &flags).unwrap();
    assert_eq!(files().len(), 2);
}

/// The files of the hub give what JSON lines give.
#[test]
fn parquet_of_the_hub_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--tasks", "arc_easy", "--num-fewshot", "2"];
    let hub = path(&fixtures().join("hub"));
    let results = eval(
        dir.path(),
        "qwen3",
        &[&flags[..], &["--data", &hub]].concat(),
    )
    .unwrap();
    let expected = eval(dir.path(), "qwen3", &flags).unwrap();
    assert_eq!(results["results"], expected["results"]);
    let told = eval(
        dir.path(),
        "qwen3",
        &["--tasks", "arc_challenge", "--data", &hub],
    )
    .unwrap_err();
    assert!(told.contains("there is no"), "{told}");
}

/// A file that defines a task: arc_easy as TOML, and as the harness's own YAML with what it includes.
#[test]
fn a_file_defines_a_task() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let file = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    for name in ["mine", "theirs"] {
        for kind in ["", ".fewshot"] {
            let from = fixtures().join(format!("data/arc_easy{kind}.jsonl"));
            std::fs::copy(from, dir.join(format!("{name}{kind}.jsonl"))).unwrap();
        }
    }
    file(
        "mine.toml",
        r#"
        task = "mine"
        output_type = "multiple_choice"
        training_split = "train"
        test_split = "test"
        doc_to_text = "Question: {{question}}\nAnswer:"
        doc_to_choice = "{{choices.text}}"
        doc_to_target = "{{choices.label.index(answerKey)}}"
        "#,
    );
    file(
        "arc.yaml",
        r#"
tag:
  - ai2_arc
task: arc_easy
dataset_path: allenai/ai2_arc
dataset_name: ARC-Easy
output_type: multiple_choice
training_split: train
validation_split: validation
test_split: test
doc_to_text: "Question: {{question}}\nAnswer:"
doc_to_target: "{{choices.label.index(answerKey)}}"
doc_to_choice: "{{choices.text}}"
should_decontaminate: true
doc_to_decontamination_query: "Question: {{question}}\nAnswer:"
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
  - metric: acc_norm
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"#,
    );
    file("theirs.yaml", "include: arc.yaml\ntask: theirs\n");
    let own = eval(
        dir,
        "qwen3",
        &[
            "--tasks",
            "mine.toml,theirs.yaml",
            "--data",
            ".",
            "--num-fewshot",
            "2",
        ],
    )
    .unwrap();
    let built_in = eval(dir, "qwen3", &["--tasks", "arc_easy", "--num-fewshot", "2"]).unwrap();
    for name in ["mine", "theirs"] {
        for (key, value) in built_in["results"]["arc_easy"].as_object().unwrap() {
            if !["name", "alias"].contains(&key.as_str()) {
                assert_eq!(&own["results"][name][key], value, "{name} {key}");
            }
        }
    }
    file(
        "bad.yaml",
        "task: bad\n# no !function here\nprocess_docs: !function utils.process_docs\n",
    );
    let told = eval(dir, "qwen3", &["--tasks", "bad.yaml", "--data", "."]).unwrap_err();
    assert!(
        told.contains("bad.yaml, line 3: `!function` calls Python"),
        "{told}"
    );
}

/// Exit status 2, with the file, the line and the column.
#[test]
fn bad_input_is_told_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let arc = |change: &dyn Fn(&mut Value)| {
        let text = std::fs::read_to_string(fixtures().join("data/arc_easy.jsonl")).unwrap();
        let mut rows: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        change(&mut rows[1]);
        let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
        std::fs::write(dir.join("arc_easy.jsonl"), lines.join("\n")).unwrap();
    };
    let told = |flags: &[&str]| {
        let told = eval(dir, "qwen3", &[&["--data", "."], flags].concat()).unwrap_err();
        assert_eq!(told.trim_end().lines().count(), 1, "{told}");
        told
    };
    let check = |flags: &[&str], parts: &[&str]| {
        let told = told(flags);
        for part in parts {
            assert!(told.contains(part), "{told}");
        }
    };
    let easy = ["--tasks", "arc_easy"];
    check(
        &easy,
        &[
            "task arc_easy: there is no ./arc_easy.jsonl",
            "split test of allenai/ai2_arc, configuration ARC-Easy",
        ],
    );
    check(
        &["--tasks", "arc"],
        &[
            "there is no task \"arc\"",
            "arc_easy, arc_challenge",
            "mmlu, mmlu_stem",
        ],
    );
    check(
        &["--tasks", "mmlu"],
        &["task mmlu_abstract_algebra: there is no ./mmlu_abstract_algebra.jsonl"],
    );
    std::fs::write(dir.join("arc_easy.jsonl"), "\n").unwrap();
    check(&easy, &["arc_easy.jsonl holds no rows"]);
    arc(&|row| drop(row.as_object_mut().unwrap().shift_remove("choices")));
    check(
        &easy,
        &[
            "arc_easy.jsonl, line 2: there is no `choices` (an object with",
            "the columns are `id`, `question` and `answerKey`",
        ],
    );
    arc(&|row| row["question"] = json!(7));
    check(&easy, &["arc_easy.jsonl, line 2: `question` is not a text"]);
    arc(&|row| row["answerKey"] = json!("Z"));
    check(
        &easy,
        &["line 2: `answerKey` is \"Z\", which is none of the labels of `choices` (A, B"],
    );
    arc(&|row| row["question"] = json!("w ".repeat(1200)));
    check(
        &easy,
        &[
            "line 2: `question`: the question with its answer has",
            "the model's context has room for 1025",
            "--truncate",
        ],
    );
    eval(
        dir,
        "qwen3",
        &["--data", ".", "--tasks", "arc_easy", "--truncate"],
    )
    .unwrap();
    arc(&|row| row["choices"]["text"][0] = json!("w ".repeat(1200)));
    check(
        &[&easy[..], &["--truncate"]].concat(),
        &["line 2: answer 0 has", "the model's context holds 1024"],
    );
    arc(&|row| row["choices"]["text"][0] = json!(""));
    arc(&|_| ());
    check(
        &[&easy[..], &["--num-fewshot", "2"]].concat(),
        &[
            "task arc_easy: 2 few-shot examples come from ./arc_easy.fewshot.jsonl, which is not there",
            "split train of allenai",
        ],
    );
    std::fs::copy(
        dir.join("arc_easy.jsonl"),
        dir.join("arc_easy.fewshot.jsonl"),
    )
    .unwrap();
    check(
        &[&easy[..], &["--num-fewshot", "6"]].concat(),
        &["6 few-shot examples need 6 rows, and ./arc_easy.fewshot.jsonl has 5"],
    );
    let hellaswag = fixtures().join("data/hellaswag.jsonl");
    let text = std::fs::read_to_string(hellaswag).unwrap();
    std::fs::write(
        dir.join("hellaswag.jsonl"),
        text.replacen("\"label\": \"", "\"label\": \"9", 1),
    )
    .unwrap();
    check(
        &["--tasks", "hellaswag"],
        &[
            "hellaswag.jsonl, line 1: `label` is 9",
            "none of the 4 choices (0 to 3)",
        ],
    );
    std::fs::write(
        dir.join("gsm8k.jsonl"),
        "{\"question\": \"q\", \"answer\": \"a\"}\n",
    )
    .unwrap();
    check(
        &[
            "--tasks",
            "gsm8k",
            "--num-fewshot",
            "0",
            "--max-new-tokens",
            "1024",
        ],
        &["gsm8k.jsonl, line 1: an answer of 1024 tokens leaves no room"],
    );
    // clap's own sentences.
    let model = path(&fixtures().join("qwen3"));
    for args in [
        &["eval"][..],
        &["eval", "--tasks", "arc_easy"],
        &["eval", "--model", &model],
        &[
            "eval", "--run", "a", "--tasks", "arc_easy", "--model", &model, "--data", ".",
        ],
        &[
            "eval",
            "--model",
            &model,
            "--tasks",
            "arc_easy",
            "--data",
            ".",
            "--set",
            "eval.confidence=0.9",
        ],
        &[
            "eval",
            "--model",
            &model,
            "--tasks",
            "arc_easy",
            "--data",
            ".",
            "--fewshot-as-multiturn",
        ],
    ] {
        assert_eq!(inpo(dir, args).status.code(), Some(2), "{args:?}");
    }
}
