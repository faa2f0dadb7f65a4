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
        "reason",
        "weighted_average",
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
        [
            "duality_gap",
            "exploitability",
            "iteration",
            "kl_to_nash",
            "oracle_calls"
        ]
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

/// `inpo.md` 11.4, through the flags. eta is the inverse of the papers' gamma.
#[test]
fn the_relatives_follow_their_known_trajectories() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    for (args, calls, gap, tolerance) in [
        ("onpo --eta 2 --iterations 1000", 1000, 3.5693892e-4, 1e-11),
        ("omwu --eta 2 --iterations 1000", 1000, 3.5693892e-4, 1e-11),
        (
            "onpo --schedule theory --iterations 10",
            10,
            0.0520956862,
            1e-10,
        ),
        (
            "egpo --tau 0.1 --eta 2 --iterations 10",
            20,
            2.3989494319e-3,
            1e-12,
        ),
        (
            "comal --tau 0.1 --eta 0.5 --iterations 100",
            100,
            9.7136048e-4,
            1e-11,
        ),
        ("sppo --eta 1 --iterations 99", 99, 0.42999805747, 1e-10),
        (
            "iterative-ipo --eta 1 --iterations 99",
            99,
            0.42999805747,
            1e-10,
        ),
        (
            "inpo --tau 0.1 --eta 1 --iterations 30",
            30,
            6.5980366e-5,
            1e-12,
        ),
    ] {
        let run = bench.json(&format!("solve g.json --algorithm {args} --json"));
        assert_eq!(run["oracle_calls"].as_u64(), Some(calls), "{args}");
        close(
            &[run["last"]["duality_gap"].as_f64().unwrap()],
            &[gap],
            tolerance,
        );
    }
}

#[test]
fn every_method_runs_and_reports() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    for args in [
        "nash_md --tau 0.1 --schedule theory",
        "nash_ema --tau 0.1 --eta 1",
        "iterative_dpo --eta 4",
        "mpo --tau 0.1 --schedule theory",
        "mnpo --eta 2",
        "regret_matching",
        "regret_matching_plus --watch weighted_average",
        "fictitious_play --watch average",
        "replicator --step 0.1",
        "sppo --schedule sqrt --watch average",
        "sppo --schedule theory --watch average",
        "inpo --tau 0.1 --schedule sqrt",
    ] {
        let run = bench.json(&format!(
            "solve g.json --algorithm {args} --iterations 400 --json"
        ));
        let name = args.split(' ').next().unwrap();
        assert_eq!(run["algorithm"], name);
        assert_eq!(run["reason"], "iterations");
        // Whatever converges is nearer than the uniform start, which is at 1/15; the others are
        // still policies.
        let history = run["history"].as_array().unwrap();
        assert_eq!(history.len(), 401, "{args}");
        let sum: f64 = numbers(&run["average"]["strategy"]).iter().sum();
        close(&[sum], &[1.0], 1e-12);
    }
}

#[test]
fn comparisons_are_counted_seeded_and_repeatable() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    let args = "solve g.json --tau 0.5 --schedule theory --comparisons 20 --json --iterations 50";
    let one = bench.json(&format!("{args} --seed 1"));
    assert_eq!(one["oracle_calls"].as_u64(), Some(1000));
    assert_eq!(one, bench.json(&format!("{args} --seed 1")));
    assert_ne!(one["last"], bench.json(&format!("{args} --seed 2"))["last"]);
}

#[test]
fn a_time_limit_ends_a_run_with_its_reason() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    let run = bench.json("solve g.json --tau 0.1 --eta 1 --time-limit 0 --json");
    assert_eq!(
        (&run["reason"], run["iterations"].as_u64()),
        (&"time".into(), Some(0))
    );
}

#[test]
fn compare_writes_one_picture_and_one_table() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    bench.file("h.csv", "0.5,0.3,0.9\n0.7,0.5,0.2\n0.1,0.8,0.5\n");
    let results = bench.json(
        "compare g.json h.csv --algorithm onpo:eta=2 --algorithm inpo:tau=0.1,eta=1 \
         --algorithm sppo:eta=2,watch=average --iterations 300 --svg c.svg --csv c.csv --json",
    );
    let results = results.as_array().unwrap();
    assert_eq!(results.len(), 6);
    assert_eq!(results[0]["algorithm"], "onpo:eta=2");
    assert_eq!(results[5]["iterate"], "average");
    assert_eq!(results[5]["game"], "h.csv");
    let svg = fs::read_to_string(bench.folder.path().join("c.svg")).unwrap();
    for word in [
        "onpo:eta=2",
        "inpo:tau=0.1,eta=1",
        "oracle calls",
        "2 games",
    ] {
        assert!(svg.contains(word), "{word}");
    }
    let table = fs::read_to_string(bench.folder.path().join("c.csv")).unwrap();
    let mut lines = table.lines();
    assert_eq!(
        lines.next().unwrap(),
        "game,algorithm,iterate,iteration,oracle_calls,duality_gap,exploitability,kl_to_nash"
    );
    // The first row is the start: uniform on the cyclic game, 1/15.
    let first: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!(first[..5], ["g.json", "onpo:eta=2", "last", "0", "0"]);
    close(&[first[5].parse().unwrap()], &[1.0 / 15.0], 1e-15);
    // The last row of ONPO on it is the summary's.
    let last = table
        .lines()
        .rfind(|l| l.starts_with("g.json,onpo"))
        .unwrap();
    let gap: f64 = last.split(',').nth(5).unwrap().parse().unwrap();
    assert_eq!(Some(gap), results[0]["duality_gap"].as_f64());
}

#[test]
fn compare_runs_a_standard_set_and_refuses_bad_specs() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    let results = bench.json("compare g.json --iterations 50 --json");
    assert!(results.as_array().unwrap().len() >= 6);
    for (spec, want) in [
        ("spo", "there is no method \"spo\""),
        ("inpo:tua=1", "there is no setting \"tua\""),
        ("inpo:eta", "is not of the form KEY=VALUE"),
        ("inpo:eta=big", "eta is \"big\", which is not a number"),
        (
            "inpo:schedule=fast",
            "\"fast\" is not one of constant, sqrt, theory",
        ),
        ("comal:period=x", "which is not a whole number"),
        ("mnpo:eta=1,history_weights=a+b", "give numbers with +"),
        ("inpo:tau=0.2,eta=0.1", "tau must not exceed eta"),
    ] {
        bench.refuses(&format!("compare g.json --algorithm {spec}"), &[spec, want]);
    }
    bench.refuses("compare", &["GAMES"]);
    bench.refuses("compare missing.json", &["missing.json"]);
}

#[test]
fn convert_goes_round_to_the_bit() {
    let bench = Bench::new();
    let game = CYCLIC.replacen('{', r#"{"reference": [0.25, 0.45, 0.30], "#, 1);
    bench.file("g.json", &game);
    for args in [
        "convert g.json --output h.csv",
        "convert h.csv --output i.json",
    ] {
        let output = bench.game(args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    let text = fs::read_to_string(bench.folder.path().join("h.csv")).unwrap();
    assert_eq!(text, "a,b,c\n0.5,0.1,0.8\n0.9,0.5,0.1\n0.2,0.9,0.5\n");
    let there = bench.json("convert i.json");
    assert_eq!(there["names"], serde_json::json!(["a", "b", "c"]));
    assert_eq!(numbers(&there["preferences"][2]), [0.2, 0.9, 0.5]);
    let csv = bench.game("convert i.json --format csv");
    assert_eq!(String::from_utf8(csv.stdout).unwrap(), text);
    bench.refuses(
        "convert g.json --output h.txt",
        &["--output h.txt", "--format"],
    );
    bench.refuses("convert g.json --min-votes 3", &["--records"]);
}

#[test]
fn votes_become_a_game() {
    let bench = Bench::new();
    bench.file(
        "votes.csv",
        "x,y,who\nann,bob,ann\nbob,ann,left\nann,bob,tie\nbob,cy,cy\n",
    );
    let args = "convert votes.csv --records --first x --second y --winner who";
    let output = bench.game(args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("4 votes of 4 rows, 3 names, 1 pairs without a vote"));
    let game: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(game["names"], serde_json::json!(["ann", "bob", "cy"]));
    // ann against bob: a win, a loss and a tie; bob against cy: a loss; ann never met cy.
    close(&numbers(&game["preferences"][0]), &[0.5, 0.5, 0.5], 0.0);
    close(&numbers(&game["preferences"][1]), &[0.5, 0.5, 0.0], 0.0);
    // With a vote added to both sides: (0 + 1) / (1 + 2).
    let output = bench.game(&format!("{args} --prior 1"));
    let game: Value = serde_json::from_slice(&output.stdout).unwrap();
    close(
        &[game["preferences"][1][2].as_f64().unwrap()],
        &[1.0 / 3.0],
        1e-15,
    );

    bench.file("bad.csv", "x,y,who\nann,bob,ann\nann,bob,cy\n");
    bench.refuses(
        &format!("{args} --names ann,dee"),
        &["votes.csv", "\"dee\""],
    );
    bench.refuses(&format!("{args} --prior -1"), &["prior", "-1"]);
    let args = args.replace("votes.csv", "bad.csv");
    bench.refuses(&args, &["bad.csv, line 3", "who", "\"cy\""]);
    bench.refuses(
        &args.replace("--winner who", ""),
        &["bad.csv, line 1", "\"winner\""],
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
    let all = serde_json::json!([0, 1, 2]);
    for set in ["smith_set", "schwartz_set", "nash_support"] {
        assert_eq!(found[set], all, "{set}");
    }
    assert_eq!(found["nash_is_unique"], true);
    close(&numbers(&found["borda"]), &[0.45, 0.5, 0.55], 1e-15);
    close(&numbers(&found["copeland"]), &[0.5, 0.5, 0.5], 0.0);
    // s = (-1, 0, 1)/30: 12/900 of 0.82.
    let share = found["transitive_share"].as_f64().unwrap();
    close(&[share], &[12.0 / 900.0 / 0.82], 1e-14);
}

#[test]
fn analyse_says_what_is_undefined_for_a_sure_winner() {
    let bench = Bench::new();
    bench.file("g.csv", "top,low\n0.5,1\n0,0.5\n");
    let found = bench.json("analyse g.csv --json");
    assert_eq!(found["condorcet_winner"], 0);
    assert_eq!(found["smith_set"], serde_json::json!([0]));
    assert_eq!(found["transitive_share_log_odds"], Value::Null);
    let table = String::from_utf8(bench.game("analyse g.csv").stdout).unwrap();
    assert!(
        table.contains("undefined: a preference is 0 or 1"),
        "{table}"
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
    bench.refuses("solve g.json --eta 1 --algorithm spo", &["spo"]);
    bench.refuses(
        "solve g.json --algorithm sppo --tau 0.1 --eta 1",
        &["--tau", "sppo plays the plain game, which has no KL"],
    );
    bench.refuses(
        "solve g.json --algorithm nash_md --eta 1",
        &["--tau", "nash_md plays the KL-regularised game"],
    );
    bench.refuses(
        "solve g.json --algorithm comal --eta 1",
        &["--tau", "tau is 0: it must be a positive"],
    );
    bench.refuses(
        "solve g.json --algorithm comal --eta 1 --tau 0.1 --period 0",
        &["--period", "period is 0"],
    );
    bench.refuses(
        "solve g.json --algorithm egpo --tau 0.1 --schedule theory",
        &["--schedule", "egpo has no theory schedule"],
    );
    bench.refuses(
        "solve g.json --algorithm nash_ema --eta 1 --decay 1",
        &["--decay", "decay is 1"],
    );
    bench.refuses(
        "solve g.json --algorithm mnpo --eta 1 --history-weights 0.5,0.6",
        &["--history-weights", "add to 1.1"],
    );
    bench.refuses(
        "solve g.json --algorithm replicator --step -1",
        &["--step", "step is -1"],
    );
    bench.refuses(
        "solve g.json --eta 1 --comparisons 0",
        &["--comparisons", "comparisons is 0"],
    );
    bench.refuses(
        "solve g.json --eta 1 --algorithm iterative_dpo --comparisons 5",
        &["--comparisons", "with exact feedback only"],
    );
    bench.refuses(
        "solve g.json --eta 1 --time-limit -1",
        &["--time-limit is -1"],
    );
    bench.refuses("solve g.json --eta 1 --iterations many", &["many"]);
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
