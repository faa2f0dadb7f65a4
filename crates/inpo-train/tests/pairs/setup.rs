//! A tiny model whose ids can be counted off, and rows for it.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inpo_policy::Policy;
use inpo_train::TrainError;
use inpo_train::pairs::{PairOptions, Pairs, read_pairs};
use serde_json::{Value, json};

/// The id of a word is its place: `the` is 3, `river` is 51, `stone` is 52, `light` is 53.
pub(crate) const WORDS: &str = "</s> <s> <end> the of and to in is it that was for on are as with his they at be this from have or \
    by one had not but what all were when we there can an your which their said if do will each about how up out \
    them river stone light music garden winter bread paper silver mountain letter summer window";

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../inpo-policy/tests/fixtures")
        .join(name)
}

/// A tiny checkpoint with a word-level tokenizer that puts `<s>` before a text when it is asked for special
/// tokens, and a template that writes `<s>` itself: together they double it where they are both used.
pub(crate) fn policy(dir: &Path) -> Policy {
    policy_with(dir, TEMPLATE)
}

const TEMPLATE: &str = "{% for m in messages %}<s> {{ m.content }} {% if m.role == 'assistant' %}<end> {% endif %}\
                        {% endfor %}{% if add_generation_prompt %}<s> {% endif %}";

/// The same with another template.
pub(crate) fn policy_with(dir: &Path, template: &str) -> Policy {
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
    std::fs::write(model.join("chat_template.jinja"), template).unwrap();
    Policy::load(&model, &Device::flex()).unwrap()
}

pub(crate) fn read_bytes(bytes: &[u8], max_length: Option<usize>) -> Result<Pairs, TrainError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pairs.jsonl");
    std::fs::write(&path, bytes).unwrap();
    let options = PairOptions {
        max_length,
        ..PairOptions::default()
    };
    read_pairs(&path, &policy(dir.path()), &options)
}

pub(crate) fn read(rows: &[Value]) -> Result<Pairs, TrainError> {
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    read_bytes(text.as_bytes(), None)
}

/// Prompt, chosen and rejected ids of the only row.
#[track_caller]
pub(crate) fn ids(row: Value) -> [Vec<u32>; 3] {
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
pub(crate) fn refused(row: Value) -> String {
    let error = read(&[row]).unwrap_err();
    assert!(error.is_input(), "{error}");
    error.to_string()
}

pub(crate) fn message(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}
