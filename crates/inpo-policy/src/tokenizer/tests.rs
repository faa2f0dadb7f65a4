use std::collections::BTreeMap;

mod answers;
mod bounds;
mod declared;
pub(crate) mod vocabularies;

use serde_json::json;

use super::*;
use crate::files::gguf::{Metadata, Value as Entry};
use inpo_data::Message;

/// A byte-level vocabulary of a few tokens: `a b c A`, a space, the digits 1 and 2, one merge.
fn metadata(change: impl FnOnce(&mut BTreeMap<String, Entry>)) -> Metadata {
    let tokens = [
        "<|end|>", "<|turn|>", "a", "b", "c", "1", "2", "Ġ", "ab", "Ċ",
    ];
    let text = |text: &str| Entry::String(text.to_owned());
    let mut values: BTreeMap<String, Entry> = [
        ("model", text("gpt2")),
        ("pre", text("smollm")),
        ("tokens", Entry::Strings(tokens.map(str::to_owned).to_vec())),
        (
            "token_type",
            Entry::Integers([[3; 2].as_slice(), &[1; 8]].concat()),
        ),
        ("merges", Entry::Strings(vec!["a b".to_owned()])),
        ("eos_token_id", Entry::Unsigned(0)),
    ]
    .into_iter()
    .map(|(key, value)| (format!("tokenizer.ggml.{key}"), value))
    .collect();
    change(&mut values);
    Metadata::new(values, "tiny.gguf".into())
}

fn with_template(template: &str) -> TextCodec {
    let metadata = metadata(|values| {
        values.insert(
            "tokenizer.chat_template".into(),
            Entry::String(template.to_owned()),
        );
    });
    TextCodec::from_gguf(&metadata, Path::new("tiny.gguf")).unwrap()
}

fn refusal(key: &str, value: Option<Entry>) -> String {
    let metadata = metadata(|values| {
        let key = format!("tokenizer.ggml.{key}");
        match value {
            Some(value) => values.insert(key, value),
            None => values.remove(&key),
        };
    });
    TextCodec::from_gguf(&metadata, Path::new("tiny.gguf"))
        .unwrap_err()
        .to_string()
}

const TURNS: &str = "{% for m in messages %}<|turn|>{{ m.content }} <|end|>{% endfor %}{% if add_generation_prompt %}<|turn|>{% endif %}";

#[test]
fn texts_and_prompts() {
    let codec = with_template(TURNS);
    assert_eq!(
        codec.encode("abc 12").unwrap(),
        [8, 4, 7, 5, 6],
        "the merge, and digits one by one"
    );
    assert_eq!(
        codec.encode("a<|turn|>b").unwrap(),
        [2, 1, 3],
        "special tokens in text are seen"
    );
    assert_eq!(codec.encode("").unwrap(), [0; 0]);
    assert_eq!(
        codec.decode(&[1, 8, 4, 7, 5, 0]).unwrap(),
        "abc 1",
        "special tokens are left out"
    );
    assert_eq!(codec.vocab_size(), 10);
    assert_eq!(codec.token_to_id("<|turn|>"), Some(1));
    assert_eq!(codec.token_to_id("<|none|>"), None);
    let prompt = [Message::user("ab")];
    assert_eq!(
        codec.render_prompt(&prompt).unwrap(),
        "<|turn|>ab <|end|><|turn|>"
    );
    assert_eq!(codec.encode_prompt(&prompt).unwrap(), [1, 8, 7, 0, 1]);
    assert!(
        codec
            .encode_prompt(&[])
            .unwrap_err()
            .to_string()
            .contains("the conversation is empty")
    );
}

#[test]
fn the_end_of_a_turn_is_what_the_template_writes_after_an_answer() {
    assert_eq!(
        with_template(TURNS).end_of_turn(),
        Some(0),
        "behind a space"
    );
    let marked = with_template("{% for m in messages %}{{ m.content }}<|turn|>{% endfor %}");
    assert_eq!(marked.end_of_turn(), Some(1), "not the end token");
    let bare = with_template("{% for m in messages %}{{ m.content }}{% endfor %}");
    assert_eq!(
        bare.end_of_turn(),
        Some(0),
        "nothing is written: the end token"
    );
}

#[test]
fn every_token_that_ends_a_turn_is_known() {
    let marked = with_template("{% for m in messages %}{{ m.content }}<|turn|>{% endfor %}");
    assert_eq!(
        marked.end_ids(),
        [1, 0],
        "the template's and the tokenizer's"
    );
    // A template that takes no conversation without a system message.
    let source = "{% if messages[0].role != 'system' %}{{ raise_exception('system first') }}{% endif %}{% for m in messages %}{{ m.content }}<|turn|>{% endfor %}";
    assert_eq!(with_template(source).end_of_turn(), Some(1));
    let refusing = with_template("{{ raise_exception('no talk') }}");
    assert_eq!(refusing.end_of_turn(), Some(0));
    let notes = refusing.notes().concat();
    assert!(notes.contains("could not be determined"), "{notes}");
    assert!(notes.contains("no talk"), "{notes}");

    let gguf = |key: &str, id: u64| {
        let metadata = metadata(|values| {
            values.insert(format!("tokenizer.ggml.{key}"), Entry::Unsigned(id));
        });
        TextCodec::from_gguf(&metadata, Path::new("tiny.gguf")).unwrap()
    };
    assert_eq!(gguf("eot_token_id", 1).end_ids(), [0, 1]);
    assert_eq!(gguf("eom_token_id", 1).end_ids(), [0, 1]);
    let named = metadata(|values| {
        let Some(Entry::Strings(tokens)) = values.get_mut("tokenizer.ggml.tokens") else {
            panic!("a list of texts");
        };
        tokens[1] = "<|im_end|>".to_owned();
    });
    let named = TextCodec::from_gguf(&named, Path::new("tiny.gguf")).unwrap();
    assert_eq!(named.end_ids(), [0, 1], "by its name");
}

#[test]
fn without_a_template_messages_are_refused() {
    let codec = TextCodec::from_gguf(&metadata(|_| {}), Path::new("tiny.gguf")).unwrap();
    assert!(!codec.has_template());
    assert_eq!(codec.template_hash(), None);
    assert_eq!(codec.end_of_turn(), Some(0));
    assert_eq!(
        codec
            .render_prompt(&[Message::user("a")])
            .unwrap_err()
            .to_string(),
        "this model has no chat template, so messages cannot be turned into a prompt; give `prompt_token_ids`, or add chat_template.jinja to its directory"
    );
}

#[test]
fn what_is_saved_reads_back() {
    let codec = with_template(TURNS);
    let dir = tempfile::tempdir().unwrap();
    codec.save(dir.path()).unwrap();
    let read = TextCodec::from_file(&dir.path().join("tokenizer.json")).unwrap();
    assert_eq!(read.tokenizer_hash(), codec.tokenizer_hash());
    assert_eq!(read.template_hash(), codec.template_hash());
    assert_eq!(read.end_of_turn(), Some(0));
    let text = "ab 12 <|end|>c";
    assert_eq!(read.encode(text).unwrap(), codec.encode(text).unwrap());

    // A configuration that was read is written as it was.
    let config = dir.path().join("tokenizer_config.json");
    std::fs::write(
        &config,
        r#"{"eos_token": {"content": "<|turn|>"}, "own_key": 1, "chat_template": "old"}"#,
    )
    .unwrap();
    let read = TextCodec::from_file(&dir.path().join("tokenizer.json")).unwrap();
    assert_eq!(read.special.get("eos_token"), Some("<|turn|>"));
    let again = tempfile::tempdir().unwrap();
    read.save(again.path()).unwrap();
    let written = std::fs::read_to_string(again.path().join("tokenizer_config.json")).unwrap();
    assert!(written.contains("\"own_key\": 1"), "{written}");
    assert_eq!(
        read.template_hash(),
        codec.template_hash(),
        "the .jinja file wins"
    );

    std::fs::remove_file(dir.path().join("chat_template.jinja")).unwrap();
    let templates = r#"{"chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]}"#;
    std::fs::write(&config, templates).unwrap();
    let read = TextCodec::from_file(&dir.path().join("tokenizer.json")).unwrap();
    assert_eq!(read.render_prompt(&[Message::user("a")]).unwrap(), "yes");
}

#[test]
fn truncation_and_padding_of_the_file_are_switched_off() {
    let dir = tempfile::tempdir().unwrap();
    with_template(TURNS).save(dir.path()).unwrap();
    let path = dir.path().join("tokenizer.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    json["truncation"] =
        json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    json["padding"] = json!({"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "<|end|>"});
    std::fs::write(&path, json.to_string()).unwrap();
    let read = TextCodec::from_file(&path).unwrap();
    assert_eq!(read.encode("abc 12").unwrap(), [8, 4, 7, 5, 6]);
}

#[test]
fn refuses_broken_tokenizers() {
    assert_eq!(
        refusal("pre", Some(Entry::String("default".into()))),
        "tiny.gguf has no tokenizer that can be used: the file's is of model \"gpt2\" with pre-tokenizer \"default\", and rebuilt from a GGUF are \"gpt2\" with \"gpt-2\", \"llama-bpe\", \"qwen2\" or \"smollm\", and \"llama\"; give token ids (`prompt_token_ids`, `response_token_ids`), or the Hugging Face directory of this model with its tokenizer.json"
    );
    assert_eq!(
        refusal("merges", None),
        "tiny.gguf: the tokenizer cannot be used: `tokenizer.ggml.merges` is missing"
    );
    assert_eq!(
        refusal("merges", Some(Entry::Strings(vec!["a b c".into()]))),
        "tiny.gguf: the tokenizer cannot be used: the merge \"a b c\" is not two tokens"
    );
    assert_eq!(
        refusal("tokens", Some(Entry::Strings(vec!["a".into(); 10]))),
        "tiny.gguf: the tokenizer cannot be used: the token \"a\" is there twice"
    );
    assert_eq!(
        refusal("token_type", Some(Entry::Integers(vec![1]))),
        "tiny.gguf: the tokenizer cannot be used: there are 10 tokens and 1 token types"
    );
    assert_eq!(
        refusal("eos_token_id", Some(Entry::Unsigned(99))),
        "tiny.gguf: `tokenizer.ggml.eos_token_id` is 99, but there are 10 tokens"
    );
    let unknown = refusal("merges", Some(Entry::Strings(vec!["a x".into()])));
    assert!(
        unknown.starts_with("tiny.gguf: the tokenizer cannot be used: "),
        "{unknown}"
    );

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
    // The last two make the library panic.
    for broken in ["{}", r#"{"decoder": ~null}"#, r#"{"decoder": {"type": 7}}"#] {
        std::fs::write(&path, broken).unwrap();
        let message = TextCodec::from_file(&path).unwrap_err().to_string();
        assert!(
            message.contains("tokenizer.json: the tokenizer cannot be used: "),
            "{message}"
        );
    }
}

#[test]
fn tokens_and_named_templates_are_read_from_their_files() {
    let codec = with_template(TURNS);
    let dir = tempfile::tempdir().unwrap();
    codec.save(dir.path()).unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("tokenizer_config.json", r#"{"bos_token": "a"}"#);
    write(
        "special_tokens_map.json",
        r#"{"bos_token": "no", "pad_token": {"content": "<|turn|>"}}"#,
    );
    std::fs::create_dir(dir.path().join("additional_chat_templates")).unwrap();
    write(
        "additional_chat_templates/short.jinja",
        "{{ bos_token }}{{ pad_token }}",
    );
    let read = TextCodec::from_file(&dir.path().join("tokenizer.json")).unwrap();
    let named = crate::template::ChatOptions {
        template: Some("short".into()),
        ..Default::default()
    };
    assert_eq!(
        read.render_chat(&[], &named).unwrap(),
        "no<|turn|>",
        "the older file wins"
    );
    assert_eq!(read.template_hash(), codec.template_hash());
    let again = tempfile::tempdir().unwrap();
    read.save(again.path()).unwrap();
    let read = TextCodec::from_file(&again.path().join("tokenizer.json")).unwrap();
    assert!(read.render_chat(&[], &named).unwrap().ends_with("<|turn|>"));
}
