//! The values that are tried of each key.

use inpo_train::keys::ConfigKey;

/// What a value of a key is expected to do, unless it is refused by the key's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It changes what is computed.
    Output,
    /// It changes memory, time, patience or what is shown, and no file but the settings.
    Cost,
    /// It is always refused.
    Refusal,
}

/// Values of a key, of which one at least must have its effect.
#[derive(Debug)]
pub(crate) struct Try {
    pub(crate) values: Vec<String>,
    /// What else must be set (`key=value`), or taken away (`-key`), for the key to be read.
    pub(crate) context: &'static [&'static str],
    pub(crate) effect: Effect,
}

/// Where values are given: of which file or kind of oracle (empty: of any), for which key, which values.
type Given = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    Effect,
);

use Effect::{Cost, Output, Refusal};

const BEST_WORST: &[&str] = &["selection.strategy='best_worst'"];
const TRANSFORMED: &[&str] = &["policy.lora.layers_to_transform=[0]"];
const CHECKPOINTS: &[&str] = &["train.save_steps=1"];
const NO_EVALUATION: &[&str] = &["-data.eval_prompts", "-eval"];
const FULL: &[&str] = &["-policy.lora"];

/// Values for keys of which the schema does not say enough.
const GIVEN: &[Given] = &[
    (
        "judge.toml",
        "output_dir",
        &["'DIR/elsewhere'"],
        &[],
        Output,
    ),
    ("judge.toml", "policy.lora.rank", &["5"], &[], Output),
    (
        "",
        "train.warmup_ratio",
        &["0.5"],
        &["train.num_train_epochs=4"],
        Output,
    ),
    (
        "judge.toml",
        "judge.form",
        &["'general'", "'bradley_terry'"],
        &[],
        Output,
    ),
    ("judge.toml", "judge.values", &["6", "7"], &[], Output),
    ("", "objective.tau", &["0.05", "0.25"], &[], Output),
    ("run.toml", "policy.max_length", &["9"], &[], Refusal),
    (
        "",
        "train.lr_scheduler_type",
        &["'linear'", "'constant'"],
        &["train.num_train_epochs=4"],
        Output,
    ),
    (
        "",
        "oracle.kind",
        &["'ensemble'"],
        &[
            "-oracle",
            "oracle.members=[{ kind = 'rules', target_words = 3 }]",
            "oracle.kind='game'",
        ],
        Output,
    ),
    ("", "oracle.both_orders", &["false"], &[], Output),
    (
        "",
        "selection.drop_truncated",
        &["true"],
        &[
            "selection.strategy='best_worst'",
            "generation.num_generations=12",
            "generation.stop_token_ids=[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]",
        ],
        Output,
    ),
    ("", "output_dir", &["'DIR/elsewhere'"], &[], Cost),
    ("", "device", &["'cpu'"], &[], Cost),
    ("", "policy.model", &["'DIR/other'"], &[], Output),
    (
        "judge.toml",
        "policy.model",
        &["'DIR/other_judge'"],
        &[],
        Output,
    ),
    (
        "judge.toml",
        "policy.adapter",
        &["'DIR/adapter'"],
        &[],
        Refusal,
    ),
    ("", "policy.adapter", &["'DIR/adapter'"], FULL, Output),
    ("", "policy.max_length", &["9"], &[], Output),
    (
        "judge.toml",
        "policy.max_length",
        &["9", "30"],
        &[],
        Refusal,
    ),
    (
        "",
        "policy.lora.target_modules",
        &["['q_proj']", "'all-linear'"],
        &[],
        Output,
    ),
    (
        "",
        "policy.lora.exclude_modules",
        &["['q_proj']"],
        &[],
        Output,
    ),
    ("", "policy.lora.layers_to_transform", &["[0]"], &[], Output),
    (
        "",
        "policy.lora.layers_pattern",
        &["['blocks']"],
        TRANSFORMED,
        Refusal,
    ),
    (
        "",
        "policy.lora.rank_pattern",
        &["{ q_proj = 1 }"],
        &[],
        Output,
    ),
    (
        "",
        "policy.lora.alpha_pattern",
        &["{ q_proj = 1.0 }"],
        &[],
        Output,
    ),
    ("", "reference.model", &["'DIR/other'"], &[], Output),
    (
        "",
        "reference.adapter",
        &["'DIR/adapter'"],
        &["reference.model='DIR/model'"],
        Output,
    ),
    ("", "previous.model", &["'DIR/other'"], &[], Output),
    (
        "",
        "previous.adapter",
        &["'DIR/adapter'"],
        &["previous.model='DIR/model'"],
        Output,
    ),
    ("", "data.prompts", &["'DIR/other.jsonl'"], &[], Output),
    (
        "",
        "data.eval_prompts",
        &["'DIR/other_eval.jsonl'"],
        &[],
        Output,
    ),
    ("", "data.pairs", &["'DIR/other_pairs.jsonl'"], &[], Output),
    ("", "data.votes", &["'DIR/other_votes.jsonl'"], &[], Output),
    (
        "",
        "data.eval_votes",
        &["'DIR/other_eval_votes.jsonl'"],
        &[],
        Output,
    ),
    ("", "data.calibration_share", &["0.5"], &[], Output),
    (
        "",
        "data.chat_template_kwargs",
        &["{ mark = true }"],
        &[],
        Output,
    ),
    ("", "generation.num_generations", &["3"], &[], Output),
    ("", "generation.max_new_tokens", &["5"], &[], Output),
    ("", "generation.min_new_tokens", &["8"], &[], Output),
    ("", "generation.top_p", &["0.5"], &[], Output),
    ("", "generation.top_k", &["2"], &[], Output),
    (
        "",
        "generation.stop_token_ids",
        &["[3, 4, 5, 6, 7, 8, 9]", "[64]"],
        &[],
        Output,
    ),
    (
        "",
        "generation.stop_strings",
        &["['e', 'a']", "['']"],
        &[],
        Output,
    ),
    ("", "generation.max_num_seqs", &["1", "0"], &[], Output),
    ("", "generation.max_cache_tokens", &["40", "0"], &[], Output),
    (
        "",
        "oracle.noise_seed",
        &["1", "2"],
        &["oracle.label_noise=0.25", "selection.strategy='iid'"],
        Output,
    ),
    ("", "oracle.max_comparisons", &["1"], &[], Refusal),
    (
        "",
        "selection.score",
        &["'copeland'"],
        &[
            "selection.strategy='best_worst'",
            "generation.num_generations=24",
            "oracle.label_noise=0.3",
        ],
        Output,
    ),
    ("", "selection.length_penalty", &["1.0"], BEST_WORST, Output),
    (
        "",
        "selection.budget",
        &["3"],
        &["selection.strategy='adaptive'"],
        Output,
    ),
    (
        "run.toml",
        "objective.algorithm",
        &["'onpo'", "'dpo'"],
        &["-objective.eta"],
        Output,
    ),
    (
        "train.toml",
        "objective.algorithm",
        &["'onpo'", "'dpo'"],
        &["-objective.eta"],
        Output,
    ),
    ("", "objective.eta", &["0.2"], &[], Output),
    (
        "",
        "objective.beta",
        &["0.2"],
        &["objective.algorithm='dpo'", "-objective.eta"],
        Output,
    ),
    (
        "",
        "objective.label_smoothing",
        &["0.25"],
        &["objective.algorithm='dpo'", "-objective.eta"],
        Output,
    ),
    (
        "run.toml",
        "objective.history_weights",
        &["[0.75, 0.25]"],
        &["objective.algorithm='mnpo'"],
        Output,
    ),
    (
        "train.toml",
        "objective.history_weights",
        &["[0.75, 0.25]"],
        &[
            "objective.algorithm='mnpo'",
            "objective.history_weights=[1.0]",
        ],
        Refusal,
    ),
    (
        "run.toml",
        "objective.alpha",
        &["0.5"],
        &["objective.algorithm='enpo'"],
        Output,
    ),
    (
        "train.toml",
        "objective.alpha",
        &["0.5"],
        &["objective.algorithm='enpo'"],
        Refusal,
    ),
    ("", "iteration.num_iterations", &["1"], &[], Output),
    ("", "iteration.prompts_per_iteration", &["3"], &[], Output),
    ("", "iteration.ref_update_every", &["1"], &[], Output),
    ("", "train.warmup_steps", &["3"], &[], Output),
    ("", "train.num_train_epochs", &["2"], &[], Output),
    ("", "train.max_steps", &["1"], &[], Output),
    ("", "train.per_device_train_batch_size", &["3"], &[], Output),
    ("", "train.gradient_accumulation_steps", &["2"], &[], Output),
    ("", "train.gradient_checkpointing", &["true"], &[], Cost),
    (
        "",
        "train.max_loss_ratio",
        &["1.000001"],
        &["train.learning_rate=3.0", "train.num_train_epochs=9"],
        Refusal,
    ),
    ("", "train.adam_epsilon", &["0.01"], &[], Output),
    (
        "",
        "train.momentum",
        &["0.5"],
        &["train.optim='sgd'"],
        Output,
    ),
    (
        "",
        "train.rmsprop_alpha",
        &["0.5"],
        &["train.optim='rmsprop'"],
        Output,
    ),
    ("", "train.logging_steps", &["2"], &[], Output),
    ("", "train.save_steps", &["1"], &[], Output),
    ("", "train.save_total_limit", &["1"], CHECKPOINTS, Output),
    ("judge.toml", "train.save_steps", &["1"], &[], Refusal),
    ("judge.toml", "train.save_total_limit", &["1"], &[], Refusal),
    ("", "eval.num_prompts", &["2"], &[], Output),
    ("", "eval.num_generations", &["3"], &[], Output),
    ("", "eval.kl_samples", &["2"], &[], Output),
    ("", "eval.opponents", &["['reference']"], &[], Output),
    (
        "",
        "eval.opponents",
        &["['reference', 'initial']"],
        &["eval.opponents=['reference']"],
        Output,
    ),
    (
        "",
        "eval.opponents",
        &["['reference', 'DIR/other']"],
        &["eval.opponents=['reference']"],
        Output,
    ),
    ("", "eval.opponents", &["['previous']"], &[], Refusal),
    (
        "",
        "eval.oracle",
        &[
            "{ kind = 'rules', target_words = 3 }",
            "{ kind = 'rules', all_pairs = true }",
        ],
        &[],
        Output,
    ),
    ("", "judge.temperature", &["2.0"], &[], Output),
    // Oracles.
    ("rules", "criteria", &["['brevity']", "[]"], &[], Output),
    ("rules", "target_words", &["3"], &[], Output),
    ("rules", "tie_band", &["0.5"], &[], Output),
    ("rules", "min_words", &["4"], &[], Output),
    (
        "recorded",
        "votes",
        &["'DIR/other_votes.jsonl'"],
        &[],
        Output,
    ),
    ("game", "game", &["'DIR/other_game.json'"], &[], Output),
    (
        "ensemble",
        "members",
        &["[{ kind = 'rules', vote = 'share' }]", "[]"],
        &[],
        Output,
    ),
    ("pair_lm", "model", &["'DIR/other_pair'"], &[], Output),
    ("pair_lm", "adapter", &["'DIR/pair-adapter'"], &[], Output),
    (
        "pair_lm",
        "template",
        &["'mt_bench'", "'labels'"],
        &["too_long='skip'"],
        Output,
    ),
    ("pair_lm", "labels", &["['B', 'A']", "['A']"], &[], Output),
    (
        "pair_lm",
        "max_length",
        &["140", "0"],
        &["too_long='skip'"],
        Output,
    ),
    (
        "pair_lm",
        "too_long",
        &["'skip'"],
        &["max_length=120"],
        Output,
    ),
    (
        "reward_model",
        "model",
        &["'DIR/other_reward'"],
        &[],
        Output,
    ),
    (
        "reward_model",
        "max_length",
        &["60", "0"],
        &["too_long='skip'"],
        Output,
    ),
    (
        "reward_model",
        "too_long",
        &["'skip'"],
        &["max_length=60"],
        Output,
    ),
    (
        "general_preference",
        "model",
        &["'DIR/other_preference'"],
        &[],
        Output,
    ),
    (
        "general_preference",
        "max_length",
        &["60", "0"],
        &["too_long='skip'"],
        Output,
    ),
    (
        "general_preference",
        "too_long",
        &["'skip'"],
        &["max_length=60"],
        Output,
    ),
    (
        "server",
        "base_url",
        &["'http://localhost:2/v1'", "'file:///etc'"],
        &[],
        Output,
    ),
    ("server", "model", &["'other'", "''"], &[], Output),
    (
        "server",
        "api_key_env",
        &["'INPO_NO_SUCH_VARIABLE'"],
        &[],
        Refusal,
    ),
    (
        "server",
        "ca_file",
        &["'DIR/missing.pem'"],
        &["base_url='https://localhost:1/v1'"],
        Refusal,
    ),
    ("server", "allow_insecure_http", &["true"], &[], Cost),
    (
        "server",
        "template",
        &["'mt_bench'", "'DIR/missing.toml'"],
        &[],
        Output,
    ),
    ("server", "labels", &["['1', '2']", "['A']"], &[], Output),
    (
        "server",
        "label_token_ids",
        &["[5, 6]"],
        &["endpoint='score'", "label_token_ids=[3, 4]"],
        Output,
    ),
    (
        "server",
        "temperature",
        &["0.5", "'none'", "3.0"],
        &[],
        Output,
    ),
    ("server", "max_tokens", &["9", "0"], &[], Output),
    (
        "server",
        "samples",
        &["4", "0"],
        &["temperature=1.0"],
        Output,
    ),
    (
        "server",
        "extra_body",
        &["{ top_k = 1 }", "{ model = 'm' }"],
        &[],
        Output,
    ),
    (
        "server",
        "structured",
        &["'response_format'"],
        &["verdict='choice'"],
        Output,
    ),
    ("server", "concurrency", &["2", "0"], &[], Cost),
    ("server", "timeout_seconds", &["2.0", "0.0"], &[], Cost),
    ("server", "max_retries", &["2"], &[], Cost),
    ("server", "retry_seconds", &["2.0", "61.0"], &[], Cost),
    ("server", "check_model", &["true"], &[], Cost),
    (
        "server",
        "input_price",
        &["1.0", "-1.0"],
        &["input_price=2.0", "output_price=1.0"],
        Cost,
    ),
    (
        "server",
        "output_price",
        &["1.0", "-1.0"],
        &["input_price=2.0", "output_price=2.0"],
        Cost,
    ),
    (
        "recorded",
        "missing",
        &["'tie'"],
        &["votes='DIR/some_votes.jsonl'"],
        Output,
    ),
    (
        "server",
        "max_tokens_name",
        &["'max_completion_tokens'"],
        &[],
        Cost,
    ),
    ("server", "top_logprobs", &["5", "21"], &[], Output),
];

/// What is tried of a key of a file, or of a kind of oracle: the values given, or what follows from its type.
pub(crate) fn of(file: &str, name: &str, key: &ConfigKey) -> Vec<Try> {
    let given = GIVEN.iter().filter(|(_, of, ..)| *of == name);
    let own: Vec<&Given> = given.clone().filter(|(of, ..)| *of == file).collect();
    let any: Vec<&Given> = given.filter(|(of, ..)| of.is_empty()).collect();
    let given = if own.is_empty() { any } else { own };
    let mut tries: Vec<Try> = given
        .into_iter()
        .map(|(_, _, values, context, effect)| Try {
            values: values.iter().map(|&value| value.to_owned()).collect(),
            context,
            effect: *effect,
        })
        .collect();
    if tries.is_empty() {
        tries.push(Try {
            values: from_type(key),
            context: &[],
            effect: Output,
        });
    }
    if name.starts_with("eval.") {
        // What is said of an evaluation that does not take place.
        let values = tries[0].values.clone();
        tries.push(Try {
            values,
            context: NO_EVALUATION,
            effect: Refusal,
        });
    }
    tries
}

/// Values other than the default; none where the type does not say any.
fn from_type(key: &ConfigKey) -> Vec<String> {
    let default = key.default.as_ref();
    if !key.words.is_empty() {
        let words = key.words.iter().map(|word| &word.name);
        let others = words.filter(|word| default.is_none_or(|default| default != word.as_str()));
        return others.map(|word| format!("'{word}'")).collect();
    }
    let number = default.and_then(serde_json::Value::as_f64);
    match key.value.as_str() {
        "true or false" => {
            let is = default.is_some_and(|default| *default == true);
            vec![(!is).to_string()]
        }
        "whole number" => vec![(number.unwrap_or(2.0) + 1.0).to_string()],
        value if value.starts_with("number") => match number {
            Some(number) if number != 0.0 => vec![format!("{:e}", number * 0.75)],
            _ => vec!["0.25".to_owned()],
        },
        _ => Vec::new(),
    }
}
