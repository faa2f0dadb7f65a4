//! Judges from votes on a tiny model: what a Bradley-Terry judge cannot learn and a general one does, and that what is
//! written is what `kind` reads.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inpo_game::PreferenceOracle;
use inpo_oracle::{OracleConfig, Surroundings};
use inpo_train::judge::{JudgeEvaluation, JudgeTrainConfig, load_base, train_oracle};
use inpo_train::{Silent, TrainError};
use serde_json::json;

/// A tiny model whose tokenizer has letters, in `dir/model`.
fn model(dir: &Path) {
    let fixtures = "../inpo-oracle/tests/fixtures/models";
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join(fixtures);
    let model = dir.join("model");
    std::fs::create_dir_all(&model).unwrap();
    for (file, name) in [
        ("pair/config.json", "config.json"),
        ("pair/model.safetensors", "model.safetensors"),
        ("tokenizer.json", "tokenizer.json"),
    ] {
        std::fs::copy(fixtures.join(file), model.join(name)).unwrap();
    }
    let templates = std::fs::read_to_string(fixtures.join("templates.json")).unwrap();
    let templates: serde_json::Value = serde_json::from_str(&templates).unwrap();
    let config = templates["chatml"].to_string();
    std::fs::write(model.join("tokenizer_config.json"), config).unwrap();
}

/// Three styles, each of which beats the next one: no score explains it.
fn votes(path: &Path, prompts: std::ops::Range<usize>) {
    let styles = ["Yes.", "It may be so, who knows", "NO NO NO"];
    let mut rows = String::new();
    for prompt in prompts {
        for (i, j) in [(0, 1), (1, 2), (2, 0)] {
            // The winner stands on either side.
            let turned = (prompt + i) % 2 == 1;
            let (first, second) = if turned { (j, i) } else { (i, j) };
            let row = json!({
                "prompt": format!("Is {prompt} a number?"),
                "response_a": styles[first],
                "response_b": styles[second],
                "winner": if turned { "b" } else { "a" },
            });
            rows += &format!("{row}\n");
        }
    }
    std::fs::write(path, rows).unwrap();
}

fn prepare() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path());
    votes(&dir.path().join("train.jsonl"), 0..20);
    votes(&dir.path().join("test.jsonl"), 20..30);
    dir
}

fn config(dir: &Path, name: &str, settings: &str) -> JudgeTrainConfig {
    let root = dir.display();
    let text = format!(
        r#"
        output_dir = "{root}/{name}"
        seed = 1
        policy.model = "{root}/model"
        data = {{ votes = "{root}/train.jsonl", eval_votes = "{root}/test.jsonl" }}
        train = {{ learning_rate = 0.02, per_device_train_batch_size = 8, gradient_accumulation_steps = 2, num_train_epochs = 12 }}
        {settings}
        "#
    );
    let path = dir.join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    JudgeTrainConfig::load(&path, &[]).unwrap()
}

fn find(name: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(name))
}

fn train(config: &JudgeTrainConfig, resume: bool) -> Result<JudgeEvaluation, TrainError> {
    let base = load_base(config, &Device::flex(), find)?;
    let evaluation = train_oracle(config, base, find, resume, &mut Silent)?;
    Ok(evaluation.expect("there are held-out votes"))
}

fn accuracy(dir: &Path, name: &str, settings: &str) -> f64 {
    train(&config(dir, name, settings), false)
        .unwrap()
        .quality
        .accuracy
        .mean
}

/// Of three pairs in a circle an order has two right at most; ties of a score that learnt nothing are halves.
#[test]
fn scores_cannot_learn_a_cycle_and_turning_values_can() {
    let dir = prepare();
    let dir = dir.path();
    let bradley_terry = accuracy(dir, "bt", "judge.form = 'bradley_terry'");
    assert!(bradley_terry < 0.7, "{bradley_terry}");
    let general = accuracy(dir, "general", "judge = { form = 'general', values = 4 }");
    assert_eq!(general, 1.0);
    let hybrid = accuracy(
        dir,
        "hybrid",
        "judge = { form = 'hybrid', values = 2, freeze = true }",
    );
    assert_eq!(hybrid, 1.0);
}

/// A pairwise language model sees both responses, so that it can learn a circle too; the adapter is written in PEFT's
/// layout and read by its settings, the temperature among them.
#[test]
fn a_pairwise_model_is_trained_as_an_adapter() {
    let dir = prepare();
    let dir = dir.path();
    let settings = "judge.form = 'pair_lm'\npolicy.lora = { rank = 4, alpha = 8.0 }";
    let config = config(dir, "pair", settings);
    let evaluation = train(&config, false).unwrap();
    // More than the two thirds of an order.
    assert!(evaluation.quality.accuracy.mean > 0.7, "{evaluation}");
    assert!(evaluation.order_inconsistency.is_some());
    assert!(
        config
            .output_dir
            .join("policy/adapter_config.json")
            .exists()
    );
    let oracle = OracleConfig::read(&config.output_dir.join("oracle.toml")).unwrap();
    let device = Device::flex();
    let around = Surroundings {
        device: Some(&device),
        ..Surroundings::default()
    };
    assert!(oracle.init(&around).unwrap().name().starts_with("pair_lm("));
    // What is complete is measured again, and the same; what is damaged is trained again.
    let weights = config.output_dir.join("policy/adapter_model.safetensors");
    let before = std::fs::read(&weights).unwrap();
    assert_eq!(train(&config, true).unwrap(), evaluation);
    let mut flipped = before.clone();
    *flipped.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, flipped).unwrap();
    assert_eq!(train(&config, true).unwrap(), evaluation);
    assert!(std::fs::read(&weights).unwrap() == before, "other weights");
    let error = train(&config, false).unwrap_err().to_string();
    assert!(error.contains("already"), "{error}");
}

#[test]
fn settings_that_do_not_fit_the_form_are_named() {
    let dir = prepare();
    let says = |settings: &str, words: &str| {
        let text = format!("output_dir = 'x'\npolicy.model = 'm'\ndata.votes = 'v'\n{settings}");
        let path = dir.path().join("bad.toml");
        std::fs::write(&path, text).unwrap();
        let error = JudgeTrainConfig::load(&path, &[]).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    says("judge.form = 'pair_lm'", "`policy.lora` is absent");
    says("judge.values = 3", "`judge.values` is 3");
    says(
        "judge.values = 9223372036854775806",
        "allowed: at most 16384",
    );
    says(
        "judge = { form = 'bradley_terry', prompt_head = true }",
        "`judge.prompt_head` is true",
    );
    says(
        "judge.freeze = true\npolicy.lora = { rank = 2 }",
        "`policy.lora` is set",
    );
    says("judge.temperature = 0.0", "`judge.temperature` is 0");
    says("judge.colour = 1", "colour");
}
