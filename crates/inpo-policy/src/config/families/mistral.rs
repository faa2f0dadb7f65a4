//! Mistral: a sliding window in every layer.

use serde_json::json;

use super::spec::{Bias, FamilySpec, PLAIN, Windows};

pub(super) static FAMILY: FamilySpec = FamilySpec {
    model_type: "mistral",
    causal_lm: "MistralForCausalLM",
    classifier: "MistralForSequenceClassification",
    attention_bias: Bias::Fixed(false),
    max_position_embeddings: 131_072,
    windows: Some(Windows {
        absent: Some(4096),
        switched: false,
        layers: |_, config| Ok(vec![true; config.num_hidden_layers]),
    }),
    keys: &["sliding_window"],
    write: |config, set| set("sliding_window", json!(config.sliding_window)),
    ..PLAIN
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::config::tests::{of, refused, windows};

    /// Absent is the class's own, null is none.
    #[test]
    fn every_layer_has_the_window() {
        assert_eq!(windows(&of("mistral", json!({}))), [Some(4096); 2]);
        let none = of("mistral", json!({"sliding_window": null}));
        assert_eq!(windows(&none), [None; 2]);
        assert_eq!(
            refused("mistral", json!({"sliding_window": 0})),
            "`sliding_window` is 0, but it must be at least 1, or null for no window"
        );
    }

    #[test]
    fn there_is_no_bias() {
        assert_eq!(
            refused("mistral", json!({"attention_bias": true})),
            "`attention_bias` is true, but only false is implemented"
        );
    }
}
