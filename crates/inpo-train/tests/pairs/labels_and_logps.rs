//! Labels and log-probs that come with the pairs.

use inpo_loss::Role;
use serde_json::{Value, json};

use crate::setup::{read, read_bytes, refused};

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

/// A column of log-probs with a mistyped name is not left out without a word, not even one without a value; what is
/// documented is read, or known to say nothing of a pair.
#[test]
fn unknown_columns_of_log_probs_are_refused() {
    for name in [
        "ref_choosen_logps",
        "ref_chosen_logp",
        "refs_chosen_logps",
        "prev_chosen_logp",
        "history16_chosen_logps",
        "history_0_chosen_logps",
        "aux_chosen_logps",
        "policy_chosen_logps",
        "_logps",
    ] {
        for value in [json!(-9.0), json!(null)] {
            let rows = [scored(json!({})), scored(json!({name: value}))];
            let error = read(&rows).unwrap_err();
            assert!(error.is_input());
            let error = error.to_string();
            let reason = format!(
                "pairs.jsonl, line 2: `{name}` is no column of log-probs that is known; those are ref_*_logps"
            );
            assert!(error.contains(&reason), "{error}");
        }
    }
    let both = |chosen: &str, rejected: &str| json!({chosen: -9.5, rejected: -4.25});
    let read_as = [
        (Role::Reference, "ref_chosen_logps", "ref_rejected_logps"),
        (
            Role::Reference,
            "reference_chosen_logps",
            "reference_rejected_logps",
        ),
        (Role::Reference, "logp_ref_chosen", "logp_ref_rejected"),
        (
            Role::Reference,
            "ref_chosen_logprob",
            "ref_rejected_logprob",
        ),
        (Role::Previous, "prev_chosen_logps", "prev_rejected_logps"),
        (Role::Previous, "logp_t_chosen", "logp_t_rejected"),
        (Role::Previous, "chosen_logprob", "rejected_logprob"),
        (
            Role::History(0),
            "history0_chosen_logps",
            "history0_rejected_logps",
        ),
        (
            Role::History(15),
            "history15_chosen_logps",
            "history15_rejected_logps",
        ),
    ];
    for (role, chosen, rejected) in read_as {
        let pairs = read(&[scored(both(chosen, rejected))]).unwrap();
        let given = pairs.logps.get(role).unwrap_or_else(|| panic!("{chosen}"));
        assert_eq!(*given, [vec![-9.5], vec![-4.25]], "{chosen}");
    }
    let others = json!({
        "token_logps": [-1.0], "sampling_logps": [[-1.0]], "logp": -1.0, "logp_reduction": "sum", "logps": 1, "x": 2
    });
    assert!(read(&[scored(others)]).unwrap().logps.roles().is_empty());
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
