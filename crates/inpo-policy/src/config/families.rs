//! The families of decoders: a file each, and a line in the table.

mod gemma;
mod gemma2;
mod gemma3;
mod llama;
mod mistral;
mod phi3;
mod qwen2;
mod qwen3;
mod smollm3;
mod spec;

pub(crate) use spec::{Bias, FamilySpec, GgufKeys, GgufModel, GgufSpec};

use super::{ModelConfig, RopeParameters, RopeScaling};

/// Declares [`Family`] with the file of each.
macro_rules! families {
    ($($(#[$doc:meta])* $name:ident: $file:ident,)*) => {
        /// A family of decoders: what `model_type` says.
        ///
        /// All are one decoder: blocks of causal attention and a gated feed-forward layer with RMSNorm and rotary
        /// positions. A family decides which norms, biases and names there are, and what an absent key means.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Family {
            $($(#[$doc])* $name,)*
        }

        impl Family {
            /// All families.
            pub const ALL: [Self; [$(stringify!($name)),*].len()] = [$(Self::$name),*];

            /// What it declares about itself.
            pub(crate) fn spec(self) -> &'static FamilySpec {
                match self {
                    $(Self::$name => &$file::FAMILY,)*
                }
            }
        }
    };
}

families! {
    /// Llama 2, 3, 3.1, 3.2 and what is built like them, SmolLM2 for one.
    Llama: llama,
    /// Mistral: a sliding window in every layer.
    Mistral: mistral,
    /// Qwen2 and Qwen2.5: biases on queries, keys and values.
    Qwen2: qwen2,
    /// Qwen3: norms on queries and keys.
    Qwen3: qwen3,
    /// Gemma 2: four norms a block, soft caps, every other layer with a window.
    Gemma2: gemma2,
    /// The text models of Gemma 3: as Gemma 2 with query and key norms instead of caps, five layers of six
    /// with a window and a rotary base of their own.
    Gemma3: gemma3,
    /// Phi-3: queries, keys and values in one matrix, gate and up in another.
    Phi3: phi3,
    /// SmolLM3: some layers without rotary positions.
    SmolLm3: smollm3,
}

impl Family {
    /// Its `model_type`.
    #[must_use]
    pub fn model_type(self) -> &'static str {
        self.spec().model_type
    }

    /// The family of a `model_type`.
    #[must_use]
    pub fn of_model_type(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.model_type() == name)
    }

    /// Transformers' class with a vocabulary head, or with a score of one number.
    pub(crate) fn architecture(self, classifier: bool) -> &'static str {
        let spec = self.spec();
        if classifier {
            spec.classifier
        } else {
            spec.causal_lm
        }
    }

    /// Whether every query and key head is normalised before the rotation.
    #[must_use]
    pub fn query_key_norm(self) -> bool {
        self.spec().query_key_norm
    }

    /// Whether the outputs of attention and of the feed-forward layer are normalised too, before they are
    /// added to the residual stream.
    #[must_use]
    pub fn sandwich_norms(self) -> bool {
        self.spec().sandwich_norms
    }

    /// Whether a norm's gain is 1 plus its weight.
    #[must_use]
    pub fn unit_offset_norms(self) -> bool {
        self.spec().unit_offset_norms
    }

    /// Whether embeddings are multiplied by the square root of their width.
    #[must_use]
    pub fn scales_embeddings(self) -> bool {
        self.spec().scales_embeddings
    }

    /// Whether `qkv_proj` and `gate_up_proj` are one matrix each.
    #[must_use]
    pub fn fuses_projections(self) -> bool {
        self.spec().fuses_projections
    }
}

/// Names in quotes as a sentence lists them: `"a", "b" and "c"`.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("\"{name}\"")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

impl ModelConfig {
    /// What a model of `family` is where its `config.json` does not say; sizes are 0 and are to be filled in.
    #[must_use]
    pub fn of(family: Family) -> Self {
        let spec = family.spec();
        Self {
            family,
            vocab_size: 0,
            hidden_size: 0,
            intermediate_size: 0,
            num_hidden_layers: 0,
            num_attention_heads: 0,
            num_key_value_heads: 0,
            head_dim: 0,
            max_position_embeddings: spec.max_position_embeddings,
            rms_norm_eps: spec.rms_norm_eps,
            rope_theta: spec.rope_theta,
            rope_scaling: RopeScaling::None,
            local_rope: spec.local_rope_theta.map(|theta| RopeParameters {
                theta,
                scaling: RopeScaling::None,
            }),
            rope_layers: Vec::new(),
            sliding_window: None,
            sliding_layers: Vec::new(),
            activation: spec.activation,
            attention_bias: spec.attention_bias == Bias::Fixed(true),
            attention_output_bias: false,
            mlp_bias: spec.mlp_bias == Bias::Fixed(true),
            query_pre_attn_scalar: None,
            attn_logit_softcapping: None,
            final_logit_softcapping: None,
            tie_word_embeddings: spec.tie_word_embeddings,
            classifier: false,
            bos_token_id: None,
            eos_token_ids: Vec::new(),
            pad_token_id: None,
        }
    }
}

impl Default for ModelConfig {
    /// [`ModelConfig::of`] Llama.
    fn default() -> Self {
        Self::of(Family::Llama)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::tests::refused;

    #[test]
    fn the_table_is_named_where_a_model_is_of_none() {
        assert_eq!(
            refused("mamba", json!({})),
            "`model_type` is \"mamba\", but only \"llama\", \"mistral\", \"qwen2\", \"qwen3\", \"gemma2\", \"gemma3_text\", \"phi3\" and \"smollm3\" are implemented"
        );
        assert_eq!(
            refused("gemma3", json!({})),
            "`model_type` is \"gemma3\", but that is Gemma 3 with images, and only its text models (\"gemma3_text\") are implemented"
        );
        let gguf = Family::ALL
            .into_iter()
            .filter_map(|f| f.spec().gguf.as_ref());
        assert_eq!(
            listed(gguf.map(|gguf| gguf.architecture)),
            "\"llama\", \"qwen2\", \"qwen3\", \"gemma2\" and \"gemma3\""
        );
    }

    /// Two families with one name could not be told apart.
    #[test]
    fn names_are_given_and_differ() {
        for (number, family) in Family::ALL.into_iter().enumerate() {
            let spec = family.spec();
            assert!(spec.causal_lm.ends_with("ForCausalLM"), "{family:?}");
            let class = spec.classifier;
            assert!(class.ends_with("ForSequenceClassification"), "{family:?}");
            for other in &Family::ALL[..number] {
                assert_ne!(spec.model_type, other.model_type());
                assert_ne!(spec.causal_lm, other.spec().causal_lm);
                let architecture =
                    |family: Family| family.spec().gguf.as_ref().map(|g| g.architecture);
                assert!(
                    architecture(family).is_none() || architecture(family) != architecture(*other)
                );
            }
        }
    }
}
