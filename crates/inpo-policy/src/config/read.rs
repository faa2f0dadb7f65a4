//! From `config.json` to a [`ModelConfig`].

use std::path::Path;

use serde_json::{Map, Value};

use super::families::{Bias, listed};
use super::keys::{Keys, read_object};
use super::known::{FIXED, IGNORED, KNOWN, SWITCHED_OFF};
use super::{Activation, Family, ModelConfig, rope};
use crate::error::{PolicyError, excerpt};

impl ModelConfig {
    /// Reads `config.json`, and the end tokens of `generation_config.json` beside it.
    ///
    /// Accepted are `rope_theta` with `rope_scaling` (transformers 4) and `rope_parameters`
    /// (transformers 5). Absent keys have the defaults of transformers' class, except the
    /// sizes, which must be given. A key whose value is `null` counts as absent where its absence does not
    /// mean something else.
    ///
    /// # Errors
    /// A file that cannot be read or is not JSON; another `model_type`; a missing, unknown or
    /// unsupported key; sizes that do not fit together. The message names file and key.
    pub fn from_hf_json(path: &Path) -> Result<Self, PolicyError> {
        Self::from_hf_object(&read_object(path)?, path)
    }

    /// [`ModelConfig::from_hf_json`] of what was read from `path`.
    pub(crate) fn from_hf_object(
        object: &Map<String, Value>,
        path: &Path,
    ) -> Result<Self, PolicyError> {
        let mut config = Self::from_object(object, path)?;
        config.check(path)?;
        let generation = path.with_file_name("generation_config.json");
        if inpo_data::input::is_there(&generation).map_err(PolicyError::read(&generation))? {
            let object = read_object(&generation)?;
            for id in Keys::new(&object, &generation, "").ids("eos_token_id")? {
                config.check_id(&generation, "eos_token_id", id)?;
                if !config.eos_token_ids.contains(&id) {
                    config.eos_token_ids.push(id);
                }
            }
        }
        Ok(config)
    }

    pub(crate) fn from_object(
        object: &Map<String, Value>,
        path: &Path,
    ) -> Result<Self, PolicyError> {
        let keys = Keys::new(object, path, "");
        let family = family(&keys)?;
        let mut config = Self::of(family);
        for &(key, wanted) in SWITCHED_OFF {
            must_be(&keys, key, wanted)?;
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
        config.vocab_size = keys.required_size("vocab_size")?;
        config.hidden_size = keys.required_size("hidden_size")?;
        config.intermediate_size = keys.required_size("intermediate_size")?;
        config.num_hidden_layers = keys.required_size("num_hidden_layers")?;
        config.num_attention_heads = keys.required_size("num_attention_heads")?;
        heads(&keys, &mut config)?;
        if let Some(size) = keys.size("max_position_embeddings")? {
            config.max_position_embeddings = size;
        }
        if let Some(epsilon) = keys.number("rms_norm_eps")? {
            config.rms_norm_eps = epsilon;
        }
        if let Some(tied) = keys.flag("tie_word_embeddings")? {
            config.tie_word_embeddings = tied;
        }
        config.activation = activation(&keys, &config)?;
        biases(&keys, &mut config)?;
        (family.spec().read)(&keys, &mut config)?;
        rope::read(&keys, &mut config)?;
        // The layers' lists are as long as there are layers: their number is checked first.
        config.check_sizes(path)?;
        windows(&keys, &mut config)?;
        config.classifier = is_classifier(&keys)?;
        config.bos_token_id = keys.ids("bos_token_id")?.first().copied();
        config.eos_token_ids = keys.ids("eos_token_id")?;
        config.pad_token_id = keys.ids("pad_token_id")?.first().copied();
        keys.nothing_else(|key| {
            let spec = family.spec();
            IGNORED.contains(&key)
                || spec.ignored.contains(&key)
                || SWITCHED_OFF.iter().any(|(k, _)| *k == key)
                || FIXED.iter().any(|(k, _)| *k == key)
                || KNOWN.contains(&key)
                || spec.keys.contains(&key)
        })?;
        Ok(config)
    }
}

fn family(keys: &Keys<'_>) -> Result<Family, PolicyError> {
    let name = keys.text("model_type")?;
    let name = name.ok_or_else(|| keys.missing("model_type"))?;
    if let Some(family) = Family::of_model_type(name) {
        return Ok(family);
    }
    let mut refused = Family::ALL.iter().flat_map(|f| f.spec().refused);
    let allowed = match refused.find(|(relative, _)| *relative == name) {
        Some((_, reason)) => (*reason).to_owned(),
        None => {
            let names = listed(Family::ALL.into_iter().map(Family::model_type));
            format!("only {names} are implemented")
        }
    };
    Err(keys.refuse("model_type", excerpt(name), &allowed))
}

fn must_be(keys: &Keys<'_>, key: &str, wanted: bool) -> Result<(), PolicyError> {
    match keys.flag(key)?.filter(|found| *found != wanted) {
        None => Ok(()),
        Some(found) => Err(keys.refuse(
            key,
            found.to_string(),
            &format!("only {wanted} is implemented"),
        )),
    }
}

fn heads(keys: &Keys<'_>, config: &mut ModelConfig) -> Result<(), PolicyError> {
    let spec = config.family.spec();
    let heads = config.num_attention_heads;
    let shared = keys.size("num_key_value_heads")?;
    let present = keys.present("num_key_value_heads");
    if shared.is_none() && !spec.optional_key_value_heads && !present {
        return Err(keys.missing("num_key_value_heads"));
    }
    config.num_key_value_heads = shared.unwrap_or(heads);
    let fixed = spec.head_dim.filter(|_| !keys.present("head_dim"));
    let implied = fixed.unwrap_or(config.hidden_size / heads.max(1));
    config.head_dim = keys.size("head_dim")?.unwrap_or(implied);
    Ok(())
}

/// Gemma's key is `hidden_activation`; `hidden_act` stands beside it in older files, and must not contradict.
fn activation(keys: &Keys<'_>, config: &ModelConfig) -> Result<Activation, PolicyError> {
    let read = |key: &str| match keys.text(key)? {
        None => Ok(None),
        Some("silu" | "swish") => Ok(Some(Activation::Silu)),
        Some("gelu_pytorch_tanh" | "gelu_new") => Ok(Some(Activation::GeluTanh)),
        Some(other) => Err(keys.refuse(
            key,
            excerpt(other),
            "only \"silu\" and \"gelu_pytorch_tanh\" are implemented",
        )),
    };
    let activation = read(config.family.spec().activation_key)?.unwrap_or(config.activation);
    match read("hidden_act")? {
        Some(other) if other != activation => Err(keys.refuse(
            "hidden_act",
            "another function than `hidden_activation`".to_owned(),
            "the two must agree; remove the wrong one",
        )),
        _ => Ok(activation),
    }
}

fn biases(keys: &Keys<'_>, config: &mut ModelConfig) -> Result<(), PolicyError> {
    let spec = config.family.spec();
    match spec.attention_bias {
        Bias::Fixed(bias) => must_be(keys, "attention_bias", bias)?,
        Bias::Key => {
            let bias = keys.flag("attention_bias")?.unwrap_or(false);
            (config.attention_bias, config.attention_output_bias) = (bias, bias);
        }
    }
    match spec.mlp_bias {
        Bias::Fixed(bias) => must_be(keys, "mlp_bias", bias)?,
        Bias::Key => config.mlp_bias = keys.flag("mlp_bias")?.unwrap_or(false),
    }
    Ok(())
}

/// Reads which layers have a sliding window and which rotate. Afterwards there is a window only where a layer has it.
fn windows(keys: &Keys<'_>, config: &mut ModelConfig) -> Result<(), PolicyError> {
    let spec = config.family.spec();
    let Some(windows) = &spec.windows else {
        return Ok(());
    };
    let implied = (windows.layers)(keys, config)?;
    let window = if keys.present("sliding_window") {
        keys.size("sliding_window")?
    } else {
        windows.absent
    };
    let on = !windows.switched || keys.flag("use_sliding_window")?.unwrap_or(false);
    let window = window.filter(|_| on);
    let listed = if spec.keys.contains(&"layer_types") {
        layer_types(keys, config.num_hidden_layers)?
    } else {
        None
    };
    if window.is_none() && listed.as_ref().is_some_and(|list| list.contains(&true)) {
        let allowed = "there is no window (`sliding_window`, `use_sliding_window`) for them";
        let found = "a list with \"sliding_attention\"".to_owned();
        return Err(keys.refuse("layer_types", found, allowed));
    }
    let sliding = listed.unwrap_or(implied);
    if window.is_some() && sliding.contains(&true) {
        config.sliding_window = window;
        config.sliding_layers = sliding;
    }
    if config.rope_layers.iter().all(|rotates| *rotates) {
        config.rope_layers.clear();
    }
    Ok(())
}

/// Which layers have "sliding_attention"; none without the key.
fn layer_types(keys: &Keys<'_>, layers: usize) -> Result<Option<Vec<bool>>, PolicyError> {
    let Some(list) = keys.list("layer_types", layers)? else {
        return Ok(None);
    };
    let sliding = list.iter().map(|kind| match kind.as_str() {
        Some("full_attention") => Ok(false),
        Some("sliding_attention") => Ok(true),
        _ => Err(keys.refuse(
            "layer_types",
            format!(
                "a list with {}",
                kind.as_str().map_or_else(|| kind.to_string(), excerpt)
            ),
            "only \"full_attention\" and \"sliding_attention\" are implemented",
        )),
    });
    sliding.collect::<Result<_, _>>().map(Some)
}

/// Whether `architectures` names a sequence classifier.
fn is_classifier(keys: &Keys<'_>) -> Result<bool, PolicyError> {
    let names = keys.get("architectures").and_then(Value::as_array);
    let mut names = names.into_iter().flatten().filter_map(Value::as_str);
    let Some(name) = names.find(|name| !name.ends_with("ForCausalLM")) else {
        return Ok(false);
    };
    if name.ends_with("ForSequenceClassification") {
        return Ok(true);
    }
    Err(keys.refuse(
        "architectures",
        excerpt(name),
        "only classes that end in \"ForCausalLM\" or \"ForSequenceClassification\" are implemented",
    ))
}
