//! Reading files of pairs: forms of a row, truncation, refusals. The tiny model's tokenizer has 64 words, so
//! that every expected id can be counted off by hand.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inpo_loss::Role;
use inpo_policy::Policy;
use inpo_train::TrainError;
use inpo_train::pairs::{Pairs, read_pairs};
use serde_json::{Value, json};

/// The id of a word is its place: `the` is 3, `river` is 51, `stone` is 52, `light` is 53.
const WORDS: &str = "</s> <s> <end> the of and to in is it that was for on are as with his they at be this from have or \
    by one had not but what all were when we there can an your which their said if do will each about how up out \
    them river stone light music garden winter bread paper silver mountain letter summer window";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../inpo-policy/tests/fixtures")
        .join(name)
}

/// A tiny checkpoint with a word-level tokenizer that puts `<s>` before a text when it is asked for special
/// tokens, and a template that writes `<s>` itself: together they double it where they are both used.
fn policy(dir: &Path) -> Policy {
    let model = dir.join("model");
    std::fs::create_dir_all(&model).unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("tiny_llama_tied").join(file), model.join(file)).unwrap();
    }
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let ids = words.iter().enumerate();
    let vocabulary: serde_json::Map<String, Value> = ids
        .map(|(id, word)| ((*word).to_owned(), id.into()))
        .collect();
    let special = |id: usize| {
        json!({
            "id": id, "content": words[id], "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true
        })
    };
    let bos = json!({"SpecialToken": {"id": "<s>", "type_id": 0}});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0), special(1), special(2)],
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [bos, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "</s>"}
    });
    std::fs::write(model.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let template = "{% for m in messages %}<s> {{ m.content }} {% if m.role == 'assistant' %}<end> {% endif %}\
                    {% endfor %}{% if add_generation_prompt %}<s> {% endif %}";
    std::fs::write(model.join("chat_template.jinja"), template).unwrap();
    Policy::load(&model, &Device::flex()).unwrap()
}

fn read_bytes(bytes: &[u8], max_length: Option<usize>) -> Result<Pairs, TrainError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pairs.jsonl");
    std::fs::write(&path, bytes).unwrap();
    read_pairs(&path, &policy(dir.path()), max_length)
}

fn read(rows: &[Value]) -> Result<Pairs, TrainError> {
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    read_bytes(text.as_bytes(), None)
}

/// Prompt, chosen and rejected ids of the only row.
#[track_caller]
fn ids(row: Value) -> [Vec<u32>; 3] {
    let pairs = read(&[row]).unwrap();
    let [record] = pairs.records.as_slice() else {
        panic!("{} rows", pairs.records.len());
    };
    [
        record.prompt_token_ids.clone(),
        record.chosen_token_ids.clone(),
        record.rejected_token_ids.clone(),
    ]
}

#[track_caller]
fn refused(row: Value) -> String {
    let error = read(&[row]).unwrap_err();
    assert!(error.is_input(), "{error}");
    error.to_string()
}

fn message(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

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
            "`prompt` is not text or a list of messages",
        ),
        (
            json!({"prompt": 5, "chosen": "stone", "rejected": "light"}),
            "`prompt` is not text",
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

/// Without a limit, and with one beyond it, the model's context of 128 tokens is the limit.
#[test]
fn the_context_is_the_limit() {
    for limit in [None, Some(4096)] {
        for (prompt, kept, cut) in [(124, 124, 0), (125, 125, 0), (126, 125, 1)] {
            let row = json!({
                "prompt_token_ids": vec![9; prompt], "chosen_token_ids": [5, 6, 7], "rejected_token_ids": [8]
            });
            let pairs = read_bytes(format!("{row}\n").as_bytes(), limit).unwrap();
            assert_eq!(pairs.records[0].prompt_token_ids.len(), kept, "{prompt}");
            assert_eq!(pairs.counts.truncated_prompts, cut, "{prompt}");
        }
    }
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
    assert_eq!(pairs.lines, [2, 6]);
    assert_eq!((pairs.counts.pairs, pairs.counts.dropped_empty), (2, 4));
    assert_eq!(pairs.records[1].chosen_token_ids, [2]);
    assert_eq!(pairs.records[1].rejected_token_ids, [2]);
    let error = read(&rows[..1]).unwrap_err().to_string();
    assert!(error.ends_with("pairs.jsonl holds no rows"), "{error}");
}

#[test]
fn lines_are_read_as_they_come() {
    let row = r#"{"prompt": "the", "chosen": "stone", "rejected": "light"}"#;
    // Blank lines, carriage returns, no end of the last line.
    let text = format!("\r\n{row}\r\n   \n\n{row}\r\n{row}");
    assert_eq!(read_bytes(text.as_bytes(), None).unwrap().lines, [2, 5, 6]);

    // The last of two equal keys counts; null is no value.
    let text = r#"{"prompt": "of", "prompt": "the", "chosen": "stone", "chosen_token_ids": null, "rejected": "light",
        "score_chosen": null, "probability": null, "ref_chosen_logps": null}"#;
    let pairs = read_bytes(text.replace('\n', " ").as_bytes(), None).unwrap();
    assert_eq!(pairs.records[0].prompt_token_ids, [1, 3, 1]);
    assert_eq!(pairs.records[0].chosen_token_ids, [52, 2]);
    assert!(pairs.logps.get(Role::Reference).is_none());

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
        (b"{\"prompt\": \"the\", \"probability\": NaN}", "not JSON"),
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
    assert_eq!((record.score_chosen, record.score_rejected), (0.9, 0.2));
}

#[test]
fn labels_are_checked() {
    let row = |extra: Value| {
        let mut row = json!({"prompt": "the", "chosen": "stone", "rejected": "light"});
        row.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        row
    };
    let probability = |extra: Value| read(&[row(extra)]).unwrap().records[0].probability;
    assert_eq!(probability(json!({"probability": 0.0})), 0.0);
    assert_eq!(probability(json!({"chosen_probs": 0.25})), 0.25);
    assert_eq!(
        probability(json!({"chosen_probs": 0.25, "probability": 1})),
        1.0
    );
    for (extra, reason) in [
        (
            json!({"probability": 1.0000001}),
            "the probability is 1.0000001; allowed: from 0 to 1",
        ),
        (json!({"chosen_probs": -0.1}), "the probability is -0.1"),
        (
            json!({"probability": "0.5"}),
            "`probability` is not a number",
        ),
        (
            json!({"score_chosen": [1]}),
            "`score_chosen` is not a number",
        ),
        (
            json!({"ref_chosen_logps": "-3"}),
            "`ref_chosen_logps` is not a number",
        ),
        (
            json!({"logp_reduction": "mean"}),
            "`logp_reduction` is not \"sum\"",
        ),
        (
            json!({"logp_reduction": 5}),
            "`logp_reduction` is not \"sum\"",
        ),
    ] {
        let error = refused(row(extra));
        assert!(
            error.contains("line 1: ") && error.contains(reason),
            "{error}"
        );
    }
}

/// A pair of three and two tokens with `extra` columns.
fn scored(extra: Value) -> Value {
    let mut row = json!({
        "prompt_token_ids": [1, 3], "chosen_token_ids": [52, 53, 2], "rejected_token_ids": [54, 2]
    });
    row.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    row
}

#[test]
fn given_log_probs_are_complete_or_refused() {
    let both = |prefix: &str, chosen: f64, rejected: f64| {
        scored(json!({
            (format!("{prefix}_chosen_logps")): chosen, (format!("{prefix}_rejected_logps")): rejected
        }))
    };
    for prefix in ["ref", "reference"] {
        let pairs = read(&[both(prefix, -9.5, -4.25), both("ref", -8.0, 0.0)]).unwrap();
        let given = pairs.logps.get(Role::Reference).unwrap();
        assert_eq!(*given, [vec![-9.5, -8.0], vec![-4.25, 0.0]]);
        assert!(pairs.logps.get(Role::Previous).is_none());
    }
    // A cache that was not filled, by row, by side, with null, with zeros.
    let cases = [
        (
            both("prev", -9.0, -4.0),
            scored(json!({})),
            "`prev_chosen_logps` or `prev_rejected_logps` is missing",
        ),
        (
            both("ref", -9.0, -4.0),
            scored(json!({"ref_chosen_logps": -9.0})),
            "is missing, which other rows have",
        ),
        (
            both("history1", -9.0, -4.0),
            scored(json!({"history1_chosen_logps": -9.0, "history1_rejected_logps": null})),
            "`history1_chosen_logps` or `history1_rejected_logps` is missing",
        ),
        (
            both("ref", -9.0, -4.0),
            both("ref", 0.0, 0.0),
            "are both 0: they were not filled in",
        ),
        (
            both("ref", -9.0, -4.0),
            both("ref", -9.0, 1e-9),
            "`ref_rejected_logps` is 0.000000001; a log-prob",
        ),
    ];
    for (first, second, reason) in cases {
        let error = read(&[first, second]).unwrap_err().to_string();
        assert!(
            error.contains("line 2: ") && error.contains(reason),
            "{error}"
        );
    }
    let only = scored(json!({"history2_rejected_logps": -4.0}));
    let error = read(&[only.clone(), only]).unwrap_err().to_string();
    assert!(
        error.contains("line 1: `history2_chosen_logps` or"),
        "{error}"
    );
}

/// MNPO calls pi_t the newest of the history.
#[test]
fn the_previous_policy_has_two_names() {
    let row = |prefix: &str| {
        scored(json!({
            (format!("{prefix}_chosen_logps")): -9.5, (format!("{prefix}_rejected_logps")): -4.25
        }))
    };
    for prefix in ["prev", "history0"] {
        let pairs = read(&[row(prefix)]).unwrap();
        for role in [Role::Previous, Role::History(0)] {
            let names = ["chosen", "rejected"].map(|side| format!("{prefix}_{side}_logps"));
            assert_eq!(pairs.logps.names(role), Some(names));
            assert_eq!(*pairs.logps.get(role).unwrap(), [vec![-9.5], vec![-4.25]]);
        }
        assert!(pairs.logps.get(Role::History(1)).is_none());
    }
}

/// Log-probs of a whole pair are not those of a pair that was cut.
#[test]
fn given_log_probs_of_a_cut_pair_are_refused() {
    let rows = format!(
        "{}\n",
        scored(json!({"ref_chosen_logps": -9.5, "ref_rejected_logps": -4.25}))
    );
    assert!(read_bytes(rows.as_bytes(), Some(5)).is_ok());
    for limit in [4, 3] {
        let error = read_bytes(rows.as_bytes(), Some(limit))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(
                "line 1: `ref_chosen_logps` and `ref_rejected_logps` are those of the whole pair"
            ),
            "{error}"
        );
    }
}
