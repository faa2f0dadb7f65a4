//! What Gemma 2 and Gemma 3 share.

use serde_json::{Value, json};

use super::spec::{FamilySpec, GgufKeys, GgufModel, PLAIN, SetKey};
use crate::config::keys::Keys;
use crate::config::{Activation, ModelConfig};
use crate::error::PolicyError;

/// Four norms a block with gains of 1 plus the weight, scaled embeddings and a tied head.
pub(super) const GEMMA: FamilySpec = FamilySpec {
    sandwich_norms: true,
    unit_offset_norms: true,
    scales_embeddings: true,
    activation: Activation::GeluTanh,
    activation_key: "hidden_activation",
    tie_word_embeddings: true,
    head_dim: Some(256),
    ..PLAIN
};

/// The scale of attention.
pub(super) fn read_scale(keys: &Keys<'_>, config: &mut ModelConfig) -> Result<(), PolicyError> {
    config.query_pre_attn_scalar = Some(keys.number("query_pre_attn_scalar")?.unwrap_or(256.0));
    Ok(())
}

/// The keys that both have, in the order in which they are written.
pub(super) fn write(config: &ModelConfig, set: &mut SetKey<'_>) {
    let cap = config.final_logit_softcapping;
    set("final_logit_softcapping", json!(cap));
    set("layer_types", config.layer_types());
    let scalar = config.query_pre_attn_scalar;
    let scalar = scalar.unwrap_or(config.head_dim as f64);
    let whole = scalar.fract() == 0.0 && scalar.abs() < 1e15;
    let scalar = if whole {
        json!(scalar as u64)
    } else {
        json!(scalar)
    };
    set("query_pre_attn_scalar", scalar);
    // Transformers takes the number for every layer that `layer_types` names, and needs one.
    let window = config.sliding_window.unwrap_or(4096);
    set("sliding_window", json!(window));
}

/// Metadata keys of both.
pub(super) const GGUF_KEYS: &[&str] = &[
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "rope.freq_base_swa",
];

/// The keys of `config.json` from a GGUF file. Every `period`-th layer sees all.
///
/// The files do not hold the divisor of the attention scores: it is the width of a head in all published
/// sizes but the largest (27B), where it is the width of the model over the heads; llama.cpp tells that one by its number
/// of layers, `largest`, and so does this.
pub(super) fn gguf_config(
    keys: &dyn GgufKeys,
    model: &GgufModel,
    largest: usize,
    period: usize,
) -> Result<Value, PolicyError> {
    let query_scalar = if model.layers == largest {
        model.hidden_size / model.heads.max(1)
    } else {
        model.head_dim
    };
    let window = keys.size("attention.sliding_window")?;
    let layer_types = gguf_layer_types(keys, window, model.layers, period)?;
    Ok(json!({
        "attention_bias": false,
        "attn_logit_softcapping": keys.float("attn_logit_softcapping")?,
        "final_logit_softcapping": keys.float("final_logit_softcapping")?,
        "hidden_activation": "gelu_pytorch_tanh",
        "layer_types": layer_types,
        "query_pre_attn_scalar": query_scalar,
        "sliding_window": window,
    }))
}

/// Which layers see a window and which all: every `period`-th sees all, unless the file says
/// otherwise.
fn gguf_layer_types(
    keys: &dyn GgufKeys,
    window: Option<usize>,
    layers: usize,
    period: usize,
) -> Result<Vec<&'static str>, PolicyError> {
    const MOST_LAYERS: usize = 1 << 12;
    const PATTERN: &str = "attention.sliding_window_pattern";
    let kind = |local: bool| {
        if local && window.is_some() {
            "sliding_attention"
        } else {
            "full_attention"
        }
    };
    if layers > MOST_LAYERS {
        let allowed = format!("at most {MOST_LAYERS} are read");
        return Err(keys.refuse("block_count", layers.to_string(), &allowed));
    }
    if let Ok(Some(flags)) = keys.flags(PATTERN) {
        if flags.len() != layers {
            let allowed = format!("there are {layers} layers");
            let found = format!("a list of {}", flags.len());
            return Err(keys.refuse(PATTERN, found, &allowed));
        }
        return Ok(flags.iter().map(|local| kind(*local)).collect());
    }
    let period = keys.size(PATTERN)?.unwrap_or(period).max(1);
    let local = |n: usize| !n.is_multiple_of(period);
    Ok((1..=layers).map(|n| kind(local(n))).collect())
}
