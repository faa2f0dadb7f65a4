//! Phi-3: queries, keys and values in one matrix, gate and up in another.

use serde_json::json;

use super::spec::{Bias, FamilySpec, PLAIN, Windows};

pub(super) static FAMILY: FamilySpec = FamilySpec {
    model_type: "phi3",
    causal_lm: "Phi3ForCausalLM",
    classifier: "Phi3ForSequenceClassification",
    fuses_projections: true,
    attention_bias: Bias::Fixed(false),
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    optional_key_value_heads: true,
    // It calls its own long rotary positions by several names, "yarn" among them.
    refuses_rope_scaling: Some(
        "the long rotary positions of Phi-3 are not implemented; use a model with the plain context",
    ),
    windows: Some(Windows {
        absent: None,
        switched: false,
        layers: |_, config| Ok(vec![true; config.num_hidden_layers]),
    }),
    keys: &["sliding_window"],
    // The context before the long rotary positions.
    ignored: &["original_max_position_embeddings"],
    write: |config, set| set("sliding_window", json!(config.sliding_window)),
    ..PLAIN
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::config::tests::{of, refused, windows};

    #[test]
    fn every_layer_has_the_window() {
        assert_eq!(windows(&of("phi3", json!({}))), [None; 2]);
        let nine = of("phi3", json!({"sliding_window": 9}));
        assert_eq!(windows(&nine), [Some(9); 2]);
    }

    #[test]
    fn long_rotary_positions_are_refused() {
        assert_eq!(
            refused("phi3", json!({"rope_scaling": {"type": "yarn"}})),
            "`rope_scaling.rope_type` is \"yarn\", but the long rotary positions of Phi-3 are not implemented; use a model with the plain context"
        );
    }
}
