//! What is told while a command works: to people, to a program, to nobody, and to TensorBoard.

mod tiny_run;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn inpo(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inpo"));
    command.current_dir(dir).args(args);
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {error}");
    output
}

/// The events of standard error, each line of which must be one.
fn events(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stderr).unwrap();
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert!(event["event"].is_string(), "{line}");
        event
    };
    text.lines().map(event).collect()
}

fn count(events: &[Value], name: &str) -> usize {
    events.iter().filter(|event| event["event"] == name).count()
}

const RUN: &[&str] = &[
    "run",
    "--config",
    "run.toml",
    "--set",
    "train.report_to=tensorboard",
];

#[test]
fn a_program_is_told_of_every_stage_of_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tiny_run::prepare(dir);
    let with = |more: &[&'static str]| inpo(dir, &[RUN, more].concat());
    let eval = "data.eval_prompts=prompts.jsonl";
    let told = with(&[
        "--progress",
        "json",
        "--json",
        "--set",
        eval,
        "--set",
        "output_dir=json",
    ]);
    let events = events(&told);
    // Results stay where they were.
    let evaluations: Value = serde_json::from_slice(&told.stdout).unwrap();
    let of_events = events.iter().filter(|event| event["event"] == "evaluated");
    let of_events: Vec<Value> = of_events.map(|event| event["evaluation"].clone()).collect();
    assert_eq!(Value::Array(of_events), evaluations);
    // 2 iterations of 8 prompts; 6 responses meet in at most 8 matches, and no verdict is told of twice.
    let last = |iteration: u64, stage: &str| {
        let of_stage = |event: &&Value| {
            event["event"] == "progress"
                && event["stage"] == stage
                && event["iteration"] == iteration
        };
        events
            .iter()
            .rfind(of_stage)
            .unwrap_or_else(|| panic!("{stage} of {iteration}"))
    };
    for iteration in [1, 2] {
        assert_eq!(last(iteration, "generate")["done"], 48);
        assert_eq!(last(iteration, "generate")["total"], 48);
        let judged = last(iteration, "judge");
        let row = json!(judged["done"].as_u64().unwrap());
        assert!(
            judged["done"].as_u64() > Some(1) && judged["done"].as_u64() <= Some(64),
            "{row}"
        );
        assert!(judged["per_second"].as_f64() > Some(0.0));
        let optimised = last(iteration, "optimise");
        assert_eq!(optimised["done"], optimised["total"]);
    }
    // Nothing to say of the run's time before an iteration is over.
    let stages: Vec<&Value> = events
        .iter()
        .filter(|event| event["event"] == "stage")
        .collect();
    for stage in &stages {
        let is_known = stage["run_seconds_left"].is_number();
        assert_eq!(is_known, stage["iteration"] == 2, "{stage}");
    }
    let steps = events.iter().filter(|event| event["event"] == "step");
    let text = std::fs::read_to_string(dir.join("json/metrics.jsonl")).unwrap();
    let rows = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let losses: Vec<Value> = rows
        .map(|row| row["loss"].clone())
        .filter(Value::is_number)
        .collect();
    assert_eq!(
        steps.map(|step| step["loss"].clone()).collect::<Vec<_>>(),
        losses
    );
    assert_eq!(count(&events, "header"), 1);

    // People are told a line per stage where there is no terminal, and with --quiet nothing.
    let text = with(&["--set", "output_dir=text"]);
    let lines = String::from_utf8(text.stderr).unwrap();
    assert!(lines.contains("\niteration 1: judge ("), "{lines}");
    assert!(
        lines.contains("\niteration 2: generate (48), run "),
        "{lines}"
    );
    let quiet = with(&[
        "--quiet",
        "--json",
        "--set",
        eval,
        "--set",
        "output_dir=quiet",
    ]);
    assert_eq!(String::from_utf8(quiet.stderr).unwrap(), "");
    assert_eq!(
        serde_json::from_slice::<Value>(&quiet.stdout).unwrap(),
        evaluations
    );

    // TensorBoard's folder is part of the directory.
    let again = with(&["--resume", "--set", "output_dir=text"]);
    assert!(again.stderr.starts_with(b"{") || !again.stderr.is_empty());
    assert!(dir.join("text/runs/events.out.tfevents.inpo").exists());
}

#[test]
fn the_stages_by_themselves_are_told_of_too() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tiny_run::prepare(dir);
    let generate = [
        "generate",
        "--model",
        "model",
        "--prompts",
        "prompts.jsonl",
        "--num-generations",
        "3",
        "--max-new-tokens",
        "6",
        "--output",
    ];
    let told = inpo(
        dir,
        &[&generate[..], &["rows.jsonl", "--progress", "json"]].concat(),
    );
    let told = events(&told);
    let last = told
        .iter()
        .rfind(|event| event["event"] == "progress")
        .unwrap();
    assert_eq!(
        (&last["stage"], &last["done"], &last["total"]),
        (&json!("generate"), &json!(48), &json!(48))
    );
    assert_eq!(last["seconds_left"], 0.0);
    let judge = [
        "judge",
        "--oracle",
        "oracle.toml",
        "--input",
        "rows.jsonl",
        "--output",
        "judged.jsonl",
    ];
    let told = events(&inpo(dir, &[&judge[..], &["--progress", "json"]].concat()));
    let last = told
        .iter()
        .rfind(|event| event["event"] == "progress")
        .unwrap();
    assert_eq!(
        (&last["stage"], &last["done"], &last["total"]),
        (&json!("judge"), &json!(48), &json!(48))
    );
    for args in [&generate[..], &judge] {
        let quiet = if args == judge {
            vec!["--quiet"]
        } else {
            vec!["again.jsonl", "--quiet"]
        };
        let output = inpo(dir, &[args, &quiet].concat());
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
    // Errors are told in any case, to a program as an event.
    let failed = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inpo"));
        command
            .current_dir(dir)
            .args(["train", "--config", "none.toml"])
            .args(flags);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        output
    };
    let quiet = failed(&["--quiet"]);
    let error = String::from_utf8_lossy(&quiet.stderr);
    assert!(
        error.starts_with("error: ") && error.contains("none.toml"),
        "{error}"
    );
    let told = events(&failed(&["--progress", "json"]));
    assert_eq!((told.len(), &told[0]["event"]), (1, &json!("error")));
    assert!(told[0]["text"].as_str().unwrap().contains("none.toml"));
}
