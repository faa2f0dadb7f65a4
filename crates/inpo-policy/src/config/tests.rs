use serde_json::{Value, json};

use super::*;

use crate::error::PolicyError;

mod families;

/// A configuration in transformers 4's spelling.
fn old_spelling() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "vocab_size": 100, "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 6, "num_key_value_heads": 3, "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "rope_scaling": null,
        "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": null,
        "attention_bias": false, "mlp_bias": false, "torch_dtype": "bfloat16",
        "transformers_version": "4.46.0", "use_cache": true, "initializer_range": 0.02,
    })
}

fn read(value: &Value) -> Result<ModelConfig, PolicyError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, value.to_string()).unwrap();
    ModelConfig::from_hf_json(&path)
}

/// The message of the configuration with `key` set to `value`, without the directory.
fn refusal(key: &str, value: Value) -> String {
    let mut config = old_spelling();
    config[key] = value;
    let message = read(&config).unwrap_err().to_string();
    message
        .split_once("config.json: ")
        .expect("the file is named")
        .1
        .to_owned()
}

#[test]
fn reads_the_old_spelling() {
    let expected = ModelConfig {
        vocab_size: 100,
        hidden_size: 24,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 6,
        num_key_value_heads: 3,
        head_dim: 4, // 24 / 6
        max_position_embeddings: 64,
        rms_norm_eps: 1e-5,
        rope_theta: 500_000.0,
        rope_scaling: RopeScaling::None,
        tie_word_embeddings: true,
        bos_token_id: Some(1),
        eos_token_ids: vec![2],
        pad_token_id: None,
        ..ModelConfig::default()
    };
    assert_eq!(read(&old_spelling()).unwrap(), expected);
}

#[test]
fn reads_the_new_spelling() {
    let mut new = old_spelling();
    let object = new.as_object_mut().unwrap();
    object.remove("rope_theta");
    object.remove("rope_scaling");
    object.remove("torch_dtype");
    object.insert("dtype".into(), json!("float32"));
    object.insert(
        "rope_parameters".into(),
        json!({"rope_theta": 500000.0, "rope_type": "default"}),
    );
    assert_eq!(read(&new).unwrap(), read(&old_spelling()).unwrap());
}

#[test]
fn reads_llama3_and_linear_scaling() {
    let llama3 = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    });
    let expected = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    let mut config = old_spelling();
    config["rope_scaling"] = llama3.clone();
    assert_eq!(read(&config).unwrap().rope_scaling, expected);

    config["rope_scaling"] = Value::Null;
    config["rope_parameters"] = llama3;
    assert_eq!(read(&config).unwrap().rope_scaling, expected);
    assert_eq!(
        read(&config).unwrap().rope_theta,
        500_000.0,
        "the outer base still counts"
    );

    config["rope_parameters"] = Value::Null;
    config["rope_scaling"] = json!({"type": "linear", "factor": 2});
    assert_eq!(
        read(&config).unwrap().rope_scaling,
        RopeScaling::Linear { factor: 2.0 }
    );
}

#[test]
fn unites_the_end_tokens_of_both_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, old_spelling().to_string()).unwrap();
    std::fs::write(
        dir.path().join("generation_config.json"),
        r#"{"eos_token_id": [7, 2]}"#,
    )
    .unwrap();
    assert_eq!(
        ModelConfig::from_hf_json(&path).unwrap().eos_token_ids,
        [2, 7]
    );
}

#[test]
fn what_is_written_reads_back() {
    let mut config = read(&old_spelling()).unwrap();
    assert_eq!(read(&config.to_hf_json()).unwrap(), config);
    config.rope_scaling = RopeScaling::Llama3 {
        factor: 32.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    config.eos_token_ids = vec![2, 7];
    config.head_dim = 8;
    assert_eq!(read(&config.to_hf_json()).unwrap(), config);
}

#[test]
fn refuses_what_could_change_arithmetic() {
    assert_eq!(
        refusal("logit_scale", json!(0.5)),
        "unknown config key `logit_scale` that could change arithmetic; remove it if it does not, or use a model without it"
    );
    assert_eq!(
        refusal("use_mrope", json!(true)),
        "`use_mrope` is true, but only false is implemented"
    );
    assert_eq!(
        refusal("hidden_act", json!("gelu")),
        "`hidden_act` is \"gelu\", but only \"silu\" and \"gelu_pytorch_tanh\" are implemented"
    );
    assert_eq!(
        refusal("model_type", json!("mamba")),
        "`model_type` is \"mamba\", but only \"llama\", \"mistral\", \"qwen2\", \"qwen3\", \"gemma2\", \"gemma3_text\", \"phi3\" and \"smollm3\" are implemented"
    );
    assert_eq!(
        refusal("model_type", json!("gemma3")),
        "`model_type` is \"gemma3\", but that is Gemma 3 with images, and only its text models (\"gemma3_text\") are implemented"
    );
    assert_eq!(
        refusal("architectures", json!(["LlamaForTokenClassification"])),
        "`architectures` is \"LlamaForTokenClassification\", but only classes that end in \"ForCausalLM\" or \"ForSequenceClassification\" are implemented"
    );
    assert_eq!(
        refusal(
            "rope_scaling",
            json!({"rope_type": "dynamic", "factor": 4.0})
        ),
        "`rope_scaling.rope_type` is \"dynamic\", but only \"default\", \"linear\", \"llama3\" and \"yarn\" are implemented"
    );
    // A window means nothing to Llama's class, which would ignore it.
    assert_eq!(
        refusal("sliding_window", json!(7)),
        "unknown config key `sliding_window` that could change arithmetic; remove it if it does not, or use a model without it"
    );
    assert_eq!(
        refusal(
            "rope_scaling",
            json!({"rope_type": "linear", "factor": 4.0, "mscale": 1.0})
        ),
        "unknown config key `rope_scaling.mscale` that could change arithmetic; remove it if it does not, or use a model without it"
    );
    assert_eq!(
        refusal(
            "rope_parameters",
            json!({"rope_type": "default", "rope_theta": 10000.0})
        ),
        "`rope_theta` is 500000, but the rotary scaling says 10000; the two must agree, remove the wrong one"
    );
}

#[test]
fn refuses_sizes_that_do_not_fit() {
    assert_eq!(
        refusal("num_key_value_heads", json!(4)),
        "`num_key_value_heads` is 4, but it must divide num_attention_heads, 6"
    );
    assert_eq!(
        refusal("head_dim", json!(5)),
        "`head_dim` is 5, but it must be even, for rotary pairs"
    );
    assert_eq!(
        refusal("vocab_size", json!(0)),
        "`vocab_size` is 0, but it must be from 1 to 1073741824"
    );
    assert_eq!(
        refusal("num_attention_heads", json!(0)),
        "`num_attention_heads` is 0, but it must be from 1 to 1073741824"
    );
    assert_eq!(
        refusal("vocab_size", json!(-3)),
        "`vocab_size` is -3, but it must be a whole number"
    );
    assert_eq!(
        refusal("eos_token_id", json!(100)),
        "`eos_token_id` is 100, but ids must be below vocab_size, 100"
    );
    assert_eq!(
        refusal("rms_norm_eps", json!(0.0)),
        "`rms_norm_eps` is 0, but it must be positive and finite"
    );
    assert_eq!(
        refusal("hidden_size", Value::Null),
        "the key `hidden_size` is missing; the model cannot be built without it"
    );
}

#[test]
fn refuses_files_that_are_not_configurations() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let missing = ModelConfig::from_hf_json(&path).unwrap_err().to_string();
    assert!(
        missing.starts_with("cannot read ") && missing.contains("config.json"),
        "{missing}"
    );
    std::fs::write(&path, "{").unwrap();
    let broken = ModelConfig::from_hf_json(&path).unwrap_err().to_string();
    assert!(
        broken.contains("config.json is not the JSON expected: EOF while parsing"),
        "{broken}"
    );
    std::fs::write(&path, "[]").unwrap();
    let list = ModelConfig::from_hf_json(&path).unwrap_err().to_string();
    assert!(list.contains("an object is expected at the top"), "{list}");
}
