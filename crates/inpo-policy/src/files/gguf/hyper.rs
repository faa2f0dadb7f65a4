//! From a GGUF's metadata to `config.json`.
//!
//! The hyper-parameters are written as Hugging Face writes them and then read by the one reader of
//! `config.json`, so that a GGUF and a directory of the same model cannot come to differ, and
//! whatever that reader refuses is refused here too.

use serde_json::{Map, Value, json};

use super::Metadata;
use crate::config::{Family, GgufKeys, GgufModel, GgufSpec, listed};
use crate::error::{PolicyError, excerpt};

/// What is known of the hyper-parameters from the tensors and not from the metadata.
pub(super) struct Seen<'a> {
    /// The rows of the embedding.
    pub(super) vocab_size: usize,
    /// Whether there is no output matrix.
    pub(super) tied: bool,
    /// Whether the first layer has a bias behind attention, and in the feed-forward layer.
    pub(super) attention_bias: bool,
    pub(super) mlp_bias: bool,
    /// `rope_freqs.weight`: what each rotary frequency is divided by.
    pub(super) rope_divisors: Option<&'a [f32]>,
}

/// Keys behind the family's prefix that are read or that do not change arithmetic, of every family.
const KNOWN: &[&str] = &[
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scale_linear",
    "vocab_size",
];

/// Keys behind the prefix that change nothing where they have one of these values (true is 1, false is 0), and have no
/// code for others: what llama.cpp takes where they are absent.
const NEUTRAL: &[(&str, &[f64])] = &[
    ("attention.causal", &[1.0]),
    ("attention.clamp_kqv", &[0.0]),
    ("attention.max_alibi_bias", &[0.0]),
    ("attention.scale", &[0.0]),
    ("attention.sliding_window", &[0.0]),
    ("attn_logit_softcapping", &[0.0]),
    ("embedding_scale", &[0.0, 1.0]),
    ("final_logit_softcapping", &[0.0]),
    ("leading_dense_block_count", &[0.0]),
    ("logit_scale", &[0.0, 1.0]),
    ("pooling_type", &[0.0]),
    ("residual_scale", &[0.0, 1.0]),
    ("rope.scaling.attn_factor", &[1.0]),
    ("rope.scaling.yarn_attn_factor", &[1.0]),
    ("rope.scaling.yarn_ext_factor", &[-1.0, 1.0]),
    ("rope.scaling.yarn_log_multiplier", &[0.0]),
    ("swin_norm", &[0.0]),
    ("use_parallel_residual", &[0.0]),
];

/// The family of a file, by `general.architecture`.
pub(super) fn family(metadata: &Metadata) -> Result<(Family, &'static GgufSpec), PolicyError> {
    let key = "general.architecture";
    let name = metadata.text(key)?.ok_or_else(|| metadata.missing(key))?;
    let families = || {
        let with_files = |family: Family| Some((family, family.spec().gguf.as_ref()?));
        Family::ALL.into_iter().filter_map(with_files)
    };
    families()
        .find(|(_, gguf)| gguf.architecture == name)
        .ok_or_else(|| {
            let names = listed(families().map(|(_, gguf)| gguf.architecture));
            let allowed = format!(
                "only {names} are implemented in GGUF files; use one of those, or the Hugging Face directory of this model"
            );
            metadata.refuse(key, excerpt(name), &allowed)
        })
}

/// The `config.json` of the model in a GGUF file.
pub(super) fn hf_config(
    metadata: &Metadata,
    family: Family,
    gguf: &'static GgufSpec,
    seen: &Seen,
) -> Result<Map<String, Value>, PolicyError> {
    let keys = Keys { metadata, gguf };
    keys.nothing_else()?;
    let hidden_size = keys.required_size("embedding_length")?;
    let heads = keys.required_size("attention.head_count")?;
    let layers = keys.required_size("block_count")?;
    let head_dim = keys
        .size("attention.key_length")?
        .unwrap_or(hidden_size / heads.max(1));
    for name in ["attention.value_length", "rope.dimension_count"] {
        if let Some(n) = keys.size(name)?.filter(|n| *n != head_dim) {
            let allowed = format!("it must be the width of a head, {head_dim}");
            return Err(keys.refuse(name, n.to_string(), &allowed));
        }
    }
    let context = keys.required_size("context_length")?;
    let scaling = keys.rope_scaling(seen.rope_divisors, head_dim, context)?;
    let common = json!({
        "architectures": [family.architecture(false)],
        "attention_dropout": 0.0,
        "bos_token_id": metadata.id("tokenizer.ggml.bos_token_id")?,
        "eos_token_id": end_tokens(metadata)?,
        "head_dim": head_dim,
        "hidden_size": hidden_size,
        "intermediate_size": keys.required_size("feed_forward_length")?,
        "max_position_embeddings": context,
        "model_type": family.model_type(),
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": keys.size("attention.head_count_kv")?.unwrap_or(heads),
        "pad_token_id": metadata.id("tokenizer.ggml.padding_token_id")?,
        "rms_norm_eps": keys.required_float("attention.layer_norm_rms_epsilon")?,
        "rope_scaling": scaling,
        "rope_theta": keys.float("rope.freq_base")?.unwrap_or(10_000.0),
        "tie_word_embeddings": seen.tied,
        "torch_dtype": "float32",
        "use_cache": true,
        "vocab_size": seen.vocab_size,
    });
    let model = GgufModel {
        hidden_size,
        heads,
        head_dim,
        layers,
        attention_bias: seen.attention_bias,
        mlp_bias: seen.mlp_bias,
    };
    let own = (gguf.config)(&keys, &model)?;
    let (Value::Object(mut config), Value::Object(own)) = (common, own) else {
        unreachable!("both are written as objects");
    };
    config.extend(own);
    Ok(config)
}

/// The ids that end a text or a turn: none, one or a list, as Hugging Face writes them.
fn end_tokens(metadata: &Metadata) -> Result<Value, PolicyError> {
    let mut ids = Vec::new();
    for key in ["eos", "eot"] {
        if let Some(id) = metadata.id(&format!("tokenizer.ggml.{key}_token_id"))?
            && !ids.contains(&id)
        {
            ids.push(id);
        }
    }
    Ok(match ids.as_slice() {
        [] => Value::Null,
        [one] => json!(one),
        many => json!(many),
    })
}

/// The metadata behind a family's prefix.
struct Keys<'a> {
    metadata: &'a Metadata,
    gguf: &'static GgufSpec,
}

impl GgufKeys for Keys<'_> {
    fn size(&self, name: &str) -> Result<Option<usize>, PolicyError> {
        self.metadata.size(&self.full(name))
    }

    fn float(&self, name: &str) -> Result<Option<f64>, PolicyError> {
        self.metadata.float(&self.full(name))
    }

    fn flags(&self, name: &str) -> Result<Option<&[bool]>, PolicyError> {
        self.metadata.flags(&self.full(name))
    }

    fn refuse(&self, name: &str, found: String, allowed: &str) -> PolicyError {
        self.metadata.refuse(&self.full(name), found, allowed)
    }
}

impl Keys<'_> {
    fn full(&self, name: &str) -> String {
        format!("{}.{name}", self.gguf.architecture)
    }

    fn required_size(&self, name: &str) -> Result<usize, PolicyError> {
        self.metadata.required_size(&self.full(name))
    }

    fn required_float(&self, name: &str) -> Result<f64, PolicyError> {
        self.metadata.required_float(&self.full(name))
    }

    /// Refuses keys of the family that nothing here reads.
    fn nothing_else(&self) -> Result<(), PolicyError> {
        for name in ["expert_count", "expert_used_count"] {
            if let Some(n) = self.size(name)?.filter(|n| *n != 0) {
                let allowed = "experts are not implemented, so it must be 0";
                return Err(self.refuse(name, n.to_string(), allowed));
            }
        }
        let prefix = self.full("");
        let known = |name: &str| {
            name.starts_with("expert_") || KNOWN.contains(&name) || self.gguf.keys.contains(&name)
        };
        for key in self.metadata.keys() {
            let Some(name) = key.strip_prefix(&prefix).filter(|name| !known(name)) else {
                continue;
            };
            let Some((_, values)) = NEUTRAL.iter().find(|(neutral, _)| *neutral == name) else {
                return Err(PolicyError::UnknownConfigKey {
                    path: self.metadata.path().to_path_buf(),
                    key: key.to_owned(),
                });
            };
            if !values.iter().any(|value| self.metadata.is(key, *value)) {
                let allowed = format!("only {} is implemented", either(values));
                return Err(self
                    .metadata
                    .refuse(key, self.metadata.shown(key), &allowed));
            }
        }
        Ok(())
    }

    fn rope_scaling(
        &self,
        divisors: Option<&[f32]>,
        head_dim: usize,
        context: usize,
    ) -> Result<Value, PolicyError> {
        let kind = self.full("rope.scaling.type");
        // As llama.cpp has it: an absent type is "linear", and an absent factor (or 0) stretches nothing.
        let factor = match self.float("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => self.float("rope.scale_linear")?,
        };
        let factor = factor.filter(|factor| *factor != 0.0).unwrap_or(1.0);
        let scaling = match self.metadata.text(&kind)? {
            Some("none") => Value::Null,
            None | Some("linear") if factor == 1.0 => Value::Null,
            None | Some("linear") => json!({"rope_type": "linear", "factor": factor}),
            Some("yarn") => {
                let original = self
                    .size("rope.scaling.original_context_length")?
                    .unwrap_or(context);
                json!({
                    "rope_type": "yarn",
                    "factor": factor,
                    "beta_fast": self.float("rope.scaling.yarn_beta_fast")?,
                    "beta_slow": self.float("rope.scaling.yarn_beta_slow")?,
                    "original_max_position_embeddings": original,
                })
            }
            Some(other) => {
                return Err(self.metadata.refuse(
                    &kind,
                    excerpt(other),
                    "only \"none\", \"linear\" and \"yarn\" are known in GGUF files",
                ));
            }
        };
        match divisors {
            None => Ok(scaling),
            Some(divisors) => {
                let theta = self.float("rope.freq_base")?.unwrap_or(10_000.0);
                match llama3_scaling(divisors, theta, head_dim) {
                    Some(llama3) if scaling.is_null() => Ok(llama3),
                    _ => Err(PolicyError::Tensor {
                        path: self.metadata.path().to_path_buf(),
                        tensor: "rope_freqs.weight".to_owned(),
                        reason: "it scales the rotary frequencies in another way than Llama 3.1 to 3.3 do; use the Hugging Face directory of this model".to_owned(),
                    }),
                }
            }
        }
    }
}

/// Llama 3's scaling, of which a GGUF has only the divisors and not the settings: the factor is the
/// largest divisor, and the other settings are those of every Llama 3.1, 3.2 and 3.3. `None` where the
/// divisors are not those of such a model.
fn llama3_scaling(divisors: &[f32], theta: f64, head_dim: usize) -> Option<Value> {
    const LOW: f64 = 1.0;
    const HIGH: f64 = 4.0;
    const ORIGINAL: f64 = 8192.0;
    const TOLERANCE: f64 = 1e-4;
    if divisors.len() != head_dim / 2 {
        return None;
    }
    let factor = f64::from(divisors.iter().copied().fold(1.0, f32::max));
    for (i, divisor) in divisors.iter().enumerate() {
        let wavelength = std::f64::consts::TAU * theta.powf(2.0 * i as f64 / head_dim as f64);
        // From 0 at long waves, which are divided by the factor, to 1 at short ones, which are kept.
        let smooth = ((ORIGINAL / wavelength - LOW) / (HIGH - LOW)).clamp(0.0, 1.0);
        let expected = 1.0 / ((1.0 - smooth) / factor + smooth);
        let close = (f64::from(*divisor) - expected).abs() <= TOLERANCE * expected;
        if !close {
            return None;
        }
    }
    Some(json!({
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": LOW,
        "high_freq_factor": HIGH,
        "original_max_position_embeddings": ORIGINAL as usize,
    }))
}

/// Numbers as a sentence offers them: `0 or 1`.
fn either(values: &[f64]) -> String {
    let values: Vec<_> = values.iter().map(f64::to_string).collect();
    values.join(" or ")
}
