//! `inpo judge` as users meet it: the contract of its files, and one sentence with exit status 2 for bad input.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn inpo(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_inpo"))
        .args(args)
        .current_dir(dir)
        .env("INPO_OFFLINE", "1")
        .output()
        .unwrap()
}

fn judge(dir: &Path, args: &[&str]) -> Output {
    let files = ["judge", "--oracle", "oracle.toml", "--input", "rows.jsonl"];
    inpo(dir, &[&files, args].concat())
}

fn refused(dir: &Path, args: &[&str]) -> String {
    let output = judge(dir, args);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    message
}

fn rows(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    rows.collect()
}

/// A game of four actions with one cycle among the first three, the last beaten by all; and a row of each prompt.
fn four_actions(dir: &Path, settings: &str) {
    let game = json!({
        "names": ["a", "bb", "ccc", "d"],
        "preferences": [
            [0.5, 0.75, 0.25, 1.0],
            [0.25, 0.5, 0.75, 1.0],
            [0.75, 0.25, 0.5, 1.0],
            [0.0, 0.0, 0.0, 0.5],
        ],
    });
    std::fs::write(dir.join("game.json"), game.to_string()).unwrap();
    let oracle = format!("kind = \"game\"\ngame = \"game.json\"\n{settings}");
    std::fs::write(dir.join("oracle.toml"), oracle).unwrap();
    let rows = [
        json!({"prompt": "x", "responses": ["a", "bb", "ccc", "d"], "source": {"n": 1.5}}),
        json!({"prompt": [{"role": "user", "content": "y"}], "responses": ["d", "a"]}),
    ];
    std::fs::write(
        dir.join("rows.jsonl"),
        format!("{}\n{}\n", rows[0], rows[1]),
    )
    .unwrap();
}

#[test]
fn every_two_responses_are_compared_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    four_actions(dir, "");
    let output = judge(dir, &["--output", "out.jsonl", "--report", "report.json"]);
    assert!(output.status.success());
    let out = rows(&dir.join("out.jsonl"));
    let cycle = json!([
        [0.5, 0.75, 0.25, 1.0],
        [0.25, 0.5, 0.75, 1.0],
        [0.75, 0.25, 0.5, 1.0],
        [0.0, 0.0, 0.0, 0.5],
    ]);
    let expected = json!({
        "prompt": "x", "responses": ["a", "bb", "ccc", "d"], "source": {"n": 1.5},
        "preference": cycle, "judge": "game(game.json)",
    });
    assert_eq!(out[0], expected);
    assert_eq!(out[1]["preference"], json!([[0.5, 0.0], [1.0, 0.5]]));
    let report = std::fs::read_to_string(dir.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["judge"], "game(game.json)");
    for (name, value) in [
        ("comparisons", 7),
        ("calls", 7),
        ("invalid", 0),
        ("ties", 0),
    ] {
        assert_eq!(report[name], value, "{name}");
    }
    // Of four triples of the first prompt one is a circle. Margins: three of 1/2 and four of 1.
    assert_eq!(
        (&report["triples"], &report["cyclic_triples"]),
        (&json!(4), &json!(1))
    );
    assert_eq!(report["mean_margin"], 5.5 / 7.0);
    assert_eq!(report["order_inconsistency"], 0.0);
    assert_eq!(report["first_position_rate"], 0.5);
    // a < bb, bb > ccc though shorter, ccc > a, the d's: bb and ccc longer and better, a as long.
    assert_eq!(report["length_preference"], 3.0 / 5.0);
    let table = String::from_utf8(output.stderr).unwrap();
    assert!(
        table.contains("cyclic triples        1 of 4 (25.0 %)"),
        "{table}"
    );
}

/// Four responses: two first matches, two seconds, the final; nothing else is asked. The tournament of the second prompt
/// is its only match.
#[test]
fn a_tournament_asks_its_matches_alone() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    four_actions(dir, "");
    let output = judge(dir, &["--matches", "tournament", "--output", "out.jsonl"]);
    assert!(output.status.success());
    let out = rows(&dir.join("out.jsonl"));
    // a beats bb, ccc beats d; winners: ccc beats a; losers: bb beats d; final: ccc beats d, which was asked already.
    let expected = json!([
        [0.5, 0.75, 0.25, null],
        [0.25, 0.5, null, 1.0],
        [0.75, null, 0.5, 1.0],
        [null, 0.0, 0.0, 0.5],
    ]);
    assert_eq!(out[0]["preference"], expected);
    // What it writes, it reads: as rows, and as the votes of another judge.
    std::fs::write(
        dir.join("oracle.toml"),
        "kind = 'recorded'\nvotes = 'out.jsonl'",
    )
    .unwrap();
    let args = [
        "judge",
        "--oracle",
        "oracle.toml",
        "--input",
        "out.jsonl",
        "--matches",
        "tournament",
    ];
    let again = inpo(dir, &args);
    assert!(again.status.success());
    let first = String::from_utf8(again.stdout).unwrap();
    let first: Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    assert_eq!(first["preference"], expected);
}

#[test]
fn a_dry_run_says_what_it_would_take_and_a_budget_refuses_before_anything_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    four_actions(dir, "max_comparisons = 6");
    let message = refused(dir, &["--output", "out.jsonl"]);
    let expected = "error: oracle.toml: max_comparisons is 6, and rows.jsonl takes up to 7 comparisons: raise it, or give fewer rows\n";
    assert_eq!(message, expected);
    assert!(!dir.join("out.jsonl").exists());
    four_actions(dir, "");
    let output = judge(
        dir,
        &[
            "--matches",
            "tournament",
            "--dry-run",
            "--output",
            "out.jsonl",
        ],
    );
    let told = String::from_utf8(output.stdout).unwrap();
    // Five for the tournament of four, and the one match of two, which is their final too.
    assert!(told.contains("comparisons        at most 6"), "{told}");
    assert!(!dir.join("out.jsonl").exists());
    // What a server would take is known without its key.
    let server = "kind = 'server'\nbase_url = 'https://127.0.0.1:9/v1'\nmodel = 'm'\napi_key_env = 'INPO_NO_SUCH_KEY'\n";
    std::fs::write(dir.join("oracle.toml"), server).unwrap();
    let output = judge(dir, &["--dry-run"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("comparisons        at most 7"), "{told}");
    assert!(refused(dir, &[]).contains("INPO_NO_SUCH_KEY"));
}

/// The rows of [`four_actions`], of four and of two responses, and of four of which two are different.
#[test]
fn each_strategy_asks_what_it_states() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    four_actions(dir, "");
    let mut text = std::fs::read_to_string(dir.join("rows.jsonl")).unwrap();
    text += &json!({"prompt": "z", "responses": ["a", "a", "a", "bb"]}).to_string();
    std::fs::write(dir.join("rows.jsonl"), text).unwrap();
    let asked = |row: &Value| {
        let entries = row["preference"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|row| row.as_array().unwrap());
        // Each comparison has two entries, the diagonal four or two.
        let known = entries.filter(|entry| !entry.is_null()).count();
        (known - row["responses"].as_array().unwrap().len()) / 2
    };
    let at_most = |max: usize| {
        let oracle = format!("kind = 'game'\ngame = 'game.json'\nmax_comparisons = {max}\n");
        std::fs::write(dir.join("oracle.toml"), oracle).unwrap();
    };
    for (matches, settings, each) in [
        ("iid", &[][..], [1, 1, 1]),
        ("random", &["--seed", "7"], [1, 1, 1]),
        ("round_robin", &[], [6, 1, 1]),
        ("best_worst", &[], [6, 1, 1]),
        ("adaptive", &["--budget", "3", "--seed", "7"], [3, 1, 1]),
        ("tournament", &["--drop-truncated"], [5, 1, 1]),
    ] {
        let args = [&["--matches", matches], settings].concat();
        let most = each.iter().sum::<usize>();
        let output = judge(dir, &[&args[..], &["--dry-run"]].concat());
        let told = String::from_utf8(output.stdout).unwrap();
        let line = format!("comparisons        at most {most}\n");
        assert!(told.contains(&line), "{matches}: {told}");
        let output = judge(dir, &[&args[..], &["--output", "out.jsonl"]].concat());
        assert!(output.status.success(), "{output:?}");
        let out = rows(&dir.join("out.jsonl"));
        let counts: Vec<usize> = out.iter().map(asked).collect();
        assert!(
            counts
                .iter()
                .zip(each)
                .all(|(&got, most)| got > 0 && got <= most),
            "{matches}: {counts:?}"
        );
        if !["adaptive", "tournament"].contains(&matches) {
            assert_eq!(counts, each, "{matches}");
        }
        // Again, and from the same seed, the same.
        let again = judge(dir, &args);
        let first = std::fs::read(dir.join("out.jsonl")).unwrap();
        assert_eq!(again.stdout, first, "{matches}");
        at_most(most);
        assert!(judge(dir, &args).status.success());
        at_most(most - 1);
        let message = refused(dir, &args);
        assert!(
            message.contains(&format!("takes up to {most} comparisons")),
            "{message}"
        );
        at_most(1000);
    }
    let message = refused(dir, &["--budget", "3"]);
    assert!(
        message.starts_with("error: --matches all compares every two responses: leave --budget"),
        "{message}"
    );
    let message = refused(dir, &["--matches", "iid", "--budget", "3"]);
    assert!(
        message.starts_with("error: selection.budget is 3, but strategy \"iid\""),
        "{message}"
    );
    let message = refused(dir, &["--matches", "some"]);
    assert!(message.contains("round_robin"), "{message}");
}

#[test]
fn bad_input_is_named_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    four_actions(dir, "colour = 1");
    let message = refused(dir, &[]);
    assert!(
        message.starts_with("error: oracle.toml: unknown field `colour`"),
        "{message}"
    );
    four_actions(dir, "tie_band = 0.5");
    let message = refused(dir, &[]);
    assert!(
        message.contains("oracle.toml: oracle.tie_band is 0.5: "),
        "{message}"
    );
    four_actions(dir, "");
    let says = |row: Value, words: &str| {
        std::fs::write(dir.join("rows.jsonl"), format!("\n{row}\n")).unwrap();
        let message = refused(dir, &[]);
        assert_eq!(message, format!("error: rows.jsonl, line 2: {words}\n"));
    };
    says(
        json!({"prompt": "x", "responses": ["a", "e"]}),
        "responses 0 and 1: the response \"e\" is no action of the game; its actions are a, bb, ccc, d",
    );
    says(
        json!({"prompt": "x", "responses": ["a"]}),
        "`responses` has 1, and a comparison needs 2",
    );
    says(
        json!({"prompt": "x", "responses": vec!["a"; 50_000]}),
        "`responses` has 50000, and at most 1024 are compared",
    );
    says(
        json!({"prompt": "x", "response": "a"}),
        "there are no `responses`",
    );
    four_actions(dir, "");
    let message = refused(dir, &["--resume", "--output", "out.jsonl"]);
    assert!(
        message.contains("--resume: there is no journal to go on with: journal is not there"),
        "{message}"
    );
}
