//! What a hostile `tokenizer.json` cannot do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

fn tiny() -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [{"id": 0, "content": "<|end|>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}],
        "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "vocab": {"<|end|>": 0, "a": 1, "b": 2, "ab": 3}, "merges": ["a b"]}
    })
}

fn read(file: &Value) -> Result<TextCodec, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
    std::fs::write(&path, file.to_string()).unwrap();
    TextCodec::from_file(&path).map_err(|e| e.to_string())
}

/// The tiny tokenizer with another value at a place.
fn with(place: &str, value: Value) -> Value {
    let mut file = tiny();
    *file.pointer_mut(place).unwrap() = value;
    file
}

/// A table of one block, in which the letter a has the replacement at `value`, or which leads out of its block.
fn charsmap(leads_out: bool, value: u32, length: Option<u32>) -> String {
    let mut units = vec![0u32; 256];
    // The root's children begin at unit 0; that of `a` is at 97, with a value one block's bit away.
    let offset = if leads_out { 1 << 12 } else { 1 };
    units[0] = 0;
    units[97] = 97 | 1 << 8 | offset << 10;
    units[96] = 1 << 31 | value;
    let mut bytes = length.unwrap_or(1024).to_le_bytes().to_vec();
    bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    bytes.extend(b"xyz\0w\0");
    STANDARD.encode(bytes)
}

fn precompiled(map: &str) -> Value {
    with(
        "/normalizer",
        json!({"type": "Precompiled", "precompiled_charsmap": map}),
    )
}

#[test]
fn a_table_of_replacements_is_followed_only_inside() {
    let codec = read(&precompiled(&charsmap(false, 4, None)));
    assert!(codec.is_ok(), "{codec:?}");
    for (map, expected) in [
        (charsmap(true, 4, None), "has a step that leads out of it"),
        (
            charsmap(false, 99, None),
            "has a replacement outside its text",
        ),
        (charsmap(false, 0, Some(u32::MAX)), "is cut off"),
        (charsmap(false, 0, Some(0)), "is empty"),
        ("AA==".to_owned(), "is cut off"),
        ("!".to_owned(), "is not base64"),
        ("A".repeat(3 << 20), "has 3145728 characters"),
    ] {
        let error = read(&precompiled(&map)).unwrap_err();
        assert!(
            error.contains(&format!("`precompiled_charsmap` {expected}")),
            "{error}"
        );
    }
}

#[test]
fn what_the_library_would_take_as_memory_has_limits() {
    let replace = |pattern: Value, content: &str| json!({"type": "Replace", "pattern": pattern, "content": content});
    let nested = |depth: usize| {
        (0..depth).fold(
            json!({"type": "NFC"}),
            |inner, _| json!({"type": "Sequence", "normalizers": [inner]}),
        )
    };
    let pieces = |count: usize| {
        let piece = json!({"Sequence": {"id": "A", "type_id": 0}});
        json!({"type": "TemplateProcessing", "single": vec![piece.clone(); count], "pair": [piece], "special_tokens": {}})
    };
    let unigram = |token: String| json!({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], [token, -1.0]]});
    let token = |content: String| {
        json!([{"id": 4, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}])
    };
    let cases = [
        (
            with("/model/vocab", json!({"a": 1_000_000_000})),
            "the token \"a\" has the id 1000000000; allowed: up to 4194304",
        ),
        (
            with("/model/vocab", json!({"a": u32::MAX})),
            "allowed: up to 4194304",
        ),
        // The library joins without a look at the length, and cuts the prefix off without a look at the text.
        (
            with("/model/vocab", json!({"a": 1, "b": 2})),
            "the merge of \"a\" and \"b\" is no token",
        ),
        (
            with("/model/continuing_subword_prefix", json!("#")),
            "the merge of \"a\" and \"b\" is no token",
        ),
        (
            with("/model/continuing_subword_prefix", json!("#".repeat(300))),
            "`continuing_subword_prefix` has 300 bytes",
        ),
        (
            with("/model/end_of_word_suffix", json!("#".repeat(300))),
            "`end_of_word_suffix` has 300 bytes",
        ),
        (
            with("/model", unigram("x".repeat(1025))),
            "has 1025 bytes; allowed: up to 1024",
        ),
        (
            with(
                "/model",
                json!({"type": "WordPiece", "unk_token": "a", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 1_000_000, "vocab": {"a": 0}}),
            ),
            "`max_input_chars_per_word` is 1000000",
        ),
        (
            with("/normalizer", nested(9)),
            "`normalizer` has more than 64 steps",
        ),
        (
            with(
                "/normalizer",
                json!({"type": "Sequence", "normalizers": vec![json!({"type": "NFC"}); 64]}),
            ),
            "`normalizer` has more than 64 steps",
        ),
        (
            with(
                "/normalizer",
                replace(json!({"String": "a"}), &"b".repeat(257)),
            ),
            "`content` has 257 bytes",
        ),
        (
            with(
                "/normalizer",
                json!({"type": "Prepend", "prepend": "b".repeat(257)}),
            ),
            "`prepend` has 257 bytes",
        ),
        (
            with(
                "/pre_tokenizer",
                json!({"type": "Split", "pattern": {"Regex": "(a?){100}(b?){100}"}, "behavior": "Removed", "invert": false}),
            ),
            "counts whose product is more than 1000",
        ),
        (
            with(
                "/pre_tokenizer",
                json!({"type": "Split", "pattern": {"Regex": "a".repeat(4097)}, "behavior": "Removed", "invert": false}),
            ),
            "more than 4096 bytes",
        ),
        (
            with(
                "/pre_tokenizer",
                json!({"type": "FixedLength", "length": 0}),
            ),
            "`length` is 0",
        ),
        (
            with("/post_processor", pieces(65)),
            "`single` has 65 pieces",
        ),
        (
            with("/added_tokens", token("x".repeat(9 << 20))),
            "are added to the vocabulary",
        ),
    ];
    for (file, expected) in cases {
        let error = read(&file).unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let long = vec![b' '; (128 << 20) + 1];
    assert!(
        super::super::bounds::read(&long)
            .unwrap_err()
            .contains("at most 134217728 are read")
    );
    let many = vec![b','; (8 << 20) + 1];
    assert!(
        super::super::bounds::read(&many)
            .unwrap_err()
            .contains("at most 8388608 are read")
    );
}

#[test]
fn texts_do_not_grow_beyond_what_is_allowed() {
    let growing = json!({"type": "Replace", "pattern": {"Regex": ""}, "content": "x".repeat(200)});
    let sequence =
        |kind: &str, steps: usize| json!({"type": "Sequence", kind: vec![growing.clone(); steps]});
    // 201^3 is 8,120,601: a text of 17 bytes may grow to 138 million.
    let codec = read(&with("/normalizer", sequence("normalizers", 3))).unwrap();
    let error = codec.encode("aaaaaaaaaaaaaaaaa").unwrap_err().to_string();
    assert!(
        error.contains("a text of 17 bytes may become one of 138050217"),
        "{error}"
    );
    assert!(codec.encode("").is_ok());
    let codec = read(&with("/decoder", sequence("decoders", 4))).unwrap();
    let error = codec.decode(&[1, 2]).unwrap_err().to_string();
    assert!(
        error.contains("a text of 2 bytes may become one of 3264481602"),
        "{error}"
    );
    let piece = json!({"Sequence": {"id": "A", "type_id": 0}});
    let template = json!({"type": "TemplateProcessing", "single": vec![piece.clone(); 64], "pair": [piece], "special_tokens": {}});
    let doubled = json!({"type": "Sequence", "processors": vec![template; 5]});
    let codec = read(&with("/post_processor", doubled)).unwrap();
    assert!(
        codec
            .encode("a")
            .unwrap_err()
            .to_string()
            .contains("may become one of 1073741824")
    );
}

#[test]
fn a_panic_of_the_library_is_an_error() {
    // `Strip` takes more from the end than is there; the template's second text is not given.
    let strip = json!({"type": "Strip", "content": "a", "start": 0, "stop": 5});
    let codec = read(&with("/decoder", strip)).unwrap();
    let error = codec.decode(&[1]).unwrap_err().to_string();
    assert!(error.contains("do not fit together"), "{error}");
    let second = json!({"Sequence": {"id": "B", "type_id": 0}});
    let template = json!({"type": "TemplateProcessing", "single": [second], "pair": [second], "special_tokens": {}});
    if let Ok(codec) = read(&with("/post_processor", template)) {
        let error = codec.encode("a").unwrap_err().to_string();
        assert!(error.contains("do not fit together"), "{error}");
    }
    // A key that is there twice is read once: the limits and the library see the same.
    let twice = tiny().to_string().replacen(
        "\"model\"",
        "\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1000000000}, \"merges\": []}, \"model\"",
        1,
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
    std::fs::write(&path, twice).unwrap();
    assert_eq!(
        TextCodec::from_file(&path).unwrap().encode("ab").unwrap(),
        [3]
    );
}

#[test]
fn merges_of_a_gguf_are_checked() {
    let merges = |merges: &[&str]| Entry::Strings(merges.iter().map(|m| (*m).to_owned()).collect());
    let error = refusal("merges", Some(merges(&["<|turn|> <|turn|>"])));
    assert_eq!(
        error,
        "tiny.gguf: the tokenizer cannot be used: a merge is no token"
    );
}
