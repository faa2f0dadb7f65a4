use serde_json::{Value, json};

use super::*;

use crate::error::PolicyError;

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

/// The configuration of another family: `old_spelling` without the keys that not all families have, and with those of
/// `patch`.
fn patched(model_type: &str, patch: Value) -> Value {
    let mut config = old_spelling();
    config["model_type"] = json!(model_type);
    let object = config.as_object_mut().unwrap();
    for key in ["architectures", "attention_bias"] {
        object.remove(key);
    }
    if let Some(family) = Family::of_model_type(model_type)
        && family.spec().activation_key != "hidden_act"
    {
        object.remove("hidden_act");
    }
    for (key, value) in patch.as_object().unwrap() {
        object.insert(key.clone(), value.clone());
    }
    config
}

/// The model of a family whose configuration has the keys of `patch`.
pub(crate) fn of(model_type: &str, patch: Value) -> ModelConfig {
    read(&patched(model_type, patch)).unwrap()
}

/// The message with which [`of`] is refused, without the directory.
pub(crate) fn refused(model_type: &str, patch: Value) -> String {
    let message = read(&patched(model_type, patch)).unwrap_err().to_string();
    message.split_once("config.json: ").unwrap().1.to_owned()
}

/// The windows of both layers.
pub(crate) fn windows(config: &ModelConfig) -> [Option<usize>; 2] {
    [config.window(0), config.window(1)]
}

/// The caps of scores and logits.
pub(crate) fn caps(config: &ModelConfig) -> (Option<f64>, Option<f64>) {
    (
        config.attn_logit_softcapping,
        config.final_logit_softcapping,
    )
}

/// Whether there are biases before attention, behind it and in the feed-forward layer.
pub(crate) fn biases(config: &ModelConfig) -> [bool; 3] {
    [
        config.attention_bias,
        config.attention_output_bias,
        config.mlp_bias,
    ]
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
    let generation = dir.path().join("generation_config.json");
    std::fs::write(&generation, r#"{"eos_token_id": [2, 100]}"#).unwrap();
    let error = ModelConfig::from_hf_json(&path).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "{}: `eos_token_id` is 100, but ids must be below vocab_size, 100",
            generation.display()
        )
    );
}

/// -1 is how llama.cpp and some directories say that there is no such token.
#[test]
fn an_id_of_minus_one_is_none() {
    let none = json!({"pad_token_id": -1, "bos_token_id": -1, "eos_token_id": [-1, 2]});
    let config = of("llama", none);
    assert_eq!((config.pad_token_id, config.bos_token_id), (None, None));
    assert_eq!(config.eos_token_ids, [2]);
    assert_eq!(
        refused("llama", json!({"pad_token_id": -2})),
        "`pad_token_id` is -2, but it must be a token id or a list of token ids"
    );
}

/// Keys of published directories that transformers' classes do not read.
#[test]
fn keys_that_nothing_reads_are_ignored() {
    let yarn = json!({"type": "yarn", "factor": 4.0, "finetuned": true});
    for (family, keys) in [
        (
            "llama",
            json!({"activation": "swiglu", "_model_name_or_path": "x", "unk_token_id": 0}),
        ),
        (
            "llama",
            json!({"max_sequence_length": 8, "_flash_attn_2_enabled": true}),
        ),
        ("llama", json!({"rope_scaling": yarn})),
        ("gemma2", json!({"sliding_window_size": 4096})),
    ] {
        let mut plain = keys.clone();
        let object = plain.as_object_mut().unwrap();
        object.retain(|key, _| key == "rope_scaling");
        for value in object.values_mut() {
            value.as_object_mut().unwrap().remove("finetuned");
        }
        assert_eq!(of(family, keys), of(family, plain));
    }
    assert!(refused("qwen2", json!({"activation": "swiglu"})).contains("unknown config key"));
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

/// The attention factor of YaRN: 0.1 ln 4 + 1 where nothing is said, and DeepSeek's quotient
/// (0.1 ln 4 + 1) / (0.08 ln 4 + 1).
#[test]
fn yarn_has_its_factor() {
    let yarn = |more: Value| {
        let mut scaling = json!({"rope_type": "yarn", "factor": 4.0});
        let object = scaling.as_object_mut().unwrap();
        object.extend(more.as_object().unwrap().clone());
        match of("llama", json!({"rope_scaling": scaling})).rope_scaling {
            RopeScaling::Yarn {
                attention_factor,
                beta_fast,
                original_max_position_embeddings,
                truncate,
                ..
            } => (
                attention_factor,
                beta_fast,
                original_max_position_embeddings,
                truncate,
            ),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(yarn(json!({})), (1.138_629_436_111_989, 32.0, 64, true));
    let given = json!({"attention_factor": 0.5, "beta_fast": 8, "truncate": false});
    assert_eq!(yarn(given), (0.5, 8.0, 64, false));
    let (factor, _, original, _) = yarn(json!({
        "mscale": 1.0, "mscale_all_dim": 0.8, "original_max_position_embeddings": 16,
    }));
    assert!((factor - 1.138_629_436_111_989 / 1.110_903_548_889_591_2).abs() < 1e-15);
    assert_eq!(original, 16);
    assert_eq!(
        refused(
            "llama",
            json!({"rope_scaling": {"type": "yarn", "factor": 0.5}})
        ),
        "`rope_scaling.factor` is 0.5, but it must be at least 1"
    );
}

#[test]
fn classifiers_are_told_by_their_class() {
    let classifier = json!({"architectures": ["Qwen2ForSequenceClassification"]});
    assert!(of("qwen2", classifier).classifier);
    assert!(!of("llama", json!({})).classifier);
}
