//! The text models of Gemma 3: as Gemma 2 with query and key norms instead of caps, five layers of six
//! with a window and a rotary base of their own.

use serde_json::{Value, json};

use super::gemma::{self, GEMMA};
use super::spec::{FamilySpec, GgufKeys, GgufModel, GgufSpec, SetKey, Windows};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::PolicyError;

/// The rotary base of layers with a window, where nothing is said.
const LOCAL_BASE: f64 = 10_000.0;

pub(super) static FAMILY: FamilySpec = FamilySpec {
    model_type: "gemma3_text",
    refused: &[(
        "gemma3",
        "that is Gemma 3 with images, and only its text models (\"gemma3_text\") are implemented",
    )],
    causal_lm: "Gemma3ForCausalLM",
    classifier: "Gemma3TextForSequenceClassification",
    query_key_norm: true,
    max_position_embeddings: 131_072,
    rope_theta: 1_000_000.0,
    local_rope_theta: Some(LOCAL_BASE),
    windows: Some(Windows {
        absent: Some(4096),
        switched: false,
        layers,
    }),
    keys: &[
        "_sliding_window_pattern",
        "final_logit_softcapping",
        "hidden_activation",
        "layer_types",
        "query_pre_attn_scalar",
        "rope_local_base_freq",
        "sliding_window",
        "sliding_window_pattern",
    ],
    read,
    write,
    gguf: Some(GgufSpec {
        architecture: "gemma3",
        interleaves: false,
        keys: gemma::GGUF_KEYS,
        config: gguf_config,
    }),
    ..GEMMA
};

/// Every sixth layer sees all, or every so many as the pattern says.
fn layers(keys: &Keys<'_>, config: &mut ModelConfig) -> Result<Vec<bool>, PolicyError> {
    let pattern = match keys.size("sliding_window_pattern")? {
        Some(pattern) => Some(pattern),
        None => keys.size("_sliding_window_pattern")?,
    };
    let pattern = pattern.filter(|&pattern| pattern > 0).unwrap_or(6);
    let slides = |layer: usize| !(layer + 1).is_multiple_of(pattern);
    Ok((0..config.num_hidden_layers).map(slides).collect())
}

fn read(keys: &Keys<'_>, config: &mut ModelConfig) -> Result<(), PolicyError> {
    gemma::read_scale(keys, config)?;
    if let Some(cap) = keys.number("attn_logit_softcapping")? {
        let allowed = "transformers does not cap the scores of Gemma 3, so it must be null";
        return Err(keys.refuse("attn_logit_softcapping", cap.to_string(), allowed));
    }
    config.final_logit_softcapping = keys.number("final_logit_softcapping")?;
    Ok(())
}

fn write(config: &ModelConfig, set: &mut SetKey<'_>) {
    if let Some(local) = &config.local_rope {
        set("rope_local_base_freq", json!(local.theta));
    }
    gemma::write(config, set);
}

fn gguf_config(keys: &dyn GgufKeys, model: &GgufModel) -> Result<Value, PolicyError> {
    let mut config = gemma::gguf_config(keys, model, 62, 6)?;
    let base = keys.float("rope.freq_base_swa")?.unwrap_or(LOCAL_BASE);
    config["rope_local_base_freq"] = json!(base);
    Ok(config)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::config::tests::{caps, of, refused, windows};
    use crate::config::{RopeParameters, RopeScaling};

    #[test]
    fn a_list_or_a_pattern_places_the_windows() {
        let listed =
            json!({"sliding_window": 3, "layer_types": ["full_attention", "sliding_attention"]});
        assert_eq!(windows(&of("gemma3_text", listed)), [None, Some(3)]);
        let pattern = json!({"sliding_window": 3, "sliding_window_pattern": 2});
        assert_eq!(windows(&of("gemma3_text", pattern)), [Some(3), None]);
    }

    #[test]
    fn scores_are_not_capped() {
        assert_eq!(caps(&of("gemma3_text", json!({}))), (None, None));
        assert_eq!(
            refused("gemma3_text", json!({"attn_logit_softcapping": 50.0})),
            "`attn_logit_softcapping` is 50, but transformers does not cap the scores of Gemma 3, so it must be null"
        );
    }

    /// In transformers 4's spelling and in transformers 5's.
    #[test]
    fn two_bases_in_both_spellings() {
        let old = json!({
            "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        });
        let new = json!({
            "rope_theta": null, "rope_scaling": null,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
        });
        let config = of("gemma3_text", old);
        assert_eq!(config.rope_theta, 1e6);
        assert_eq!(config.rope_scaling, RopeScaling::Linear { factor: 8.0 });
        let local = RopeParameters {
            theta: 10_000.0,
            scaling: RopeScaling::None,
        };
        assert_eq!(config.local_rope, Some(local));
        assert_eq!(of("gemma3_text", new.clone()), config);
        let mut clash = new;
        clash["rope_theta"] = json!(5000.0);
        assert_eq!(
            refused("gemma3_text", clash),
            "`rope_theta` is another one than in `rope_parameters`, but the two spellings must agree; remove the wrong one"
        );
    }
}
