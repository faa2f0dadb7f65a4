//! Qwen3: norms on queries and keys.

use serde_json::json;

use super::qwen2;
use super::spec::{FamilySpec, GgufSpec, PLAIN};

pub(super) static FAMILY: FamilySpec = FamilySpec {
    model_type: "qwen3",
    causal_lm: "Qwen3ForCausalLM",
    classifier: "Qwen3ForSequenceClassification",
    query_key_norm: true,
    max_position_embeddings: 32_768,
    head_dim: Some(128),
    windows: Some(qwen2::WINDOWS),
    keys: qwen2::KEYS,
    write: qwen2::write,
    gguf: Some(GgufSpec {
        architecture: "qwen3",
        interleaves: false,
        keys: &[],
        config: |_, model| {
            Ok(json!({
                "attention_bias": model.attention_bias,
                "hidden_act": "silu",
                "use_sliding_window": false,
            }))
        },
    }),
    ..PLAIN
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::config::tests::{biases, of, windows};

    #[test]
    fn layers_from_the_first_on_have_the_window() {
        let keys = json!({"sliding_window": 8, "max_window_layers": 1, "use_sliding_window": true});
        assert_eq!(windows(&of("qwen3", keys)), [None, Some(8)]);
    }

    #[test]
    fn the_bias_is_a_key() {
        let biased = of("qwen3", json!({"attention_bias": true}));
        assert_eq!(biases(&biased), [true, true, false]);
    }
}
