//! Oracles of every kind, on texts that they are asked about.

use std::ops::Range;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inpo_data::{Completion, Prompt};
use inpo_oracle::{OracleConfig, Surroundings, judge};
use inpo_train::Silent;
use inpo_train::judge::{JudgeTrainConfig, load_base, train_oracle};
use serde_json::json;

use crate::Outcome;
use crate::subjects::judge_fixtures;

/// Responses to each of the prompts: also one that is too long for a short limit.
const RESPONSES: [&str; 4] = [
    "Yes.",
    "It may be so, who knows, and then it may be not so at all, as things are",
    "NO NO NO",
    "A river is not a number, it is water that flows.",
];
const PROMPTS: [&str; 2] = ["Is a river a number?", "Say yes or no."];

/// The first keys of a kind.
fn base(kind: &str) -> &'static str {
    match kind {
        "rules" => "min_words = 1",
        "recorded" => "votes = 'DIR/votes.jsonl'",
        "game" => "game = 'DIR/game.json'",
        "ensemble" => {
            "members = [{ kind = 'rules', vote = 'share' }, { kind = 'rules', target_words = 3, min_words = 1 }]"
        }
        "pair_lm" => "model = 'DIR/pair'",
        "reward_model" => "model = 'DIR/reward'",
        "general_preference" => "model = 'DIR/preference'",
        "instructions" => "",
        "server" => "base_url = 'http://localhost:1/v1'\nmodel = 'judge'",
        kind => panic!("{kind}: give the keys that it needs"),
    }
}

/// What an oracle of `kind` with `settings` is and says. A server is not asked.
pub(crate) fn outcome(dir: &Path, kind: &str, settings: &[&str]) -> Outcome {
    if !dir.join("pair").exists() {
        prepare(dir);
    }
    let root = dir.display().to_string();
    let text = format!("kind = '{kind}'\n{}\n", base(kind));
    let mut table: toml::Table = text.replace("DIR", &root).parse().unwrap();
    for setting in settings {
        let text = setting.replace("DIR", &root);
        let set: toml::Table = text.parse().unwrap_or_else(|_| panic!("{text} is no TOML"));
        table.extend(set);
    }
    let config: Result<OracleConfig, _> = table.try_into();
    let config = config.map_err(|error: toml::de::Error| error.to_string())?;
    let device = Device::flex();
    let around = Surroundings {
        device: Some(&device),
        ..Surroundings::default()
    };
    let oracle = config.init(&around).map_err(|error| error.to_string())?;
    let specification = oracle.judged().judge().specification().to_string();
    let mut outcome = vec![("specification".to_owned(), specification.into_bytes())];
    if kind == "server" {
        return Ok(outcome);
    }
    let texts = if kind == "game" {
        ["rock", "paper", "scissors", "1"]
    } else {
        RESPONSES
    };
    let responses: Vec<Completion> = texts.iter().copied().map(Completion::finished).collect();
    let items = PROMPTS.map(|text| {
        let mut prompt = Prompt::user(text);
        prompt.number = 1;
        let kwargs = json!([{"num_words": 3, "relation": "at least"}, {}]);
        let ids = json!([
            "length_constraints:number_words",
            "change_case:english_capital"
        ]);
        prompt
            .metadata
            .insert("instruction_id_list".to_owned(), ids);
        prompt.metadata.insert("kwargs".to_owned(), kwargs);
        (prompt, responses.clone())
    });
    let answers = judge(&oracle, &items, |_, answers| answers.missing());
    let answers = answers.map_err(|error| error.to_string())?;
    for (item, answers) in answers.iter().enumerate() {
        let bytes = format!("{:?}", answers.matrix()).into_bytes();
        outcome.push((format!("answers {item}"), bytes));
    }
    Ok(outcome)
}

/// The files that the kinds need.
fn prepare(dir: &Path) {
    for name in ["pair", "reward"] {
        copy_model(name, &dir.join(name));
    }
    copy_model("pair_gemma2", &dir.join("other_pair"));
    copy_model("reward", &dir.join("other_reward"));
    let template = dir.join("reward/tokenizer_config.json");
    std::fs::write(template, tokenizer_config("bos")).unwrap();
    copy_files(
        &judge_fixtures().join("pair/adapter"),
        &dir.join("pair-adapter"),
    );
    for (name, seed) in [("preference", 0), ("other_preference", 1)] {
        train_preference(dir, name, seed);
    }
    std::fs::write(dir.join("votes.jsonl"), all_votes("a")).unwrap();
    let some = all_votes("a").lines().next().unwrap().to_owned();
    std::fs::write(dir.join("some_votes.jsonl"), some).unwrap();
    std::fs::write(dir.join("other_votes.jsonl"), all_votes("b")).unwrap();
    for (name, p) in [("game", 0.75), ("other_game", 1.0)] {
        let q = 1.0 - p;
        let game = json!({
            "names": ["rock", "paper", "scissors"],
            "preferences": [[0.5, q, p], [p, 0.5, q], [q, p, 0.5]],
        });
        std::fs::write(dir.join(format!("{name}.json")), game.to_string()).unwrap();
    }
}

/// A judge with values and a prompt head.
fn train_preference(dir: &Path, name: &str, seed: u64) {
    let root = dir.display();
    std::fs::write(dir.join("train.jsonl"), votes(0..4)).unwrap();
    let text = format!(
        "output_dir = '{root}/out-{name}'\nseed = {seed}\npolicy.model = '{root}/pair'\ndata.votes = '{root}/train.jsonl'\n\
         judge = {{ form = 'general', values = 4, prompt_head = true, freeze = true }}\n\
         train = {{ learning_rate = 0.1, max_steps = 3, per_device_train_batch_size = 4, gradient_accumulation_steps = 1 }}\n"
    );
    let config = JudgeTrainConfig::parse(&text, "judge.toml", &[]).unwrap();
    let find = |name: &str| Ok::<_, String>(PathBuf::from(name));
    let base = load_base(&config, &Device::flex(), find).unwrap();
    train_oracle(&config, base, find, false, &mut Silent).unwrap();
    std::fs::rename(config.output_dir.join("policy"), dir.join(name)).unwrap();
}

/// Votes on every two of the responses.
fn all_votes(winner: &str) -> String {
    let mut rows = String::new();
    for prompt in PROMPTS {
        for (i, first) in RESPONSES.iter().enumerate() {
            for second in &RESPONSES[i + 1..] {
                let row = json!({
                    "prompt": prompt, "response_a": first, "response_b": second, "winner": winner,
                });
                rows += &format!("{row}\n");
            }
        }
    }
    rows
}

/// Votes on three styles, of which each beats the next one.
pub(crate) fn votes(prompts: Range<usize>) -> String {
    let mut rows = String::new();
    for prompt in prompts {
        for (i, j) in [(0, 1), (1, 2), (2, 0)] {
            let row = json!({
                "prompt": format!("Is {prompt} a number?"),
                "response_a": RESPONSES[i], "response_b": RESPONSES[j], "winner": "a",
            });
            rows += &format!("{row}\n");
        }
    }
    rows
}

/// A model of the judges' fixtures with its tokenizer and template.
pub(crate) fn copy_model(name: &str, to: &Path) {
    let fixtures = judge_fixtures();
    copy_files(&fixtures.join(name), to);
    std::fs::copy(fixtures.join("tokenizer.json"), to.join("tokenizer.json")).unwrap();
    std::fs::write(to.join("tokenizer_config.json"), tokenizer_config("chatml")).unwrap();
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// The settings of a tokenizer with a chat template of the fixtures.
fn tokenizer_config(template: &str) -> String {
    let templates = std::fs::read_to_string(judge_fixtures().join("templates.json")).unwrap();
    let templates: serde_json::Value = serde_json::from_str(&templates).unwrap();
    templates[template].to_string()
}
