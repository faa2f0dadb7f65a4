//! Tokens that several files declare against transformers (`fixtures/tokenizers/make_declared.py`).

use std::path::PathBuf;

use serde_json::Map;

use super::*;

#[derive(serde::Deserialize)]
struct Fixture {
    tokenizer: Value,
    texts: Vec<String>,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    changed: Map<String, Value>,
    files: Map<String, Value>,
    texts: Vec<Encoded>,
    special: Map<String, Value>,
    tokens: usize,
}

#[derive(serde::Deserialize)]
struct Encoded {
    ids: Vec<u32>,
    decoded: String,
}

fn fixture() -> Fixture {
    let fixture = include_str!("../../../tests/fixtures/tokenizers/declared.json");
    serde_json::from_str(fixture).unwrap()
}

/// `tokenizer.json` of a directory with the files of a case.
fn directory(dir: &Path, tokenizer: &Value, case: &Case) -> PathBuf {
    let mut tokenizer = tokenizer.clone();
    for (key, value) in &case.changed {
        tokenizer[key] = value.clone();
    }
    let path = dir.join("tokenizer.json");
    std::fs::write(&path, tokenizer.to_string()).unwrap();
    for (file, content) in &case.files {
        std::fs::write(dir.join(file), content.to_string()).unwrap();
    }
    path
}

#[test]
fn a_directory_is_read_as_by_transformers() {
    let fixture = fixture();
    assert_eq!(fixture.cases.len(), 36);
    for case in &fixture.cases {
        let dir = tempfile::tempdir().unwrap();
        let read = TextCodec::from_file(&directory(dir.path(), &fixture.tokenizer, case)).unwrap();
        // Saved and read again it is the same tokenizer.
        let saved = tempfile::tempdir().unwrap();
        read.save(saved.path()).unwrap();
        let again = TextCodec::from_file(&saved.path().join("tokenizer.json")).unwrap();
        assert_eq!(
            again.tokenizer_hash(),
            read.tokenizer_hash(),
            "{}",
            case.name
        );
        for codec in [&read, &again] {
            let name = &case.name;
            for (text, expected) in fixture.texts.iter().zip(&case.texts) {
                let ids = codec.encode(text).unwrap();
                assert_eq!(ids, expected.ids, "{name}: {text:?}");
                assert_eq!(
                    codec.decode(&ids).unwrap(),
                    expected.decoded,
                    "{name}: {text:?}"
                );
            }
            let special = codec.special.iter();
            let special = special.map(|(name, token)| (name.to_owned(), json!(token)));
            let sorted = |map: &Map<String, Value>| -> BTreeMap<String, Value> {
                map.clone().into_iter().collect()
            };
            assert_eq!(sorted(&special.collect()), sorted(&case.special), "{name}");
            assert_eq!(codec.vocab_size(), case.tokens, "{name}");
        }
    }
}

#[test]
fn broken_declarations_name_file_key_and_value() {
    let refusal = |config: Value| {
        let dir = tempfile::tempdir().unwrap();
        let fixture = fixture();
        let path = directory(dir.path(), &fixture.tokenizer, &fixture.cases[0]);
        std::fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        TextCodec::from_file(&path).unwrap_err().to_string()
    };
    for (config, expected) in [
        (
            json!({"added_tokens_decoder": {"x": "<end>"}}),
            "tokenizer_config.json: the tokenizer cannot be used: `added_tokens_decoder` has \"x\"; allowed: ids from 0 to 4294967295",
        ),
        (
            json!({"added_tokens_decoder": [1]}),
            "`added_tokens_decoder` has \"[1]\"; allowed: an object of ids and tokens",
        ),
        (
            json!({"eos_token": 3}),
            "`eos_token` has \"3\"; allowed: a text, or an object with `content` and flags",
        ),
        (
            json!({"extra_special_tokens": "x"}),
            "allowed: a list of tokens, or an object of names and tokens",
        ),
        (
            json!({"extra_special_tokens": (0..4096).map(|i| (format!("{i}"), json!("x"))).collect::<Map<_, _>>()}),
            "`extra_special_tokens` has \"4097 names\"; allowed: up to 4096",
        ),
    ] {
        let message = refusal(config);
        assert!(message.contains(expected), "{message}");
    }
}
