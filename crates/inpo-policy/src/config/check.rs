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
        self.check_sizes(path)?;
        let refuse =
            |key: &str, found: String, allowed: String| Err(refusal(path, key, found, allowed));
        let local = self.local_rope.as_ref();
        let numbers = [
            ("rms_norm_eps", Some(self.rms_norm_eps)),
            ("rope_theta", Some(self.rope_theta)),
            ("rope_local_base_freq", local.map(|rope| rope.theta)),
            ("query_pre_attn_scalar", self.query_pre_attn_scalar),
            ("attn_logit_softcapping", self.attn_logit_softcapping),
            ("final_logit_softcapping", self.final_logit_softcapping),
        ];
        for (key, value) in numbers {
            if let Some(value) = value.filter(|value| !(value.is_finite() && *value > 0.0)) {
                let allowed = "it must be positive and finite".to_owned();
                return refuse(key, value.to_string(), allowed);
            }
        }
        for scaling in std::iter::once(&self.rope_scaling).chain(local.map(|rope| &rope.scaling)) {
            check_scaling(scaling, self.rope_theta).or_else(|(key, found, allowed)| {
                refuse(&format!("rope_scaling.{key}"), found, allowed)
            })?;
        }
        if self.sliding_window == Some(0) {
            let allowed = "it must be at least 1, or null for no window".to_owned();
            return refuse("sliding_window", "0".to_owned(), allowed);
        }
        let layers = self.num_hidden_layers;
        for (key, list) in [
            ("layer_types", &self.sliding_layers),
            ("no_rope_layers", &self.rope_layers),
        ] {
            if !list.is_empty() && list.len() != layers {
                let allowed = format!("it must have one for each of {layers} layers");
                return refuse(key, format!("a list of {} entries", list.len()), allowed);
            }
        }
        let ids = self.eos_token_ids.iter().map(|id| ("eos_token_id", *id));
        let ids = ids.chain(self.bos_token_id.map(|id| ("bos_token_id", id)));
        for (key, id) in ids.chain(self.pad_token_id.map(|id| ("pad_token_id", id))) {
            self.check_id(path, key, id)?;
        }
        Ok(())
    }

    /// Checks that the token id of `key` in the file at `path` is one of the vocabulary.
    pub(super) fn check_id(&self, path: &Path, key: &str, id: u32) -> Result<(), PolicyError> {
        if (id as usize) < self.vocab_size {
            return Ok(());
        }
        let allowed = format!("ids must be below vocab_size, {}", self.vocab_size);
        Err(refusal(path, key, id.to_string(), allowed))
    }

    /// The part of [`ModelConfig::check`] that everything with a size stands on.
    pub(super) fn check_sizes(&self, path: &Path) -> Result<(), PolicyError> {
        let refuse =
            |key: &str, found: String, allowed: String| Err(refusal(path, key, found, allowed));
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
        Ok(())
    }
}

fn refusal(path: &Path, key: &str, found: String, allowed: String) -> PolicyError {
    PolicyError::ConfigValue {
        path: path.to_path_buf(),
        key: key.to_owned(),
        found,
        allowed,
    }
}

/// The key that is wrong, what it is and what is allowed.
fn check_scaling(scaling: &RopeScaling, theta: f64) -> Result<(), (&'static str, String, String)> {
    let (factor, original) = match *scaling {
        RopeScaling::None => return Ok(()),
        RopeScaling::Linear { factor } => (factor, 1),
        RopeScaling::Llama3 {
            factor,
            original_max_position_embeddings: original,
            ..
        }
        | RopeScaling::Yarn {
            factor,
            original_max_position_embeddings: original,
            ..
        } => (factor, original),
    };
    if !(factor.is_finite() && factor >= 1.0) {
        let allowed = "it must be at least 1".to_owned();
        return Err(("factor", factor.to_string(), allowed));
    }
    if original == 0 {
        let allowed = "it must be at least 1".to_owned();
        return Err(("original_max_position_embeddings", "0".to_owned(), allowed));
    }
    match *scaling {
        RopeScaling::Llama3 {
            low_freq_factor: low,
            high_freq_factor: high,
            ..
        } if !(low > 0.0 && high > low && high.is_finite()) => {
            let allowed = format!("it must be positive and less than high_freq_factor, {high}");
            Err(("low_freq_factor", low.to_string(), allowed))
        }
        RopeScaling::Yarn {
            attention_factor, ..
        } if !(attention_factor.is_finite() && attention_factor > 0.0) => {
            let allowed = "it must be positive and finite".to_owned();
            Err(("attention_factor", attention_factor.to_string(), allowed))
        }
        RopeScaling::Yarn {
            beta_fast: fast,
            beta_slow: slow,
            ..
        } if !(slow > 0.0 && fast >= slow && fast.is_finite()) => {
            let allowed = format!("it must be positive and at most beta_fast, {fast}");
            Err(("beta_slow", slow.to_string(), allowed))
        }
        RopeScaling::Yarn { .. } if theta <= 1.0 => {
            let allowed = format!("YaRN needs a rope_theta above 1, not {theta}");
            Err(("rope_type", "\"yarn\"".to_owned(), allowed))
        }
        _ => Ok(()),
    }
}
