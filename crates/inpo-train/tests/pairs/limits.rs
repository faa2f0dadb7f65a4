//! Truncation, dropped rows, lines as they come.

use inpo_data::Place;
use inpo_loss::Role;
use serde_json::{Value, json};

use crate::setup::{message, read, read_bytes};

/// The prompt has 5 tokens, the responses 4 and 2.
#[test]
fn the_prompt_is_cut_on_the_left_and_a_response_only_when_alone_too_long() {
    let row = json!({
        "prompt_token_ids": [10, 11, 12, 13, 14],
        "chosen_token_ids": [20, 21, 22, 23], "rejected_token_ids": [30, 31]
    });
    // Limit; what is left of prompt, chosen and rejected; prompts and responses cut.
    type Case<'a> = (usize, [&'a [u32]; 3], [usize; 2]);
    let cases: [Case; 8] = [
        (
            10,
            [&[10, 11, 12, 13, 14], &[20, 21, 22, 23], &[30, 31]],
            [0, 0],
        ),
        (
            9,
            [&[10, 11, 12, 13, 14], &[20, 21, 22, 23], &[30, 31]],
            [0, 0],
        ),
        // The longer response decides: both keep the same prompt.
        (8, [&[11, 12, 13, 14], &[20, 21, 22, 23], &[30, 31]], [1, 0]),
        (6, [&[13, 14], &[20, 21, 22, 23], &[30, 31]], [1, 0]),
        // A response of limit - 1 leaves one token of the prompt.
        (5, [&[14], &[20, 21, 22, 23], &[30, 31]], [1, 0]),
        (4, [&[14], &[20, 21, 22], &[30, 31]], [1, 1]),
        (3, [&[14], &[20, 21], &[30, 31]], [1, 1]),
        (2, [&[14], &[20], &[30]], [1, 2]),
    ];
    for (limit, [prompt, chosen, rejected], cut) in cases {
        let pairs = read_bytes(format!("{row}\n").as_bytes(), Some(limit)).unwrap();
        let record = &pairs.records[0];
        assert_eq!(record.prompt_token_ids, prompt, "{limit}");
        assert_eq!(record.chosen_token_ids, chosen, "{limit}");
        assert_eq!(record.rejected_token_ids, rejected, "{limit}");
        let counts = pairs.counts;
        assert_eq!(
            [counts.truncated_prompts, counts.truncated_responses],
            cut,
            "{limit}"
        );
        assert_eq!((counts.pairs, counts.dropped_empty), (1, 0));
    }
    let error = read_bytes(format!("{row}\n").as_bytes(), Some(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`policy.max_length` is 1; allowed: at least 2: one token of the prompt and one of a response"
    );
}

/// Without a limit, and with the same one, the model's context of 128 tokens is the limit; one beyond it is refused.
#[test]
fn the_context_is_the_limit() {
    for limit in [None, Some(128)] {
        for (prompt, kept, cut) in [(124, 124, 0), (125, 125, 0), (126, 125, 1)] {
            let row = json!({
                "prompt_token_ids": vec![9; prompt], "chosen_token_ids": [5, 6, 7], "rejected_token_ids": [8]
            });
            let pairs = read_bytes(format!("{row}\n").as_bytes(), limit).unwrap();
            assert_eq!(pairs.records[0].prompt_token_ids.len(), kept, "{prompt}");
            assert_eq!(pairs.counts.truncated_prompts, cut, "{prompt}");
        }
    }
    let row = json!({"prompt_token_ids": [9], "chosen_token_ids": [5], "rejected_token_ids": [8]});
    let error = read_bytes(format!("{row}\n").as_bytes(), Some(129)).unwrap_err();
    assert!(error.is_input());
    assert_eq!(
        error.to_string(),
        "`policy.max_length` is 129; allowed: at most 128, the models' context"
    );
}

/// Rows of which nothing can be learnt are dropped and counted; the rest keep the numbers of their lines.
#[test]
fn rows_without_a_response_are_dropped_and_counted() {
    let pair = |chosen: Value, rejected: Value| json!({"prompt": "the", "chosen": chosen, "rejected": rejected});
    let rows = [
        pair(json!("stone"), json!("")),
        pair(json!("stone"), json!("light")),
        pair(json!(" "), json!("light")),
        pair(json!("stone"), json!([message("assistant", "")])),
        json!({"prompt": "the", "chosen_token_ids": [], "rejected": "light"}),
        json!({"prompt": "the", "chosen_token_ids": [2], "rejected_token_ids": [2]}),
    ];
    let pairs = read(&rows).unwrap();
    assert_eq!(pairs.places, [2, 6].map(Place::Line));
    assert_eq!((pairs.counts.pairs, pairs.counts.dropped_empty), (2, 4));
    assert_eq!(pairs.records[1].chosen_token_ids, [2]);
    assert_eq!(pairs.records[1].rejected_token_ids, [2]);
    let error = read(&[&rows[..1], &rows[2..5]].concat()).unwrap_err();
    assert!(error.is_input());
    let error = error.to_string();
    assert!(
        error.starts_with("no pair of ")
            && error
                .ends_with("pairs.jsonl is left: 4 of 4 rows were dropped for an empty response"),
        "{error}"
    );
    let error = read(&[]).unwrap_err().to_string();
    assert!(error.ends_with("pairs.jsonl holds no rows"), "{error}");
}

#[test]
fn lines_are_read_as_they_come() {
    let row = r#"{"prompt": "the", "chosen": "stone", "rejected": "light"}"#;
    // Blank lines, carriage returns, no end of the last line.
    let text = format!("\r\n{row}\r\n   \n\n{row}\r\n{row}");
    let places = read_bytes(text.as_bytes(), None).unwrap().places;
    assert_eq!(places, [2, 5, 6].map(Place::Line));

    // Null is no value; which of two equal keys was meant is not known.
    let text = r#"{"prompt": "the", "chosen": "stone", "chosen_token_ids": null, "rejected": "light",
        "score_chosen": null, "probability": null, "ref_chosen_logps": null}"#;
    let pairs = read_bytes(text.replace('\n', " ").as_bytes(), None).unwrap();
    assert_eq!(pairs.records[0].prompt_token_ids, [1, 3, 1]);
    assert_eq!(pairs.records[0].chosen_token_ids, [52, 2]);
    assert!(pairs.logps.get(Role::Reference).is_none());
    let twice = text
        .replacen('{', r#"{"prompt": "of", "#, 1)
        .replace('\n', " ");
    let error = read_bytes(twice.as_bytes(), None).unwrap_err().to_string();
    let expected = r#"pairs.jsonl, line 1: the key "prompt" occurs twice; leave one of them out"#;
    assert!(error.ends_with(expected), "{error}");

    // Words that the tokenizer does not know are its unknown token, 0, in whatever script.
    let text = r#"{"prompt": "the Fluß", "chosen": "石 river", "rejected": "\ud83e\udeb5 \u00e9"}"#;
    let record = read_bytes(text.as_bytes(), None).unwrap().records.remove(0);
    assert_eq!(record.prompt_token_ids, [1, 3, 0, 1]);
    assert_eq!(record.chosen_token_ids, [0, 51, 2]);
    assert_eq!(record.rejected_token_ids, [0, 0, 2]);
    assert_eq!(record.rejected, "🪵 é");

    let second = |text: &[u8]| {
        let bytes = [row.as_bytes(), b"\n", text].concat();
        let error = read_bytes(&bytes, None).unwrap_err();
        assert!(error.is_input(), "{error}");
        error.to_string()
    };
    for (text, reason) in [
        (
            &b"{\"prompt\": \"the\", \"score_chosen\": 1e400}"[..],
            "not JSON",
        ),
        (
            b"{\"prompt\": \"the\", \"chosen\": \"a\", \"rejected\": \"b\", \"probability\": NaN}",
            "`probability` holds NaN or an infinity",
        ),
        (
            b"{\"prompt\": \"the\", \"chosen\": \"\\ud800\"}",
            "not JSON",
        ),
        (b"[1, 2]", "not a JSON object"),
        (b"{\"prompt\": \"the", "not JSON"),
        (b"{\"prompt\": \"\xff\"}", "UTF-8"),
    ] {
        let error = second(text);
        assert!(
            error.contains("pairs.jsonl, line 2: ") && error.contains(reason),
            "{error}"
        );
    }
}

/// A row as `inpo run` writes it into pairs.jsonl.
#[test]
fn the_pairs_of_a_run_can_be_read() {
    let row = json!({
        "prompt_id": 7, "prompt_token_ids": [1, 3, 51, 1],
        "chosen": "stone light", "chosen_token_ids": [52, 53, 2],
        "rejected": "", "rejected_token_ids": [2],
        "probability": 0.75, "score_chosen": 0.9, "score_rejected": 0.2, "explored_token_ids": [4, 2]
    });
    let pairs = read(&[row]).unwrap();
    let record = &pairs.records[0];
    assert_eq!(record.chosen_token_ids, [52, 53, 2]);
    // The model answered with the turn-end token alone: that is a response.
    assert_eq!(record.rejected_token_ids, [2]);
    assert_eq!(record.probability, 0.75);
    assert_eq!(
        (record.score_chosen, record.score_rejected),
        (Some(0.9), Some(0.2))
    );
}
