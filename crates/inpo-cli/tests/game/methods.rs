//! Iterative methods: `solve` and `compare`.

use std::fs;

use inpo_core::solver::{Method, Solver};

use crate::bench::{Bench, CYCLIC, close, keys, numbers, stderr};

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

/// The tables of docs/theory.md 11.4, through the flags. eta is the inverse of the papers' gamma.
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
        let history = run["history"].as_array().unwrap();
        assert_eq!(history.len(), 401, "{args}");
        let sum: f64 = numbers(&run["average"]["strategy"]).iter().sum();
        close(&[sum], &[1.0], 1e-12);
        // The watched policy is nearer than the uniform start, which is at 1/15 = 0.067 in the plain
        // game and at 0.0073 in the other; iterative DPO, MNPO and regret matching are watched in
        // their last policy, which need not be.
        let circles = ["iterative_dpo", "mnpo", "regret_matching"];
        let start = if args.contains("--tau") && name != "mpo" {
            0.0073
        } else {
            0.066
        };
        let gap = history[400]["duality_gap"].as_f64().unwrap();
        assert!(gap < start || circles.contains(&name), "{args}: {gap}");
    }
}

#[test]
fn the_help_is_that_of_the_table_of_methods() {
    let help = Bench::new().game("solve --help").stdout;
    let help = String::from_utf8(help).unwrap();
    for entry in Method::ALGORITHMS {
        let line = help
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("- {}:", entry.name)));
        assert!(line.unwrap().ends_with(entry.help), "{}", entry.name);
    }
    for readers in [
        "mpo, comal: updates between two moves of the reference [default: 20]",
        "nash_ema: the weight of the old average, in [0, 1) [default: 0.5]",
        "mnpo: the weights of the past policies, the newest first [default: 0.5,0.3,0.2]",
        "iterative_ipo, iterative_dpo: what their own KL is taken to [default: previous]",
        "replicator: the time of one iteration [default: 0.5]",
    ] {
        assert!(help.contains(readers), "{readers}");
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
fn curves_of_runs_of_different_lengths_share_their_grid() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    bench.file("h.csv", "0.5,0.3,0.9\n0.7,0.5,0.2\n0.1,0.8,0.5\n");
    bench.json(
        "compare g.json h.csv --algorithm onpo:eta=2 --iterations 20000 --tolerance 1e-6 \
         --csv c.csv --json",
    );
    let table = fs::read_to_string(bench.folder.path().join("c.csv")).unwrap();
    let iterations = |game: &str| -> Vec<u64> {
        let rows = table.lines().filter(|l| l.starts_with(game));
        rows.map(|l| l.split(',').nth(3).unwrap().parse().unwrap())
            .collect()
    };
    let (one, other) = (iterations("g.json"), iterations("h.csv"));
    assert_ne!(one.last(), other.last());
    let shorter = one.len().min(other.len()) - 1;
    assert!(shorter > 100);
    assert_eq!(one[..shorter], other[..shorter]);
}

#[test]
fn flags_of_compare_are_for_the_methods_that_have_them() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    // --tau is INPO's alone, and 1/15 at the start of SPPO is the gap of the plain game.
    let results = bench.json(
        "compare g.json --tau 0.1 --schedule theory --algorithm inpo --algorithm sppo:eta=1 \
         --iterations 99 --json",
    );
    let gap = |at: usize| results[at]["duality_gap"].as_f64().unwrap();
    close(&[gap(1)], &[0.42999805747], 1e-10);
    assert!(gap(0) < 1e-5);
    let standard = bench.json("compare g.json --tau 0.2 --iterations 20 --json");
    assert_eq!(standard.as_array().unwrap().len(), 8);
}

#[test]
fn settings_that_a_method_does_not_read_are_named() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    let output = bench.game("solve g.json --algorithm regret_matching --eta 1 --decay 0.1 --json");
    let message = stderr(&output);
    for flag in ["--eta is not used", "--decay is not used"] {
        assert!(message.contains(flag), "{message}");
    }
    bench.refuses(
        "compare g.json --algorithm inpo:tau=0.1,eta=5,schedule=theory",
        &["eta is not used by this method"],
    );
}

#[test]
fn what_keeps_the_last_policy_from_the_nash_policy_is_said() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    let zero = CYCLIC.replacen('{', r#"{"reference": [0.5, 0.0, 0.5], "#, 1);
    bench.file("zero.json", &zero);
    for (args, want) in [
        (
            "zero.json --algorithm sppo --eta 1",
            "b is in the Nash policy, but the reference never",
        ),
        (
            "g.json --algorithm sppo --eta 1",
            "the last iterate of sppo circles",
        ),
        (
            "g.json --algorithm onpo --eta 0.1",
            "onpo multiplies a deviation",
        ),
        (
            "g.json --algorithm comal --tau 0.1 --eta 2 --period 1",
            "comal multiplies",
        ),
        (
            "g.json --algorithm nash_md --tau 0.1 --eta 1",
            "settles beside the Nash policy",
        ),
    ] {
        let message = stderr(&bench.game(&format!("solve {args} --json")));
        assert!(message.contains(want), "{args}: {message}");
    }
    for quiet in [
        "g.json --algorithm sppo --eta 1 --watch average",
        "g.json --algorithm sppo --eta 1 --exact never",
        "zero.json --algorithm fictitious_play",
    ] {
        assert_eq!(
            stderr(&bench.game(&format!("solve {quiet} --json"))),
            "",
            "{quiet}"
        );
    }
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
fn a_step_below_the_stability_threshold_warns() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    let output = bench.game("solve g.json --tau 0.1 --eta 0.2 --json");
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("not above the stability threshold 0.269359"));
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
        "solve g.json --eta 1 --comparisons 2000000000",
        &["--comparisons is 2000000000", "at most 1000000000"],
    );
    bench.refuses(
        "solve g.json --eta 1 --tolerance inf",
        &["the tolerance is inf"],
    );
    bench.refuses(
        "solve g.json --tau 1e-310 --eta 1",
        &["--tau", "at least 1e-300"],
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
