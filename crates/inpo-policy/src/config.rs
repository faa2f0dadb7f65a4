//! The hyper-parameters of a Llama model, read from `config.json` in either of its spellings.
//!
//! A key that could change arithmetic and for which there is no code is an error, never ignored:
//! a model that runs with the wrong rotary base gives plausible, wrong log-probabilities.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::error::{PolicyError, excerpt};

mod check;
mod keys;
#[cfg(test)]
mod tests;

use keys::{Keys, read_object, rope};

/// How the rotary frequencies are stretched for contexts longer than those trained on.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Frequencies as they are.
    None,
    /// Every frequency divided by `factor`.
    Linear {
        /// The divisor, at least 1.
        factor: f64,
    },
    /// Llama 3's rule: low frequencies divided by `factor`, high ones kept, a ramp between.
    Llama3 {
        /// The divisor of the low frequencies.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// The context length before stretching.
        original_max_position_embeddings: usize,
    },
}

/// The hyper-parameters of a Llama model, by their Hugging Face names.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads of a layer.
    pub num_attention_heads: usize,
    /// Key and value heads of a layer; divides the number of query heads.
    pub num_key_value_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// The longest sequence that the model was trained for.
    pub max_position_embeddings: usize,
    /// The epsilon of RMSNorm.
    pub rms_norm_eps: f64,
    /// The base of the rotary frequencies.
    pub rope_theta: f64,
    /// How the rotary frequencies are stretched.
    pub rope_scaling: RopeScaling,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// The id that opens a text, where the model has one.
    pub bos_token_id: Option<u32>,
    /// The ids that end generation: those of `config.json` and `generation_config.json`.
    pub eos_token_ids: Vec<u32>,
    /// The id that fills up a batch, where the model has one.
    pub pad_token_id: Option<u32>,
}

/// Keys that say nothing about the arithmetic of a forward pass.
const IGNORED: &[&str] = &[
    "_attn_implementation_autoset",
    "_name_or_path",
    "architectures",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "id2label",
    "initializer_range",
    "is_llama_config",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "model_type",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
];

/// Switches that this crate has no code for: they must have the value given.
const SWITCHED_OFF: &[(&str, bool)] = &[
    ("attention_bias", false),
    ("mlp_bias", false),
    ("rope_interleaved", false),
    ("is_decoder", false),
    ("is_encoder_decoder", false),
    ("add_cross_attention", false),
    ("tie_encoder_decoder", false),
];

/// Numbers that must have the value given.
const FIXED: &[(&str, f64)] = &[
    ("attention_dropout", 0.0),
    ("partial_rotary_factor", 1.0),
    ("chunk_size_feed_forward", 0.0),
];

impl ModelConfig {
    /// Reads `config.json`, and the end tokens of `generation_config.json` beside it.
    ///
    /// Accepted are `rope_theta` with `rope_scaling` (transformers 4) and `rope_parameters`
    /// (transformers 5). Absent keys have the defaults of transformers' `LlamaConfig`, except the
    /// sizes, which must be given. A key whose value is `null` counts as absent.
    ///
    /// # Errors
    /// A file that cannot be read or is not JSON; another `model_type`; a missing, unknown or
    /// unsupported key; sizes that do not fit together. The message names file and key.
    pub fn from_hf_json(path: &Path) -> Result<Self, PolicyError> {
        let object = read_object(path)?;
        let mut config = Self::from_object(&object, path)?;
        let generation = path.with_file_name("generation_config.json");
        if generation.is_file() {
            let object = read_object(&generation)?;
            for id in Keys::new(&object, &generation, "").ids("eos_token_id")? {
                if !config.eos_token_ids.contains(&id) {
                    config.eos_token_ids.push(id);
                }
            }
        }
        config.check(path)?;
        Ok(config)
    }

    fn from_object(object: &Map<String, Value>, path: &Path) -> Result<Self, PolicyError> {
        let keys = Keys::new(object, path, "");
        match keys.text("model_type")? {
            Some("llama") => {}
            Some(other) => {
                return Err(keys.refuse(
                    "model_type",
                    excerpt(other),
                    "only \"llama\" is implemented; use a Llama model",
                ));
            }
            None => return Err(keys.missing("model_type")),
        }
        if let Some(act) = keys.text("hidden_act")?
            && act != "silu"
        {
            return Err(keys.refuse("hidden_act", excerpt(act), "only \"silu\" is implemented"));
        }
        for &(key, wanted) in SWITCHED_OFF {
            if keys.flag(key)?.is_some_and(|found| found != wanted) {
                return Err(keys.refuse(
                    key,
                    (!wanted).to_string(),
                    &format!("only {wanted} is implemented"),
                ));
            }
        }
        for &(key, wanted) in FIXED {
            if let Some(found) = keys.number(key)?.filter(|found| *found != wanted) {
                return Err(keys.refuse(
                    key,
                    found.to_string(),
                    &format!("only {wanted} is implemented"),
                ));
            }
        }
        let num_attention_heads = keys.required_size("num_attention_heads")?;
        let hidden_size = keys.required_size("hidden_size")?;
        let (rope_theta, rope_scaling) = rope(&keys)?;
        let config = Self {
            vocab_size: keys.required_size("vocab_size")?,
            hidden_size,
            intermediate_size: keys.required_size("intermediate_size")?,
            num_hidden_layers: keys.required_size("num_hidden_layers")?,
            num_attention_heads,
            num_key_value_heads: keys
                .size("num_key_value_heads")?
                .unwrap_or(num_attention_heads),
            head_dim: keys
                .size("head_dim")?
                .unwrap_or(hidden_size / num_attention_heads.max(1)),
            max_position_embeddings: keys.size("max_position_embeddings")?.unwrap_or(2048),
            rms_norm_eps: keys.number("rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta,
            rope_scaling,
            tie_word_embeddings: keys.flag("tie_word_embeddings")?.unwrap_or(false),
            bos_token_id: keys.ids("bos_token_id")?.first().copied(),
            eos_token_ids: keys.ids("eos_token_id")?,
            pad_token_id: keys.ids("pad_token_id")?.first().copied(),
        };
        keys.nothing_else(|key| {
            IGNORED.contains(&key)
                || SWITCHED_OFF.iter().any(|(k, _)| *k == key)
                || FIXED.iter().any(|(k, _)| *k == key)
                || KNOWN.contains(&key)
        })?;
        Ok(config)
    }

    /// The `config.json` of this model, which transformers loads.
    ///
    /// Written is the older spelling (`rope_theta`, `rope_scaling`), which transformers 4 and 5 read.
    #[must_use]
    pub fn to_hf_json(&self) -> Value {
        let scaling = match self.rope_scaling {
            RopeScaling::None => Value::Null,
            RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => {
                json!({
                    "rope_type": "llama3",
                    "factor": factor,
                    "low_freq_factor": low_freq_factor,
                    "high_freq_factor": high_freq_factor,
                    "original_max_position_embeddings": original_max_position_embeddings,
                })
            }
        };
        let eos = match self.eos_token_ids.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            many => json!(many),
        };
        json!({
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": false,
            "attention_dropout": 0.0,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": eos,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "mlp_bias": false,
            "model_type": "llama",
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "pad_token_id": self.pad_token_id,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_scaling": scaling,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": "float32",
            "use_cache": true,
            "vocab_size": self.vocab_size,
        })
    }
}

/// Keys that [`ModelConfig::from_hf_json`] reads into a field.
const KNOWN: &[&str] = &[
    "bos_token_id",
    "eos_token_id",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "pad_token_id",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "tie_word_embeddings",
    "vocab_size",
];
