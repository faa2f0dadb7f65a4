//! `kind = "pair_lm"`.

use burn::tensor::Device;
use inpo_data::{Message, Prompt};
use inpo_oracle::{Judge, PairLmConfig, Surroundings};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::setup::{
    Asked, BATCH_TOLERANCE, Expected, TOLERANCE, assert_close, fixtures, judge, model,
    probabilities, refused, verdicts, with,
};

fn keys(dir: &TempDir) -> Value {
    json!({"kind": "pair_lm", "model": dir.path().to_str().unwrap()})
}

fn column(rows: &[&Value], name: &str) -> Vec<f64> {
    rows.iter().map(|row| row[name].as_f64().unwrap()).collect()
}

/// One and several turns, a system message, both orders, a template with a token of its own before the text, a tie's
/// label, an adapter, and a model with capped logits and a window.
#[test]
fn probabilities_are_those_of_transformers() {
    let expected = Expected::read();
    let adapter = fixtures().join("pair/adapter");
    for template in ["chatml", "bos"] {
        let rows = expected.rows("pairs", template);
        assert_eq!(rows.len(), 15);
        let asked = expected.asked(&rows);
        let llama = model("pair", template);
        let gemma = model("pair_gemma2", template);
        for (name, keys) in [
            ("pair", keys(&llama)),
            (
                "tie",
                with(&keys(&llama), json!({"labels": ["A", "B", "C"]})),
            ),
            ("adapter", with(&keys(&llama), json!({"adapter": adapter}))),
            ("gemma2", keys(&gemma)),
        ] {
            let judge = judge(&keys).unwrap();
            assert!(!judge.is_symmetric() && judge.is_costly());
            let got = probabilities(&*judge, &asked);
            assert_close(&got, &column(&rows, name), TOLERANCE);
        }
    }
}

/// Text and ids, byte for byte.
#[test]
fn the_question_is_written_as_rlhflow_writes_it() {
    let expected = Expected::read();
    let device = Device::flex();
    for template in ["chatml", "bos"] {
        let dir = model("pair", template);
        let around = Surroundings {
            device: Some(&device),
            ..Surroundings::default()
        };
        let config = PairLmConfig::new(dir.path().to_str().unwrap());
        let judge = config.init(&around).unwrap();
        let rows = expected.rows("pairs", template);
        for (asked, row) in expected.asked(&rows).iter().zip(&rows) {
            assert_eq!(judge.text(&asked.question()).unwrap(), row["text"]);
            assert_eq!(json!(judge.ids(&asked.question()).unwrap()), row["ids"]);
        }
        if template == "bos" {
            continue;
        }
        // What looks like a template is text.
        for context in expected.0["contexts"].as_array().unwrap() {
            let messages = context["messages"].clone();
            let messages: Vec<Message> = serde_json::from_value(messages).unwrap();
            let asked = Asked {
                prompt: Prompt::new(messages),
                ..Asked::text("", "x", "y")
            };
            let text = judge.text(&asked.question()).unwrap();
            let context = context["text"].as_str().unwrap();
            let wanted = format!("[CONTEXT] {context} [RESPONSE A] x [RESPONSE B] y \n<");
            assert!(text.contains(&wanted), "{text:?}");
        }
    }
}

/// Every pair of four responses in both orders, and the same questions one by one and in another order; the usage of each
/// is its own.
#[test]
fn an_answer_does_not_depend_on_its_batch() {
    let texts = [
        "Paris.",
        "Paris, of course, is the capital.",
        "It is Rome",
        "No.",
    ];
    let mut asked = Vec::new();
    for prompt in ["What is the capital of France?", "And of Italy?"] {
        for first in texts {
            let others = texts.iter().filter(|second| **second != first);
            asked.extend(others.map(|second| Asked::text(prompt, first, second)));
        }
    }
    // One question twice.
    asked.push(asked[0].clone());
    for name in ["pair", "pair_gemma2"] {
        let dir = model(name, "chatml");
        let judge = judge(&keys(&dir)).unwrap();
        let together = probabilities(&*judge, &asked);
        let one = |asked: &Asked| probabilities(&*judge, std::slice::from_ref(asked))[0];
        let alone: Vec<f64> = asked.iter().map(one).collect();
        assert_close(&together, &alone, BATCH_TOLERANCE);
        let reversed: Vec<Asked> = asked.iter().rev().cloned().collect();
        let mut backwards = probabilities(&*judge, &reversed);
        backwards.reverse();
        assert_close(&backwards, &alone, BATCH_TOLERANCE);
        let usages: Vec<u64> = verdicts(&*judge, &asked)
            .unwrap()
            .iter()
            .map(|v| v.usage.prompt_tokens * v.usage.calls)
            .collect();
        let questions: Vec<_> = asked.iter().map(Asked::question).collect();
        let estimate = judge.estimate(&questions).unwrap();
        assert_eq!(estimate.calls, asked.len() as u64);
        assert_eq!(estimate.prompt_tokens, usages.iter().sum::<u64>());
    }
}

/// A question of 512 tokens fits, one more is an error that names the prompt or an answer that cannot be used.
#[test]
fn a_long_question_is_never_cut() {
    let dir = model("pair", "chatml");
    let short = Asked::text("Why?", "x", "y");
    let mut long = Asked::text("Why?", &"x ".repeat(600), "y");
    long.prompt.number = 17;
    let asked = [short.clone(), long, short];
    let strict = judge(&keys(&dir)).unwrap();
    let error = verdicts(&*strict, &asked).unwrap_err().to_string();
    assert!(
        error.starts_with("comparison 1 of the batch cannot be answered: prompt 17 with its responses has ")
            && error.ends_with(
                "tokens for the judge, which reads 512; shorten it, or set oracle.too_long = \"skip\" to count it as invalid"
            ),
        "{error}"
    );
    let lenient = judge(&with(&keys(&dir), json!({"too_long": "skip"}))).unwrap();
    let verdicts_of = verdicts(&*lenient, &asked).unwrap();
    let reason = verdicts_of[1].outcome.clone().unwrap_err();
    assert!(
        reason.starts_with("too long: ") && reason.ends_with(" reads 512"),
        "{reason}"
    );
    assert_eq!(verdicts_of[1].usage.calls, 0);
    assert!(verdicts_of[0].outcome.is_ok() && verdicts_of[0].outcome == verdicts_of[2].outcome);
    let tokens = usize::try_from(verdicts_of[0].usage.prompt_tokens).unwrap();
    let at = |max_length: usize| {
        let settings = json!({"too_long": "skip", "max_length": max_length});
        let judge = judge(&with(&keys(&dir), settings)).unwrap();
        verdicts(&*judge, &asked[..1]).unwrap()[0].outcome.is_ok()
    };
    assert!(at(tokens) && !at(tokens - 1));
}

#[test]
fn what_cannot_be_used_is_named() {
    let dir = model("pair", "chatml");
    let keys = keys(&dir);
    let says = |others: Value, words: &str| {
        let error = refused(&with(&keys, others));
        assert!(error.contains(words), "{error}");
    };
    says(
        json!({"labels": ["A", "B", "Same"]}),
        "oracle.labels: \"Same\" is 4 tokens for this model, and a label must be one",
    );
    says(
        json!({"labels": ["A"]}),
        "oracle.labels has 1 entries: give the first response's",
    );
    says(
        json!({"labels": ["A", "A"]}),
        "oracle.labels: \"A\" is the same token as another label",
    );
    says(
        json!({"max_length": 513}),
        "oracle.max_length is 513: the judge's model reads 1 to 512 tokens",
    );
    says(json!({"max_length": 0}), "oracle.max_length is 0");
    says(json!({"dtype": "f16"}), "oracle.dtype is f16");
    says(
        json!({"template": "judge.toml"}),
        "oracle.template is \"judge.toml\": it is no file",
    );
    says(json!({"model": " "}), "oracle.model is empty");
    says(
        json!({"model": "no/such"}),
        "oracle.model: cannot read no/such",
    );
    says(json!({"adapter": "no/such"}), "oracle.adapter: ");
    let classifier = model("reward", "chatml");
    says(
        json!({"model": classifier.path()}),
        "which has no vocabulary head",
    );
    std::fs::remove_file(dir.path().join("tokenizer_config.json")).unwrap();
    says(json!({}), "oracle.model has no chat template");
    let kind: inpo_oracle::OracleKind = serde_json::from_value(keys.clone()).unwrap();
    let error = kind.init(&Surroundings::default()).err().unwrap();
    assert_eq!(
        error.to_string(),
        "oracle.kind is \"pair_lm\", a model, and no device was given to run it on"
    );
}

/// A prompt of ids alone has no text for a judge; answers of other models or settings never mix.
#[test]
fn questions_and_specifications() {
    let dir = model("pair", "chatml");
    let keys = keys(&dir);
    let own = judge(&keys).unwrap();
    let asked = Asked {
        prompt: Prompt::from_ids(vec![1, 2]),
        ..Asked::text("", "x", "y")
    };
    let error = verdicts(&*own, &[asked]).unwrap_err().to_string();
    assert!(error.contains("prompt 0 has no messages"), "{error}");
    let adapter = fixtures().join("pair/adapter");
    let other_template = model("pair", "bos");
    let specification = |keys: &Value| judge(keys).unwrap().specification();
    let own: Box<dyn Judge> = own;
    assert_eq!(own.specification(), specification(&keys));
    for others in [
        json!({"adapter": adapter}),
        json!({"labels": ["B", "A"]}),
        json!({"dtype": "bf16"}),
        json!({"model": other_template.path()}),
    ] {
        assert_ne!(own.specification(), specification(&with(&keys, others)));
    }
}
