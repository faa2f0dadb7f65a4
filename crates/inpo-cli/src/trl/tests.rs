use inpo_core::train::TrainConfig;

use super::*;

/// Every key of TRL 1.16 with its default; made by trl_keys.py beside it.
const KEYS: &str = include_str!("../../tests/fixtures/trl_keys.json");

fn defaults() -> Map<String, Value> {
    serde_json::from_str(KEYS).unwrap()
}

/// A file of pairs, which has to be there.
fn pairs() -> String {
    format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"))
}

fn named() -> Map<String, Value> {
    let named =
        json!({"model_name_or_path": "model", "dataset_name": pairs(), "output_dir": "out"});
    named.as_object().unwrap().clone()
}

fn with(more: Value) -> Map<String, Value> {
    let mut keys = named();
    keys.extend(more.as_object().unwrap().clone());
    keys
}

fn parsed(keys: Map<String, Value>) -> (TrainConfig, Vec<String>) {
    let Translated { toml, unused } = translate(keys).unwrap();
    (TrainConfig::parse(&toml, "trl.yaml", &[]).unwrap(), unused)
}

fn refused(more: Value) -> String {
    translate(with(more)).unwrap_err().join("\n")
}

/// What TRL trains when nothing more is said: its defaults, as they stand in the fixture.
#[test]
fn a_short_file_has_trls_defaults() {
    let (config, unused) = parsed(named());
    assert!(unused.is_empty());
    let of = defaults();
    let number = |key: &str| of[key].as_f64().unwrap();
    let train = &config.common.train;
    assert_eq!(config.common.seed as f64, number("seed"));
    assert_eq!(train.learning_rate, number("learning_rate"));
    assert_eq!(train.num_train_epochs, number("num_train_epochs"));
    assert_eq!(train.warmup(100) as f64, number("warmup_steps"));
    assert_eq!(
        train.per_device_train_batch_size as f64,
        number("per_device_train_batch_size")
    );
    assert_eq!(
        train.gradient_accumulation_steps as f64,
        number("gradient_accumulation_steps")
    );
    assert_eq!(train.max_grad_norm, number("max_grad_norm"));
    assert_eq!(train.weight_decay, number("weight_decay"));
    assert_eq!(train.adam_beta1, number("adam_beta1"));
    assert_eq!(train.adam_beta2, number("adam_beta2"));
    assert_eq!(train.adam_epsilon, number("adam_epsilon"));
    assert_eq!(train.logging_steps as f64, number("logging_steps"));
    assert_eq!(train.max_steps, None);
    assert_eq!(json!(train.lr_scheduler_type), of["lr_scheduler_type"]);
    assert_eq!(
        json!(train.gradient_checkpointing),
        of["gradient_checkpointing"]
    );
    assert_eq!(config.common.objective.beta, of["beta"].as_f64());
    assert_eq!(config.common.objective.algorithm.name(), "dpo");
    assert_eq!(
        config.common.policy.max_length.map(|n| n as f64),
        Some(number("max_length"))
    );
    assert!(config.common.policy.lora.is_none() && config.data.shuffle);
}

/// Every key of TRL is known, and its default changes nothing.
#[test]
fn every_key_of_trl_is_known() {
    let mut keys = defaults();
    let all = keys.len();
    assert!(all > 150, "{all}");
    keys.extend(named());
    // Without adapters these three have no effect, and are refused.
    for key in ["lora_r", "lora_alpha", "lora_target_modules"] {
        keys.shift_remove(key);
    }
    assert_eq!(parsed(keys).0, parsed(named()).0);
}

#[test]
fn adapters_are_pefts() {
    let lora = |more: Value| parsed(with(more)).0.common.policy.lora.unwrap();
    let default = lora(json!({"use_peft": true}));
    assert_eq!((default.rank, default.alpha), (16, 32.0));
    assert_eq!(default.target_modules, ["q_proj", "v_proj"].into());
    // disable_dropout is on in TRL unless the file says otherwise.
    assert_eq!(default.dropout, 0.0);
    let own = lora(json!({
        "use_peft": true, "lora_r": 8, "lora_alpha": 4, "lora_dropout": 0.1, "disable_dropout": false,
        "use_rslora": true, "lora_target_modules": ["o_proj"],
    }));
    assert_eq!(
        (own.rank, own.alpha, own.dropout, own.use_rslora),
        (8, 4.0, 0.1, true)
    );
    assert_eq!(own.target_modules, ["o_proj"].into());
    let all = lora(json!({"use_peft": true, "lora_target_modules": "all-linear"}));
    assert_eq!(json!(all.target_modules), json!("all-linear"));
    let said = refused(json!({"lora_r": 8}));
    assert_eq!(
        said,
        "`lora_r` has no effect without `use_peft: true`; set it, or remove `lora_r`"
    );
}

#[test]
fn losses_and_types_are_translated() {
    let config = |more: Value| parsed(with(more)).0.common;
    for (kind, name) in [
        (json!("sigmoid"), "dpo"),
        (json!(["ipo"]), "ipo_mean"),
        (json!("hinge"), "hinge"),
        (json!("sppo_hard"), "sppo"),
    ] {
        assert_eq!(
            config(json!({"loss_type": kind}))
                .objective
                .algorithm
                .name(),
            name
        );
    }
    let dtype = |more: Value| json!(config(more).policy.dtype);
    assert_eq!(dtype(json!({"bf16": true})), "bf16");
    assert_eq!(dtype(json!({"dtype": "bfloat16"})), "bf16");
    assert_eq!(dtype(json!({"torch_dtype": "float32"})), "f32");
    let train =
        config(json!({"num_train_epochs": 0.5, "max_steps": 7, "optim": "adamw_torch_fused"}))
            .train;
    assert_eq!((train.num_train_epochs, train.max_steps), (0.5, Some(7)));
    let order = parsed(with(json!({"train_sampling_strategy": "sequential"}))).0;
    assert!(!order.data.shuffle);
}

/// All that cannot be honoured is named at once; what has no effect is listed.
#[test]
fn what_cannot_be_honoured_is_named() {
    let said = refused(json!({
        "loss_type": ["sigmoid", "sft"], "use_dora": true, "rpo_alpha": 1.0, "label_smoothing": 0.1, "colour": 3,
        "data_seed": 1, "dtype": "auto",
    }));
    for words in [
        "`loss_type` is [\"sigmoid\",\"sft\"]; allowed: ",
        "`use_dora` is true; ",
        "`rpo_alpha` is 1.0; inpo's SFT term",
        "`label_smoothing` is 0.1; TRL's sigmoid loss does not read it",
        "`colour` is no key",
        "`data_seed` is 1; ",
        "`dtype` is \"auto\"; ",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let mut hub = named();
    hub.insert(
        "dataset_name".to_owned(),
        json!("trl-lib/ultrafeedback_binarized"),
    );
    let said = translate(hub).unwrap_err().join("\n");
    assert!(said.contains("which is no file here; download"), "{said}");
    let (_, unused) = parsed(with(json!({"report_to": "wandb", "save_steps": 5})));
    assert_eq!(unused, ["report_to", "save_steps"]);
    let said = translate(Map::new()).unwrap_err().join("\n");
    for key in ["model_name_or_path", "dataset_name", "output_dir"] {
        assert!(said.contains(&format!("`{key}` is missing")), "{said}");
    }
}
