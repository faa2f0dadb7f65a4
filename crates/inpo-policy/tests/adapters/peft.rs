//! What PEFT wrote, and each key of its configuration.

use std::path::Path;

use burn::tensor::Device;
use inpo_policy::{Policy, Sequence};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};

use crate::fixture;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

pub(crate) fn base() -> Policy {
    Policy::load(&fixture("tiny_llama_tied"), &Device::flex()).unwrap()
}

fn expected() -> Value {
    let text = std::fs::read(fixture("peft/expected.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The largest difference to `rows` of the log-probs of the fixture's sequences.
fn gap(policy: &Policy, rows: &Value) -> f64 {
    let expected = expected();
    let ids = |row: &Value| -> Vec<u32> { serde_json::from_value(row.clone()).unwrap() };
    let sequences = expected["sequences"].as_array().unwrap().iter();
    let sequences: Vec<Sequence> = sequences
        .map(|row| {
            let ids = ids(row);
            Sequence::new(&ids[..1], &ids[1..])
        })
        .collect();
    let rows: Vec<Vec<f64>> = serde_json::from_value(rows.clone()).unwrap();
    let logps = policy.logps(&sequences).unwrap();
    let gaps = logps.iter().flatten().zip(rows.iter().flatten());
    gaps.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// The fixture `plain` in a folder of its own, with changes to its configuration.
fn plain(changes: &Value) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = fixture("peft/plain");
    std::fs::copy(from.join(WEIGHTS), dir.path().join(WEIGHTS)).unwrap();
    let text = std::fs::read(from.join(CONFIG)).unwrap();
    let mut config: Map<String, Value> = serde_json::from_slice(&text).unwrap();
    config.extend(changes.as_object().unwrap().clone());
    let text = serde_json::to_string(&config).unwrap();
    std::fs::write(dir.path().join(CONFIG), text).unwrap();
    dir
}

fn refusal(dir: &Path) -> String {
    let error = base().with_saved_adapters(dir).unwrap_err().to_string();
    error.replace(dir.to_str().unwrap(), "DIR")
}

/// Each rule of which modules have an adapter and of which rank gives PEFT's log-probs, read from PEFT's files and from those
/// that are written of it.
#[test]
fn adapters_of_every_rule_are_what_peft_computes() {
    let expected = expected();
    let adapters = expected["adapters"].as_object().unwrap();
    assert_eq!(adapters.len(), 9);
    for (name, rows) in adapters {
        let policy = base().with_saved_adapters(&fixture("peft").join(name));
        let policy = policy.unwrap_or_else(|error| panic!("{name}: {error}"));
        let found = gap(&policy, rows);
        assert!(found < 1e-4, "{name}: {found}");
        assert!(gap(&policy, &expected["base"]) > 0.05, "{name} counts");
        let dir = tempfile::tempdir().unwrap();
        policy.save("base", dir.path()).unwrap();
        let again = base().with_saved_adapters(dir.path()).unwrap();
        assert_eq!(again.lora(), policy.lora(), "{name}");
        assert_eq!(again.digest(), policy.digest(), "{name}");
        assert!(gap(&policy.merged(), rows) < 1e-4, "{name}");
    }
}

/// Changes of a configuration that PEFT loads, most of which say nothing about the model.
#[test]
fn variants_of_a_configuration_are_what_peft_computes() {
    let expected = expected();
    let variants = expected["variants"].as_array().unwrap();
    assert!(variants.len() > 20);
    for variant in variants {
        let (changes, rows) = (&variant["changes"], &variant["token_logps"]);
        let policy = base().with_saved_adapters(plain(changes).path());
        let policy = policy.unwrap_or_else(|error| panic!("{changes}: {error}"));
        let found = gap(&policy, rows);
        assert!(found < 1e-4, "{changes}: {found}");
    }
}

/// Every key that PEFT's class has is known: with a value of no type that it could have, none is called unknown.
#[test]
fn every_key_of_peft_is_known() {
    let expected = expected();
    let keys = expected["keys"].as_array().unwrap();
    assert!(keys.len() > 40);
    for key in keys {
        let key = key.as_str().unwrap();
        let dir = plain(&json!({key: {"x": 1}}));
        if let Err(error) = base().with_saved_adapters(dir.path()) {
            let error = error.to_string();
            assert!(error.contains(&format!("`{key}")), "{error}");
            assert!(!error.contains("unknown"), "{error}");
        }
    }
    let unknown = refusal(plain(&json!({"use_newlora": true})).path());
    assert_eq!(
        unknown,
        "DIR/adapter_config.json: unknown config key `use_newlora` that could change arithmetic; remove it if it does not, or use a model without it"
    );
    for off in [json!(null), json!(false), json!([])] {
        let dir = plain(&json!({"use_newlora": off}));
        assert!(base().with_saved_adapters(dir.path()).is_ok());
    }
}

/// Initialisations that change the model's own weights whenever PEFT loads the adapter.
#[test]
fn initialisations_that_move_the_model_are_refused() {
    let expected = expected();
    let moving = expected["moving"].as_object().unwrap();
    let names = moving.keys().map(String::as_str);
    for name in names.chain(["corda", "loftq", "OLoRA"]) {
        let error = refusal(plain(&json!({"init_lora_weights": name})).path());
        let start = format!(
            "DIR/adapter_config.json: `init_lora_weights` is \"{name}\", but PEFT changes the model's own weights by it when it loads the adapter"
        );
        assert!(error.starts_with(&start), "{error}");
        assert!(error.contains("path_initial_model_for_weight_conversion"));
    }
    let error = refusal(plain(&json!({"init_lora_weights": "newest"})).path());
    assert!(
        error.contains("that initialisation is not known"),
        "{error}"
    );
}

#[test]
fn what_has_no_code_is_refused_by_its_key() {
    let merge = "is not implemented; add the adapter to the weights with PEFT (`merge_and_unload()`, then `save_pretrained(DIR)`) and give DIR as the model, without an adapter";
    for (changes, start) in [
        (
            json!({"use_dora": true}),
            "`use_dora` is true, but it scales the columns of the sum to trained lengths (DoRA), which",
        ),
        (
            json!({"modules_to_save": ["lm_head"]}),
            "`modules_to_save` is a list, but it replaces whole modules, which",
        ),
        (
            json!({"lora_bias": true}),
            "`lora_bias` is true, but it gives the product a bias, which",
        ),
        (
            json!({"kasa_config": {}}),
            "`kasa_config` is an object, but it truncates the model's weights and scales ranks, which",
        ),
    ] {
        let error = refusal(plain(&changes).path());
        let expected = format!("DIR/adapter_config.json: {start} {merge}");
        assert_eq!(error, expected);
    }
    for (changes, part) in [
        (
            json!({"peft_type": "LOHA"}),
            "`peft_type` is \"LOHA\", but only \"LORA\" is implemented",
        ),
        (json!({"peft_type": null}), "the key `peft_type` is missing"),
        (
            json!({"task_type": "SEQ_CLS"}),
            "`task_type` is \"SEQ_CLS\", but adapters are read for language models",
        ),
        (json!({"bias": "some"}), "`bias` is \"some\", but PEFT has"),
        (
            json!({"r": "two"}),
            "`r`: the text \"two\" is given, and a whole number of at least 0 is expected",
        ),
        (
            json!({"lora_alpha": -1}),
            "`lora_alpha` is -1; allowed: a positive number",
        ),
        (
            json!({"rank_pattern": {"q_proj": 0}}),
            "`rank_pattern` is 0; allowed: at least 1",
        ),
        (
            json!({"target_modules": 3}),
            "expected a list of module names, a regular expression or \"all-linear\"",
        ),
        (
            json!({"target_modules": "(q_proj"}),
            "`target_modules` is \"(q_proj\"; allowed: a regular expression of module paths (",
        ),
        (
            json!({"target_modules": []}),
            "`target_modules` is none; allowed: at least one",
        ),
        (
            json!({"target_modules": ["c_attn", "W_pack"]}),
            "`target_modules` is c_attn, W_pack; allowed: the projections of this model: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
        ),
        (
            json!({"exclude_modules": ".*"}),
            "`target_modules` is q_proj, v_proj; allowed: rules that leave some of the projections",
        ),
        (
            json!({"layers_to_transform": [7]}),
            "rules that leave some of the projections",
        ),
        (
            json!({"layers_pattern": "layers"}),
            "`layers_pattern` is layers; allowed: none without layers_to_transform",
        ),
        (
            json!({"target_modules": ".*", "layers_to_transform": 1}),
            "`layers_to_transform` is [1]; allowed: none where target_modules is one text",
        ),
        (
            json!({"target_modules": ["q_proj", "v_proj", "lm_head"]}),
            "`target_modules` is a list or expression that reaches lm_head, but adapters of lm_head are not implemented; add the adapter to the weights",
        ),
        (
            json!({"target_modules": ".*(self_attn|q_proj|v_proj)"}),
            "reaches model.layers.0.self_attn, but model.layers.0.self_attn has no weight matrix of its own",
        ),
    ] {
        let error = refusal(plain(&changes).path());
        assert!(error.starts_with("DIR/adapter_config.json: "), "{error}");
        assert!(error.contains(part), "{error}");
    }
}

/// The tensors of `plain` under other names, and others beside them.
fn with_tensors(
    rename: impl Fn(&str) -> String,
    more: &[(&str, Vec<usize>, Vec<f32>)],
) -> tempfile::TempDir {
    let dir = plain(&json!({}));
    let path = dir.path().join(WEIGHTS);
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> = file.tensors();
    for (name, _) in &mut tensors {
        *name = rename(name);
    }
    let bytes: Vec<Vec<u8>> = more
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    for ((name, shape, _), bytes) in more.iter().zip(&bytes) {
        let view = TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap();
        tensors.push(((*name).to_owned(), view));
    }
    let out = safetensors::serialize(tensors, None).unwrap();
    std::fs::write(&path, out).unwrap();
    dir
}

#[test]
fn names_that_other_tools_write_are_read() {
    let rows = &expected()["adapters"]["plain"];
    let renames: [fn(&str) -> String; 4] = [
        |name| name.replace(".weight", ".default.weight"),
        |name| name.replace("base_model.model.", ""),
        |name| name.replace("base_model.model.", "base_model.model._orig_mod."),
        |name| name.replace(".weight", ".mine.weight"),
    ];
    for rename in renames {
        let policy = base().with_saved_adapters(with_tensors(rename, &[]).path());
        assert!(gap(&policy.unwrap(), rows) < 1e-4);
    }
}

/// Files of `torch.save`, of this format and the one before it.
#[test]
fn files_of_torch_are_read() {
    let rows = &expected()["adapters"]["plain"];
    for name in ["plain.bin", "plain_legacy.bin"] {
        let dir = plain(&json!({}));
        std::fs::remove_file(dir.path().join(WEIGHTS)).unwrap();
        let path = dir.path().join("adapter_model.bin");
        std::fs::copy(fixture("peft").join(name), &path).unwrap();
        let policy = base().with_saved_adapters(dir.path()).unwrap();
        assert!(gap(&policy, rows) < 1e-4, "{name}");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = refusal(dir.path());
        assert!(
            error.starts_with("DIR/adapter_model.bin: it cannot be read: ")
                && error.ends_with("writes adapter_model.safetensors"),
            "{error}"
        );
    }
}

/// The two files must be of one adapter, and of the model.
#[test]
fn tensors_are_held_against_the_configuration() {
    let tensor = |layer: usize, name: &str| {
        format!("base_model.model.model.layers.{layer}.self_attn.{name}.weight")
    };
    let error = refusal(plain(&json!({"target_modules": ["q_proj"]})).path());
    assert_eq!(
        error,
        format!(
            "DIR/adapter_model.safetensors: tensor `{}`: its module has no adapter by the adapter_config.json beside it, or is not in this model; the two files must be of one adapter",
            tensor(0, "v_proj.lora_A")
        )
    );
    let error = refusal(plain(&json!({"target_modules": ["q_proj", "v_proj", "k_proj"]})).path());
    let [a, b] = [0, 1].map(|n| tensor(n, "k_proj.lora_A"));
    assert!(
        error.starts_with("DIR/adapter_model.safetensors: 4 tensors are missing, ")
            && error.contains(&a)
            && error.contains(&b),
        "{error}"
    );
    let error = refusal(plain(&json!({"rank_pattern": {"layers.1.*v_proj": 3}})).path());
    assert_eq!(
        error,
        format!(
            "DIR/adapter_model.safetensors: tensor `{}` has shape [2, 32], but its configuration implies [3, 32]; the two are not of one model",
            tensor(1, "v_proj.lora_A")
        )
    );
    let twice = tensor(0, "q_proj.lora_A.other");
    let error =
        refusal(with_tensors(str::to_owned, &[(&twice, vec![2, 32], vec![0.0; 64])]).path());
    assert!(
        error.contains("it belongs to the same matrix as `")
            && error.ends_with("save each adapter to a file of its own"),
        "{error}"
    );
    let bad = tensor(0, "q_proj.lora_magnitude_vector");
    let error = refusal(with_tensors(str::to_owned, &[(&bad, vec![1], vec![f32::NAN])]).path());
    assert!(
        error.ends_with("it holds NaN, and weights must be finite"),
        "{error}"
    );
}

/// PEFT writes embedding and head along where it cannot tell whether they were resized.
#[test]
fn the_models_own_embedding_beside_an_adapter_is_ignored() {
    let bytes = std::fs::read(fixture("tiny_llama_tied").join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let own = file.tensor("model.embed_tokens.weight").unwrap();
    let values = own.data().chunks_exact(4);
    let values: Vec<f32> = values
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    let shape = own.shape().to_vec();
    let rows = &expected()["adapters"]["plain"];
    for name in [
        "base_model.model.model.embed_tokens.weight",
        "base_model.model.lm_head.weight",
    ] {
        let same = with_tensors(str::to_owned, &[(name, shape.clone(), values.clone())]);
        let policy = base().with_saved_adapters(same.path()).unwrap();
        assert!(gap(&policy, rows) < 1e-4, "{name}");
        let mut other = values.clone();
        other[5] += 1.0;
        let error = refusal(with_tensors(str::to_owned, &[(name, shape.clone(), other)]).path());
        let start = format!(
            "DIR/adapter_model.safetensors: tensor `{name}`: it is not the model's: tokens were added"
        );
        assert!(error.starts_with(&start), "{error}");
    }
}
