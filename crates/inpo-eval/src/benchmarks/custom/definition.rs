//! The keys of a task's file.

use std::path::Path;

use inpo_data::{DataError, in_toml, in_words, input};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::benchmarks::choice::Accuracy;
use crate::benchmarks::error::BenchmarkError;
use crate::benchmarks::filter::{ExactMatch, Filter};

/// How a model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OutputType {
    MultipleChoice,
    GenerateUntil,
}

/// The keys that are used; those of [`UNUSED`] say nothing here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Definition {
    pub(super) task: String,
    pub(super) task_alias: Option<String>,
    #[serde(default = "generate_until")]
    pub(super) output_type: OutputType,
    pub(super) dataset_path: Option<String>,
    pub(super) dataset_name: Option<String>,
    pub(super) training_split: Option<String>,
    pub(super) validation_split: Option<String>,
    pub(super) test_split: Option<String>,
    pub(super) fewshot_split: Option<String>,
    pub(super) doc_to_text: String,
    pub(super) doc_to_choice: Option<Value>,
    pub(super) doc_to_target: Value,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default = "space")]
    pub(super) target_delimiter: String,
    #[serde(default = "empty_line")]
    pub(super) fewshot_delimiter: String,
    pub(super) fewshot_config: Option<ShotKeys>,
    pub(super) num_fewshot: Option<usize>,
    metric_list: Option<Vec<MetricKeys>>,
    filter_list: Option<Vec<FilterKeys>>,
    generation_kwargs: Option<GenerationKeys>,
    repeats: Option<u32>,
    pub(super) metadata: Option<Map<String, Value>>,
}

/// Keys that decide nothing that is computed here.
const UNUSED: [&str; 6] = [
    "tag",
    "group",
    "dataset_kwargs",
    "should_decontaminate",
    "doc_to_decontamination_query",
    "unsafe_code",
];

/// Keys of Python, or of models that see and hear.
const REFUSED: [&str; 8] = [
    "class",
    "custom_dataset",
    "process_docs",
    "process_results",
    "use_prompt",
    "gen_prefix",
    "doc_to_image",
    "doc_to_audio",
];

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShotKeys {
    pub(super) sampler: Option<String>,
    pub(super) split: Option<String>,
    pub(super) samples: Option<Vec<Value>>,
    pub(super) doc_to_text: Option<String>,
    pub(super) doc_to_choice: Option<Value>,
    pub(super) doc_to_target: Option<Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricKeys {
    metric: String,
    aggregation: Option<String>,
    higher_is_better: Option<bool>,
    #[serde(default)]
    ignore_case: bool,
    #[serde(default)]
    ignore_punctuation: bool,
    #[serde(default)]
    ignore_numbers: bool,
    #[serde(default)]
    regexes_to_ignore: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterKeys {
    name: String,
    filter: Vec<StepKeys>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepKeys {
    function: String,
    regex_pattern: Option<String>,
    group_select: Option<i64>,
    fallback: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct GenerationKeys {
    until: Option<Value>,
    #[serde(alias = "max_new_tokens", alias = "max_tokens")]
    max_gen_toks: Option<usize>,
    #[serde(default)]
    do_sample: bool,
    #[serde(default)]
    temperature: f64,
}

fn generate_until() -> OutputType {
    OutputType::GenerateUntil
}

fn space() -> String {
    " ".to_owned()
}

fn empty_line() -> String {
    "\n\n".to_owned()
}

impl Definition {
    /// Reads a file with those that it includes.
    pub(super) fn read(path: &Path) -> Result<Self, BenchmarkError> {
        let refuse = |reason: String| BenchmarkError::Definition {
            path: path.to_owned(),
            line: None,
            reason,
        };
        let mut keys = keys(path, 0)?;
        if let Some(key) = REFUSED
            .iter()
            .find(|key| keys.get(**key).is_some_and(|value| !value.is_null()))
        {
            return Err(refuse(format!(
                "`{key}` needs Python or something that is not here; write the task without it"
            )));
        }
        for key in UNUSED.iter().chain(&REFUSED) {
            keys.shift_remove(*key);
        }
        keys.retain(|_, value| !value.is_null());
        let definition: Self = read_keys(&Value::Object(keys)).map_err(refuse)?;
        if definition.repeats.is_some_and(|repeats| repeats != 1) {
            return Err(refuse("`repeats`: allowed: 1".to_owned()));
        }
        definition.generation().map_err(refuse)?;
        Ok(definition)
    }

    /// The scores of multiple choice.
    pub(super) fn accuracies(&self) -> Result<Vec<Accuracy>, String> {
        let Some(list) = &self.metric_list else {
            return Ok(vec![Accuracy::Plain, Accuracy::Characters]);
        };
        let accuracy = |keys: &MetricKeys| {
            keys.check()?;
            let accuracy = Accuracy::ALL
                .into_iter()
                .find(|accuracy| accuracy.name() == keys.metric);
            accuracy.ok_or_else(|| unknown(&keys.metric, "acc, acc_norm and acc_bytes"))
        };
        list.iter().map(accuracy).collect()
    }

    /// The score of texts.
    pub(super) fn exact_match(&self) -> Result<ExactMatch, String> {
        let Some(list) = &self.metric_list else {
            return ExactMatch::new(&[]);
        };
        let [keys] = list.as_slice() else {
            return Err("`metric_list`: allowed with generate_until: exact_match alone".to_owned());
        };
        keys.check()?;
        if keys.metric != "exact_match" {
            return Err(unknown(&keys.metric, "exact_match"));
        }
        Ok(ExactMatch {
            ignore_case: keys.ignore_case,
            ignore_punctuation: keys.ignore_punctuation,
            ignore_numbers: keys.ignore_numbers,
            ..ExactMatch::new(&keys.regexes_to_ignore)?
        })
    }

    /// What answers go through, by name.
    pub(super) fn filters(&self) -> Result<Vec<(String, Vec<Filter>)>, String> {
        let Some(list) = &self.filter_list else {
            return Ok(vec![("none".to_owned(), Vec::new())]);
        };
        let step = |keys: &StepKeys| match keys.function.as_str() {
            "take_first" => Ok(None),
            "lowercase" => Ok(Some(Filter::Lowercase)),
            "uppercase" => Ok(Some(Filter::Uppercase)),
            "remove_whitespace" => Ok(Some(Filter::Strip)),
            "regex" => {
                let pattern = keys
                    .regex_pattern
                    .as_deref()
                    .unwrap_or(r"#### (\-?[0-9\.\,]+)");
                let fallback = keys.fallback.as_deref().unwrap_or("[invalid]");
                Filter::regex(pattern, keys.group_select.unwrap_or(0), fallback).map(Some)
            }
            other => Err(format!(
                "`filter_list`: the function {other:?} is not known; allowed: regex, take_first, lowercase, uppercase, \
                 remove_whitespace"
            )),
        };
        let filter = |keys: &FilterKeys| {
            let steps: Result<Vec<Option<Filter>>, String> = keys.filter.iter().map(step).collect();
            Ok((keys.name.clone(), steps?.into_iter().flatten().collect()))
        };
        list.iter().map(filter).collect()
    }

    /// Where texts end, and how long they may be.
    pub(super) fn generation(&self) -> Result<(Vec<String>, usize), String> {
        let Some(keys) = &self.generation_kwargs else {
            return Ok((vec![self.fewshot_delimiter.clone()], 256));
        };
        if keys.do_sample || keys.temperature != 0.0 {
            return Err("`generation_kwargs`: texts are generated greedily; allowed: do_sample false and temperature 0".to_owned());
        }
        let until = match &keys.until {
            None => vec![self.fewshot_delimiter.clone()],
            Some(Value::String(text)) => vec![text.clone()],
            Some(value) => Vec::deserialize(value)
                .map_err(|_| "`generation_kwargs.until` is no list of texts".to_owned())?,
        };
        Ok((until, keys.max_gen_toks.unwrap_or(256)))
    }
}

impl MetricKeys {
    fn check(&self) -> Result<(), String> {
        let mean = self
            .aggregation
            .as_deref()
            .is_none_or(|aggregation| aggregation == "mean");
        match mean && self.higher_is_better != Some(false) {
            true => Ok(()),
            false => Err(format!(
                "`metric_list`: {} is a mean, and better when it is higher",
                self.metric
            )),
        }
    }
}

fn unknown(metric: &str, allowed: &str) -> String {
    format!("`metric_list`: the metric {metric:?} is not known here; allowed: {allowed}")
}

/// The keys as their type, with the place of what is wrong.
fn read_keys(keys: &Value) -> Result<Definition, String> {
    let whole = Definition::deserialize(keys);
    let Err(error) = whole else {
        return whole.map_err(|error| error.to_string());
    };
    // Which key it is: the first one that is wrong by itself.
    let text = error.to_string();
    if let Some(key) = text
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split('`').next())
    {
        return Err(format!("the key `{key}` is not known"));
    }
    let alone = |key: &&String| {
        let mut least = serde_json::json!({"task": "", "doc_to_text": "", "doc_to_target": ""});
        least[key.as_str()] = keys[key.as_str()].clone();
        Definition::deserialize(least).is_err()
    };
    let wrong = keys.as_object().and_then(|keys| keys.keys().find(alone));
    Err(wrong.map_or_else(
        || in_words(&text),
        |key| format!("`{key}`: {}", in_words(&text)),
    ))
}

/// The deepest file that a file includes.
const DEEPEST: usize = 8;

/// The keys of a file over those of the files that it includes.
fn keys(path: &Path, depth: usize) -> Result<Map<String, Value>, BenchmarkError> {
    let refuse = |line: Option<usize>, reason: String| BenchmarkError::Definition {
        path: path.to_owned(),
        line,
        reason,
    };
    let text = input::read_text(path).map_err(DataError::read(path))?;
    let toml = path
        .extension()
        .is_some_and(|extension| extension == "toml");
    let mut own: Map<String, Value> = if toml {
        toml::from_str(&text)
            .map_err(|error| refuse(None, in_toml(&text, error.span(), error.message())))?
    } else {
        for (number, line) in (1..).zip(text.lines()) {
            let code = line.split(" #").next().unwrap_or_default();
            if code.contains("!function") && !code.trim_start().starts_with('#') {
                let reason = "`!function` calls Python; write the task without it";
                return Err(refuse(Some(number), reason.to_owned()));
            }
        }
        serde_saphyr::from_str(&text).map_err(|error| {
            let whole = error.to_string();
            let first = whole.lines().next().unwrap_or_default();
            let first = first.strip_prefix("error: ").unwrap_or(first);
            refuse(None, format!("not the YAML of a task: {}", in_words(first)))
        })?
    };
    let included = match own.shift_remove("include") {
        None => Vec::new(),
        Some(Value::String(file)) => vec![file],
        Some(value) => {
            Vec::deserialize(&value).map_err(|_| refuse(None, "`include` is no file".to_owned()))?
        }
    };
    if !included.is_empty() && depth == DEEPEST {
        return Err(refuse(
            None,
            format!("files include each other more than {DEEPEST} deep"),
        ));
    }
    let mut merged = Map::new();
    for file in included {
        let file = path.parent().unwrap_or(Path::new("")).join(file);
        merged.extend(keys(&file, depth + 1)?);
    }
    merged.extend(own);
    Ok(merged)
}
