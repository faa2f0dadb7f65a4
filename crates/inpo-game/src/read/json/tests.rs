use super::*;
use crate::read::tests::says;

fn json(text: &str) -> Result<MatrixGame, ReadError> {
    MatrixGame::from_json(text, Path::new("g.json"))
}

#[test]
fn json_round_trip() {
    let game = json(
        r#"{"names": ["a", "b"], "preferences": [[0.5, 0.7], [0.3, 0.5]], "reference": [0.25, 0.75]}"#,
    )
    .unwrap();
    assert_eq!(game.index_of("b"), Some(1));
    assert_eq!(game.reference().as_slice(), [0.25, 0.75]);
    assert_eq!(json(&game.to_json()).unwrap(), game);
}

#[test]
fn names_and_reference_may_be_absent() {
    let game = json(r#"{"preferences": [[0.5, 0.7], [0.3, 0.5]]}"#).unwrap();
    assert_eq!(game.names(), None);
    assert_eq!(game.reference(), Strategy::uniform(2));
}

#[test]
fn bad_json_names_file_line_and_entry() {
    says(json("{"), "g.json, line 1");
    says(
        json(r#"{"preferences": [[0.5]], "tau": 1}"#),
        "unknown field `tau`",
    );
    says(
        json("{}"),
        "g.json, line 1, column 2: missing field `preferences`",
    );
    says(
        json("{\"preferences\": [\n[0.5, null], [0.5, 0.5]]}"),
        "line 2",
    );
    says(
        json(r#"{"preferences": [[0.5, NaN], [0.5, 0.5]]}"#),
        "preferences[0][1]: expected value",
    );
    says(json(r#"{"preferences": [[0.5]]} x"#), "trailing characters");
    says(
        json(r#"{"preferences": [[0.5, 0.7], [0.4, 0.5]]}"#),
        "g.json, line 1: preferences[0][1] = 0.7 and preferences[1][0] = 0.4",
    );
    says(
        json(r#"{"preferences": [[0.5]], "reference": [0.9]}"#),
        "g.json, line 1: reference is not a strategy: the probabilities of a strategy add to 0.9",
    );
    says(
        json(r#"{"preferences": [[0.5]], "reference": []}"#),
        "g.json, line 1: reference has 0 entries",
    );
}

#[test]
fn only_an_object_is_a_game_file() {
    let want = "a game file is an object with the key `preferences`";
    for text in [
        r#"[["a", "b"], [[0.5, 0.6], [0.4, 0.5]], [0.3, 0.7]]"#,
        "[[0.5, 0.6], [0.4, 0.5]]",
        "null",
        "[]",
        "0.5",
        "\"text\"",
    ] {
        says(json(text), want);
        says(json(text), "g.json, line 1, column");
    }
    // Keys whose value is null are absent.
    let text = r#"{"names": null, "preferences": [[0.5]], "reference": null}"#;
    assert_eq!(json(text).unwrap().names(), None);
    says(
        json(r#"{"preferences": null}"#),
        "preferences: invalid type: null",
    );
}

#[test]
fn empty_names_and_long_texts() {
    let text = "{\"preferences\": [[0.5, 0.5], [0.5, 0.5]],\n\"names\": [\"a\",\n\" \"]}";
    says(json(text), "g.json, line 3: names[1] is empty");
    let long = "x".repeat(10_000);
    for text in [
        format!("{{\"preferences\": [[\"{long}\"]]}}"),
        format!("{{\"preferences\": [[0.5]], \"{long}\": 1}}"),
    ] {
        let message = json(&text).unwrap_err().to_string();
        assert!(
            message.len() < 500 && message.contains("xxx.."),
            "{message}"
        );
    }
}

#[test]
fn what_is_no_game_names_its_line() {
    let named = "{\n\"names\": [\n\"a\",\n\"a\"\n],\n\"preferences\":";
    for (text, want) in [
        (
            "{\"preferences\": [\n[0.5, 0.5, 0.5],\n[0.5, 0.5, 0.7],\n[0.5, 0.4,\n0.5]]}".into(),
            "g.json, line 3: preferences[1][2] = 0.7 and preferences[2][1] = 0.4",
        ),
        (
            "{\"preferences\":\r\n[[0.5, 0.5],\r\n\r\n  [0.5,\r\n0.5,\r\n0.1]]}".into(),
            "g.json, line 4: preferences[1] has 3 entries",
        ),
        (
            "{\"preferences\": [[0.5,\n\n2],\n[0.5, 0.5]]}".into(),
            "g.json, line 1: preferences[0][1] is 2, which is above 1",
        ),
        (
            "{\n\"preferences\": []}".into(),
            "g.json, line 2: preferences is empty",
        ),
        (
            format!("{named} [[0.5, 0.5], [0.5, 0.5]]}}"),
            "g.json, line 4: names[1] repeats names[0]",
        ),
        (
            format!("{named} [[0.5]]}}"),
            "g.json, line 2: names has 2 entries",
        ),
        (
            "{\"preferences\": [[0.5]],\n\"reference\": [\n0.9]}".into(),
            "g.json, line 2: reference is not a strategy",
        ),
    ] as [(String, &str); 7]
    {
        says(json(&text), want);
    }
}

#[test]
fn what_is_no_json_is_told_before_what_is_no_game() {
    says(
        json(r#"{"preferences": [[0.5, 0.7], [0.4, 0.5]], "names": 3}"#),
        "names: invalid type: integer `3`",
    );
    says(
        json(r#"{"preferences": [[0.5, 2], [0.4]]}"#),
        "g.json, line 1: preferences[0][1] is 2, which is above 1",
    );
    says(
        json(r#"{"preferences": [[0.5], [0.4]]}"#),
        "g.json, line 1: preferences[0] has 1 entries, but there are 2 rows",
    );
    says(
        json(r#"{"preferences": [0.5]}"#),
        "preferences[0]: invalid type: floating point `0.5`, expected a row of numbers",
    );
    says(
        json(r#"{"preferences": [], "preferences": []}"#),
        "duplicate field `preferences`",
    );
}
