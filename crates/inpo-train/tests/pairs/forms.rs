//! Forms of a row: text, messages, ids; conversations.

use serde_json::json;

use crate::setup::{ids, message, refused};

/// The template writes `<s> the river <s> `: 1 3 51 1. Responses get the turn-end token, 2.
#[test]
fn every_form_of_a_row_gives_the_same_ids() {
    let expected = [vec![1, 3, 51, 1], vec![52, 53, 2], vec![54, 2]];
    let user = message("user", "the river");
    let (chosen, rejected) = (
        message("assistant", "stone light"),
        message("assistant", "music"),
    );
    for row in [
        json!({"prompt": "the river", "chosen": "stone light", "rejected": "music"}),
        json!({"prompt": [user], "chosen": "stone light", "rejected": "music"}),
        json!({"prompt": [user], "chosen": [chosen], "rejected": [rejected]}),
        json!({"prompt": "the river", "chosen": [user, chosen], "rejected": [user, rejected]}),
        json!({"prompt": "the river", "chosen": [chosen], "rejected": "music"}),
        json!({"chosen": [user, chosen], "rejected": [user, rejected]}),
        json!({"prompt": null, "chosen": [user, chosen], "rejected": [user, rejected]}),
        json!({"prompt_token_ids": [1, 3, 51, 1], "chosen_token_ids": [52, 53, 2], "rejected_token_ids": [54, 2]}),
        json!({"prompt_token_ids": [1, 3, 51, 1], "chosen": "stone light", "rejected": [rejected]}),
        json!({"prompt": "the river", "chosen_token_ids": [52, 53, 2], "rejected": "music"}),
    ] {
        assert_eq!(ids(row.clone()), expected, "{row}");
    }
}

/// Ids are what the model saw: they count also where the text says otherwise, and get no turn-end token.
#[test]
fn ids_win_over_text() {
    let row = json!({
        "prompt": "the river", "chosen": "stone", "rejected": "music",
        "prompt_token_ids": [9, 9], "chosen_token_ids": [4], "rejected_token_ids": [5, 6]
    });
    assert_eq!(ids(row), [vec![9, 9], vec![4], vec![5, 6]]);
}

/// `<s> be <s> the river <s> it is <end> <s> and <s> `: the answer of the first turn is part of the prompt.
#[test]
fn of_a_conversation_only_the_last_answer_is_the_response() {
    let turns = [
        message("system", "be"),
        message("user", "the river"),
        message("assistant", "it is"),
        message("user", "and"),
    ];
    let with = |answer: &str| [turns.as_slice(), &[message("assistant", answer)]].concat();
    let expected = [
        vec![1, 20, 1, 3, 51, 1, 9, 8, 2, 1, 5, 1],
        vec![52, 2],
        vec![53, 2],
    ];
    let row = json!({"prompt": turns, "chosen": "stone", "rejected": "light"});
    assert_eq!(ids(row), expected);
    let row = json!({"chosen": with("stone"), "rejected": with("light")});
    assert_eq!(ids(row), expected);
    // The same answer twice is still an answer.
    let row = json!({"chosen": with("stone"), "rejected": with("stone")});
    let [prompt, chosen, rejected] = ids(row);
    assert_eq!((prompt, chosen), (expected[0].clone(), vec![52, 2]));
    assert_eq!(rejected, vec![52, 2]);
}

#[test]
fn malformed_conversations_are_refused() {
    let (user, answer) = (message("user", "the"), message("assistant", "stone"));
    let other = message("assistant", "light");
    let cases = [
        (
            json!({"prompt": [message("human", "the")], "chosen": "stone", "rejected": "light"}),
            "human",
        ),
        (
            json!({"prompt": [user, message("user", " ")], "chosen": "stone", "rejected": "light"}),
            "message 1",
        ),
        (
            json!({"prompt": [user, answer], "chosen": "stone", "rejected": "light"}),
            "the prompt ends with an assistant's message",
        ),
        (
            json!({"chosen": [user, answer, answer], "rejected": [user, answer, other]}),
            "the prompt ends with an assistant's message",
        ),
        (
            json!({"prompt": [user], "chosen": [user, message("user", "of")], "rejected": [user, other]}),
            "`chosen` must be the prompt's messages, or none of them, and one assistant message",
        ),
        // The conversations part before the last answer.
        (
            json!({"chosen": [user, answer, user, answer], "rejected": [user, other, user, other]}),
            "`chosen` must be the prompt's messages",
        ),
        (
            json!({"prompt": [message("user", "of")], "chosen": "stone", "rejected": [user, other]}),
            "`rejected` must be the prompt's messages",
        ),
        (
            json!({"prompt": [user], "chosen": [], "rejected": "light"}),
            "`chosen` must be",
        ),
        (
            json!({"chosen": [answer], "rejected": [other]}),
            "not messages with a common beginning",
        ),
        (
            json!({"chosen": "stone", "rejected": "light"}),
            "neither `prompt` nor `prompt_token_ids`",
        ),
        (
            json!({"prompt": " \n", "chosen": "stone", "rejected": "light"}),
            "`prompt` is empty",
        ),
        (
            json!({"prompt": [], "chosen": "stone", "rejected": "light"}),
            "`prompt` is empty",
        ),
        (
            json!({"prompt": [{"role": "user"}], "chosen": "stone", "rejected": "light"}),
            "`prompt` is empty",
        ),
        (
            json!({"prompt": 5, "chosen": "stone", "rejected": "light"}),
            "`prompt`: it is a number, and not text",
        ),
        (
            json!({"prompt": "the", "chosen": "stone"}),
            "neither `rejected` nor `rejected_token_ids`",
        ),
        (
            json!({"prompt": "the", "chosen": "stone", "rejected": null}),
            "neither `rejected` nor",
        ),
        (
            json!({"prompt_token_ids": [], "chosen": "stone", "rejected": "light"}),
            "`prompt_token_ids` is empty",
        ),
        (
            json!({"prompt": "the", "chosen": "stone", "rejected_token_ids": [64]}),
            "64",
        ),
        (
            json!({"prompt": "the", "chosen": "stone", "rejected_token_ids": [-1]}),
            "`rejected_token_ids` is not a list of ids",
        ),
        (
            json!({"prompt": "the", "chosen": "stone", "rejected_token_ids": [1_099_511_627_776_u64]}),
            "`rejected_token_ids` is not a list of ids",
        ),
    ];
    for (row, reason) in cases {
        let error = refused(row.clone());
        assert!(
            error.contains("pairs.jsonl, line 1: ") && error.contains(reason),
            "{row}: {error}"
        );
    }
}
