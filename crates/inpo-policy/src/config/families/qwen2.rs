//! Qwen2 and Qwen2.5: biases on queries, keys and values.

use serde_json::json;

use super::spec::{Bias, FamilySpec, GgufSpec, PLAIN, SetKey, Windows};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::PolicyError;

pub(super) static FAMILY: FamilySpec = FamilySpec {
    model_type: "qwen2",
    causal_lm: "Qwen2ForCausalLM",
    classifier: "Qwen2ForSequenceClassification",
    attention_bias: Bias::Fixed(true),
    max_position_embeddings: 32_768,
    windows: Some(WINDOWS),
    keys: KEYS,
    write,
    gguf: Some(GgufSpec {
        architecture: "qwen2",
        interleaves: false,
        keys: &[],
        config: |_, _| Ok(json!({"hidden_act": "silu", "use_sliding_window": false})),
    }),
    ..PLAIN
};

/// The keys of both Qwen families.
pub(super) const KEYS: &[&str] = &[
    "layer_types",
    "max_window_layers",
    "sliding_window",
    "use_sliding_window",
];

/// The layers from `max_window_layers` on have the window.
pub(super) const WINDOWS: Windows = Windows {
    absent: Some(4096),
    switched: true,
    layers,
};

fn layers(keys: &Keys<'_>, config: &mut ModelConfig) -> Result<Vec<bool>, PolicyError> {
    let first = keys.size("max_window_layers")?.unwrap_or(28);
    Ok((0..config.num_hidden_layers).map(|i| i >= first).collect())
}

pub(super) fn write(config: &ModelConfig, set: &mut SetKey<'_>) {
    set("layer_types", config.layer_types());
    set("max_window_layers", json!(config.num_hidden_layers));
    set("sliding_window", json!(config.sliding_window));
    set("use_sliding_window", json!(config.sliding_window.is_some()));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::config::tests::{biases, of, refused, windows};

    #[test]
    fn the_window_is_switched_on() {
        let keys = json!({"sliding_window": 8, "max_window_layers": 1});
        assert_eq!(windows(&of("qwen2", keys)), [None; 2], "it is switched off");
        assert_eq!(
            refused("qwen2", json!({"layer_types": ["full_attention"]})),
            "`layer_types` is a list, but it must be a list of num_hidden_layers, 2, entries"
        );
        assert_eq!(
            refused(
                "qwen2",
                json!({"layer_types": ["full_attention", "sliding_attention"]})
            ),
            "`layer_types` is a list with \"sliding_attention\", but there is no window (`sliding_window`, `use_sliding_window`) for them"
        );
    }

    #[test]
    fn biases_are_on_queries_keys_and_values() {
        assert_eq!(biases(&of("qwen2", json!({}))), [true, false, false]);
        assert_eq!(
            refused("qwen2", json!({"mlp_bias": true})),
            "`mlp_bias` is true, but only false is implemented"
        );
    }
}
