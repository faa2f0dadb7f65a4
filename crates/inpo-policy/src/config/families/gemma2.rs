//! Gemma 2: four norms a block, soft caps, every other layer with a window.

use serde_json::json;

use super::gemma::{self, GEMMA};
use super::spec::{FamilySpec, GgufSpec, SetKey, Windows};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::PolicyError;

pub(super) static FAMILY: FamilySpec = FamilySpec {
    model_type: "gemma2",
    causal_lm: "Gemma2ForCausalLM",
    classifier: "Gemma2ForSequenceClassification",
    max_position_embeddings: 8192,
    windows: Some(Windows {
        absent: Some(4096),
        switched: false,
        layers: |_, config| {
            let slides = |layer: usize| !(layer + 1).is_multiple_of(2);
            Ok((0..config.num_hidden_layers).map(slides).collect())
        },
    }),
    keys: &[
        "attn_logit_softcapping",
        "final_logit_softcapping",
        "hidden_activation",
        "layer_types",
        "query_pre_attn_scalar",
        "sliding_window",
    ],
    // Beside `sliding_window` in Google's directories; transformers reads the latter.
    ignored: &["sliding_window_size"],
    read,
    write,
    gguf: Some(GgufSpec {
        architecture: "gemma2",
        interleaves: false,
        keys: gemma::GGUF_KEYS,
        config: |keys, model| gemma::gguf_config(keys, model, 46, 2),
    }),
    ..GEMMA
};

/// Soft caps: an absent key has a number, `null` is none.
fn read(keys: &Keys<'_>, config: &mut ModelConfig) -> Result<(), PolicyError> {
    let cap = |key: &str, absent: f64| {
        if keys.present(key) {
            keys.number(key)
        } else {
            Ok(Some(absent))
        }
    };
    gemma::read_scale(keys, config)?;
    config.attn_logit_softcapping = cap("attn_logit_softcapping", 50.0)?;
    config.final_logit_softcapping = cap("final_logit_softcapping", 30.0)?;
    Ok(())
}

fn write(config: &ModelConfig, set: &mut SetKey<'_>) {
    let cap = config.attn_logit_softcapping;
    set("attn_logit_softcapping", json!(cap));
    gemma::write(config, set);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::config::Activation;
    use crate::config::tests::{caps, of, refused, windows};

    /// Absent is the class's own, null is none, and a list of layer types rules.
    #[test]
    fn every_other_layer_has_the_window() {
        assert_eq!(windows(&of("gemma2", json!({}))), [Some(4096), None]);
        let listed =
            json!({"sliding_window": 3, "layer_types": ["full_attention", "sliding_attention"]});
        assert_eq!(windows(&of("gemma2", listed)), [None, Some(3)]);
        assert_eq!(
            refused(
                "gemma2",
                json!({"layer_types": ["full_attention", "chunked_attention"]})
            ),
            "`layer_types` is a list with \"chunked_attention\", but only \"full_attention\" and \"sliding_attention\" are implemented"
        );
    }

    /// Absent is the class's own, null is none.
    #[test]
    fn scores_and_logits_are_capped() {
        let gemma = of("gemma2", json!({}));
        assert_eq!(caps(&gemma), (Some(50.0), Some(30.0)));
        assert_eq!(gemma.query_pre_attn_scalar, Some(256.0));
        assert_eq!(gemma.attention_scale(), 1.0 / 16.0);
        assert_eq!(
            (gemma.head_dim, gemma.activation),
            (256, Activation::GeluTanh)
        );
        let none = json!({"attn_logit_softcapping": null, "final_logit_softcapping": null});
        assert_eq!(caps(&of("gemma2", none)), (None, None));
        assert_eq!(
            refused("gemma2", json!({"final_logit_softcapping": -1.0})),
            "`final_logit_softcapping` is -1, but it must be positive and finite"
        );
    }

    #[test]
    fn two_activations_must_agree() {
        assert_eq!(
            refused("gemma2", json!({"hidden_act": "silu"})),
            "`hidden_act` is another function than `hidden_activation`, but the two must agree; remove the wrong one"
        );
    }
}
