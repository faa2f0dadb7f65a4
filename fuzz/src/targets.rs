//! One function for each reader of foreign bytes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use inpo_core::burn::tensor::Device;
use inpo_core::data::rows::Answers;
use inpo_core::data::{Answer, Completion, Message, Prompt, read_rows};
use inpo_core::game::{
    Comparison, MatrixGame, PreferenceOracle, RecordOptions, read_records_csv, read_records_json,
};
use inpo_core::kernels::BlockKind;
use inpo_core::oracle::{
    InstructionMode, Instructions, Journal, MissingVote, Oracle, OracleConfig, OracleKind,
    PairTemplate, RecordedOracle, Surroundings, read_votes,
};
use inpo_core::policy::files::ModelFiles;
use inpo_core::policy::remote::{Endpoint, RemoteConfig, RemoteModel};
use inpo_core::policy::tokenizer;
use inpo_core::policy::{
    DrawKey, GenerationConfig, ModelConfig, Policy, Sampler, Sequence, TextCodec,
};
use inpo_core::train::TrainConfig;
use inpo_core::train::judge::JudgeTrainConfig;
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

/// The three files that declare tokens beside `tokenizer.json`: the bytes are each of them in turn.
pub fn tokenizer_config(bytes: &[u8]) {
    for name in [
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
    ] {
        let dir = directory(&[("tokenizer.json", TOKENIZER.as_bytes()), (name, bytes)]);
        if let Ok(codec) = TextCodec::from_file(&dir.path().join("tokenizer.json")) {
            use_codec(&codec);
        }
    }
}

/// `generation_config.json`.
pub fn generation_config(bytes: &[u8]) {
    let config = tiny("config.json");
    let dir = directory(&[("config.json", &config), ("generation_config.json", bytes)]);
    let _ = ModelConfig::from_hf_json(&dir.path().join("config.json"));
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

/// The configuration of `inpo train-oracle`.
pub fn judge_training(bytes: &[u8]) {
    let dir = directory(&[("train.toml", bytes)]);
    let _ = JudgeTrainConfig::load(&dir.path().join("train.toml"), &[]);
}

/// The configuration of an oracle, and the oracle where it opens nothing.
pub fn oracle_config(bytes: &[u8]) {
    let dir = directory(&[("oracle.toml", bytes)]);
    if let Ok(config) = OracleConfig::read(&dir.path().join("oracle.toml"))
        && let OracleKind::Rules(_) | OracleKind::Instructions(_) = config.kind
        && let Ok(oracle) = config.init(&Surroundings::default())
    {
        ask(&oracle);
    }
}

fn ask(oracle: &Oracle) {
    let prompt = Prompt::user("What is 1 + 1?");
    let [first, second] = ["2, as everybody knows.", "I do not know"].map(Completion::finished);
    let (prompt, first, second) = (&prompt, &first, &second);
    let one = Comparison {
        prompt,
        first,
        second,
    };
    let _ = oracle.compare(&[one]);
}

/// The journal of a judge.
pub fn journal(bytes: &[u8]) {
    let (dir, specification) = (directory(&[]), serde_json::json!({"model": "m"}));
    let path = Journal::path_in(dir.path(), "judge", &specification);
    std::fs::write(path, bytes).expect("a small file");
    let _ = Journal::open(dir.path(), "judge", &specification);
}

/// Votes, and the oracle that they make.
pub fn votes(bytes: &[u8]) {
    let dir = directory(&[("votes.jsonl", bytes)]);
    if let Ok(votes) = read_votes(&dir.path().join("votes.jsonl")) {
        let _ = RecordedOracle::new(votes, MissingVote::Tie, "recorded".to_owned());
    }
}

/// Rows of instructions that a program can check, as those of IFEval.
pub fn instructions(bytes: &[u8]) {
    let dir = directory(&[("rows.jsonl", bytes)]);
    for row in read_rows(&dir.path().join("rows.jsonl"))
        .into_iter()
        .flatten()
    {
        let prompt = row.to_prompt(0);
        if let Ok(instructions) = Instructions::from_row(&prompt.metadata) {
            let response =
                "* One **two**.\n\nP.S. [name] \"Three\"! ***\n{\"a\": 1}\nIch bin hier. <<T>>";
            for mode in [InstructionMode::Strict, InstructionMode::Loose] {
                let _ = instructions.verdicts(response, mode);
            }
        }
    }
}

/// A judge's template: what it asks, and how it reads an answer.
pub fn judge_template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(template) = PairTemplate::parse("template", text) {
        let (prompt, labels) = (Prompt::user("a"), ["A", "B"].map(str::to_owned));
        let [first, second] = ["b", "c"].map(Completion::finished);
        let (prompt, first, second) = (&prompt, &first, &second);
        let _ = template.render(
            &Comparison {
                prompt,
                first,
                second,
            },
            &labels,
        );
        let _ = template.read("Both are good. [[A]] \n\n aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa [[C]]");
    }
}

/// The answer of the server that [`server_answers`] asks.
static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The address of a server on this machine that answers everything with [`ANSWER`].
fn server() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || drop(answer(&stream)));
            }
        });
        format!("http://{address}/v1")
    })
}

fn answer(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.is_empty() {
                break;
            }
        }
        reader.read_exact(&mut vec![0; length])?;
        let body = ANSWER
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)?;
    }
}

/// The answers of a server: samples, log-probs, and a judge's verdicts of every kind.
pub fn server_answers(bytes: &[u8]) {
    type Judges = (tempfile::TempDir, Vec<Oracle>);
    static JUDGES: OnceLock<Judges> = OnceLock::new();
    static MODELS: OnceLock<Vec<RemoteModel>> = OnceLock::new();
    let (_, judges) = JUDGES.get_or_init(|| {
        let settings = [
            "verdict = 'logprobs'",
            "verdict = 'choice'\nstructured = 'response_format'",
            "template = 'mt_bench'",
            "endpoint = 'generative_scoring'\nlabel_token_ids = [1, 2]",
            "endpoint = 'score'",
        ];
        let dir = directory(&[]);
        let path = dir.path().join("oracle.toml");
        let judges = settings.map(|settings| {
            let own = format!("kind = 'server'\nbase_url = '{}'\nmodel = 'm'\nmax_retries = 0\nretry_seconds = 0\n", server());
            std::fs::write(&path, own + settings).expect("a small file");
            let config = OracleConfig::read(&path).expect("good settings");
            config.init(&Surroundings::default()).expect("good settings")
        });
        (dir, judges.into())
    });
    let models = MODELS.get_or_init(|| {
        let model = |endpoint| {
            RemoteModel::new(RemoteConfig {
                endpoint,
                logprobs: true,
                token_ids: true,
                max_retries: 0,
                ..RemoteConfig::new(server(), "m")
            })
        };
        let models = [Endpoint::Chat, Endpoint::Completions].map(model);
        models
            .into_iter()
            .map(|model| model.expect("good settings"))
            .collect()
    });
    *ANSWER.lock().unwrap_or_else(PoisonError::into_inner) = bytes.to_vec();
    let config = GenerationConfig {
        num_generations: 2,
        max_new_tokens: 4,
        ..GenerationConfig::default()
    };
    let prompt = Prompt {
        token_ids: Some(vec![1, 2]),
        ..Prompt::user("a")
    };
    for model in models {
        let _ = model.sample(
            std::slice::from_ref(&prompt),
            &config,
            DrawKey::default(),
            &mut |_| {},
        );
        let _ = model.logps(&[Sequence::new(&[1, 2], &[3, 4])]);
    }
    judges.iter().for_each(ask);
}
