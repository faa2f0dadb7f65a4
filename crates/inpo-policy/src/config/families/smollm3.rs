//! SmolLM3: some layers without rotary positions.

use serde_json::json;

use super::spec::{Bias, FamilySpec, PLAIN, SetKey, Windows};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::{PolicyError, excerpt};

pub(super) static FAMILY: FamilySpec = FamilySpec {
    model_type: "smollm3",
    causal_lm: "SmolLM3ForCausalLM",
    classifier: "SmolLM3ForSequenceClassification",
    mlp_bias: Bias::Key,
    max_position_embeddings: 32_768,
    rope_theta: 2_000_000.0,
    tie_word_embeddings: true,
    windows: Some(Windows {
        absent: None,
        switched: true,
        layers,
    }),
    keys: &[
        "layer_types",
        "no_rope_layers",
        "sliding_window",
        "use_sliding_window",
    ],
    ignored: &["max_window_layers", "no_rope_layer_interval"],
    write,
    ..PLAIN
};

/// Layers without rotary positions have the window.
fn layers(keys: &Keys<'_>, config: &mut ModelConfig) -> Result<Vec<bool>, PolicyError> {
    config.rope_layers = rope_layers(keys, config.num_hidden_layers)?;
    Ok(config.rope_layers.iter().map(|rotates| !rotates).collect())
}

/// `no_rope_layers` says 1 for a layer that rotates, its name notwithstanding.
fn rope_layers(keys: &Keys<'_>, layers: usize) -> Result<Vec<bool>, PolicyError> {
    let Some(list) = keys.list("no_rope_layers", layers)? else {
        let interval = keys.size("no_rope_layer_interval")?.unwrap_or(4).max(1);
        let rotates = |i: usize| !(i + 1).is_multiple_of(interval);
        return Ok((0..layers).map(rotates).collect());
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

fn write(config: &ModelConfig, set: &mut SetKey<'_>) {
    set("layer_types", config.layer_types());
    let rotates = |layer| u8::from(config.rotates(layer));
    let list: Vec<_> = (0..config.num_hidden_layers).map(rotates).collect();
    set("no_rope_layers", json!(list));
    set("sliding_window", json!(config.sliding_window));
    set("use_sliding_window", json!(config.sliding_window.is_some()));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::config::tests::{of, windows};

    #[test]
    fn layers_without_rotary_positions_have_the_window() {
        let keys = json!({
            "no_rope_layers": [1, 0], "use_sliding_window": true, "sliding_window": 5,
            "no_rope_layer_interval": 2, "max_window_layers": 28,
        });
        let smollm = of("smollm3", keys);
        assert_eq!(windows(&smollm), [None, Some(5)]);
        assert_eq!([smollm.rotates(0), smollm.rotates(1)], [true, false]);
    }
}
