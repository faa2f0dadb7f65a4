//! Whether the hyper-parameters fit together.

use std::path::Path;

use super::{ModelConfig, RopeScaling};
use crate::error::PolicyError;

impl ModelConfig {
    /// Checks that the sizes fit together.
    ///
    /// # Errors
    /// The first size that does not, with what is allowed.
    pub fn validate(&self) -> Result<(), PolicyError> {
        self.check(Path::new("the model configuration"))
    }

    /// [`ModelConfig::validate`] with the file that the message names.
    pub(crate) fn check(&self, path: &Path) -> Result<(), PolicyError> {
        let refuse = |key: &str, found: String, allowed: String| {
            Err(PolicyError::ConfigValue {
                path: path.to_path_buf(),
                key: key.to_owned(),
                found,
                allowed,
            })
        };
        // Sizes come from files: the bounds keep every product of two inside a usize, and the list
        // of tensor names small.
        const LARGEST: usize = 1 << 30;
        const MOST_LAYERS: usize = 1 << 12;
        for (key, size) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ] {
            let most = if key == "num_hidden_layers" {
                MOST_LAYERS
            } else {
                LARGEST
            };
            if size == 0 || size > most {
                return refuse(
                    key,
                    size.to_string(),
                    format!("it must be from 1 to {most}"),
                );
            }
        }
        if !self
            .num_attention_heads
            .is_multiple_of(self.num_key_value_heads)
        {
            let allowed = format!(
                "it must divide num_attention_heads, {}",
                self.num_attention_heads
            );
            return refuse(
                "num_key_value_heads",
                self.num_key_value_heads.to_string(),
                allowed,
            );
        }
        if !self.head_dim.is_multiple_of(2) {
            return refuse(
                "head_dim",
                self.head_dim.to_string(),
                "it must be even, for rotary pairs".to_owned(),
            );
        }
        for (key, value) in [
            ("rms_norm_eps", self.rms_norm_eps),
            ("rope_theta", self.rope_theta),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return refuse(
                    key,
                    value.to_string(),
                    "it must be positive and finite".to_owned(),
                );
            }
        }
        match self.rope_scaling {
            RopeScaling::None => {}
            RopeScaling::Linear { factor } | RopeScaling::Llama3 { factor, .. }
                if !(factor.is_finite() && factor >= 1.0) =>
            {
                return refuse(
                    "rope_scaling.factor",
                    factor.to_string(),
                    "it must be at least 1".to_owned(),
                );
            }
            RopeScaling::Linear { .. } => {}
            RopeScaling::Llama3 {
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings,
                ..
            } => {
                if !(low > 0.0 && high > low && high.is_finite()) {
                    let allowed =
                        format!("it must be positive and less than high_freq_factor, {high}");
                    return refuse("rope_scaling.low_freq_factor", low.to_string(), allowed);
                }
                if original_max_position_embeddings == 0 {
                    let key = "rope_scaling.original_max_position_embeddings";
                    return refuse(key, "0".to_owned(), "it must be at least 1".to_owned());
                }
            }
        }
        let ids = self.eos_token_ids.iter().map(|id| ("eos_token_id", *id));
        let ids = ids.chain(self.bos_token_id.map(|id| ("bos_token_id", id)));
        for (key, id) in ids.chain(self.pad_token_id.map(|id| ("pad_token_id", id))) {
            if id as usize >= self.vocab_size {
                return refuse(
                    key,
                    id.to_string(),
                    format!("ids must be below vocab_size, {}", self.vocab_size),
                );
            }
        }
        Ok(())
    }
}
