//! The packaged model through the resolver: weights, tokenizer and prompts against fixtures that
//! other programs made (`fixtures/SOURCES.md`).

use std::path::Path;

use inpo_data::Message;
use inpo_hub::{HubError, find};
use inpo_policy::config::{ModelConfig, RopeScaling};
use inpo_policy::files::ModelFiles;
use inpo_policy::tokenizer::TextCodec;
use serde::Deserialize;

const MODEL: &str = "smollm2-135m-instruct";

/// The model; `None`, reported, where `INPO_OFFLINE=1` forbids fetching it.
fn model() -> Option<ModelFiles> {
    match find(MODEL) {
        Ok(path) => Some(ModelFiles::open(&path).unwrap()),
        Err(error @ HubError::Offline { .. }) => {
            eprintln!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn fixture<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn hyper_parameters() {
    let Some(model) = model() else { return };
    let expected = ModelConfig {
        vocab_size: 49152,
        hidden_size: 576,
        intermediate_size: 1536,
        num_hidden_layers: 30,
        num_attention_heads: 9,
        num_key_value_heads: 3,
        head_dim: 64,
        max_position_embeddings: 8192,
        rms_norm_eps: 1e-5,
        rope_theta: 100_000.0,
        rope_scaling: RopeScaling::None,
        tie_word_embeddings: true,
        bos_token_id: Some(1),
        eos_token_ids: vec![2],
        pad_token_id: Some(2),
        ..ModelConfig::default()
    };
    assert_eq!(model.config, expected);
    assert_eq!(model.weights.names().len(), 272);
    // The published digest of the file.
    let digest = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
    assert_eq!(model.weights.identity().unwrap(), digest);
}

#[test]
fn weights_are_those_of_another_reader() {
    #[derive(Deserialize)]
    struct Case {
        name: String,
        shape: Vec<usize>,
        at: Vec<usize>,
        values: Vec<f32>,
        sum: f64,
        weighted_sum: f64,
    }
    let Some(model) = model() else { return };
    let cases: Vec<Case> = fixture("smollm2_weights.json");
    assert_eq!(cases.len(), 11);
    for case in cases {
        let tensor = model.weights.load(&case.name).unwrap();
        assert_eq!(tensor.shape, case.shape, "{}", case.name);
        let values: Vec<f32> = case.at.iter().map(|i| tensor.data[*i]).collect();
        assert_eq!(values, case.values, "{}", case.name);
        let sum: f64 = tensor.data.iter().map(|x| f64::from(*x)).sum();
        let weighted: f64 = tensor
            .data
            .iter()
            .enumerate()
            .map(|(i, x)| f64::from(*x) * (i % 1009) as f64)
            .sum();
        // Both sum in f64; only the order of the additions differs.
        assert!(
            (sum - case.sum).abs() < 1e-6,
            "{}: {sum}, {}",
            case.name,
            case.sum
        );
        assert!(
            (weighted - case.weighted_sum).abs() < 1e-4,
            "{}: {weighted}",
            case.name
        );
    }
}

#[test]
fn tokenizer_cases_are_exact() {
    #[derive(Deserialize)]
    struct Case {
        text: String,
        ids: Vec<u32>,
    }
    let Some(model) = model() else { return };
    let codec = model.require_tokenizer().unwrap();
    let cases: Vec<Case> = fixture("smollm2_tokenizer_cases.json");
    assert_eq!(cases.len(), 15);
    for case in &cases {
        assert_eq!(
            codec.encode(&case.text).unwrap(),
            case.ids,
            "{:?}",
            case.text
        );
        if !case.text.contains("<|") {
            assert_eq!(codec.decode(&case.ids).unwrap(), case.text);
        }
    }
    assert_eq!(codec.vocab_size(), 49152);
    assert_eq!(codec.token_to_id("<|im_end|>"), Some(2));
    // The digest of the reference tokenizer, which was compared with llama.cpp on 592 texts.
    let digest = "2225e8fb36485529d3c826106f8bec359b719a6bcc3f5d6314a834c7be153905";
    assert_eq!(codec.tokenizer_hash(), digest);
}

#[derive(Deserialize)]
struct LogProbs {
    cases: Vec<LogProbCase>,
}

#[derive(Deserialize)]
struct LogProbCase {
    user: String,
    response: String,
    prompt: String,
    prompt_ids: Vec<u32>,
    response_ids: Vec<u32>,
}

#[test]
fn prompts_and_responses_have_the_reference_ids() {
    let Some(model) = model() else { return };
    let codec = model.require_tokenizer().unwrap();
    assert_eq!(codec.end_of_turn(), Some(2));
    let reference: LogProbs = fixture("smollm2_logprobs.json");
    assert_eq!(reference.cases.len(), 6);
    for case in reference.cases {
        let messages = [Message::user(&case.user)];
        assert_eq!(codec.render_prompt(&messages).unwrap(), case.prompt);
        assert_eq!(codec.encode_prompt(&messages).unwrap(), case.prompt_ids);
        let mut response = codec.encode(&case.response).unwrap();
        response.extend(codec.end_of_turn());
        assert_eq!(response, case.response_ids);
        assert_eq!(codec.decode(&response).unwrap(), case.response);
    }
}

#[test]
fn a_system_message_replaces_the_default_one() {
    let Some(model) = model() else { return };
    let codec = model.require_tokenizer().unwrap();
    let prompt = codec
        .render_prompt(&[Message::system("Be brief."), Message::user("Hi")])
        .unwrap();
    assert_eq!(
        prompt,
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn the_tokenizer_survives_saving() {
    let Some(model) = model() else { return };
    let codec = model.require_tokenizer().unwrap();
    let dir = tempfile::tempdir().unwrap();
    codec.save(dir.path()).unwrap();
    let read = TextCodec::from_file(&dir.path().join("tokenizer.json")).unwrap();
    assert_eq!(read.tokenizer_hash(), codec.tokenizer_hash());
    assert_eq!(read.template_hash(), codec.template_hash());
    assert_eq!(read.end_of_turn(), Some(2));
    let messages = [Message::user("Problem\n2\n\n2 kids")];
    assert_eq!(
        read.encode_prompt(&messages).unwrap(),
        codec.encode_prompt(&messages).unwrap()
    );
}
