//! Vocabularies of each kind against their original tokenizers
//! (`fixtures/tokenizers/make_tokenizers.py`).

use std::path::PathBuf;

use super::*;

#[derive(serde::Deserialize)]
struct Fixture {
    model: String,
    pre: String,
    tokens: Vec<String>,
    token_type: Vec<i64>,
    merges: Option<Vec<String>>,
    scores: Option<Vec<f32>>,
    add_space_prefix: Option<bool>,
    bos: Option<u64>,
    unknown: Option<u64>,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
}

fn fixture(name: &str) -> Fixture {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizers");
    serde_json::from_slice(&std::fs::read(dir.join(name)).unwrap()).unwrap()
}

fn entries(fixture: &Fixture) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    let mut set = |key: &str, value: Option<Entry>| {
        if let Some(value) = value {
            entries.insert(format!("tokenizer.ggml.{key}"), value);
        }
    };
    set("model", Some(Entry::String(fixture.model.clone())));
    set("pre", Some(Entry::String(fixture.pre.clone())));
    set("tokens", Some(Entry::Strings(fixture.tokens.clone())));
    set(
        "token_type",
        Some(Entry::Integers(fixture.token_type.clone())),
    );
    set("merges", fixture.merges.clone().map(Entry::Strings));
    set("scores", fixture.scores.clone().map(Entry::Floats));
    set(
        "add_space_prefix",
        fixture.add_space_prefix.map(Entry::Bool),
    );
    set("bos_token_id", fixture.bos.map(Entry::Unsigned));
    set("unknown_token_id", fixture.unknown.map(Entry::Unsigned));
    entries
}

fn codec(entries: BTreeMap<String, Entry>) -> Result<TextCodec, PolicyError> {
    let metadata = Metadata::new(entries, PathBuf::from("tiny.gguf"));
    TextCodec::from_gguf(&metadata, Path::new("tiny.gguf"))
}

/// SmolLM's pre-tokenizer over a small vocabulary.
pub(crate) fn smollm() -> TextCodec {
    codec(entries(&fixture("smollm.json"))).unwrap()
}

const NAMES: [&str; 6] = [
    "gpt-2",
    "llama-bpe",
    "qwen2",
    "smollm",
    "sentencepiece",
    "sentencepiece-gemma",
];

#[test]
fn ids_are_those_of_the_original_tokenizers() {
    for name in NAMES {
        let fixture = fixture(&format!("{name}.json"));
        let codec = codec(entries(&fixture)).unwrap();
        assert!(fixture.cases.len() >= 28, "{name}");
        for case in &fixture.cases {
            let ids = codec.encode(&case.text).unwrap();
            assert_eq!(ids, case.ids, "{name}: {:?}", case.text);
            // Qwen2 composes characters; decoding leaves special tokens out.
            let special = case.text.contains("<|im_") && fixture.model == "gpt2";
            let composed = name == "qwen2" && case.text.contains('\u{301}');
            if !special && !composed {
                assert_eq!(codec.decode(&ids).unwrap(), case.text, "{name}");
            }
        }
    }
}

/// Token by token, no piece ends inside a character, and all together are the text.
#[test]
fn streamed_text_is_the_decoded_text() {
    let (mut held_back, mut spaced) = (0, 0);
    for name in NAMES {
        let fixture = fixture(&format!("{name}.json"));
        let codec = codec(entries(&fixture)).unwrap();
        for case in &fixture.cases {
            let mut stream = codec.stream();
            let mut text = String::new();
            for &id in &case.ids {
                let piece = stream.push(id).unwrap();
                held_back += usize::from(piece.is_empty());
                spaced += usize::from(!text.is_empty() && piece.starts_with(' '));
                assert!(!piece.contains('\u{fffd}'), "{name}: {piece:?}");
                text += &piece;
            }
            text += &stream.finish().unwrap();
            assert_eq!(text, codec.decode(&case.ids).unwrap(), "{name}");
        }
    }
    assert!(held_back > 100 && spaced > 100, "{held_back} {spaced}");
    // A character that never becomes whole comes at the end.
    let codec = smollm();
    let ids = codec.encode("a😀").unwrap();
    let mut stream = codec.stream();
    let cut = &ids[..ids.len() - 1];
    let pieces: String = cut.iter().map(|&id| stream.push(id).unwrap()).collect();
    assert_eq!(pieces, "a");
    assert!(stream.finish().unwrap().contains('\u{fffd}'));
}

#[test]
fn saved_tokenizers_give_the_same_ids() {
    for name in NAMES {
        let fixture = fixture(&format!("{name}.json"));
        let dir = tempfile::tempdir().unwrap();
        codec(entries(&fixture)).unwrap().save(dir.path()).unwrap();
        let read = TextCodec::from_file(&dir.path().join("tokenizer.json")).unwrap();
        for case in &fixture.cases {
            assert_eq!(
                read.encode(&case.text).unwrap(),
                case.ids,
                "{name}: {:?}",
                case.text
            );
        }
    }
}

/// What follows a special token starts with a space of its own, as in the published files of Llama 2.
#[test]
fn a_space_goes_before_each_part_of_a_text() {
    let fixture = fixture("sentencepiece.json");
    let codec = codec(entries(&fixture)).unwrap();
    let plain = codec.encode("Hello").unwrap();
    assert_eq!(fixture.tokens[plain[0] as usize], "▁Hello");
    let bos = fixture.bos.unwrap() as u32;
    let twice = codec.encode("<s>Hello<s>Hello").unwrap();
    assert_eq!(twice, [&[bos][..], &plain, &[bos], &plain].concat());
    assert_eq!(codec.encode("").unwrap(), [0; 0]);
}

/// The saved tokenizer opens a text where the file says so or its kind does; encoding here does not,
/// because a template writes the token itself.
#[test]
fn the_opening_token_is_written_once() {
    let opens = |codec: &TextCodec| codec.tokenizer.encode("a", true).unwrap().get_ids().len();
    let fixture = fixture("sentencepiece.json");
    let with = codec(entries(&fixture)).unwrap();
    let length = with.encode("a").unwrap().len();
    assert_eq!(opens(&with), length + 1);
    let mut said = entries(&fixture);
    said.insert("tokenizer.ggml.add_bos_token".into(), Entry::Bool(false));
    assert_eq!(opens(&codec(said).unwrap()), length);
    let mut template = entries(&fixture);
    let source = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}";
    let key = "tokenizer.chat_template".to_owned();
    template.insert(key, Entry::String(source.to_owned()));
    let ids = codec(template)
        .unwrap()
        .encode_prompt(&[Message::user("Hello")])
        .unwrap();
    let bos = fixture.bos.unwrap() as u32;
    assert_eq!(ids.iter().filter(|id| **id == bos).count(), 1);
    assert_eq!(ids[0], bos);
}

#[test]
fn refuses_broken_scores() {
    let fixture = fixture("sentencepiece.json");
    let refusal = |change: &dyn Fn(&mut BTreeMap<String, Entry>)| {
        let mut entries = entries(&fixture);
        change(&mut entries);
        codec(entries).unwrap_err().to_string()
    };
    let key = || "tokenizer.ggml.scores".to_owned();
    let count = fixture.tokens.len();
    assert_eq!(
        refusal(&|entries| drop(entries.remove(&key()))),
        "tiny.gguf: the tokenizer cannot be used: `tokenizer.ggml.scores` is missing"
    );
    assert_eq!(
        refusal(&|entries| drop(entries.insert(key(), Entry::Floats(vec![0.0])))),
        format!("tiny.gguf: the tokenizer cannot be used: there are {count} tokens and 1 scores")
    );
    let message =
        refusal(&|entries| drop(entries.insert(key(), Entry::Floats(vec![f32::NAN; count]))));
    assert!(message.contains("the score of the token"), "{message}");
    let message = refusal(&|entries| {
        let mut tokens = fixture.tokens.clone();
        tokens[count - 1] = "x".repeat(2000);
        entries.insert("tokenizer.ggml.tokens".into(), Entry::Strings(tokens));
    });
    assert!(
        message.contains("has 2000 characters, and at most 1024 are allowed"),
        "{message}"
    );
    let message = refusal(&|entries| {
        entries.insert(
            "tokenizer.ggml.unknown_token_id".into(),
            Entry::Unsigned(9999),
        );
    });
    assert!(
        message.contains("`tokenizer.ggml.unknown_token_id` is 9999"),
        "{message}"
    );
}
