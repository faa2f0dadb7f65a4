//! Pairs of the tiny checkpoints, and what a training on them wrote.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inpo_policy::{ModelConfig, Policy, Sequence};
use inpo_train::config::ModelSection;
use inpo_train::{
    Models, Observer, Silent, StoredPolicy, TrainConfig, TrainError, train as train_as,
};
use serde_json::{Value, json};

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../inpo-policy/tests/fixtures")
        .join(name)
}

pub(crate) fn load(name: &str) -> Policy {
    Policy::load(&fixture(name), &Device::flex()).unwrap()
}

/// The policy of all tests, unless they say otherwise: 64 ids, hidden size 32.
pub(crate) const MODEL: &str = "tiny_llama_untied";
/// Another model of the same ids.
pub(crate) const OTHER: &str = "tiny_llama_tied";

/// Prompt, chosen and rejected ids of pair `i`; responses of 2 to 9 tokens.
pub(crate) fn ids(i: usize) -> [Vec<u32>; 3] {
    let list = |start: usize, count: usize| {
        (0..count)
            .map(|k| ((start + 17 * i + 11 * k) % 61 + 3) as u32)
            .collect()
    };
    [list(0, 3), list(5, 2 + i % 7), list(29, 3 + (i * 3) % 7)]
}

/// A row of pair `i` with `extra` columns.
pub(crate) fn row(i: usize, extra: Value) -> Value {
    let [prompt, chosen, rejected] = ids(i);
    let mut row = json!({
        "prompt_token_ids": prompt, "chosen_token_ids": chosen, "rejected_token_ids": rejected
    });
    let extra = extra.as_object().unwrap().clone();
    row.as_object_mut().unwrap().extend(extra);
    row
}

pub(crate) fn rows(count: usize) -> Vec<Value> {
    (0..count).map(|i| row(i, json!({}))).collect()
}

/// Sums of log-probs of pair `i`, chosen and rejected.
pub(crate) fn logps(policy: &Policy, i: usize) -> [f64; 2] {
    let [prompt, chosen, rejected] = ids(i);
    let sequences = [chosen, rejected].map(|response| Sequence::new(&prompt, &response));
    let rows = policy.logps(&sequences).unwrap();
    [rows[0].iter().sum(), rows[1].iter().sum()]
}

/// Columns of `prefix` with the sums of pair `i` under `policy`, each through `map` with its tokens.
pub(crate) fn columns(
    prefix: &str,
    policy: &Policy,
    i: usize,
    map: impl Fn(f64, usize) -> f64,
) -> Value {
    let [chosen, rejected] = logps(policy, i);
    let [_, of_chosen, of_rejected] = ids(i);
    json!({
        (format!("{prefix}_chosen_logps")): map(chosen, of_chosen.len()),
        (format!("{prefix}_rejected_logps")): map(rejected, of_rejected.len()),
    })
}

pub(crate) fn merge(mut a: Value, b: Value) -> Value {
    let entries = b.as_object().unwrap().clone();
    a.as_object_mut().unwrap().extend(entries);
    a
}

/// A configuration whose pairs are `rows` and whose output goes to `dir/NAME`.
pub(crate) fn config(dir: &Path, name: &str, rows: &[Value], objective: &str) -> TrainConfig {
    let pairs = dir.join("pairs.jsonl");
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(&pairs, text).unwrap();
    let text = format!(
        "output_dir = '{}'\n[policy]\nmodel = '{MODEL}'\n[data]\npairs = '{}'\nshuffle = false\n\
         [objective]\n{objective}\n[train]\nlearning_rate = 1e-3\nper_device_train_batch_size = 4\n\
         gradient_accumulation_steps = 2\n",
        dir.join(name).display(),
        pairs.display(),
    );
    TrainConfig::parse(&text, "test.toml", &[]).unwrap()
}

pub(crate) fn model_section(name: &str) -> Option<ModelSection> {
    Some(ModelSection {
        model: name.to_owned(),
        adapter: None,
    })
}

/// Trains with a section for each model that is given: the library refuses the one without the other.
pub(crate) fn train(
    config: &TrainConfig,
    models: impl Into<Models>,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Policy, TrainError> {
    let models = models.into();
    let mut config = config.clone();
    let named =
        |model: &Option<StoredPolicy>| model.as_ref().and_then(|_| model_section("another"));
    config.common.reference = config.common.reference.or_else(|| named(&models.reference));
    config.previous = config.previous.or_else(|| named(&models.previous));
    train_as(&config, models, resume, observer)
}

pub(crate) fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The first row of the log.
pub(crate) fn first_step(root: &Path) -> Value {
    json_of(&root.join("trainer_state.json"))["log_history"][0].clone()
}

/// Trains on `rows` and returns the first loss; all rows are in the first step.
pub(crate) fn first_loss(rows: &[Value], objective: &str, models: impl Into<Models>) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    assert!(rows.len() <= 8);
    let config = config(dir.path(), "out", rows, objective);
    train(&config, models, false, &mut Silent).unwrap();
    first_step(&config.common.output_dir)["loss"]
        .as_f64()
        .unwrap()
}

#[track_caller]
pub(crate) fn close(got: f64, expected: f64, tolerance: f64) {
    assert!(
        (got - expected).abs() <= tolerance * expected.abs().max(1.0),
        "{got}, not {expected}"
    );
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// A tiny model of `vocab_size` ids with hidden size `hidden`.
pub(crate) fn tiny(vocab_size: usize, hidden: usize) -> Policy {
    let mut config: Value = json_of(&fixture(OTHER).join("config.json"));
    config["vocab_size"] = vocab_size.into();
    config["hidden_size"] = hidden.into();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let config = ModelConfig::from_hf_json(&path).unwrap();
    Policy::init(config, hidden as u64, &Device::flex()).unwrap()
}
