//! `inpo train` with a configuration of TRL's: the YAML of `trl dpo --config`, as TRL 1.16 and transformers 5.24 read it.

use std::path::Path;

use inpo_core::data::{DataError, in_words, input};
use serde_json::{Map, Value, json};

use crate::error::CliError;

mod keys;

use keys::{ONLY, SAME, UNUSED};

/// A configuration in our words, and the keys of the file that have no effect here.
#[derive(Debug)]
pub(crate) struct Translated {
    /// TOML for `TrainConfig::parse`.
    pub(crate) toml: String,
    /// Keys about logs, checkpoints and machines.
    pub(crate) unused: Vec<String>,
}

/// Whether `path` is one of TRL's by its name.
pub(crate) fn is_trl(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    extension == "yaml" || extension == "yml"
}

/// Reads TRL's configuration.
///
/// # Errors
///
/// A file that cannot be read, is no YAML, or has keys that change what is trained and that inpo cannot honour: each is
/// named.
pub(crate) fn read(path: &Path) -> Result<Translated, CliError> {
    let about = |reason: String| CliError::Input(format!("{}: {reason}", path.display()));
    let text = input::read_text(path)
        .map_err(|error| DataError::read(path)(error).named_by("--config"))?;
    let keys: Map<String, Value> = serde_saphyr::from_str(&text).map_err(|error| {
        // The lines behind the first show the text.
        let whole = error.to_string();
        let first = whole.lines().next().unwrap_or_default();
        let first = first.strip_prefix("error: ").unwrap_or(first);
        about(format!("not TRL's YAML: {}", in_words(first)))
    })?;
    translate(keys).map_err(|faults| about(faults.join("\n  ")))
}

/// The keys that are given: null is as good as absent.
struct Given {
    keys: Map<String, Value>,
    faults: Vec<String>,
}

impl Given {
    fn take(&mut self, key: &str) -> Option<Value> {
        self.keys.shift_remove(key)
    }

    /// A truth value; absent: `default`.
    fn truth(&mut self, key: &str, default: bool) -> bool {
        match self.take(key) {
            None => default,
            Some(Value::Bool(value)) => value,
            Some(other) => {
                self.fault(format!("`{key}` is {other}; allowed: true or false"));
                default
            }
        }
    }

    fn fault(&mut self, sentence: String) {
        self.faults.push(sentence);
    }
}

fn translate(keys: Map<String, Value>) -> Result<Translated, Vec<String>> {
    let keys = keys
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .collect();
    let mut given = Given {
        keys,
        faults: Vec::new(),
    };
    let mut config = Map::new();
    let mut put = |path: &str, value: Value| set(&mut config, path, value);

    let seed = given.keys.get("seed").cloned().unwrap_or(json!(42));
    if let Some(other) = given.take("data_seed").filter(|other| *other != seed) {
        given.fault(format!(
            "`data_seed` is {other}; allowed: absent: `seed` orders the pairs"
        ));
    }
    if !given.keys.contains_key("warmup_ratio") && !given.keys.contains_key("warmup_steps") {
        put("train.warmup_steps", json!(0));
    }
    for (key, ours, default) in SAME {
        let default = default.map(|text| serde_json::from_str(text).expect("JSON of the table"));
        if let Some(value) = given.take(key).or(default) {
            put(ours, value);
        }
    }
    match given.take("max_steps") {
        Some(steps) if steps.as_i64() != Some(-1) => put("train.max_steps", steps),
        _ => {}
    }
    put("objective.algorithm", json!(algorithm(&mut given)));
    put("data.pairs", pairs(&mut given));
    put("data.shuffle", json!(shuffle(&mut given)));
    put("policy.dtype", json!(dtype(&mut given)));
    if let Some(lora) = lora(&mut given) {
        put("policy.lora", lora);
    }
    for (key, allowed, reason) in ONLY {
        let Some(value) = given.take(key) else {
            continue;
        };
        let neutral = allowed
            .iter()
            .any(|text| serde_json::from_str(text).ok() == Some(value.clone()));
        if !neutral {
            given.fault(format!("`{key}` is {value}; {reason}"));
        }
    }
    let mut unused = Vec::new();
    for key in UNUSED {
        if given.take(key).is_some() {
            unused.push((*key).to_owned());
        }
    }
    let unknown: Vec<String> = given.keys.keys().cloned().collect();
    for key in unknown {
        given.fault(format!("`{key}` is no key of TRL 1.16 that inpo knows"));
    }
    let model = config.get("policy").and_then(|policy| policy.get("model"));
    if model.is_none() {
        given.fault("`model_name_or_path` is missing".to_owned());
    }
    if !config.contains_key("output_dir") {
        given.fault("`output_dir` is missing".to_owned());
    }
    if given.faults.is_empty() {
        let toml = toml::to_string(&config).map_err(|error| vec![error.to_string()])?;
        return Ok(Translated { toml, unused });
    }
    Err(given.faults)
}

/// Puts `value` at `section.key`.
fn set(config: &mut Map<String, Value>, path: &str, value: Value) {
    let mut place = config;
    let (sections, key) = path.rsplit_once('.').unwrap_or(("", path));
    for section in sections.split('.').filter(|section| !section.is_empty()) {
        let inner = place.entry(section).or_insert_with(|| json!({}));
        place = inner.as_object_mut().expect("sections hold keys");
    }
    place.insert(key.to_owned(), value);
}

fn algorithm(given: &mut Given) -> &'static str {
    let kind = match given.take("loss_type") {
        None => json!("sigmoid"),
        Some(Value::Array(kinds)) if kinds.len() == 1 => kinds[0].clone(),
        Some(kind) => kind,
    };
    match kind.as_str() {
        Some("sigmoid") => "dpo",
        Some("hinge") => "hinge",
        Some("ipo") => "ipo_mean",
        Some("sppo_hard") => "sppo",
        _ => {
            given.fault(format!(
                "`loss_type` is {kind}; allowed: sigmoid, hinge, ipo or sppo_hard alone; inpo's other losses are named by `objective.algorithm` in a TOML file"
            ));
            "dpo"
        }
    }
}

fn pairs(given: &mut Given) -> Value {
    let Some(name) = given.take("dataset_name") else {
        given.fault("`dataset_name` is missing: name the file of pairs".to_owned());
        return Value::Null;
    };
    let is_file = name.as_str().is_some_and(|name| Path::new(name).is_file());
    if !is_file {
        given.fault(format!(
            "`dataset_name` is {name}, which is no file here; download the data set and name its file"
        ));
    }
    name
}

fn shuffle(given: &mut Given) -> bool {
    match given.take("train_sampling_strategy") {
        None => true,
        Some(strategy) => match strategy.as_str() {
            Some("random") => true,
            Some("sequential") => false,
            _ => {
                given.fault(format!(
                    "`train_sampling_strategy` is {strategy}; allowed: random or sequential"
                ));
                true
            }
        },
    }
}

/// `dtype` of the weights; bf16 where either says so.
fn dtype(given: &mut Given) -> &'static str {
    let mixed = given.truth("bf16", false);
    let named = given.take("dtype").or_else(|| given.take("torch_dtype"));
    match named.as_ref().map(Value::as_str) {
        Some(Some("bfloat16")) => "bf16",
        None | Some(Some("float32")) if mixed => "bf16",
        None | Some(Some("float32")) => "f32",
        _ => {
            let named = named.unwrap_or_default();
            given.fault(format!("`dtype` is {named}; allowed: float32 or bfloat16"));
            "f32"
        }
    }
}

/// `[policy.lora]`, where the policy has adapters.
fn lora(given: &mut Given) -> Option<Value> {
    let used = given.truth("use_peft", false);
    // It reaches LoRA's dropout too, and is on unless the file says otherwise.
    let disabled = given.truth("disable_dropout", true);
    let rank = given.take("lora_r");
    let alpha = given.take("lora_alpha");
    let dropout = given.take("lora_dropout");
    let rslora = given.take("use_rslora");
    let modules = given.take("lora_target_modules");
    if !used {
        let named = [
            ("lora_r", &rank),
            ("lora_alpha", &alpha),
            ("lora_target_modules", &modules),
        ];
        for (key, _) in named.iter().filter(|(_, value)| value.is_some()) {
            given.fault(format!(
                "`{key}` has no effect without `use_peft: true`; set it, or remove `{key}`"
            ));
        }
        return None;
    }
    let mut lora = json!({
        "rank": rank.unwrap_or(json!(16)),
        "alpha": alpha.unwrap_or(json!(32)),
        "dropout": if disabled { json!(0.0) } else { dropout.unwrap_or(json!(0.05)) },
        "use_rslora": rslora.unwrap_or(json!(false)),
    });
    match modules {
        // PEFT's for the families that inpo reads.
        None => lora["target_modules"] = json!(["q_proj", "v_proj"]),
        Some(Value::Array(names)) if names == [json!("all-linear")] => {
            lora["target_modules"] = json!("all-linear");
        }
        // A list, or what PEFT takes for a regular expression.
        Some(names) => lora["target_modules"] = names,
    }
    Some(lora)
}

#[cfg(test)]
mod tests;
