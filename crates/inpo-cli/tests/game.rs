//! `inpo game` from outside: its JSON contracts and its refusals.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The cyclic game of `inpo.md` 11.2.
const CYCLIC: &str = r#"{"names": ["a", "b", "c"],
 "preferences": [[0.5, 0.1, 0.8], [0.9, 0.5, 0.1], [0.2, 0.9, 0.5]]}"#;

struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs `inpo game ARGS` in the folder.
    fn game(&self, args: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_inpo"))
            .arg("game")
            .args(args.split_whitespace())
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn json(&self, args: &str) -> Value {
        let output = self.game(args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Exit 2, nothing on stdout, and a message that contains all of `want`.
    #[track_caller]
    fn refuses(&self, args: &str, want: &[&str]) {
        let output = self.game(args);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args}: {message}");
        assert!(output.stdout.is_empty());
        for want in want {
            assert!(message.contains(want), "{args}: {message:?} lacks {want:?}");
        }
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect()
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

#[track_caller]
fn close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= tolerance, "{got} is not {want}");
    }
}

#[test]
fn nash_of_the_plain_and_of_the_regularised_game() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    let plain = bench.json("nash g.json --json");
    assert_eq!(
        keys(&plain),
        ["duality_gap", "exploitability", "residual", "strategy"]
    );
    close(
        &numbers(&plain["strategy"]),
        &[4.0 / 11.0, 3.0 / 11.0, 4.0 / 11.0],
        1e-12,
    );
    assert!(plain["duality_gap"].as_f64().unwrap() <= 2e-9);

    let regularised = bench.json("nash g.json --tau 0.1 --json");
    let want = [0.3371358500656738, 0.2834641090988817, 0.37940004083544443];
    close(&numbers(&regularised["strategy"]), &want, 1e-12);
    // The gap is that of the KL game; the exploitability that of the plain one, half of 11.3's.
    close(
        &[regularised["duality_gap"].as_f64().unwrap()],
        &[0.0],
        1e-14,
    );
    let exploitability = regularised["exploitability"].as_f64().unwrap();
    close(&[exploitability], &[0.024489777239701027 / 2.0], 1e-12);
    assert!(regularised["residual"].as_f64().unwrap() <= 1e-12);
}

#[test]
fn the_reference_of_the_file_is_used() {
    let bench = Bench::new();
    let game = CYCLIC.replacen('{', r#"{"reference": [0.25, 0.45, 0.30], "#, 1);
    bench.file("g.json", &game);
    let nash = bench.json("nash g.json --tau 0.2 --json");
    let want = [0.24907627897693874, 0.3334710059782671, 0.41745271504479414];
    close(&numbers(&nash["strategy"]), &want, 1e-12);
}

#[test]
fn solve_has_the_contract_and_the_known_trajectory() {
    let bench = Bench::new();
    bench.file("g.csv", "0.5,0.1,0.8\n0.9,0.5,0.1\n0.2,0.9,0.5\n");
    let run = bench.json("solve g.csv --algorithm inpo --tau 0.1 --eta 0.3 --iterations 10 --json");
    let want = [
        "algorithm",
        "average",
        "history",
        "iterations",
        "last",
        "oracle_calls",
    ];
    assert_eq!(keys(&run), want);
    assert_eq!(run["algorithm"], "inpo");
    assert_eq!(
        (run["iterations"].as_u64(), run["oracle_calls"].as_u64()),
        (Some(10), Some(10))
    );
    for iterate in ["last", "average"] {
        assert_eq!(
            keys(&run[iterate]),
            ["duality_gap", "exploitability", "strategy"]
        );
    }
    let history = run["history"].as_array().unwrap();
    assert_eq!(history.len(), 11);
    assert_eq!(
        keys(&history[10]),
        ["duality_gap", "exploitability", "iteration", "kl_to_nash"]
    );
    let (kl, gap) = (&history[10]["kl_to_nash"], &history[10]["duality_gap"]);
    close(&[kl.as_f64().unwrap()], &[3.3693072579e-3], 1e-12);
    close(&[gap.as_f64().unwrap()], &[3.3896058805e-3], 1e-12);
    assert_eq!(run["last"]["duality_gap"], *gap);
}

#[test]
fn solve_with_the_theory_schedule_and_a_tolerance() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    let run =
        bench.json("solve g.json --tau 0.1 --schedule theory --iterations 100 --stride 100 --json");
    let history = run["history"].as_array().unwrap();
    assert_eq!(history.len(), 2);
    close(
        &[history[1]["duality_gap"].as_f64().unwrap()],
        &[4.1219177e-6],
        1e-12,
    );

    let run =
        bench.json("solve g.json --tau 0.1 --eta 1 --iterations 10000 --tolerance 1e-6 --json");
    assert!(run["iterations"].as_u64().unwrap() < 100);
    assert!(run["last"]["duality_gap"].as_f64().unwrap() <= 1e-6);
}

#[test]
fn the_average_converges_without_tau() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    let run = bench.json("solve g.json --tau 0 --eta 1 --iterations 100 --json");
    let gap = run["average"]["duality_gap"].as_f64().unwrap();
    close(&[gap], &[0.0173787524], 1e-10);
    close(
        &[run["average"]["exploitability"].as_f64().unwrap()],
        &[gap / 2.0],
        1e-15,
    );
}

#[test]
fn analyse_names_the_cycle() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    let found = bench.json("analyse g.json --tau 0.01 --json");
    assert_eq!(found["condorcet_winner"], Value::Null);
    assert_eq!(
        (found["cyclic_triads"].as_u64(), found["triads"].as_u64()),
        (Some(1), Some(1))
    );
    let want = [0.3609620458023815, 0.2728577522789052, 0.36618020191871326];
    close(
        &numbers(&found["regularised_nash"]["strategy"]),
        &want,
        1e-12,
    );
}

#[test]
fn tables_show_names_and_output_is_a_file() {
    let bench = Bench::new();
    bench.file("g.csv", "alpha,beta\n0.5,0.7\n0.3,0.5\n");
    let output = bench.game("nash g.csv");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("alpha      1.000000"), "{table}");
    for command in ["solve g.csv --tau 0.1 --eta 1", "analyse g.csv"] {
        let table = String::from_utf8(bench.game(command).stdout).unwrap();
        assert!(table.contains("beta"), "{table}");
    }
    let output = bench.game("nash g.csv --json --output out.json");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty());
    let text = fs::read_to_string(bench.folder.path().join("out.json")).unwrap();
    assert_eq!(
        numbers(&serde_json::from_str::<Value>(&text).unwrap()["strategy"]),
        [1.0, 0.0]
    );
    assert_eq!(
        fs::read_dir(bench.folder.path()).unwrap().count(),
        2,
        "no partial file is left"
    );
}

#[test]
fn a_step_below_the_stability_threshold_warns() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    let output = bench.game("solve g.json --tau 0.1 --eta 0.2 --json");
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("below the stability threshold 0.269359"));
    let output = bench.game("solve g.json --tau 0.1 --eta 0.3 --json");
    assert_eq!(stderr(&output), "");
}

#[test]
fn bad_settings_exit_2() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    bench.refuses(
        "solve g.json --tau 0.2 --eta 0.1",
        &["--tau", "tau must not exceed eta"],
    );
    bench.refuses(
        "solve g.json --tau 0.1 --eta 0",
        &["eta is 0", "must be a positive"],
    );
    bench.refuses("solve g.json --tau 0.1 --eta -1", &["eta is -1"]);
    bench.refuses("solve g.json --tau 0.1 --eta NaN", &["eta is NaN"]);
    bench.refuses("solve g.json --tau -0.1 --eta 1", &["tau is -0.1"]);
    bench.refuses("solve g.json --tau 0.1", &["--eta is missing"]);
    bench.refuses(
        "solve g.json --schedule theory",
        &["--schedule theory", "needs tau above 0"],
    );
    bench.refuses(
        "solve g.json --eta 1 --tolerance -1",
        &["the tolerance is -1"],
    );
    bench.refuses(
        "solve g.json --eta 1 --stride 0",
        &["the history stride is 0"],
    );
    bench.refuses("solve g.json --eta 1 --algorithm sppo", &["sppo"]);
    bench.refuses("nash g.json --tau -1", &["tau is -1"]);
    bench.refuses("nash g.json --tau inf", &["tau is inf"]);
    bench.refuses("analyse g.json --tau 0", &["tau is 0"]);
}

#[test]
fn bad_games_exit_2_and_name_file_and_place() {
    let bench = Bench::new();
    for (name, text, want) in [
        (
            "sum.json",
            r#"{"preferences": [[0.5, 0.7], [0.7, 0.5]]}"#,
            "preferences[0][1]",
        ),
        (
            "diagonal.json",
            r#"{"preferences": [[0.6]]}"#,
            "preferences[0][0] is 0.6",
        ),
        (
            "nan.json",
            r#"{"preferences": [[0.5, NaN], [0.5, 0.5]]}"#,
            "preferences[0][1]",
        ),
        (
            "null.json",
            r#"{"preferences": [[0.5, null], [0.5, 0.5]]}"#,
            "line 1",
        ),
        (
            "negative.json",
            r#"{"preferences": [[0.5, -0.1], [1.1, 0.5]]}"#,
            "preferences[0][1] is -0.1",
        ),
        (
            "above.json",
            r#"{"preferences": [[0.5, 1.1], [-0.1, 0.5]]}"#,
            "preferences[0][1] is 1.1",
        ),
        (
            "ragged.json",
            r#"{"preferences": [[0.5, 0.5], [0.5]]}"#,
            "preferences[1] has 1 entries",
        ),
        (
            "empty.json",
            r#"{"preferences": []}"#,
            "preferences is empty",
        ),
        (
            "twice.json",
            r#"{"names": ["a", "a"], "preferences": [[0.5, 0.5], [0.5, 0.5]]}"#,
            "names[1]",
        ),
        (
            "names.json",
            r#"{"names": ["a"], "preferences": [[0.5, 0.5], [0.5, 0.5]]}"#,
            "names has 1",
        ),
        (
            "reference.json",
            r#"{"preferences": [[0.5]], "reference": [0.7]}"#,
            "reference",
        ),
        (
            "key.json",
            r#"{"preferences": [[0.5]], "refrence": [1.0]}"#,
            "unknown field `refrence`",
        ),
        ("syntax.json", "{\"preferences\":\n [[0.5}", "line 2"),
        (
            "nan.csv",
            "0.5,nan\n0.5,0.5\n",
            "line 1: preferences[0][1] is NaN",
        ),
        (
            "word.csv",
            "0.5,half\n0.5,0.5\n",
            "line 1: preferences[0][1] is \"half\"",
        ),
        (
            "ragged.csv",
            "0.5,0.5\n0.5\n",
            "line 2: preferences[1] has 1 entries",
        ),
        (
            "sum.csv",
            "0.5,0.5\n0.4,0.5\n",
            "line 1: preferences[0][1] = 0.5",
        ),
    ] {
        bench.file(name, text);
        bench.refuses(&format!("nash {name}"), &[name, want]);
        bench.refuses(&format!("solve {name} --eta 1"), &[name, want]);
    }
    bench.refuses(
        "nash missing.json",
        &["missing.json", "cannot read the game file"],
    );
}
