//! From `config.json` to a [`ModelConfig`].

use std::path::Path;

use serde_json::{Map, Value};

use super::keys::{Keys, read_object};
use super::known::{FIXED, IGNORED, IGNORED_OF, KNOWN, SWITCHED_OFF, known_of};
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
        caps(&keys, &mut config)?;
        rope::read(&keys, &mut config)?;
        // The layers' lists are as long as there are layers: their number is checked first.
        config.check_sizes(path)?;
        windows(&keys, &mut config)?;
        config.classifier = is_classifier(&keys)?;
        config.bos_token_id = keys.ids("bos_token_id")?.first().copied();
        config.eos_token_ids = keys.ids("eos_token_id")?;
        config.pad_token_id = keys.ids("pad_token_id")?.first().copied();
        keys.nothing_else(|key| {
            let of_family = |&(of, keys): &(Family, &[&str])| of == family && keys.contains(&key);
            IGNORED.contains(&key)
                || IGNORED_OF.iter().any(of_family)
                || SWITCHED_OFF.iter().any(|(k, _)| *k == key)
                || FIXED.iter().any(|(k, _)| *k == key)
                || KNOWN.contains(&key)
                || known_of(family).contains(&key)
        })?;
        Ok(config)
    }
}

fn family(keys: &Keys<'_>) -> Result<Family, PolicyError> {
    match keys.text("model_type")? {
        None => Err(keys.missing("model_type")),
        Some("gemma3") => Err(keys.refuse(
            "model_type",
            "\"gemma3\"".to_owned(),
            "that is Gemma 3 with images, and only its text models (\"gemma3_text\") are implemented",
        )),
        Some(name) => Family::of_model_type(name).ok_or_else(|| {
            let known: Vec<_> = Family::ALL.map(|f| format!("\"{}\"", f.model_type())).into();
            let (last, rest) = known.split_last().expect("there are families");
            let allowed = format!("only {} and {last} are implemented", rest.join(", "));
            keys.refuse("model_type", excerpt(name), &allowed)
        }),
    }
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
    let heads = config.num_attention_heads;
    let shared = keys.size("num_key_value_heads")?;
    let equal = matches!(config.family, Family::Llama | Family::Phi3);
    if shared.is_none() && !equal && !keys.present("num_key_value_heads") {
        return Err(keys.missing("num_key_value_heads"));
    }
    config.num_key_value_heads = shared.unwrap_or(heads);
    let implied = match config.family {
        Family::Qwen3 if !keys.present("head_dim") => 128,
        Family::Gemma2 | Family::Gemma3 if !keys.present("head_dim") => 256,
        _ => config.hidden_size / heads.max(1),
    };
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
    let own = match config.family.is_gemma() {
        true => "hidden_activation",
        false => "hidden_act",
    };
    let activation = read(own)?.unwrap_or(config.activation);
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
    match config.family {
        // Their classes have no such key: Qwen2's has its biases always, the others never.
        Family::Qwen2 => must_be(keys, "attention_bias", true)?,
        Family::Mistral | Family::Phi3 => must_be(keys, "attention_bias", false)?,
        Family::Llama | Family::Qwen3 | Family::Gemma2 | Family::Gemma3 | Family::SmolLm3 => {
            let bias = keys.flag("attention_bias")?.unwrap_or(false);
            (config.attention_bias, config.attention_output_bias) = (bias, bias);
        }
    }
    match config.family {
        Family::Llama | Family::SmolLm3 => {
            config.mlp_bias = keys.flag("mlp_bias")?.unwrap_or(false);
        }
        _ => must_be(keys, "mlp_bias", false)?,
    }
    Ok(())
}

/// Soft caps and the scale of attention: in Gemma an absent key has a number, `null` is none.
fn caps(keys: &Keys<'_>, config: &mut ModelConfig) -> Result<(), PolicyError> {
    if !config.family.is_gemma() {
        return Ok(());
    }
    let cap = |key: &str, absent: f64| match keys.present(key) {
        true => keys.number(key),
        false => Ok(Some(absent)),
    };
    config.query_pre_attn_scalar = Some(keys.number("query_pre_attn_scalar")?.unwrap_or(256.0));
    if config.family == Family::Gemma2 {
        config.attn_logit_softcapping = cap("attn_logit_softcapping", 50.0)?;
        config.final_logit_softcapping = cap("final_logit_softcapping", 30.0)?;
    } else {
        if let Some(cap) = keys.number("attn_logit_softcapping")? {
            let allowed = "transformers does not cap the scores of Gemma 3, so it must be null";
            return Err(keys.refuse("attn_logit_softcapping", cap.to_string(), allowed));
        }
        config.final_logit_softcapping = keys.number("final_logit_softcapping")?;
    }
    Ok(())
}

/// Which layers see a window only and which rotate. Afterwards there is a window only where a layer has it.
fn windows(keys: &Keys<'_>, config: &mut ModelConfig) -> Result<(), PolicyError> {
    let layers = config.num_hidden_layers;
    if config.family == Family::SmolLm3 {
        config.rope_layers = rope_layers(keys, layers)?;
    }
    let absent = match config.family {
        Family::Llama => return Ok(()),
        Family::Phi3 | Family::SmolLm3 => None,
        _ => Some(4096),
    };
    let window = match keys.present("sliding_window") {
        true => keys.size("sliding_window")?,
        false => absent,
    };
    let switched = matches!(
        config.family,
        Family::Qwen2 | Family::Qwen3 | Family::SmolLm3
    );
    let on = !switched || keys.flag("use_sliding_window")?.unwrap_or(false);
    let window = window.filter(|_| on);
    let listed = match known_of(config.family).contains(&"layer_types") {
        true => layer_types(keys, layers)?,
        false => None,
    };
    let pattern = match config.family {
        Family::Gemma3 => match keys.size("sliding_window_pattern")? {
            Some(pattern) => Some(pattern),
            None => keys.size("_sliding_window_pattern")?,
        },
        _ => None,
    };
    let first = keys.size("max_window_layers")?.unwrap_or(28);
    let sliding = match (config.family, listed, window) {
        (_, Some(listed), None) if listed.contains(&true) => {
            let allowed = "there is no window (`sliding_window`, `use_sliding_window`) for them";
            let found = "a list with \"sliding_attention\"".to_owned();
            return Err(keys.refuse("layer_types", found, allowed));
        }
        (_, Some(listed), _) => listed,
        (Family::Qwen2 | Family::Qwen3, None, _) => (0..layers).map(|i| i >= first).collect(),
        (Family::SmolLm3, None, _) => config.rope_layers.iter().map(|rotates| !rotates).collect(),
        (Family::Gemma3, None, _) if pattern.is_some_and(|pattern| pattern > 0) => {
            let pattern = pattern.unwrap_or(6);
            (0..layers)
                .map(|i| !(i + 1).is_multiple_of(pattern))
                .collect()
        }
        (family, None, _) => family.sliding_layers(layers),
    };
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

/// `no_rope_layers` says 1 for a layer that rotates, its name notwithstanding.
fn rope_layers(keys: &Keys<'_>, layers: usize) -> Result<Vec<bool>, PolicyError> {
    let Some(list) = keys.list("no_rope_layers", layers)? else {
        let interval = keys.size("no_rope_layer_interval")?.unwrap_or(4).max(1);
        return Ok((0..layers)
            .map(|i| !(i + 1).is_multiple_of(interval))
            .collect());
    };
    let rotates = list.iter().map(|value| match value.as_u64() {
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        _ => Err(keys.refuse(
            "no_rope_layers",
            format!("a list with {}", excerpt(&value.to_string())),
            "it must be a list of 1 (rotates) and 0 (does not)",
        )),
    });
    rotates.collect()
}

/// Whether `architectures` names a sequence classifier.
fn is_classifier(keys: &Keys<'_>) -> Result<bool, PolicyError> {
    let names = keys.get("architectures").and_then(Value::as_array);
    let mut names = names.into_iter().flatten().filter_map(Value::as_str);
    let Some(name) = names.find(|name| !name.ends_with("ForCausalLM")) else {
        return Ok(false);
    };
    match name.ends_with("ForSequenceClassification") {
        true => Ok(true),
        false => Err(keys.refuse(
            "architectures",
            excerpt(name),
            "only classes that end in \"ForCausalLM\" or \"ForSequenceClassification\" are implemented",
        )),
    }
}
