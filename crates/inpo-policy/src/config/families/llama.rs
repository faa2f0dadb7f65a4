//! Llama 2, 3, 3.1, 3.2 and what is built like them, SmolLM2 for one.

use serde_json::json;

use super::spec::{Bias, FamilySpec, GgufSpec, PLAIN};

pub(super) static FAMILY: FamilySpec = FamilySpec {
    model_type: "llama",
    causal_lm: "LlamaForCausalLM",
    classifier: "LlamaForSequenceClassification",
    mlp_bias: Bias::Key,
    optional_key_value_heads: true,
    // Falcon 3 says "swiglu" there, which is what `hidden_act` "silu" means.
    ignored: &["activation"],
    gguf: Some(GgufSpec {
        architecture: "llama",
        interleaves: true,
        keys: &[],
        config: |_, model| {
            Ok(json!({
                "attention_bias": model.attention_bias,
                "hidden_act": "silu",
                "mlp_bias": model.mlp_bias,
            }))
        },
    }),
    ..PLAIN
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::config::tests::{biases, of, refused};

    #[test]
    fn biases_are_keys() {
        let both = json!({"attention_bias": true, "mlp_bias": true});
        assert_eq!(biases(&of("llama", both)), [true, true, true]);
    }

    #[test]
    fn a_second_rotary_base_is_refused() {
        assert_eq!(
            refused("llama", json!({"rope_local_base_freq": 10000.0})),
            "unknown config key `rope_local_base_freq` that could change arithmetic; remove it if it does not, or use a model without it"
        );
    }
}
