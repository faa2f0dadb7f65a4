use super::*;
use crate::PairCounts;

const PATH: &str = "votes.csv";

fn csv_with(text: &str, options: &RecordOptions) -> Result<Records, RecordError> {
    read_records_csv(text.as_bytes(), Path::new(PATH), options)
}

fn csv(text: &str) -> Result<Records, RecordError> {
    csv_with(text, &RecordOptions::default())
}

fn json(text: &str) -> Result<Records, RecordError> {
    let path = Path::new("votes.jsonl");
    read_records_json(text.as_bytes(), path, &RecordOptions::default())
}

#[track_caller]
fn says(result: Result<Records, RecordError>, want: &str) {
    let got = result.unwrap_err().to_string();
    assert!(got.contains(want), "{got:?} does not contain {want:?}");
}

fn votes(wins: u64, losses: u64, ties: u64) -> PairCounts {
    PairCounts { wins, losses, ties }
}

/// One record of a against b in each format, with this winner.
#[track_caller]
fn winner(text: &str, want: PairCounts) {
    let row = csv(&format!("model_x,model_y,winner\nm 1,m 2,{text}\n")).unwrap();
    assert_eq!(row.game.counts(0, 1), want, "{text:?} in CSV");
    let line = format!("{{\"model_x\": \"m 1\", \"model_y\": \"m 2\", \"winner\": \"{text}\"}}");
    let row = json(&line).unwrap();
    assert_eq!(row.game.counts(0, 1), want, "{text:?} in JSON lines");
}

#[test]
fn every_spelling_of_a_winner() {
    for text in [
        "m 1", " m 1 ", "left", "LEFT", "model_x", "model_a", "a", "A", "first",
    ] {
        winner(text, votes(1, 0, 0));
    }
    for text in ["m 2", "right", "model_y", "model_b", "b", "Second"] {
        winner(text, votes(0, 1, 0));
    }
    for text in [
        "tie",
        "Tie",
        "draw",
        "both",
        "neither",
        "",
        "  ",
        "bothbad",
        "tie (bothbad)",
    ] {
        winner(text, votes(0, 0, 1));
    }
}

#[test]
fn names_go_before_aliases() {
    // Models called b and a, in this order: the winner "b" is the first by name.
    let game = csv("model_x,model_y,winner\nb,a,b\nleft,tie,tie\n")
        .unwrap()
        .game;
    assert_eq!(game.counts(0, 1), votes(1, 0, 0));
    assert_eq!(game.counts(2, 3), votes(0, 1, 0));
}

#[test]
fn other_columns_in_any_order() {
    let options = RecordOptions {
        columns: RecordColumns::new("left", "right", "label"),
        ..RecordOptions::default()
    };
    let text = "id,label,right,left\n1,left,\"b, 2\",a\n\n2,right,\"b, 2\",a\n3,a,a,\"b, 2\"\n";
    let records = csv_with(text, &options).unwrap();
    assert_eq!(records.game.names(), ["a", "b, 2"]);
    assert_eq!(records.game.counts(0, 1), votes(2, 1, 0));
    assert_eq!((records.rows, records.left_out), (3, 0));
}

#[test]
fn a_byte_order_mark_is_not_part_of_a_name() {
    let records = csv("\u{feff}model_x,model_y,winner\r\na,b,a\r\n").unwrap();
    assert_eq!(records.rows, 1);
    let text = "\u{feff}{\"model_x\": \"a\", \"model_y\": \"b\", \"winner\": \"a\"}\r\n";
    assert_eq!(json(text).unwrap().rows, 1);
}

#[test]
fn json_lines_take_numbers_null_and_other_keys() {
    let text = "{\"model_x\": 97, \"winner\": null, \"text\": {\"a\": [1, 2]}, \"model_y\": 98}\n\
                \n\
                {\"model_y\": \"97\", \"model_x\": \"98\", \"winner\": 98}\n";
    let game = json(text).unwrap().game;
    assert_eq!(game.names(), ["97", "98"]);
    assert_eq!(game.counts(0, 1), votes(0, 1, 1));
}

const FOUR: &str = "model_x,model_y,winner\n\
                    a,b,a\na,c,tie\nb,c,c\na,b,b\nd,a,d\n";

#[test]
fn names_and_order_can_be_asked_for() {
    let options = RecordOptions {
        names: Some(vec!["c".into(), "a".into()]),
        prior: 1.0,
        ..RecordOptions::default()
    };
    let records = csv_with(FOUR, &options).unwrap();
    assert_eq!(records.game.names(), ["c", "a"]);
    assert_eq!(records.game.counts(0, 1), votes(0, 0, 1));
    assert_eq!((records.rows, records.left_out), (5, 4));
    assert_eq!(records.game.prior(), 1.0);
}

#[test]
fn names_of_few_records_can_be_left_out() {
    // Records: a 4, b 3, c 2, d 1.
    let with = |min_votes, names: Option<Vec<String>>| {
        let options = RecordOptions {
            min_votes,
            names,
            ..RecordOptions::default()
        };
        csv_with(FOUR, &options)
    };
    let records = with(2, None).unwrap();
    assert_eq!(records.game.names(), ["a", "b", "c"]);
    assert_eq!(records.left_out, 1);
    let records = with(3, Some(vec!["d".into(), "b".into(), "a".into()])).unwrap();
    assert_eq!(records.game.names(), ["b", "a"]);
    assert_eq!(records.game.total_votes(), 2);
    says(
        with(5, None),
        "votes.csv: no name has 5 records or more; the most is 4",
    );
}

#[test]
fn ties_and_blank_winners_are_counted() {
    let text = "model_x,model_y,winner\na,b,\na,b,tie\nb,c,  \na,b,a\na,c,\"\"\nb,a,Both\n";
    let only = |names: Option<Vec<String>>| {
        let options = RecordOptions {
            names,
            ..RecordOptions::default()
        };
        let records = csv_with(text, &options).unwrap();
        (records.rows, records.left_out, records.ties, records.blank)
    };
    assert_eq!(only(None), (6, 0, 5, 3));
    // They are of the file, as the rows are.
    assert_eq!(only(Some(vec!["a".into(), "b".into()])), (6, 2, 5, 3));
    let text = "{\"model_x\": \"a\", \"model_y\": \"b\", \"winner\": null}\n\
                {\"model_x\": \"a\", \"model_y\": \"b\", \"winner\": \"draw\"}\n";
    let records = json(text).unwrap();
    assert_eq!((records.ties, records.blank), (2, 1));
}

#[test]
fn unknown_and_repeated_names_are_errors() {
    let with = |names: &[&str]| {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let options = RecordOptions {
            names: Some(names),
            ..RecordOptions::default()
        };
        csv_with(FOUR, &options)
    };
    says(
        with(&["a", "e"]),
        "votes.csv: names[1] is \"e\", which no action has; there are \"a\", \"b\", \"c\", \"d\"",
    );
    says(with(&["a", "a"]), "votes.csv: names[1] repeats names[0]");
    says(with(&[]), "votes.csv: names is empty");
    let options = RecordOptions {
        prior: -1.0,
        ..RecordOptions::default()
    };
    says(
        csv_with(FOUR, &options),
        "votes.csv: the prior strength is -1",
    );
}

#[test]
fn bad_csv_names_file_line_and_column() {
    says(csv(""), "votes.csv: the file is empty");
    says(
        csv("model_x,winner,x\na,b,a\n"),
        "votes.csv, line 1: there is no column \"model_y\"; the columns are \"model_x\", \"winner\", \"x\"",
    );
    says(
        csv("model_x,model_y,winner,winner\na,b,a,a\n"),
        "votes.csv, line 1: the column \"winner\" occurs twice",
    );
    says(
        csv("model_x,model_y,winner\n"),
        "votes.csv: there are no records",
    );
    says(
        csv("model_x,model_y,winner\na,b,a\na,b\n"),
        "votes.csv, line 3: the row has 2 fields, but the header has 3",
    );
    says(
        csv("model_x,model_y,winner\na,b,c\n"),
        "votes.csv, line 2: winner is \"c\", which is neither \"a\" nor \"b\"",
    );
    says(
        csv("model_x,model_y,winner\n\na, ,a\n"),
        "votes.csv, line 3: model_y is empty",
    );
    says(
        csv("model_x,model_y,winner\na,b,a\nb,b,tie\n"),
        "votes.csv, line 3: model_x and model_y are both \"b\"",
    );
    let bytes = b"model_x,model_y,winner\na,\xff,a\n";
    let result = read_records_csv(&bytes[..], Path::new(PATH), &RecordOptions::default());
    says(result, "votes.csv, line 2: model_y is not UTF-8 text");
    let one_column = RecordOptions {
        columns: RecordColumns::new("model", "model", "winner"),
        ..RecordOptions::default()
    };
    says(
        csv_with("model,winner\n", &one_column),
        "\"model\" is given for two of the columns",
    );
}

#[test]
fn a_long_winner_is_cut() {
    let long = "x".repeat(10_000);
    says(
        csv(&format!("model_x,model_y,winner\na,b,{long}\n")),
        &format!("winner is \"{}..\", which is neither", "x".repeat(40)),
    );
}

#[test]
fn broken_quotes_are_no_vote() {
    says(
        csv("model_x,model_y,winner\na,b,a\na,b,\"a\n"),
        "votes.csv, line 3: the quote that opens a cell is never closed",
    );
    says(
        csv("model_x,model_y,winner\n\"a\"x,b,b\n"),
        "votes.csv, line 2: text follows the quote that closes a cell",
    );
    let quoted = csv("model_x,model_y,winner\n\"a\n\"\"1\"\", 2\",\"b\",\"b\"\n").unwrap();
    assert_eq!(quoted.game.names(), ["a\n\"1\", 2", "b"]);
    assert_eq!(quoted.game.counts(0, 1), votes(0, 1, 0));
}

#[test]
fn bad_json_names_file_line_and_key() {
    says(json(""), "votes.jsonl: the file is empty");
    says(json("\n \n"), "votes.jsonl: the file is empty");
    says(
        json("\n{\"model_x\": "),
        "votes.jsonl, line 2: column 12: EOF",
    );
    says(
        json("[1, 2]"),
        "votes.jsonl, line 1: column 0: invalid type: sequence",
    );
    says(json("{} x"), "votes.jsonl, line 1");
    says(
        json(r#"{"model_x": "a", "model_y": "b", "winer": "a"}"#),
        "votes.jsonl, line 1: there is no column \"winner\"; the columns are \"model_x\", \"model_y\", \"winer\"",
    );
    says(
        json(r#"{"model_x": "a", "model_y": ["b"], "winner": "a"}"#),
        "votes.jsonl, line 1: column 33: model_y must be a string or a number",
    );
    says(
        json(r#"{"model_x": "a", "model_x": "b", "model_y": "b", "winner": "a"}"#),
        "votes.jsonl, line 1: the column \"model_x\" occurs twice",
    );
    says(
        json(r#"{"model_x": "a", "model_y": null, "winner": "a"}"#),
        "votes.jsonl, line 1: model_y is empty",
    );
    says(
        json(r#"{"model_x": "a", "model_y": "b", "winner": "z"}"#),
        "votes.jsonl, line 1: winner is \"z\", which is neither",
    );
    let result = read_records_json(
        &b"{\"model_x\": \"\xff\"}"[..],
        Path::new("votes.jsonl"),
        &RecordOptions::default(),
    );
    says(result, "votes.jsonl, line 1");
}

#[test]
fn the_format_comes_from_the_extension_or_the_text() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "model_x,model_y,winner\na,b,a\n";
    let json = "\n {\"model_x\": \"a\", \"model_y\": \"b\", \"winner\": \"a\"}\n";
    for (name, text) in [
        ("v.csv", csv),
        ("v.CSV", csv),
        ("v.txt", csv),
        ("v.jsonl", json),
        ("v.ndjson", json),
        ("v", json),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let records = read_records(&path, &RecordOptions::default()).unwrap();
        assert_eq!(records.game.counts(0, 1), votes(1, 0, 0), "{name}");
    }
    let missing = folder.path().join("none.csv");
    says(
        read_records(&missing, &RecordOptions::default()),
        "none.csv: cannot read the records: ",
    );
}
