//! What is configured: a tiny run, a training on pairs, the training of a judge.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inpo_train::judge::{JudgeTrainConfig, load_base, train_oracle};
use inpo_train::keys::ConfigFile;
use inpo_train::{Models, Players, RunConfig, Silent, TrainConfig, run, train};
use serde_json::json;
use tempfile::TempDir;

use crate::Outcome;
use crate::common::{contents, fixture, metrics, model, write_prompts};
use crate::oracles::{copy_model, votes};

/// A configuration that is run again and again with other settings.
pub(crate) struct Subject {
    pub(crate) file: ConfigFile,
    dir: TempDir,
    base: String,
}

/// A run of two iterations.
const RUN: &str = "output_dir = 'DIR/out'\nseed = 3\n\
    policy = { model = 'DIR/model', lora = { rank = 2, alpha = 4.0 } }\n\
    data = { prompts = 'DIR/train.jsonl', eval_prompts = 'DIR/eval.jsonl' }\n\
    generation = { num_generations = 4, max_new_tokens = 8 }\n\
    oracle = { kind = 'rules', target_words = 6, vote = 'share' }\n\
    objective = { eta = 0.1 }\n\
    iteration = { num_iterations = 2, prompts_per_iteration = 4 }\n\
    train = { learning_rate = 0.01, per_device_train_batch_size = 2, gradient_accumulation_steps = 1 }\n\
    eval = { num_generations = 2 }\n";

/// A training on six pairs.
const TRAIN: &str = "output_dir = 'DIR/out'\nseed = 3\n\
    policy = { model = 'DIR/model', lora = { rank = 2, alpha = 4.0 } }\n\
    data = { pairs = 'DIR/pairs.jsonl' }\n\
    objective = { eta = 0.1 }\n\
    train = { learning_rate = 0.01, per_device_train_batch_size = 2, gradient_accumulation_steps = 1 }\n";

/// A judge of a tiny model's hidden states.
const JUDGE: &str = "output_dir = 'DIR/out'\nseed = 3\npolicy = { model = 'DIR/judge' }\n\
    data = { votes = 'DIR/votes.jsonl', eval_votes = 'DIR/eval_votes.jsonl' }\n\
    judge = { form = 'hybrid', values = 4 }\n\
    train = { learning_rate = 0.01, per_device_train_batch_size = 4, gradient_accumulation_steps = 1 }\n";

impl Subject {
    pub(crate) fn run() -> Self {
        Self::new(ConfigFile::Run, RUN)
    }

    pub(crate) fn train() -> Self {
        Self::new(ConfigFile::Train, TRAIN)
    }

    pub(crate) fn judge() -> Self {
        Self::new(ConfigFile::Judge, JUDGE)
    }

    fn new(file: ConfigFile, base: &str) -> Self {
        // In memory, where there is such a directory: every run syncs its files.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let dir = dir.unwrap();
        let root = dir.path();
        let model = model(root);
        // A template that reads a variable.
        let template = "{% if mark %}river {% endif %}{% for m in messages %}<s> {{ m.content }} \
            {% if m.role == 'assistant' %}<end> {% endif %}{% endfor %}{% if add_generation_prompt %}<s> {% endif %}";
        std::fs::write(model.join("chat_template.jinja"), template).unwrap();
        let other = root.join("other");
        std::fs::create_dir(&other).unwrap();
        for name in ["tokenizer.json", "chat_template.jinja"] {
            std::fs::copy(model.join(name), other.join(name)).unwrap();
        }
        for name in ["config.json", "model.safetensors"] {
            std::fs::copy(fixture("tiny_llama_untied").join(name), other.join(name)).unwrap();
        }
        write_prompts(&root.join("train.jsonl"), 8);
        write_prompts(&root.join("other.jsonl"), 9);
        write_prompts(&root.join("eval.jsonl"), 3);
        write_prompts(&root.join("other_eval.jsonl"), 2);
        for (name, count) in [("pairs.jsonl", 6), ("other_pairs.jsonl", 4)] {
            std::fs::write(root.join(name), pairs(count)).unwrap();
        }
        copy_model("pair", &root.join("judge"));
        copy_model("pair_gemma2", &root.join("other_judge"));
        for (name, prompts) in [
            ("votes.jsonl", 0..6),
            ("other_votes.jsonl", 0..5),
            ("eval_votes.jsonl", 6..9),
            ("other_eval_votes.jsonl", 6..8),
        ] {
            std::fs::write(root.join(name), votes(prompts)).unwrap();
        }
        let base = base.to_owned();
        let subject = Self { file, dir, base };
        if file != ConfigFile::Judge {
            // Adapters that were trained before.
            let out = subject.outcome(&["train.max_steps=1"]);
            out.unwrap();
            let trained = match file {
                ConfigFile::Run => "out/iteration-0001/policy",
                _ => "out/policy",
            };
            let root = subject.dir.path();
            std::fs::rename(root.join(trained), root.join("adapter")).unwrap();
        }
        subject
    }

    /// What the base with `settings` computes: each `key=value`, and `-key` for a key that is taken away.
    pub(crate) fn outcome(&self, settings: &[&str]) -> Outcome {
        let root = self.dir.path().display().to_string();
        let mut table: toml::Table = self.base.replace("DIR", &root).parse().unwrap();
        let mut sets = Vec::new();
        for setting in settings {
            match setting.strip_prefix('-') {
                Some(path) => take_away(&mut table, path),
                None => sets.push(setting.replace("DIR", &root)),
            }
        }
        let out = self.dir.path().join("out");
        if out.exists() {
            std::fs::remove_dir_all(&out).unwrap();
        }
        let text = toml::to_string(&table).unwrap();
        let written = self
            .compute(&text, &sets)
            .map_err(|error| error.to_string())?;
        let mut files = contents(&written);
        files.retain(|(name, _)| !name.ends_with("train.toml") && !name.ends_with("judge.toml"));
        for (name, bytes) in &mut files {
            // These of a checkpoint hold times.
            if name.ends_with("/trainer_state.json") || name.ends_with("/checkpoint.json") {
                bytes.clear();
            }
        }
        let rows = format!("{:?}", metrics(&written));
        files.push(("metrics".to_owned(), rows.into_bytes()));
        Ok(files)
    }

    /// Runs a configuration. Returns its output directory.
    fn compute(&self, text: &str, sets: &[String]) -> Result<PathBuf, inpo_train::TrainError> {
        let (device, find) = (Device::flex(), |name: &str| {
            Ok::<_, String>(PathBuf::from(name))
        });
        match self.file {
            ConfigFile::Run => {
                let config = RunConfig::parse(text, "run.toml", sets)?;
                let oracle = config.init_oracle(&device, find)?;
                let eval_oracle = config.init_eval_oracle(&device, find)?;
                let models = Models::load(&config.common, None, &device, find)?;
                let models = models.with_opponents(&config, &device, find)?;
                let players = Players {
                    eval_oracle: eval_oracle.as_ref().map(|oracle| oracle as _),
                    ..Players::new(models, &oracle)
                };
                run(&config, players, false, &mut Silent)?;
                Ok(config.common.output_dir)
            }
            ConfigFile::Train => {
                let config = TrainConfig::parse(text, "train.toml", sets)?;
                let previous = config.previous.as_ref();
                let models = Models::load(&config.common, previous, &device, find)?;
                train(&config, models, false, &mut Silent)?;
                Ok(config.common.output_dir)
            }
            ConfigFile::Judge | ConfigFile::Oracle => {
                let config = JudgeTrainConfig::parse(text, "judge.toml", sets)?;
                let base = load_base(&config, &device, find)?;
                train_oracle(&config, base, find, false, &mut Silent)?;
                Ok(config.output_dir)
            }
        }
    }
}

fn take_away(table: &mut toml::Table, path: &str) {
    match path.split_once('.') {
        Some((section, rest)) => take_away(table[section].as_table_mut().unwrap(), rest),
        None => {
            table.remove(path).unwrap();
        }
    }
}

/// Pairs with a probability and scores, for every kind of label.
fn pairs(count: usize) -> String {
    let words = [
        "river", "stone", "light", "music", "garden", "winter", "bread", "paper",
    ];
    let text = |from: usize, length: usize| {
        let all: Vec<&str> = (0..length).map(|k| words[(from + 3 * k) % 8]).collect();
        all.join(" ")
    };
    let row = |i: usize| {
        let row = json!({
            "prompt": text(i, 3), "chosen": text(i + 1, 2 + i % 3), "rejected": text(i + 4, 4 - i % 2),
            "probability": 0.75, "score_chosen": 0.75, "score_rejected": 0.5,
        });
        format!("{row}\n")
    };
    (0..count).map(row).collect()
}

/// Where the fixtures of judges lie.
pub(crate) fn judge_fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../inpo-oracle/tests/fixtures/models")
}
