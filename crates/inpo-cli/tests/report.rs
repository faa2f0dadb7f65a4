//! `inpo report`, and `report.html` at the end of a run.

mod command;
mod tiny_run;

use std::path::Path;

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::Value;

use command::{inpo, snapshot};

fn ok(dir: &Path, args: &[&str]) -> String {
    let output = inpo(dir, args);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The numbers in the rows of the body of a table, unrounded.
fn numbers(html: &str, table: &str) -> Vec<Vec<f64>> {
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(html, options).unwrap();
    let is_table = |node: &Node<'_, '_>| node.attribute("id") == Some(table);
    let table = document.descendants().find(is_table).unwrap();
    let body = table.children().find(|n| n.has_tag_name("tbody")).unwrap();
    let values = |row: Node<'_, '_>| {
        let data = row.descendants().filter(|node| node.has_tag_name("data"));
        data.map(|node| node.attribute("value").unwrap().parse().unwrap())
            .collect()
    };
    let rows = body.children().filter(|node| node.has_tag_name("tr"));
    rows.map(values).collect()
}

/// Mean and ends of intervals, and numbers by themselves, those that are there.
fn flat(of: &Value, paths: &[&str]) -> Vec<f64> {
    let mut all = Vec::new();
    for path in paths {
        match of.pointer(path) {
            None | Some(Value::Null) => {}
            Some(Value::Object(interval)) => {
                all.extend(["mean", "low", "high"].map(|end| interval[end].as_f64().unwrap()));
            }
            Some(value) => all.push(value.as_f64().unwrap()),
        }
    }
    all
}

const EVAL: [&str; 8] = [
    "--set",
    "data.eval_prompts=prompts.jsonl",
    "--set",
    "eval.num_prompts=6",
    "--set",
    "eval.opponents=['reference', 'previous', 'initial', 'model']",
    "--set",
    "eval.oracle={kind='rules', target_words=3}",
];

/// The page of a finished run has the numbers of evaluation.json, every one of them unrounded; it is made again as it was, and the
/// run's other files stay as they are. The command that it names makes the run again.
#[test]
fn a_finished_run_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tiny_run::prepare(dir);
    let run = |more: &[&str]| {
        ok(
            dir,
            &[&["run", "--config", "run.toml"], &EVAL[..], more].concat(),
        )
    };
    run(&["--set", "output_dir=a"]);
    let before = snapshot(&dir.join("a"));
    let html = read(&dir.join("a/report.html"));
    let evaluation: Value = serde_json::from_str(&read(&dir.join("a/evaluation.json"))).unwrap();

    let measures = numbers(&html, "measures");
    let iterations = evaluation["iterations"].as_array().unwrap();
    assert_eq!(measures.len(), 3);
    for (row, iteration) in measures.iter().zip(iterations) {
        let paths = [
            "/win_rate_vs_ref",
            "/held_out_win_rate_vs_ref",
            "/oracle_gap",
            "/length_controlled/win_rate",
            "/win_rate_vs_prev",
            "/win_rate_vs_init",
            "/opponents/0/win_rate",
            "/probe",
            "/probe_of_ref",
            "/kl_ref",
            "/mean_length",
            "/clipped_ratio",
        ];
        assert_eq!(*row, flat(iteration, &paths));
    }
    assert_eq!(measures[2].len(), 30);
    let game = &evaluation["game"];
    for (i, row) in numbers(&html, "players").iter().enumerate() {
        let player = &game["players"][i];
        assert_eq!(
            *row,
            flat(player, &["/nash", "/largest_nash_share", "/gap"])
        );
    }
    for (i, row) in numbers(&html, "matrix").iter().enumerate() {
        let mut expected = Vec::new();
        for j in 0..4 {
            let entry = |of: &str| game[of][i][j].as_f64().unwrap();
            expected.push(entry("preferences"));
            if i != j {
                expected.extend([entry("low"), entry("high")]);
            }
        }
        assert_eq!(*row, expected);
    }
    let sentence = evaluation["recommendation"]["sentence"].as_str().unwrap();
    assert!(html.contains(&sentence[1..]), "{sentence}");

    let data: Value = serde_json::from_str(&ok(dir, &["report", "a", "--json"])).unwrap();
    for key in ["iterations", "game", "recommendation", "confidence"] {
        assert_eq!(data[key], evaluation[key], "{key}");
    }
    assert!(snapshot(&dir.join("a")) == before);
    std::fs::remove_file(dir.join("a/report.html")).unwrap();
    run(&["--set", "output_dir=a", "--resume"]);
    assert!(snapshot(&dir.join("a")) == before);

    let command = data["command"].as_str().unwrap();
    let command = command.replace("ANOTHER_DIRECTORY", "again");
    ok(dir, &command.split(' ').skip(1).collect::<Vec<_>>());
    assert_eq!(
        read(&dir.join("again/evaluation.json")),
        read(&dir.join("a/evaluation.json"))
    );
}

/// Runs without held-out prompts and unfinished ones have pages too; runs are set side by side with the settings that differ;
/// what is no run is refused.
#[test]
fn runs_are_set_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tiny_run::prepare(dir);
    let run = |more: &[&str]| ok(dir, &[&["run", "--config", "run.toml"], more].concat());
    run(&["--set", "output_dir=plain"]);
    let html = read(&dir.join("plain/report.html"));
    assert!(html.contains("The run has no held-out prompts"));
    run(&[
        &EVAL[..],
        &[
            "--set",
            "output_dir=b",
            "--set",
            "seed=4",
            "--set",
            "objective.eta=0.2",
        ],
    ]
    .concat());
    for name in ["evaluation.json", "trainer_state.json"] {
        std::fs::remove_file(dir.join("b").join(name)).unwrap();
    }
    std::fs::remove_dir_all(dir.join("b/iteration-0002")).unwrap();
    ok(dir, &["report", "b", "--output", "b.html"]);
    assert!(read(&dir.join("b.html")).contains("1 of 2 iterations are trained"));

    let data = ok(
        dir,
        &["report", "plain", "--compare", "b", "plain", "--json"],
    );
    let data: Value = serde_json::from_str(&data).unwrap();
    let keys = data["differences"].as_array().unwrap();
    let keys: Vec<&str> = keys.iter().map(|d| d["key"].as_str().unwrap()).collect();
    for key in ["seed", "objective.eta", "data.eval_prompts"] {
        assert!(keys.contains(&key), "{keys:?}");
    }
    assert!(!keys.contains(&"output_dir") && !keys.contains(&"train.learning_rate"));
    assert_eq!(
        data["differences"][keys.iter().position(|key| *key == "seed").unwrap()]["values"],
        serde_json::json!(["3", "4", "3"])
    );
    let html = read(&dir.join("plain/comparison.html"));
    let last = numbers(&html, "last");
    let eval: Value = serde_json::from_str(&read(&dir.join("b/iteration-0001/eval.json"))).unwrap();
    assert_eq!(last[1][..3], flat(&eval, &["/win_rate_vs_ref"]));
    assert_eq!([last[0].len(), last[2].len()], [0, 0]);

    for (args, words) in [
        (&["report", "nowhere"][..], "nowhere/run.toml"),
        (&["report", "model"], "name the output directory of a run"),
        (&["report", "plain", "--compare", "model"], "model/run.toml"),
        (
            &["report", "plain", "--output", "plain/metrics.jsonl"],
            "--output",
        ),
    ] {
        let output = inpo(dir, args);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains(words), "{told}");
    }
}
