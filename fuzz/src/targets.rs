//! One function for each reader of foreign bytes.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use inpo_core::burn::tensor::Device;
use inpo_core::data::rows::Answers;
use inpo_core::data::{Answer, Message, read_rows};
use inpo_core::game::{MatrixGame, RecordOptions, read_records_csv, read_records_json};
use inpo_core::kernels::BlockKind;
use inpo_core::policy::files::ModelFiles;
use inpo_core::policy::tokenizer;
use inpo_core::policy::{ModelConfig, Policy, TextCodec};
use inpo_core::train::TrainConfig;
use inpo_core::train::pairs::{PairOptions, read_pairs};

fn fixtures() -> PathBuf {
    // The fuzz package and the package of the test that includes this file lie at different depths.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let policy = |root: &Path| root.join("crates/inpo-policy/tests/fixtures");
    let mut roots = here.ancestors().map(policy);
    roots
        .find(|dir| dir.is_dir())
        .expect("inside the repository")
}

/// A directory with these files.
fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).expect("a small file");
    }
    dir
}

fn tiny(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join("tiny_llama_tied").join(name)).expect("a fixture")
}

/// Opens a model and reads all of its weights.
fn use_model(path: &Path) {
    if let Ok(model) = ModelFiles::open(path) {
        for name in model.weights.names() {
            let _ = model.weights.load(&name);
            match model.weights.blocks(&name) {
                Ok(Some(stored)) if stored.kind() == BlockKind::Bf16 => {
                    stored.bf16_bits().for_each(drop);
                }
                Ok(Some(stored)) => stored.blocks().for_each(drop),
                _ => {}
            }
        }
        if let Ok(codec) = model.require_tokenizer() {
            use_codec(codec);
        }
    }
}

fn use_codec(codec: &TextCodec) {
    if let Ok(ids) = codec.encode("Hello, world! 123\n\n <|im_start|>ſ日本") {
        let _ = codec.decode(&ids);
    }
    let messages = [Message::system("s"), Message::user("a")];
    let _ = codec.encode_prompt(&messages);
    let answers = [
        tokenizer::Answer::Text("b"),
        tokenizer::Answer::Text("<think>\nc</think>d"),
    ];
    let _ = codec.encode_answered(&messages, &answers);
}

/// A GGUF file: header, metadata, vocabulary, tensors.
pub fn gguf(bytes: &[u8]) {
    let dir = directory(&[("model.gguf", bytes)]);
    use_model(&dir.path().join("model.gguf"));
}

/// A safetensors file.
pub fn safetensors(bytes: &[u8]) {
    let config = tiny("config.json");
    let dir = directory(&[("config.json", &config), ("model.safetensors", bytes)]);
    use_model(dir.path());
}

/// The index of a sharded model.
pub fn safetensors_index(bytes: &[u8]) {
    let (config, weights) = (tiny("config.json"), tiny("model.safetensors"));
    let dir = directory(&[
        ("config.json", &config),
        ("model-00001-of-00001.safetensors", &weights),
        ("model.safetensors.index.json", bytes),
    ]);
    use_model(dir.path());
}

/// `config.json`.
pub fn model_config(bytes: &[u8]) {
    let dir = directory(&[("config.json", bytes)]);
    if let Ok(config) = ModelConfig::from_hf_json(&dir.path().join("config.json")) {
        let _ = inpo_core::policy::files::expected_tensors(&config);
        let _ = config.to_hf_json();
    }
}

/// `tokenizer.json`, whose reader is the tokenizers library's.
pub fn tokenizer(bytes: &[u8]) {
    let dir = directory(&[("tokenizer.json", bytes)]);
    if let Ok(codec) = TextCodec::from_file(&dir.path().join("tokenizer.json")) {
        use_codec(&codec);
    }
}

/// The smallest tokenizer.
pub const TOKENIZER: &str = r#"{"version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 0, "content": "<|end|>", "single_word": false, "lstrip": false,
    "rstrip": false, "normalized": false, "special": true}], "normalizer": null, "pre_tokenizer": null,
    "post_processor": null, "decoder": null, "model": {"type": "BPE", "dropout": null, "unk_token": null,
    "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
    "byte_fallback": false, "vocab": {"<|end|>": 0, "a": 1, "b": 2}, "merges": []}}"#;

/// A chat template.
pub fn chat_template(bytes: &[u8]) {
    let dir = directory(&[
        ("tokenizer.json", TOKENIZER.as_bytes()),
        ("chat_template.jinja", bytes),
    ]);
    if let Ok(codec) = TextCodec::from_file(&dir.path().join("tokenizer.json")) {
        use_codec(&codec);
    }
}

fn policy() -> &'static Policy {
    static POLICY: OnceLock<Policy> = OnceLock::new();
    POLICY.get_or_init(|| {
        Policy::load(&fixtures().join("gguf/llama.gguf"), &Device::flex()).expect("a fixture")
    })
}

/// `adapter_config.json`.
pub fn adapter_config(bytes: &[u8]) {
    let dir = directory(&[("adapter_config.json", bytes)]);
    let _ = policy().clone().with_saved_adapters(dir.path());
}

/// The settings of the adapter that [`adapter_weights`] reads.
const ADAPTER: &[u8] =
    br#"{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}"#;

/// `adapter_model.safetensors`.
pub fn adapter_weights(bytes: &[u8]) {
    let dir = directory(&[
        ("adapter_config.json", ADAPTER),
        ("adapter_model.safetensors", bytes),
    ]);
    let _ = policy().clone().with_saved_adapters(dir.path());
}

/// A game as JSON.
pub fn game_json(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = MatrixGame::from_json(text, Path::new("game.json"));
    }
    let dir = directory(&[("game.json", bytes)]);
    let _ = MatrixGame::read(dir.path().join("game.json"));
}

/// A game as CSV.
pub fn game_csv(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = MatrixGame::from_csv(text, Path::new("game.csv"));
    }
    let dir = directory(&[("game.csv", bytes)]);
    let _ = MatrixGame::read(dir.path().join("game.csv"));
}

/// Recorded comparisons, as CSV and as JSON lines.
pub fn records(bytes: &[u8]) {
    let (path, options) = (Path::new("votes"), RecordOptions::default());
    let _ = read_records_csv(bytes, path, &options);
    let _ = read_records_json(bytes, path, &options);
}

/// Rows of prompts and responses.
pub fn rows(bytes: &[u8]) {
    let dir = directory(&[("rows.jsonl", bytes)]);
    let path = dir.path().join("rows.jsonl");
    for row in read_rows(&path).into_iter().flatten() {
        let prompt = row.to_prompt(0);
        let _ = policy().prompt_ids(&prompt);
        if let Ok(Answers::One(Answer {
            message: Some(message),
            ..
        })) = row.answers()
        {
            let _ = policy().answered(&prompt, &[tokenizer::Answer::Message(&message)]);
        }
    }
}

/// Rows of preference pairs.
pub fn pairs(bytes: &[u8]) {
    let dir = directory(&[("pairs.jsonl", bytes)]);
    for max_length in [None, Some(8)] {
        let options = PairOptions {
            max_length,
            ..PairOptions::default()
        };
        let _ = read_pairs(&dir.path().join("pairs.jsonl"), policy(), &options);
    }
}

/// The configuration of `inpo train`.
pub fn run_config(bytes: &[u8]) {
    let dir = directory(&[("train.toml", bytes)]);
    let _ = TrainConfig::load(&dir.path().join("train.toml"), &[]);
}
