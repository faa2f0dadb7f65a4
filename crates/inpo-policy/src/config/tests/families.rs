//! Keys that only some families have.

use super::*;

/// The configuration of another family: `old_spelling` with the changes of `patch`, `null` taking a key away.
fn patched(model_type: &str, patch: Value) -> Value {
    let mut config = old_spelling();
    config["model_type"] = json!(model_type);
    let object = config.as_object_mut().unwrap();
    object.remove("architectures");
    if model_type.starts_with("gemma") {
        object.remove("hidden_act");
    }
    if model_type == "qwen2" {
        object.remove("attention_bias");
    }
    for (key, value) in patch.as_object().unwrap() {
        object.insert(key.clone(), value.clone());
    }
    config
}

fn of(model_type: &str, patch: Value) -> ModelConfig {
    read(&patched(model_type, patch)).unwrap()
}

fn refused(model_type: &str, patch: Value) -> String {
    let message = read(&patched(model_type, patch)).unwrap_err().to_string();
    message.split_once("config.json: ").unwrap().1.to_owned()
}

/// Windows: absent is the class's own, null is none, and a list of layer types rules.
#[test]
fn windows_belong_to_layers() {
    let windows = |config: ModelConfig| [config.window(0), config.window(1)];
    assert_eq!(windows(of("mistral", json!({}))), [Some(4096); 2]);
    assert_eq!(
        windows(of("mistral", json!({"sliding_window": null}))),
        [None; 2]
    );
    assert_eq!(windows(of("phi3", json!({}))), [None; 2]);
    assert_eq!(
        windows(of("phi3", json!({"sliding_window": 9}))),
        [Some(9); 2]
    );
    let qwen = json!({"sliding_window": 8, "max_window_layers": 1});
    assert_eq!(windows(of("qwen2", qwen)), [None; 2], "it is switched off");
    let qwen = json!({"sliding_window": 8, "max_window_layers": 1, "use_sliding_window": true});
    assert_eq!(windows(of("qwen3", qwen)), [None, Some(8)]);
    assert_eq!(windows(of("gemma2", json!({}))), [Some(4096), None]);
    let listed =
        json!({"sliding_window": 3, "layer_types": ["full_attention", "sliding_attention"]});
    assert_eq!(windows(of("gemma2", listed.clone())), [None, Some(3)]);
    assert_eq!(windows(of("gemma3_text", listed)), [None, Some(3)]);
    let pattern = json!({"sliding_window": 3, "sliding_window_pattern": 2});
    assert_eq!(windows(of("gemma3_text", pattern)), [Some(3), None]);
    let smollm = json!({
        "no_rope_layers": [1, 0], "use_sliding_window": true, "sliding_window": 5,
        "no_rope_layer_interval": 2, "max_window_layers": 28,
    });
    let smollm = of("smollm3", smollm);
    assert_eq!(windows(smollm.clone()), [None, Some(5)]);
    assert_eq!([smollm.rotates(0), smollm.rotates(1)], [true, false]);

    assert_eq!(
        refused("qwen2", json!({"layer_types": ["full_attention"]})),
        "`layer_types` is a list, but it must be a list of num_hidden_layers, 2, entries"
    );
    assert_eq!(
        refused(
            "qwen2",
            json!({"layer_types": ["full_attention", "sliding_attention"]})
        ),
        "`layer_types` is a list with \"sliding_attention\", but there is no window (`sliding_window`, `use_sliding_window`) for them"
    );
    assert_eq!(
        refused(
            "gemma2",
            json!({"layer_types": ["full_attention", "chunked_attention"]})
        ),
        "`layer_types` is a list with \"chunked_attention\", but only \"full_attention\" and \"sliding_attention\" are implemented"
    );
    assert_eq!(
        refused("mistral", json!({"sliding_window": 0})),
        "`sliding_window` is 0, but it must be at least 1, or null for no window"
    );
}

/// Gemma's caps: absent is the class's own, null is none.
#[test]
fn caps_and_scales_are_gemmas() {
    let caps = |config: &ModelConfig| {
        (
            config.attn_logit_softcapping,
            config.final_logit_softcapping,
        )
    };
    let gemma = of("gemma2", json!({}));
    assert_eq!(caps(&gemma), (Some(50.0), Some(30.0)));
    assert_eq!(gemma.query_pre_attn_scalar, Some(256.0));
    assert_eq!(gemma.attention_scale(), 1.0 / 16.0);
    assert_eq!(
        (gemma.head_dim, gemma.activation),
        (256, Activation::GeluTanh)
    );
    let none = json!({"attn_logit_softcapping": null, "final_logit_softcapping": null});
    assert_eq!(caps(&of("gemma2", none)), (None, None));
    assert_eq!(caps(&of("gemma3_text", json!({}))), (None, None));
    assert_eq!(
        refused("gemma3_text", json!({"attn_logit_softcapping": 50.0})),
        "`attn_logit_softcapping` is 50, but transformers does not cap the scores of Gemma 3, so it must be null"
    );
    assert_eq!(
        refused("gemma2", json!({"final_logit_softcapping": -1.0})),
        "`final_logit_softcapping` is -1, but it must be positive and finite"
    );
    assert_eq!(
        refused("gemma2", json!({"hidden_act": "silu"})),
        "`hidden_act` is another function than `hidden_activation`, but the two must agree; remove the wrong one"
    );
}

#[test]
fn biases_are_where_the_class_has_them() {
    let biases = |config: ModelConfig| {
        let ModelConfig {
            attention_bias,
            attention_output_bias,
            mlp_bias,
            ..
        } = config;
        [attention_bias, attention_output_bias, mlp_bias]
    };
    let both = json!({"attention_bias": true, "mlp_bias": true});
    assert_eq!(biases(of("llama", both)), [true, true, true]);
    assert_eq!(biases(of("qwen2", json!({}))), [true, false, false]);
    assert_eq!(
        biases(of("qwen3", json!({"attention_bias": true}))),
        [true, true, false]
    );
    assert_eq!(
        refused("mistral", json!({"attention_bias": true})),
        "`attention_bias` is true, but only false is implemented"
    );
    assert_eq!(
        refused("qwen2", json!({"mlp_bias": true})),
        "`mlp_bias` is true, but only false is implemented"
    );
}

/// Gemma 3's two bases, in transformers 4's spelling and in transformers 5's.
#[test]
fn two_bases_in_both_spellings() {
    let old = json!({
        "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    });
    let new = json!({
        "rope_theta": null, "rope_scaling": null,
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    });
    let config = of("gemma3_text", old);
    assert_eq!(config.rope_theta, 1e6);
    assert_eq!(config.rope_scaling, RopeScaling::Linear { factor: 8.0 });
    let local = RopeParameters {
        theta: 10_000.0,
        scaling: RopeScaling::None,
    };
    assert_eq!(config.local_rope, Some(local));
    assert_eq!(of("gemma3_text", new.clone()), config);
    let mut clash = new;
    clash["rope_theta"] = json!(5000.0);
    assert_eq!(
        refused("gemma3_text", clash),
        "`rope_theta` is another one than in `rope_parameters`, but the two spellings must agree; remove the wrong one"
    );
    assert_eq!(
        refused("llama", json!({"rope_local_base_freq": 10000.0})),
        "unknown config key `rope_local_base_freq` that could change arithmetic; remove it if it does not, or use a model without it"
    );
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
        refused("phi3", json!({"rope_scaling": {"type": "yarn"}})),
        "`rope_scaling.rope_type` is \"yarn\", but the long rotary positions of Phi-3 are not implemented; use a model with the plain context"
    );
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
