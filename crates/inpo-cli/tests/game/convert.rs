//! Game files in and out.

use std::fs;

use serde_json::Value;

use crate::bench::{Bench, CYCLIC, close, numbers, stderr};

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

/// The same game as from the CSV file below.
#[test]
fn votes_come_from_a_json_array_too() {
    let bench = Bench::new();
    bench.file("votes.csv", "x,y,who\nann,bob,ann\nbob,cy,cy\n");
    let array = r#"[{"x": "ann", "y": "bob", "who": "ann", "margin": NaN},
        {"x": "bob", "y": "cy", "who": "cy"}]"#;
    bench.file("votes.json", array);
    let args = "--records --first x --second y --winner who";
    let from_csv = bench.json(&format!("convert votes.csv {args}"));
    assert_eq!(bench.json(&format!("convert votes.json {args}")), from_csv);
    bench.file("votes.json", "[{\"x\": ");
    bench.refuses(
        &format!("convert votes.json {args}"),
        &["votes.json", "its JSON array does not end"],
    );
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
