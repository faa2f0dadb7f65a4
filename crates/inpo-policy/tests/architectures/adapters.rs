//! PEFT adapters on every architecture.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor};
use inpo_policy::{LoraConfig, Policy};

use crate::setup::{checkpoints, fixture, largest_gap, load};

/// Adds 0.05 to every trainable parameter: the adapters.
struct Nudge;

impl ModuleMapper for Nudge {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if param.val().is_require_grad() {
            param.map(|tensor| Tensor::from_inner(tensor.inner().add_scalar(0.05)).require_grad())
        } else {
            param
        }
    }
}

pub(crate) fn trained(base: &Policy, config: &LoraConfig) -> Policy {
    let adapted = base.clone().with_adapters(config, 1).unwrap();
    let decoder = adapted.decoder().clone().train().map(&mut Nudge);
    adapted.with_decoder(&decoder)
}

/// Saved, read again and merged, adapters give the same log-probs, and off they give the base's.
#[test]
fn adapters_travel_and_merge_on_every_architecture() {
    let config = LoraConfig {
        rank: 3,
        alpha: 6.0,
        ..LoraConfig::default()
    };
    for (name, expected) in checkpoints(false) {
        let base = load(&name);
        let (sequences, _) = expected.sequences();
        let before = base.logps(&sequences).unwrap();
        let policy = trained(&base, &config);
        let logps = policy.logps(&sequences).unwrap();
        assert!(
            largest_gap(&logps, &before) > 1e-3,
            "{name}: training moved it"
        );
        assert_eq!(policy.reference().logps(&sequences).unwrap(), before);

        let dir = tempfile::tempdir().unwrap();
        policy.save("base", dir.path()).unwrap();
        let loaded = base.clone().with_saved_adapters(dir.path()).unwrap();
        assert_eq!(loaded.lora(), policy.lora(), "{name}");
        assert_eq!(loaded.logps(&sequences).unwrap(), logps, "{name}");

        let merged = policy.merged();
        assert!(merged.lora().is_none());
        let gap = largest_gap(&merged.logps(&sequences).unwrap(), &logps);
        assert!(gap < 1e-4, "{name}: {gap}");
        let whole = tempfile::tempdir().unwrap();
        policy
            .save_whole(whole.path(), &Default::default())
            .unwrap();
        let loaded = Policy::load(whole.path(), &Device::flex()).unwrap();
        let again = loaded.logps(&sequences).unwrap();
        assert_eq!(again.len(), logps.len());
        assert!(largest_gap(&again, &logps) < 1e-4, "{name}");
    }
}

/// All seven names on a model with fused projections are its four; a part of a fused one is refused.
#[test]
fn fused_projections_have_one_adapter() {
    let base = load("phi3");
    let policy = trained(&base, &LoraConfig::default());
    let modules = policy.lora().unwrap().target_modules.clone();
    assert_eq!(
        modules,
        ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"].into()
    );
    let dir = tempfile::tempdir().unwrap();
    policy.save("base", dir.path()).unwrap();
    let bytes = std::fs::read(dir.path().join("adapter_model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let shape = |name: &str| {
        let name = format!("base_model.model.model.layers.1.{name}.weight");
        file.tensor(&name).unwrap().shape().to_vec()
    };
    // Four query heads and twice two key heads of width 4; hidden 16, intermediate 24.
    assert_eq!(shape("self_attn.qkv_proj.lora_A"), [16, 16]);
    assert_eq!(shape("self_attn.qkv_proj.lora_B"), [32, 16]);
    assert_eq!(shape("mlp.gate_up_proj.lora_B"), [48, 16]);
    assert_eq!(file.len(), 2 * 4 * 2);

    let refusal = |base: &Policy, name: &str| {
        let config = LoraConfig {
            target_modules: [name].into(),
            ..LoraConfig::default()
        };
        base.clone()
            .with_adapters(&config, 0)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refusal(&base, "q_proj"),
        "`policy.lora.target_modules` is q_proj; allowed: the projections of this model: qkv_proj, \
         o_proj, gate_up_proj, down_proj"
    );
    assert_eq!(
        refusal(&load("qwen2"), "qkv_proj"),
        "`policy.lora.target_modules` is qkv_proj; allowed: the projections of this model: q_proj, \
         k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"
    );
}

/// What PEFT wrote, for fused projections, for all of them and in bf16 with rsLoRA, gives what PEFT computes.
#[test]
fn adapters_of_peft_are_read() {
    let mut read = 0;
    for (name, expected) in checkpoints(false) {
        let Some(adapter) = &expected.adapter else {
            continue;
        };
        let (sequences, before) = expected.sequences();
        let dir = fixture(&name).join("adapter");
        let policy = load(&name).with_saved_adapters(&dir).unwrap();
        let logps = policy.logps(&sequences).unwrap();
        let gap = largest_gap(&logps, &adapter.token_logps);
        assert!(gap < 2e-4, "{name}: {gap}");
        assert!(
            largest_gap(&logps, &before) > 0.1,
            "{name}: the adapter counts"
        );
        read += 1;
    }
    assert_eq!(read, 3);
}

/// A bias that is trained beside the adapters is no matter where the model has none, and refused where it has one.
#[test]
fn a_trained_bias_is_refused_where_the_model_has_one() {
    let from = fixture("llama_biases").join("adapter");
    let text = std::fs::read_to_string(from.join("adapter_config.json")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let weights = "adapter_model.safetensors";
    std::fs::copy(from.join(weights), dir.path().join(weights)).unwrap();
    for kind in ["all", "lora_only"] {
        let bias = format!("\"bias\": \"{kind}\"");
        let path = dir.path().join("adapter_config.json");
        std::fs::write(&path, text.replace("\"bias\": \"none\"", &bias)).unwrap();
        let refused = load("llama_biases").with_saved_adapters(dir.path());
        let error = refused.unwrap_err().to_string();
        let module = if kind == "all" { "q_proj" } else { "k_proj" };
        let expected = format!(
            "{}: `bias` is not \"none\", but the model has a bias (of model.layers.0.self_attn.{module}), and PEFT replaces it; add the adapter to the weights",
            path.display()
        );
        assert!(error.starts_with(&expected), "{error}");
    }
}
