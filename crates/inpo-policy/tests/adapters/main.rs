//! LoRA adapters: off is the reference, and files travel in PEFT's layout.

mod names;
mod peft;

use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor};
use inpo_policy::lora::LoraConfig;
use inpo_policy::{Policy, Sequence};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn config() -> LoraConfig {
    LoraConfig {
        rank: 4,
        alpha: 8.0,
        target_modules: ["q_proj", "down_proj"].into(),
        ..LoraConfig::default()
    }
}

fn sequences() -> Vec<Sequence> {
    vec![
        Sequence::new(&[3, 4], &[5, 6, 7, 8, 9]),
        Sequence::new(&[10], &[11, 12]),
    ]
}

fn sums(policy: &Policy) -> Vec<f64> {
    let logps = policy.logps(&sequences()).unwrap();
    logps.iter().map(|row| row.iter().sum()).collect()
}

/// Adds 0.1 to every trainable parameter: the adapters.
struct Nudge;

impl ModuleMapper for Nudge {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if param.val().is_require_grad() {
            param.map(|tensor| Tensor::from_inner(tensor.inner().add_scalar(0.1)).require_grad())
        } else {
            param
        }
    }
}

#[test]
fn fresh_adapters_change_nothing_and_switched_off_ones_are_the_reference() {
    let base = Policy::load(&fixture("tiny_llama_tied"), &Device::flex()).unwrap();
    let before = sums(&base);
    let adapted = base.clone().with_adapters(&config(), 1).unwrap();
    assert_eq!(sums(&adapted), before);
    let trained = adapted.decoder().clone().train().map(&mut Nudge);
    let trained = adapted.with_decoder(&trained);
    assert!(
        (sums(&trained)[0] - before[0]).abs() > 1e-3,
        "training moved the policy"
    );
    assert_eq!(sums(&trained.reference()), before);
    assert_ne!(trained.digest(), adapted.digest());
    assert_eq!(trained.reference().digest(), base.digest());
}

#[test]
fn adapters_come_back_from_their_files() {
    let base = Policy::load(&fixture("tiny_llama_tied"), &Device::flex()).unwrap();
    let adapted = base.clone().with_adapters(&config(), 1).unwrap();
    let trained = adapted.decoder().clone().train().map(&mut Nudge);
    let trained = adapted.with_decoder(&trained);
    let dir = tempfile::tempdir().unwrap();
    trained.save("some/base", dir.path()).unwrap();

    let settings = std::fs::read(dir.path().join("adapter_config.json")).unwrap();
    let settings: serde_json::Value = serde_json::from_slice(&settings).unwrap();
    assert_eq!(settings["peft_type"], "LORA");
    assert_eq!(settings["base_model_name_or_path"], "some/base");
    assert_eq!(
        (&settings["r"], &settings["lora_alpha"]),
        (&4.into(), &8.0.into())
    );

    // PEFT's names and shapes: A [rank, in], B [out, rank]; hidden 32, intermediate 64, two layers.
    let bytes = std::fs::read(dir.path().join("adapter_model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.len(), 8);
    let shape = |name: &str| {
        let name = format!("base_model.model.model.layers.1.{name}.weight");
        file.tensor(&name).unwrap().shape().to_vec()
    };
    assert_eq!(shape("self_attn.q_proj.lora_A"), [4, 32]);
    assert_eq!(shape("self_attn.q_proj.lora_B"), [32, 4]);
    assert_eq!(shape("mlp.down_proj.lora_A"), [4, 64]);
    assert_eq!(shape("mlp.down_proj.lora_B"), [32, 4]);

    let loaded = base.with_saved_adapters(dir.path()).unwrap();
    assert_eq!(loaded.lora(), Some(&config()));
    assert_eq!(sums(&loaded), sums(&trained));
    assert_eq!(loaded.digest(), trained.digest());
}

/// rsLoRA divides by the root of the rank: alpha 8 at rank 4 is a scale of 4, that of alpha 16 without it. PEFT's
/// key says so in the file.
#[test]
fn rs_lora_divides_by_the_root_of_the_rank() {
    let base = Policy::load(&fixture("tiny_llama_tied"), &Device::flex()).unwrap();
    let trained = |config: &LoraConfig| {
        let adapted = base.clone().with_adapters(config, 1).unwrap();
        let decoder = adapted.decoder().clone().train().map(&mut Nudge);
        adapted.with_decoder(&decoder)
    };
    let stabilised = LoraConfig {
        use_rslora: true,
        dropout: 0.25,
        ..config()
    };
    assert_eq!((config().scale(), stabilised.scale()), (2.0, 4.0));
    let policy = trained(&stabilised);
    let doubled = LoraConfig {
        alpha: 16.0,
        ..config()
    };
    assert_eq!(sums(&policy), sums(&trained(&doubled)));
    assert_ne!(sums(&policy), sums(&trained(&config())));
    // The matrices are the same in all three: the digest knows the scale.
    assert_eq!(policy.digest(), trained(&doubled).digest());
    assert_ne!(policy.digest(), trained(&config()).digest());

    let dir = tempfile::tempdir().unwrap();
    policy.save("base", dir.path()).unwrap();
    let settings = std::fs::read(dir.path().join("adapter_config.json")).unwrap();
    let settings: serde_json::Value = serde_json::from_slice(&settings).unwrap();
    assert_eq!(settings["use_rslora"], true);
    assert_eq!(settings["lora_dropout"], 0.25);
    let loaded = base.with_saved_adapters(dir.path()).unwrap();
    assert_eq!(loaded.lora(), Some(&stabilised));
    assert_eq!(sums(&loaded), sums(&policy));
}

/// What was read from files can be read from them again; what was made here cannot.
#[test]
fn a_policy_knows_its_files() {
    let base = Policy::load(&fixture("tiny_llama_tied"), &Device::flex()).unwrap();
    let adapted = base.clone().with_adapters(&config(), 1).unwrap();
    assert!(adapted.files().is_none());
    let trained = adapted.decoder().clone().train().map(&mut Nudge);
    let trained = adapted.with_decoder(&trained);
    assert!(trained.files().is_none());
    let dir = tempfile::tempdir().unwrap();
    trained.save("base", dir.path()).unwrap();
    let loaded = base.clone().with_saved_adapters(dir.path()).unwrap();
    for policy in [&base, &loaded, &loaded.reference()] {
        let again = policy.files().unwrap().load().unwrap();
        assert_eq!(again.digest(), policy.digest());
        assert_eq!(sums(&again), sums(policy));
    }
    assert_ne!(loaded.digest(), base.digest());
    let moved = base.decoder().clone().train().map(&mut Nudge);
    assert!(base.with_decoder(&moved).files().is_none());
}

/// A whole model, written and read again, is the same to the bit.
#[test]
fn a_saved_model_comes_back() {
    for name in ["tiny_llama_tied", "tiny_llama_untied"] {
        let policy = Policy::load(&fixture(name), &Device::flex()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        policy.save("unused", dir.path()).unwrap();
        let loaded = Policy::load(dir.path(), &Device::flex()).unwrap();
        assert_eq!(loaded.config(), policy.config());
        assert_eq!(sums(&loaded), sums(&policy));
    }
}

#[test]
fn bad_settings_and_files_are_refused_in_sentences() {
    let base = Policy::load(&fixture("tiny_llama_tied"), &Device::flex()).unwrap();
    let refuse = |config: LoraConfig| {
        base.clone()
            .with_adapters(&config, 0)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refuse(LoraConfig {
            rank: 0,
            ..config()
        }),
        "`policy.lora.rank` is 0; allowed: at least 1"
    );
    assert_eq!(
        refuse(LoraConfig {
            rank: usize::MAX,
            ..config()
        }),
        format!(
            "`policy.lora.rank` is {}; allowed: at most 32, the larger side of model.layers.0.self_attn.q_proj",
            usize::MAX
        )
    );
    assert_eq!(
        refuse(LoraConfig {
            dropout: 1.0,
            ..config()
        }),
        "`policy.lora.dropout` is 1; allowed: from 0 to below 1"
    );
    assert_eq!(
        refuse(LoraConfig {
            target_modules: ["qq"].into(),
            ..config()
        }),
        "`policy.lora.target_modules` is qq; allowed: some of q_proj, k_proj, v_proj, o_proj, \
         gate_proj, up_proj, down_proj, qkv_proj, gate_up_proj"
    );
    let dir = tempfile::tempdir().unwrap();
    let error = base
        .clone()
        .with_saved_adapters(dir.path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("adapter_config.json"), "{error}");

    let adapted = base.clone().with_adapters(&config(), 1).unwrap();
    adapted.save("base", dir.path()).unwrap();
    let path = dir.path().join("adapter_config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let refuse_rank = |rank: u64| {
        let text = text.replace("\"r\": 4", &format!("\"r\": {rank}"));
        std::fs::write(&path, text).unwrap();
        let refused = base.clone().with_saved_adapters(dir.path());
        refused.unwrap_err().to_string()
    };
    // A rank that no memory holds is compared with the tensors like any other.
    for rank in [5, u64::MAX] {
        let error = refuse_rank(rank);
        assert!(
            error.contains("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight")
                && error.contains(&format!(
                    "has shape [4, 32], but its configuration implies [{rank}, 32]"
                )),
            "{error}"
        );
    }
    let allowed = "adapter_config.json: `r` is 0; allowed: at least 1";
    let error = refuse_rank(0);
    assert!(error.ends_with(allowed), "{error}");
}
