//! The sections of a configuration but `[objective]` and `[train]`: every key with its range and its default.

use std::path::PathBuf;

use inpo_data::TemplateInput;
use inpo_policy::{FloatType, LoraConfig, Precision};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::TrainError;

/// The most rounds of a run.
const MOST_ITERATIONS: usize = 1_000_000;

/// `[policy]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicySection {
    /// The model that trains: Hugging Face directory, `.gguf` file, hub id, or `smollm2-135m-instruct`.
    pub model: String,
    /// Float type of the model, `f32` or `bf16`. In bf16 what trains stays in f32: adapters, or all weights in full
    /// fine-tuning, which are cast where they are used.
    #[serde(default)]
    pub dtype: FloatType,
    /// PEFT adapter directory on the model, which is trained further; not together with `policy.lora`.
    pub adapter: Option<PathBuf>,
    /// Longest prompt and response together, in tokens, at least 1. Absent, and the most: the model's context. In
    /// `inpo train` a prompt is cut on its left, a response on its right where it does not fit by itself; in `inpo run` a
    /// prompt that does not fit beside `generation.max_new_tokens` is refused.
    pub max_length: Option<usize>,
    /// Fresh low-rank adapters, all keys optional. Absent: every weight trains, or the given `adapter`.
    pub lora: Option<LoraConfig>,
}

impl PolicySection {
    /// Every weight of `model`, in f32.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            dtype: FloatType::default(),
            adapter: None,
            max_length: None,
            lora: None,
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// `adapter` beside `lora`; settings of the adapters outside their range.
    pub fn validate(&self) -> Result<(), TrainError> {
        if let Some(lora) = &self.lora {
            if let Some(adapter) = &self.adapter {
                let allowed = "an adapter to go on with, or policy.lora for fresh ones, not both";
                let got = adapter.display();
                return Err(TrainError::setting("policy.adapter", got, allowed));
            }
            lora.validate()?;
        }
        if self.dtype == FloatType::F16 {
            return Err(TrainError::setting("policy.dtype", "f16", "f32 or bf16"));
        }
        if self.max_length == Some(0) {
            return Err(TrainError::setting("policy.max_length", 0, "at least 1"));
        }
        Ok(())
    }

    /// Float types of the policy: whether all of its weights train decides what bf16 means.
    pub fn precision(&self) -> Precision {
        match self.dtype {
            FloatType::Bf16 if self.lora.is_some() || self.adapter.is_some() => Precision::Bf16,
            FloatType::Bf16 => Precision::Bf16Mixed,
            FloatType::F32 | FloatType::F16 => Precision::F32,
        }
    }

    /// Float types of the reference and the previous policy, which do not train.
    pub(crate) fn frozen_precision(&self) -> Precision {
        if self.dtype == FloatType::Bf16 {
            Precision::Bf16
        } else {
            Precision::F32
        }
    }
}

/// How many tokens a prompt and a response may have together where the models read `context`.
///
/// # Errors
///
/// A `max_length` beyond that.
pub(crate) fn token_limit(max_length: Option<usize>, context: usize) -> Result<usize, TrainError> {
    match max_length {
        Some(length) if length > context => {
            let allowed = format!("at most {context}, the models' context");
            Err(TrainError::setting("policy.max_length", length, &allowed))
        }
        length => Ok(length.unwrap_or(context)),
    }
}

/// `[reference]` and `[previous]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// The model: Hugging Face directory, `.gguf` file, hub id, or `smollm2-135m-instruct`.
    pub model: String,
    /// PEFT adapter directory on it.
    pub adapter: Option<PathBuf>,
}

/// `[data]` of `inpo train`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PairsSection {
    /// File of pairs: JSON lines, a JSON array, either of them gzipped, or Parquet.
    pub pairs: PathBuf,
    /// Whether pairs are taken in a seeded random order, another one each epoch, or as they stand.
    #[serde(default = "yes")]
    pub shuffle: bool,
    /// Variables of the chat template, for instance `{ enable_thinking = false }`; those of a row win.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(!skip_serializing_if)]
    pub chat_template_kwargs: Map<String, Value>,
}

impl PairsSection {
    /// What the chat template is given where a row says nothing.
    ///
    /// # Errors
    ///
    /// `chat_template_kwargs` that are no variables of a template.
    pub fn template(&self) -> Result<TemplateInput, TrainError> {
        template(&self.chat_template_kwargs)
    }
}

fn template(kwargs: &Map<String, Value>) -> Result<TemplateInput, TrainError> {
    TemplateInput::from_kwargs(kwargs).map_err(|reason| {
        let got = Value::Object(kwargs.clone());
        let allowed = format!("variables of the chat template ({reason})");
        TrainError::setting("data.chat_template_kwargs", got, &allowed)
    })
}

/// `[data]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// File of training prompts: JSON lines, a JSON array, either of them gzipped, or Parquet.
    pub prompts: PathBuf,
    /// File of held-out prompts. Absent: no evaluation.
    pub eval_prompts: Option<PathBuf>,
    /// Whether prompts are taken in a seeded random order, or as they stand.
    #[serde(default = "yes")]
    pub shuffle: bool,
    /// Variables of the chat template, for instance `{ enable_thinking = false }`; those of a row win.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(!skip_serializing_if)]
    pub chat_template_kwargs: Map<String, Value>,
}

impl DataSection {
    /// Prompts of a file in a seeded random order, and no evaluation.
    pub fn new(prompts: impl Into<PathBuf>) -> Self {
        Self {
            prompts: prompts.into(),
            eval_prompts: None,
            shuffle: true,
            chat_template_kwargs: Map::new(),
        }
    }

    /// What the chat template is given where a row says nothing.
    ///
    /// # Errors
    ///
    /// `chat_template_kwargs` that are no variables of a template.
    pub fn template(&self) -> Result<TemplateInput, TrainError> {
        template(&self.chat_template_kwargs)
    }
}

fn yes() -> bool {
    true
}

/// `[iteration]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IterationSection {
    /// Rounds of mirror descent, T, from 1 to 1000000.
    pub num_iterations: usize,
    /// Prompts of each round, a disjoint slice, at least 1. Absent: an equal share of all prompts.
    pub prompts_per_iteration: Option<usize>,
    /// After how many iterations the reference becomes pi_t, again and again; 0: never. Absent: the method's own number, 1
    /// for `iterative_ipo` and `iterative_dpo`, 6 for `comal` and `mpo`, 0 for the others. For methods with the reference
    /// among their anchors.
    pub ref_update_every: Option<usize>,
}

impl IterationSection {
    pub(super) fn validate(&self) -> Result<(), TrainError> {
        let key = "iteration.num_iterations";
        at_least_one(key, Some(self.num_iterations))?;
        at_most(key, self.num_iterations, MOST_ITERATIONS)?;
        at_least_one(
            "iteration.prompts_per_iteration",
            self.prompts_per_iteration,
        )
    }
}

impl Default for IterationSection {
    fn default() -> Self {
        Self {
            num_iterations: 3,
            prompts_per_iteration: None,
            ref_update_every: None,
        }
    }
}

/// Refuses 0, by the key's name.
pub(super) fn at_least_one(key: &str, value: Option<usize>) -> Result<(), TrainError> {
    match value {
        Some(0) => Err(TrainError::setting(key, 0, "at least 1")),
        _ => Ok(()),
    }
}

/// Refuses more than `most`, by the key's name.
pub(crate) fn at_most(key: &str, value: usize, most: usize) -> Result<(), TrainError> {
    if value > most {
        return Err(TrainError::setting(key, value, &format!("at most {most}")));
    }
    Ok(())
}
