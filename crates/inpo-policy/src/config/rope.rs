//! Rotary positions in a configuration: bases and scalings in their several spellings.

use serde_json::{Map, Value, json};

use super::ModelConfig;
use super::keys::Keys;
use crate::error::{PolicyError, excerpt};

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
    /// YaRN (arXiv 2309.00071): as Llama 3's with a ramp over the pairs' numbers, and queries and keys
    /// multiplied by `attention_factor`.
    Yarn {
        /// The divisor of the low frequencies.
        factor: f64,
        /// What cosines and sines are multiplied by.
        attention_factor: f64,
        /// Pairs that turn more often than this in the original context are kept.
        beta_fast: f64,
        /// Pairs that turn less often than this in the original context are divided.
        beta_slow: f64,
        /// The context length before stretching.
        original_max_position_embeddings: usize,
        /// Whether the ramp begins and ends at whole pairs.
        truncate: bool,
    },
}

/// A rotary base and its scaling.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeParameters {
    /// The base of the frequencies.
    pub theta: f64,
    /// How they are stretched.
    pub scaling: RopeScaling,
}

impl RopeParameters {
    /// As the value of `rope_scaling`: `null` where nothing is stretched.
    pub(super) fn scaling_json(scaling: &RopeScaling) -> Value {
        match *scaling {
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
            RopeScaling::Yarn {
                factor,
                attention_factor,
                beta_fast,
                beta_slow,
                original_max_position_embeddings,
                truncate,
            } => {
                json!({
                    "rope_type": "yarn",
                    "factor": factor,
                    "attention_factor": attention_factor,
                    "beta_fast": beta_fast,
                    "beta_slow": beta_slow,
                    "original_max_position_embeddings": original_max_position_embeddings,
                    "truncate": truncate,
                })
            }
        }
    }
}

/// Reads the rotary positions of `config`, whose family and context length are known, from `rope_theta`
/// and `rope_scaling` or from `rope_parameters`, which may be one for each type of layer.
pub(super) fn read(keys: &Keys<'_>, config: &mut ModelConfig) -> Result<(), PolicyError> {
    let theta = keys.number("rope_theta")?;
    let (old, new) = (
        keys.object("rope_scaling")?,
        keys.object("rope_parameters")?,
    );
    let by_type = new.is_some_and(|new| new.values().any(Value::is_object));
    let reader = Reader {
        refuses_scaling: config.family.spec().refuses_rope_scaling,
        context: config.max_position_embeddings,
    };
    let local = keys.number("rope_local_base_freq")?;
    if let (true, Some(new)) = (by_type, new) {
        read_by_type(keys, new, &reader, config)?;
        // Beside them the old spelling may stand, and must say the same.
        let old = old.map(|old| reader.scaling(&keys.inner(old, "rope_scaling.")));
        let clash = [
            ("rope_theta", theta.is_some_and(|t| t != config.rope_theta)),
            (
                "rope_local_base_freq",
                local.is_some_and(|t| config.local_rope.as_ref().is_some_and(|r| r.theta != t)),
            ),
            (
                "rope_scaling",
                old.transpose()?.is_some_and(|s| s != config.rope_scaling),
            ),
        ];
        return match clash.iter().find(|(_, clash)| *clash) {
            None => Ok(()),
            Some((key, _)) => Err(keys.refuse(
                key,
                "another one than in `rope_parameters`".to_owned(),
                "the two spellings must agree; remove the wrong one",
            )),
        };
    }
    if let (Some(theta), Some(rope)) = (local, &mut config.local_rope) {
        rope.theta = theta;
    }
    let default = config.rope_theta;
    let inner = match (old, new) {
        (None, None) => {
            config.rope_theta = theta.unwrap_or(default);
            return Ok(());
        }
        (Some(old), None) => keys.inner(old, "rope_scaling."),
        (None, Some(new)) => keys.inner(new, "rope_parameters."),
        (Some(old), Some(new)) => {
            let old = reader.scaling(&keys.inner(old, "rope_scaling."))?;
            let new_keys = keys.inner(new, "rope_parameters.");
            if old != reader.scaling(&new_keys)? {
                return Err(keys.refuse(
                    "rope_parameters",
                    "another scaling than `rope_scaling`".to_owned(),
                    "the two spellings must agree; remove the wrong one",
                ));
            }
            new_keys
        }
    };
    let inner_theta = inner.number("rope_theta")?;
    if let (Some(outer), Some(inner)) = (theta, inner_theta)
        && outer != inner
    {
        let allowed =
            format!("the rotary scaling says {inner}; the two must agree, remove the wrong one");
        return Err(keys.refuse("rope_theta", outer.to_string(), &allowed));
    }
    config.rope_theta = inner_theta.or(theta).unwrap_or(default);
    config.rope_scaling = reader.scaling(&inner)?;
    Ok(())
}

/// `{"full_attention": {..}, "sliding_attention": {..}}`.
fn read_by_type(
    keys: &Keys<'_>,
    new: &Map<String, Value>,
    reader: &Reader,
    config: &mut ModelConfig,
) -> Result<(), PolicyError> {
    let types = keys.inner(new, "rope_parameters.");
    types.nothing_else(|key| ["full_attention", "sliding_attention"].contains(&key))?;
    let full = types.object("full_attention")?;
    let full = full.ok_or_else(|| types.missing("full_attention"))?;
    let full = reader.parameters(
        &types.inner(full, "rope_parameters.full_attention."),
        config.rope_theta,
    )?;
    if let Some(sliding) = types.object("sliding_attention")? {
        let inner = types.inner(sliding, "rope_parameters.sliding_attention.");
        let default = config.local_rope.as_ref().map_or(full.theta, |r| r.theta);
        let sliding = reader.parameters(&inner, default)?;
        config.local_rope = (config.local_rope.is_some() || sliding != full).then_some(sliding);
    }
    config.rope_theta = full.theta;
    config.rope_scaling = full.scaling;
    Ok(())
}

struct Reader {
    /// Why a scaling is refused, where it is.
    refuses_scaling: Option<&'static str>,
    context: usize,
}

impl Reader {
    fn parameters(&self, keys: &Keys<'_>, theta: f64) -> Result<RopeParameters, PolicyError> {
        Ok(RopeParameters {
            theta: keys.number("rope_theta")?.unwrap_or(theta),
            scaling: self.scaling(keys)?,
        })
    }

    fn scaling(&self, keys: &Keys<'_>) -> Result<RopeScaling, PolicyError> {
        const ALWAYS: &[&str] = &["rope_type", "type", "rope_theta", "partial_rotary_factor"];
        if keys
            .number("partial_rotary_factor")?
            .is_some_and(|factor| factor != 1.0)
        {
            return Err(keys.refuse(
                "partial_rotary_factor",
                "not 1".to_owned(),
                "only 1 is implemented",
            ));
        }
        let kind = match keys.text("rope_type")? {
            Some(kind) => kind,
            None => keys.text("type")?.unwrap_or("default"),
        };
        if let (Some(reason), true) = (self.refuses_scaling, kind != "default") {
            return Err(keys.refuse("rope_type", excerpt(kind), reason));
        }
        let (scaling, own): (RopeScaling, &[&str]) = match kind {
            "default" => (RopeScaling::None, &[]),
            "linear" => (
                RopeScaling::Linear {
                    factor: keys.required_number("factor")?,
                },
                &["factor"],
            ),
            "llama3" => {
                let scaling = RopeScaling::Llama3 {
                    factor: keys.required_number("factor")?,
                    low_freq_factor: keys.required_number("low_freq_factor")?,
                    high_freq_factor: keys.required_number("high_freq_factor")?,
                    original_max_position_embeddings: keys
                        .required_size("original_max_position_embeddings")?,
                };
                let own = &[
                    "factor",
                    "low_freq_factor",
                    "high_freq_factor",
                    "original_max_position_embeddings",
                ];
                (scaling, own)
            }
            "yarn" => self.yarn(keys)?,
            other => {
                return Err(keys.refuse(
                    "rope_type",
                    excerpt(other),
                    "only \"default\", \"linear\", \"llama3\" and \"yarn\" are implemented",
                ));
            }
        };
        keys.nothing_else(|key| ALWAYS.contains(&key) || own.contains(&key))?;
        Ok(scaling)
    }

    /// The attention factor follows from the others where it is absent (arXiv 2309.00071, equation 22, and
    /// DeepSeek's `mscale`), as in transformers.
    fn yarn(&self, keys: &Keys<'_>) -> Result<(RopeScaling, &'static [&'static str]), PolicyError> {
        let factor = keys.required_number("factor")?;
        let set = |value: Option<f64>| value.filter(|&value| value != 0.0);
        let scale = |mscale: f64| {
            if factor <= 1.0 {
                1.0
            } else {
                0.1 * mscale * factor.ln() + 1.0
            }
        };
        let mscales = (
            set(keys.number("mscale")?),
            set(keys.number("mscale_all_dim")?),
        );
        let implied = match mscales {
            (Some(own), Some(all)) => scale(own) / scale(all),
            _ => scale(1.0),
        };
        let original = keys.size("original_max_position_embeddings")?;
        let scaling = RopeScaling::Yarn {
            factor,
            attention_factor: keys.number("attention_factor")?.unwrap_or(implied),
            beta_fast: set(keys.number("beta_fast")?).unwrap_or(32.0),
            beta_slow: set(keys.number("beta_slow")?).unwrap_or(1.0),
            original_max_position_embeddings: original.unwrap_or(self.context),
            truncate: keys.flag("truncate")?.unwrap_or(true),
        };
        Ok((
            scaling,
            &[
                "factor",
                "attention_factor",
                "beta_fast",
                "beta_slow",
                // How the model was trained.
                "finetuned",
                "mscale",
                "mscale_all_dim",
                "original_max_position_embeddings",
                "truncate",
            ],
        ))
    }
}
