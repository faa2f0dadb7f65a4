//! The metadata of a GGUF file and the hyper-parameters in it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::{ModelConfig, RopeScaling};
use crate::error::{PolicyError, excerpt};

/// A metadata value.
#[derive(Debug, PartialEq)]
pub(crate) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    String(String),
    Strings(Vec<String>),
    Integers(Vec<i64>),
    /// An array of a type that is not kept.
    Other,
}

impl Value {
    fn describe(&self) -> String {
        match self {
            Self::Unsigned(n) => n.to_string(),
            Self::Signed(n) => n.to_string(),
            Self::Float(x) => x.to_string(),
            Self::Bool(b) => b.to_string(),
            Self::String(text) => excerpt(text),
            Self::Strings(list) => format!("a list of {} strings", list.len()),
            Self::Integers(list) => format!("a list of {} numbers", list.len()),
            Self::Other => "a list".to_owned(),
        }
    }
}

/// The metadata of a GGUF file, with the path that messages name.
#[derive(Debug)]
pub(crate) struct Metadata {
    values: BTreeMap<String, Value>,
    path: PathBuf,
}

/// Keys of the `llama.` group that are read or that do not change arithmetic.
const KNOWN: &[&str] = &[
    "llama.attention.head_count",
    "llama.attention.head_count_kv",
    "llama.attention.key_length",
    "llama.attention.layer_norm_rms_epsilon",
    "llama.attention.value_length",
    "llama.block_count",
    "llama.context_length",
    "llama.embedding_length",
    "llama.feed_forward_length",
    "llama.rope.dimension_count",
    "llama.rope.freq_base",
    "llama.rope.scaling.factor",
    "llama.rope.scaling.finetuned",
    "llama.rope.scaling.original_context_length",
    "llama.rope.scaling.type",
    "llama.vocab_size",
];

impl Metadata {
    pub(crate) fn new(values: BTreeMap<String, Value>, path: PathBuf) -> Self {
        Self { values, path }
    }

    /// The error for a value that cannot be used.
    pub(crate) fn refuse(&self, key: &str, found: String, allowed: &str) -> PolicyError {
        PolicyError::ConfigValue {
            path: self.path.clone(),
            key: key.to_owned(),
            found,
            allowed: allowed.to_owned(),
        }
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        kind: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, PolicyError> {
        let Some(value) = self.values.get(key) else {
            return Ok(None);
        };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(self.refuse(key, value.describe(), &format!("it must be {kind}"))),
        }
    }

    pub(crate) fn unsigned(&self, key: &str) -> Result<Option<u64>, PolicyError> {
        self.typed(key, "a whole number", |value| match value {
            Value::Unsigned(n) => Some(*n),
            Value::Signed(n) => u64::try_from(*n).ok(),
            _ => None,
        })
    }

    fn size(&self, key: &str) -> Result<Option<usize>, PolicyError> {
        // A number above usize is refused by the bounds of ModelConfig.
        Ok(self
            .unsigned(key)?
            .map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
    }

    fn required_size(&self, key: &str) -> Result<usize, PolicyError> {
        self.size(key)?.ok_or_else(|| self.missing(key))
    }

    fn missing(&self, key: &str) -> PolicyError {
        PolicyError::MissingConfigKey {
            path: self.path.clone(),
            key: key.to_owned(),
        }
    }

    fn float(&self, key: &str) -> Result<Option<f64>, PolicyError> {
        self.typed(key, "a number", |value| match value {
            Value::Float(x) => Some(*x),
            _ => None,
        })
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, PolicyError> {
        self.typed(key, "a string", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, PolicyError> {
        self.typed(key, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    pub(crate) fn strings(&self, key: &str) -> Result<Option<&[String]>, PolicyError> {
        self.typed(key, "a list of strings", |value| match value {
            Value::Strings(list) => Some(list.as_slice()),
            _ => None,
        })
    }

    pub(crate) fn integers(&self, key: &str) -> Result<Option<&[i64]>, PolicyError> {
        self.typed(key, "a list of whole numbers", |value| match value {
            Value::Integers(list) => Some(list.as_slice()),
            _ => None,
        })
    }

    pub(crate) fn id(&self, key: &str) -> Result<Option<u32>, PolicyError> {
        match self.unsigned(key)? {
            None => Ok(None),
            Some(n) => match u32::try_from(n) {
                Ok(id) => Ok(Some(id)),
                Err(_) => Err(self.refuse(key, n.to_string(), "it must be a token id")),
            },
        }
    }

    /// Refuses every architecture but Llama.
    pub(crate) fn require_llama(&self) -> Result<(), PolicyError> {
        let architecture = "general.architecture";
        match self.text(architecture)? {
            Some("llama") => Ok(()),
            Some(other) => {
                let allowed = "only \"llama\" is implemented; use a Llama model";
                Err(self.refuse(architecture, excerpt(other), allowed))
            }
            None => Err(self.missing(architecture)),
        }
    }

    /// The hyper-parameters of a Llama model. `vocab_size` and `tied` come from the tensor table:
    /// the rows of the embedding, and whether there is no output matrix.
    pub(crate) fn model_config(
        &self,
        vocab_size: usize,
        tied: bool,
    ) -> Result<ModelConfig, PolicyError> {
        for key in ["llama.expert_count", "llama.expert_used_count"] {
            if let Some(n) = self.size(key)?.filter(|n| *n != 0) {
                return Err(self.refuse(
                    key,
                    n.to_string(),
                    "experts are not implemented, so it must be 0",
                ));
            }
        }
        let unknown = self.values.keys().find(|key| {
            key.starts_with("llama.")
                && !key.starts_with("llama.expert_")
                && !KNOWN.contains(&key.as_str())
        });
        if let Some(key) = unknown {
            return Err(PolicyError::UnknownConfigKey {
                path: self.path.clone(),
                key: key.clone(),
            });
        }
        let hidden_size = self.required_size("llama.embedding_length")?;
        let heads = self.required_size("llama.attention.head_count")?;
        let head_dim = self
            .size("llama.attention.key_length")?
            .unwrap_or(hidden_size / heads.max(1));
        for key in ["llama.attention.value_length", "llama.rope.dimension_count"] {
            if let Some(n) = self.size(key)?.filter(|n| *n != head_dim) {
                let allowed = format!("it must be the width of a head, {head_dim}");
                return Err(self.refuse(key, n.to_string(), &allowed));
            }
        }
        let mut eos_token_ids = Vec::new();
        for key in ["eos", "eot"] {
            if let Some(id) = self.id(&format!("tokenizer.ggml.{key}_token_id"))?
                && !eos_token_ids.contains(&id)
            {
                eos_token_ids.push(id);
            }
        }
        let epsilon = "llama.attention.layer_norm_rms_epsilon";
        let config = ModelConfig {
            vocab_size,
            hidden_size,
            intermediate_size: self.required_size("llama.feed_forward_length")?,
            num_hidden_layers: self.required_size("llama.block_count")?,
            num_attention_heads: heads,
            num_key_value_heads: self.size("llama.attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            max_position_embeddings: self.required_size("llama.context_length")?,
            rms_norm_eps: self.float(epsilon)?.ok_or_else(|| self.missing(epsilon))?,
            rope_theta: self.float("llama.rope.freq_base")?.unwrap_or(10_000.0),
            rope_scaling: self.rope_scaling()?,
            tie_word_embeddings: tied,
            bos_token_id: self.id("tokenizer.ggml.bos_token_id")?,
            eos_token_ids,
            pad_token_id: self.id("tokenizer.ggml.padding_token_id")?,
            ..ModelConfig::default()
        };
        config.check(&self.path)?;
        Ok(config)
    }

    fn rope_scaling(&self) -> Result<RopeScaling, PolicyError> {
        let (kind, factor) = ("llama.rope.scaling.type", "llama.rope.scaling.factor");
        match self.text(kind)? {
            None | Some("none") => Ok(RopeScaling::None),
            Some("linear") => {
                let factor = self.float(factor)?.ok_or_else(|| self.missing(factor))?;
                Ok(RopeScaling::Linear { factor })
            }
            Some(other) => Err(self.refuse(
                kind,
                excerpt(other),
                "only \"none\" and \"linear\" are implemented in GGUF files",
            )),
        }
    }
}
