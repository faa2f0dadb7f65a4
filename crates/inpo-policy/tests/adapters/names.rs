//! Fresh adapters by PEFT's names of settings and modules.

use inpo_policy::LoraConfig;
use inpo_policy::lora::Modules;

use crate::peft::base;

fn read(json: serde_json::Value) -> LoraConfig {
    serde_json::from_value(json).unwrap()
}

#[test]
fn peft_spellings_are_read() {
    let config = read(serde_json::json!({
        "r": 4, "lora_alpha": 8, "lora_dropout": 0.25, "target_modules": "all-linear",
        "layers_to_transform": 1, "rank_pattern": {"q_proj": 2},
    }));
    assert_eq!((config.rank, config.alpha, config.dropout), (4, 8.0, 0.25));
    assert_eq!(config.target_modules, Modules::Pattern("all-linear".into()));
    assert_eq!(config.layers_to_transform, [1]);
    // What is off is not written: the configuration of an older run is the same text.
    let text = serde_json::to_string(&LoraConfig::default()).unwrap();
    assert!(text.starts_with("{\"rank\":16,\"alpha\":32.0,\"use_rslora\":false"));
    assert!(text.ends_with("\"down_proj\"]}"), "{text}");
}

/// How many matrices the rules give adapters, of two layers with seven projections, and the least rank.
#[test]
fn fresh_adapters_follow_the_rules() {
    for (settings, matrices, rank) in [
        (serde_json::json!({"target_modules": "all-linear"}), 28, 16),
        (
            serde_json::json!({"target_modules": ["q_proj", "model.layers.1.mlp.up_proj"]}),
            6,
            16,
        ),
        (
            serde_json::json!({"target_modules": r".*\.1\..*_proj", "exclude_modules": ["o_proj"]}),
            12,
            16,
        ),
        (
            serde_json::json!({"layers_to_transform": [0], "rank_pattern": {r"layers\.0\..*q_proj": 2}}),
            14,
            2,
        ),
    ] {
        let policy = base().with_adapters(&read(settings.clone()), 1).unwrap();
        let dir = tempfile::tempdir().unwrap();
        policy.save("base", dir.path()).unwrap();
        let bytes = std::fs::read(dir.path().join("adapter_model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.len(), matrices, "{settings}");
        let tensors = file.tensors().into_iter();
        let ranks = tensors.filter(|(name, _)| name.contains("lora_A"));
        let least = ranks.map(|(_, view)| view.shape()[0]).min();
        assert_eq!(least, Some(rank), "{settings}");
        let again = base().with_saved_adapters(dir.path()).unwrap();
        assert_eq!(again.digest(), policy.digest(), "{settings}");
    }
}

/// In a configuration of one's own a name that the model lacks is a slip.
#[test]
fn names_that_the_model_lacks_are_refused() {
    for (targets, got) in [
        (
            serde_json::json!(["q_proj", "model.layers.2.self_attn.q_proj"]),
            "model.layers.2.self_attn.q_proj",
        ),
        (serde_json::json!(["q_proj", "attn.q_proj"]), "attn.q_proj"),
        (serde_json::json!(".*query"), "\".*query\""),
    ] {
        let config = read(serde_json::json!({"target_modules": targets}));
        let error = base().with_adapters(&config, 0).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "`policy.lora.target_modules` is {got}; allowed: the projections of this model: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"
            )
        );
    }
}
