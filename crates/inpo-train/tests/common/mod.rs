//! A tiny model with a tokenizer of 64 words, prompts for it, and what a run wrote.

#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod files;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inpo_eval::Evaluation;
use inpo_policy::{Policy, PolicyError};
use inpo_train::{Models, Observer, Players, RunConfig, TrainError};

const WORDS: &str = "</s> <s> <end> the of and to in is it that was for on are as with his they at be this from have or \
    by one had not but what all were when we there can an your which their said if do will each about how up out \
    them river stone light music garden winter bread paper silver mountain letter summer window";

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../inpo-policy/tests/fixtures")
        .join(name)
}

/// The tiny checkpoint with a word-level tokenizer and the plainest of templates.
pub(crate) fn model(dir: &Path) -> PathBuf {
    let model = dir.join("model");
    std::fs::create_dir_all(&model).unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("tiny_llama_tied").join(file), model.join(file)).unwrap();
    }
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    assert_eq!(words.len(), 64);
    let ids = words
        .iter()
        .enumerate()
        .map(|(id, word)| ((*word).to_owned(), id.into()));
    let vocabulary: serde_json::Map<String, serde_json::Value> = ids.collect();
    let special = |id: usize| {
        serde_json::json!({
            "id": id, "content": words[id], "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true
        })
    };
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0), special(1), special(2)],
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "</s>"}
    });
    std::fs::write(model.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let template = "{% for m in messages %}<s> {{ m.content }} {% if m.role == 'assistant' %}<end> {% endif %}\
                    {% endfor %}{% if add_generation_prompt %}<s> {% endif %}";
    std::fs::write(model.join("chat_template.jinja"), template).unwrap();
    model
}

pub(crate) fn write_prompts(path: &Path, count: usize) {
    let words: Vec<&str> = WORDS.split_whitespace().skip(3).collect();
    let row = |i: usize| {
        let words: Vec<&str> = (0..4).map(|k| words[(i * 7 + k * 5) % 48]).collect();
        format!("{{\"prompt\": \"{}\"}}\n", words.join(" "))
    };
    std::fs::write(path, (0..count).map(row).collect::<String>()).unwrap();
}

/// A configuration of two iterations in `dir`, whose run goes to `dir/NAME`.
pub(crate) fn config(dir: &Path, name: &str) -> RunConfig {
    let text = format!(
        r#"
        output_dir = "{root}/{name}"
        seed = 3
        [policy]
        model = "{root}/model"
        lora = {{ rank = 2, alpha = 4.0 }}
        [data]
        prompts = "{root}/train.jsonl"
        eval_prompts = "{root}/eval.jsonl"
        [generation]
        num_generations = 4
        max_new_tokens = 16
        [oracle]
        kind = "rules"
        target_words = 8
        [objective]
        eta = 0.1
        tau_eta_ratio = "1/3"
        [iteration]
        num_iterations = 2
        prompts_per_iteration = 8
        [train]
        learning_rate = 0.01
        per_device_train_batch_size = 2
        gradient_accumulation_steps = 1
        [eval]
        num_generations = 2
        "#,
        root = dir.display()
    );
    RunConfig::parse(&text, "test.toml", &[]).unwrap()
}

pub(crate) fn prepare() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path());
    write_prompts(&dir.path().join("train.jsonl"), 16);
    write_prompts(&dir.path().join("eval.jsonl"), 5);
    dir
}

/// Runs `config` with the oracle that it names, sampled in this process.
pub(crate) fn run(
    config: &RunConfig,
    models: impl Into<Models>,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Vec<Evaluation>, TrainError> {
    let oracle = config.init_oracle(&Device::flex(), |name| Ok::<_, PolicyError>(name.into()))?;
    inpo_train::run(config, Players::new(models, &oracle), resume, observer)
}

pub(crate) fn start(dir: &Path) -> Policy {
    Policy::load(&dir.join("model"), &Device::flex()).unwrap()
}

/// Every file of a run but those that hold times.
pub(crate) fn contents(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if path.is_dir() {
                dirs.push(path);
            } else if ![
                "metrics.jsonl",
                "trainer_state.json",
                "run.toml",
                "manifest.json",
            ]
            .contains(&name.as_str())
            {
                files.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// Equal names and bytes; a failure names the files, not their contents.
pub(crate) fn assert_same(a: &[(String, Vec<u8>)], b: &[(String, Vec<u8>)], what: &str) {
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(a), names(b), "{what}");
    let differ = a.iter().zip(b).filter(|(x, y)| x.1 != y.1);
    let differ: Vec<&str> = differ.map(|(x, _)| x.0.as_str()).collect();
    assert!(differ.is_empty(), "{what}: {differ:?} differ");
}

/// All rows of metrics.jsonl without what differs from run to run: times.
pub(crate) fn metrics(root: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(root.join("metrics.jsonl")).unwrap();
    let mut rows: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for row in &mut rows {
        let row = row.as_object_mut().unwrap();
        row.retain(|key, _| !key.starts_with("timing_s/") && !key.starts_with("perf/"));
    }
    rows
}

pub(crate) fn train_rows(root: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(root.join("metrics.jsonl")).unwrap();
    let rows = text
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    rows.filter(|row| row["stage"] == "train").collect()
}
