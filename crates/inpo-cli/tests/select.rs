//! `inpo select` as users meet it: the pairs of a judged file, those of the loop, what `inpo train` makes of them, and one
//! sentence with exit status 2 for bad input.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

mod tiny_run;

use tiny_run::prepare;

fn inpo(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_inpo"))
        .args(args)
        .current_dir(dir)
        .env("INPO_OFFLINE", "1")
        .output()
        .unwrap()
}

/// What it says on standard error.
fn succeeds(dir: &Path, args: &[&str]) -> String {
    let output = inpo(dir, args);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args:?}: {message}");
    message
}

fn refused(dir: &Path, args: &[&str]) -> String {
    let output = inpo(
        dir,
        &[&["select", "--input", "judged.jsonl"], args].concat(),
    );
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    message
}

fn rows(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    rows.collect()
}

fn write(path: &Path, rows: &[Value]) {
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(path, text).unwrap();
}

/// The pairs of `judged.jsonl`, and the summary.
fn select(dir: &Path, args: &[&str]) -> (Vec<Value>, String) {
    let files = [
        "select",
        "--input",
        "judged.jsonl",
        "--output",
        "pairs.jsonl",
    ];
    let told = succeeds(dir, &[&files, args].concat());
    (rows(&dir.join("pairs.jsonl")), told)
}

/// Three prompts. Of the first, win rates are 0 (0.75 + 0.25 + 1) / 3, 1 (0.25 + 0.75 + 1) / 3, 2 (0.75 + 0.25 + 1) / 3, all
/// 2/3, and 3 none: a circle, and the first of it is best. Of the second, which has ids, 1 beats 0. The third is a tie.
fn three(dir: &Path) {
    let rows = [
        json!({
            "prompt": "x", "responses": ["a", "bb", "ccc", "d"], "source": {"n": 1.5}, "ref_chosen_logps": -3.0,
            "preference": [
                [0.5, 0.75, 0.25, 1.0],
                [0.25, 0.5, 0.75, 1.0],
                [0.75, 0.25, 0.5, 1.0],
                [0.0, 0.0, 0.0, 0.5],
            ],
            "judge": "game",
        }),
        json!({
            "prompt": [{"role": "user", "content": "y"}], "prompt_token_ids": [1, 5], "responses": ["e", "f"],
            "response_token_ids": [[6, 0], [7]], "finish_reason": ["stop", "length"], "sampling_logps": [-1.0, -2.0],
            "preference": [[0.5, 0.25], [0.75, 0.5]], "judge": "game",
        }),
        json!({"prompt": "z", "responses": ["g", "h"], "preference": [[0.5, 0.5], [0.5, 0.5]]}),
    ];
    write(&dir.join("judged.jsonl"), &rows);
}

#[test]
fn a_pair_stands_in_the_place_of_its_responses() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    three(dir);
    let (pairs, told) = select(dir, &["--strategy", "round_robin"]);
    // Of 2 responses there are no others, and a score is 1/2; of 4 the other two: 0 beats 1 and 2 with 0.75 and 0.25.
    let expected = [
        json!({
            "prompt": "x", "source": {"n": 1.5}, "judge": "game", "chosen": "a", "rejected": "d", "probability": 1.0,
            "score_chosen": 0.5, "score_rejected": 0.0,
        }),
        json!({
            "prompt": [{"role": "user", "content": "y"}], "prompt_token_ids": [1, 5], "judge": "game",
            "chosen": "f", "chosen_token_ids": [7], "rejected": "e", "rejected_token_ids": [6, 0],
            "probability": 0.75, "score_chosen": 0.5, "score_rejected": 0.5,
        }),
    ];
    assert_eq!(pairs, expected);
    assert_eq!(
        told,
        "pairs      2 of 3 rows\ndropped    1 ties\nleft out   none\n"
    );
    // The tournament: a beats bb, ccc beats d; ccc beats a, bb beats d; ccc beats d.
    let (pairs, told) = select(dir, &[]);
    assert_eq!(
        (&pairs[0]["chosen"], &pairs[0]["rejected"]),
        (&json!("ccc"), &json!("d"))
    );
    assert_eq!(told, "pairs      2 of 3 rows\ndropped    1 ties\n");
    // The second response of the second prompt was cut off.
    let (pairs, told) = select(dir, &["--drop-truncated", "--tie-policy", "first"]);
    assert_eq!(pairs.len(), 2);
    assert_eq!(
        (&pairs[1]["chosen"], &pairs[1]["probability"]),
        (&json!("g"), &json!(1.0))
    );
    assert_eq!(
        told,
        "pairs      2 of 3 rows\ndropped    1 rows with fewer than 2 usable responses\nleft out   1 responses cut off\n"
    );
    // The likelier winner of the first two, and a tie as it is.
    let (pairs, _) = select(dir, &["--strategy", "iid", "--loss-labels", "soft"]);
    let kept = |row: &Value| (row["chosen"].clone(), row["probability"].clone());
    let expected = [("a", 0.75), ("f", 0.75), ("g", 0.5)].map(|(c, p)| (json!(c), json!(p)));
    assert_eq!(pairs.iter().map(kept).collect::<Vec<_>>(), expected);
}

/// Win rates 2/3, 2/3, 2/3 and 0 with 3, 2, 1 and 1 characters: without a penalty the first is best, one of 0.3 takes 0.3,
/// 0.2, 0.1 and 0.1. The worst stays the worst.
#[test]
fn a_length_penalty_counts_characters() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    three(dir);
    let mut judged = rows(&dir.join("judged.jsonl"));
    judged[0]["responses"] = json!(["aaa", "bb", "c", "d"]);
    write(&dir.join("judged.jsonl"), &judged);
    for (penalty, best) in [("0", "aaa"), ("0.3", "c")] {
        let args = ["--strategy", "best_worst", "--length-penalty", penalty];
        let (pairs, _) = select(dir, &args);
        let ends = (&pairs[0]["chosen"], &pairs[0]["rejected"]);
        assert_eq!(ends, (&json!(best), &json!("d")));
    }
}

/// The winners of an i.i.d. pair are drawn with the judge's probability: of 200 prompts with 0.75 about 150, with a standard
/// deviation of 6. Equal seeds draw equal winners.
#[test]
fn hard_labels_draw_the_winner() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let row =
        json!({"prompt": "x", "responses": ["a", "b"], "preference": [[0.5, 0.75], [0.25, 0.5]]});
    write(&dir.join("judged.jsonl"), &vec![row; 200]);
    let of = |seed: &str| select(dir, &["--strategy", "iid", "--seed", seed]).0;
    let first = of("1");
    let wins = first.iter().filter(|pair| pair["chosen"] == "a").count();
    assert!(wins.abs_diff(150) < 25, "{wins}");
    assert_eq!(of("1"), first);
    assert_ne!(of("2"), first);
}

#[test]
fn bad_input_is_named_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let says = |row: Value, args: &[&str], words: &str| {
        write(&dir.join("judged.jsonl"), &[row]);
        let message = refused(dir, args);
        assert_eq!(message, format!("error: judged.jsonl, line 1: {words}\n"));
    };
    // 0 beats 1 and 2 beats 3; the second round is missing.
    let tournament = json!({"prompt": "x", "responses": ["a", "b", "c", "d"], "preference": [
        [0.5, 1.0, null, null], [0.0, 0.5, null, null], [null, null, 0.5, 1.0], [null, null, 0.0, 0.5]]});
    says(
        tournament.clone(),
        &[],
        "the selection needs the comparison of responses 0 and 2, which was not asked; ask with `inpo judge --matches tournament`, or with `--matches all`",
    );
    write(&dir.join("judged.jsonl"), &[tournament]);
    let settings = [
        "--budget",
        "5",
        "--seed",
        "4",
        "--drop-truncated",
        "--length-penalty",
        "0.5",
    ];
    let message = refused(dir, &[&["--strategy", "adaptive"], &settings[..]].concat());
    let flags =
        "`inpo judge --matches adaptive --budget 5 --length-penalty 0.5 --drop-truncated --seed 4`";
    assert!(
        message.ends_with(&format!("ask with {flags}, or with `--matches all`\n")),
        "{message}"
    );
    says(
        json!({"prompt": "x", "responses": ["a", "b"]}),
        &[],
        "there is no `preference`: judge the responses first, with `inpo judge`",
    );
    let with = |preference: Value| json!({"prompt": "x", "responses": ["a", "b"], "preference": preference});
    says(
        with(json!([[0.5]])),
        &[],
        "`preference` has 1 rows, and there are 2 responses",
    );
    says(
        with(json!([[0.5, 0.7], [0.4, 0.5]])),
        &[],
        "`preference`: P(0 > 1) = 0.7 and P(1 > 0) = 0.4: both must lie in [0, 1] and add up to 1",
    );
    says(
        with(json!([[0.5, 0.7], [null, 0.5]])),
        &[],
        "`preference`: of the comparison of responses 0 and 1 one order is null and the other is not",
    );
    says(
        with(json!("all")),
        &[],
        "`preference` is not a matrix of numbers, null where nothing was asked",
    );
    let message = refused(dir, &["--strategy", "iid", "--budget", "9"]);
    assert_eq!(
        message,
        "error: selection.budget is 9, but strategy \"iid\" asks what it asks: use \"adaptive\", or leave the budget out\n"
    );
    let message = refused(dir, &["--tie-policy", "half"]);
    assert!(
        message.starts_with(
            "error: --tie-policy half: hard labels would count every such tie as a win"
        ),
        "{message}"
    );
    three(dir);
    let judged = rows(&dir.join("judged.jsonl"));
    write(&dir.join("judged.jsonl"), &judged[2..]);
    let message = refused(dir, &["--output", "none.jsonl"]);
    assert_eq!(
        message,
        "pairs      0 of 1 rows\ndropped    1 ties\nerror: judged.jsonl: none of 1 rows gave a pair\n"
    );
    assert!(!dir.join("none.jsonl").exists());
}

fn without(row: &Value, names: &[&str]) -> Value {
    let mut row = row.as_object().unwrap().clone();
    row.retain(|name, _| !names.contains(&name.as_str()));
    Value::Object(row)
}

/// Of each strategy: the loop's files, judged again by `inpo judge --matches` and selected again by `inpo select`, give the
/// comparisons and the pairs of the loop, and its counters.
#[test]
fn the_stages_by_themselves_give_what_the_loop_gives() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    prepare(dir);
    // As in a configuration, and as flags.
    let cases: [(&str, &[&str], &[&str]); 6] = [
        ("tournament", &[], &[]),
        ("iid", &[], &[]),
        (
            "random",
            &["tie_policy=random"],
            &["--tie-policy", "random"],
        ),
        ("round_robin", &["drop_truncated=true"], &[]),
        ("best_worst", &["score=copeland"], &["--score", "copeland"]),
        ("adaptive", &["budget=7", "length_penalty=0.1"], &[]),
    ];
    let asking: [&[&str]; 6] = [
        &[],
        &[],
        &[],
        &["--drop-truncated"],
        &[],
        &["--budget", "7", "--length-penalty", "0.1"],
    ];
    for ((strategy, keys, flags), asking) in cases.into_iter().zip(asking) {
        let mut args = vec!["run".to_owned(), "--config".into(), "run.toml".into()];
        args.extend(["--set".into(), format!("output_dir={strategy}")]);
        args.extend(["--set".into(), format!("selection.strategy={strategy}")]);
        for key in keys {
            args.extend(["--set".into(), format!("selection.{key}")]);
        }
        succeeds(dir, &args.iter().map(String::as_str).collect::<Vec<_>>());
        let metrics = rows(&dir.join(strategy).join("metrics.jsonl"));
        for t in [1, 2] {
            let of = |name: &str| {
                dir.join(strategy)
                    .join(format!("iteration-000{t}"))
                    .join(name)
            };
            std::fs::copy(of("responses.jsonl"), dir.join("responses.jsonl")).unwrap();
            let base = [
                "judge",
                "--oracle",
                "oracle.toml",
                "--input",
                "responses.jsonl",
                "--seed",
                "3",
                "--matches",
                strategy,
                "--output",
                "judged.jsonl",
            ];
            succeeds(dir, &[&base, asking].concat());
            let preference = |row: &Value| row["preference"].clone();
            let judged = rows(&dir.join("judged.jsonl"));
            let asked = rows(&of("preferences.jsonl"));
            assert!(
                judged
                    .iter()
                    .map(preference)
                    .eq(asked.iter().map(preference)),
                "{strategy}"
            );
            let seed = ["--seed", "3", "--strategy", strategy];
            let (pairs, told) = select(dir, &[&seed, flags, asking].concat());
            let own = ["prompt", "iteration", "seed", "judge"];
            let pairs: Vec<Value> = pairs.iter().map(|row| without(row, &own)).collect();
            assert_eq!(pairs, rows(&of("pairs.jsonl")), "{strategy}");
            let is_select = |row: &&Value| row["stage"] == "select" && row["iteration"] == t;
            let metrics = metrics.iter().find(is_select).unwrap();
            assert_eq!(metrics["select/pairs"], pairs.len());
            assert!(
                told.starts_with(&format!("pairs      {} of 8 rows\n", pairs.len())),
                "{told}"
            );
            let counted = metrics.get("select/left_out_truncated").is_some();
            let leaves_out = !["tournament", "iid"].contains(&strategy);
            assert_eq!(counted, leaves_out, "{strategy}");
            if strategy == "round_robin" {
                let cut = &metrics["select/left_out_truncated"];
                assert!(told.contains(&format!("{cut} responses cut off")), "{told}");
            }
        }
    }
}

/// The pairs of `inpo select` are rows of `inpo train`, by ids and by text.
#[test]
fn what_it_writes_is_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    prepare(dir);
    let responses = ["the river", "stone light", "music"];
    let preference = json!([[0.5, 0.9, 0.8], [0.1, 0.5, 0.4], [0.2, 0.6, 0.5]]);
    let judged = [
        json!({"prompt": "garden winter", "responses": responses, "preference": preference}),
        json!({"prompt_token_ids": [1, 20, 1], "responses": [null, null, null],
               "response_token_ids": [[5, 6, 0], [7, 0], [8, 9]], "finish_reason": ["stop", "stop", "length"],
               "preference": preference}),
    ];
    write(&dir.join("judged.jsonl"), &judged);
    let (pairs, _) = select(dir, &["--strategy", "best_worst"]);
    // Win rates 0.85, 0.25, 0.4.
    assert_eq!(
        (&pairs[0]["chosen"], &pairs[0]["rejected"]),
        (&json!("the river"), &json!("stone light"))
    );
    let ids = json!({
        "prompt_token_ids": [1, 20, 1], "chosen_token_ids": [5, 6, 0], "rejected_token_ids": [7, 0],
        "probability": 0.9, "score_chosen": 0.8, "score_rejected": 0.4,
    });
    assert_eq!(pairs[1], ids);
    let config = "output_dir = 'out'\n[policy]\nmodel = 'model'\n[data]\npairs = 'pairs.jsonl'\n\
        [objective]\nalgorithm = 'dpo'\nlabel = 'soft'\n\
        [train]\nmax_steps = 2\nper_device_train_batch_size = 2\ngradient_accumulation_steps = 1\n";
    std::fs::write(dir.join("train.toml"), config).unwrap();
    succeeds(dir, &["train", "--config", "train.toml"]);
    let state = std::fs::read_to_string(dir.join("out/trainer_state.json")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["global_step"], 2);
    // Before the first step the policy is its reference, and a soft label's loss is log 2.
    let loss = state["log_history"][0]["loss"].as_f64().unwrap();
    assert!((loss - std::f64::consts::LN_2).abs() < 1e-6, "{loss}");
}
