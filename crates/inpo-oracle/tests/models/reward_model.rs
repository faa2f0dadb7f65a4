//! `kind = "reward_model"`.

use inpo_data::Completion;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::setup::{
    Asked, BATCH_TOLERANCE, Expected, TOLERANCE, assert_close, judge, model, probabilities,
    refused, verdicts, with,
};

fn keys(dir: &TempDir) -> Value {
    json!({"kind": "reward_model", "model": dir.path().to_str().unwrap()})
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Each two responses of each conversation, from the rewards that transformers gives the ids of `apply_chat_template`.
fn asked(expected: &Expected, rows: &[&Value]) -> (Vec<Asked>, Vec<f64>) {
    let mut asked = Vec::new();
    let mut wanted = Vec::new();
    for first in rows {
        for second in rows {
            if first["conversation"] != second["conversation"] {
                continue;
            }
            asked.push(Asked {
                prompt: expected.prompt(first),
                first: expected.response(&first["response"]),
                second: expected.response(&second["response"]),
            });
            let reward = |row: &Value| row["reward"].as_f64().unwrap();
            wanted.push(sigmoid(reward(first) - reward(second)));
        }
    }
    (asked, wanted)
}

#[test]
fn probabilities_are_those_of_transformers() {
    let expected = Expected::read();
    for template in ["chatml", "bos"] {
        let dir = model("reward", template);
        let judge = judge(&keys(&dir)).unwrap();
        assert!(judge.is_symmetric());
        assert!(judge.name().contains("it cannot cycle"), "{}", judge.name());
        let rows = expected.rows("rewards", template);
        assert_eq!(rows.len(), 12);
        let (asked, wanted) = asked(&expected, &rows);
        let got = probabilities(&*judge, &asked);
        assert_close(&got, &wanted, TOLERANCE);
        let one = |asked: &Asked| probabilities(&*judge, std::slice::from_ref(asked))[0];
        let alone: Vec<f64> = asked.iter().map(one).collect();
        assert_close(&got, &alone, BATCH_TOLERANCE);
    }
}

/// Four responses in six pairs are four sequences, of the lengths that transformers gives them.
#[test]
fn a_response_is_read_once() {
    let expected = Expected::read();
    let dir = model("reward", "chatml");
    let judge = judge(&keys(&dir)).unwrap();
    let rows = expected.rows("rewards", "chatml");
    let (asked, _) = asked(&expected, &rows[..4]);
    let all = verdicts(&*judge, &asked).unwrap();
    let calls: u64 = all.iter().map(|v| v.usage.calls).sum();
    let tokens: u64 = all.iter().map(|v| v.usage.prompt_tokens).sum();
    let lengths = rows[..4]
        .iter()
        .map(|row| row["ids"].as_array().unwrap().len());
    assert_eq!(asked.len(), 16);
    assert_eq!(calls, 4);
    assert_eq!(tokens, lengths.sum::<usize>() as u64);
    let questions: Vec<_> = asked.iter().map(Asked::question).collect();
    let estimate = judge.estimate(&questions).unwrap();
    assert_eq!((estimate.calls, estimate.prompt_tokens), (calls, tokens));
}

/// More responses than are read at once, of several prompts.
#[test]
fn many_prompts_are_answered_in_parts() {
    let dir = model("reward", "bos");
    let judge = judge(&keys(&dir)).unwrap();
    let asked: Vec<Asked> = (0..300)
        .map(|i| Asked::text(&format!("Question {i}?"), "Yes.", &format!("No {i}")))
        .collect();
    let got = probabilities(&*judge, &asked);
    for place in [0, 127, 128, 129, 299] {
        let alone = probabilities(&*judge, &asked[place..=place]);
        assert_close(&got[place..=place], &alone, BATCH_TOLERANCE);
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let dir = model("reward", "chatml");
    let keys = keys(&dir);
    let mut long = Asked::text("Why?", "x", "y");
    long.prompt.number = 3;
    long.second = Completion::finished("x ".repeat(600));
    let asked = [Asked::text("Why?", "x", "y"), long];
    let error = verdicts(&*judge(&keys).unwrap(), &asked).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("prompt 3 with its responses has "),
        "{error}"
    );
    let lenient = judge(&with(&keys, json!({"too_long": "skip"}))).unwrap();
    let all = verdicts(&*lenient, &asked).unwrap();
    assert!(all[0].outcome.is_ok());
    assert!(
        all[1]
            .outcome
            .clone()
            .unwrap_err()
            .starts_with("too long: ")
    );
    let other = model("pair", "chatml");
    let error = refused(&with(&keys, json!({"model": other.path()})));
    assert!(error.contains("name no sequence classifier"), "{error}");
    std::fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    let error = refused(&keys);
    assert!(error.contains("oracle.model has no tokenizer"), "{error}");
}
