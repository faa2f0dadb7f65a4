//! The families of decoders, and what sets one apart from another.

use super::{Activation, ModelConfig, RopeParameters, RopeScaling};

/// A family of decoders: what `model_type` says.
///
/// All are one decoder: blocks of causal attention and a gated feed-forward layer with RMSNorm and rotary
/// positions. A family decides which norms, biases and names there are, and what an absent key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Llama 2, 3, 3.1, 3.2 and what is built like them, SmolLM2 for one.
    Llama,
    /// Mistral: a sliding window in every layer.
    Mistral,
    /// Qwen2 and Qwen2.5: biases on queries, keys and values.
    Qwen2,
    /// Qwen3: norms on queries and keys.
    Qwen3,
    /// Gemma 2: four norms a block, soft caps, every other layer with a window.
    Gemma2,
    /// The text models of Gemma 3: as Gemma 2 with query and key norms instead of caps, five layers of six
    /// with a window and a rotary base of their own.
    Gemma3,
    /// Phi-3: queries, keys and values in one matrix, gate and up in another.
    Phi3,
    /// SmolLM3: some layers without rotary positions.
    SmolLm3,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 8] = [
        Self::Llama,
        Self::Mistral,
        Self::Qwen2,
        Self::Qwen3,
        Self::Gemma2,
        Self::Gemma3,
        Self::Phi3,
        Self::SmolLm3,
    ];

    /// Its `model_type`.
    #[must_use]
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3_text",
            Self::Phi3 => "phi3",
            Self::SmolLm3 => "smollm3",
        }
    }

    /// The family of a `model_type`.
    #[must_use]
    pub fn of_model_type(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.model_type() == name)
    }

    /// What transformers' classes of it are called, without `ForCausalLM`.
    fn class(self) -> &'static str {
        match self {
            Self::Llama => "Llama",
            Self::Mistral => "Mistral",
            Self::Qwen2 => "Qwen2",
            Self::Qwen3 => "Qwen3",
            Self::Gemma2 => "Gemma2",
            Self::Gemma3 => "Gemma3",
            Self::Phi3 => "Phi3",
            Self::SmolLm3 => "SmolLM3",
        }
    }

    /// Transformers' class with a vocabulary head, or with a score of one number.
    pub(super) fn architecture(self, classifier: bool) -> String {
        let class = self.class();
        match (classifier, self) {
            (false, _) => format!("{class}ForCausalLM"),
            (true, Self::Gemma3) => format!("{class}TextForSequenceClassification"),
            (true, _) => format!("{class}ForSequenceClassification"),
        }
    }

    /// Whether every query and key head is normalised before the rotation.
    #[must_use]
    pub fn query_key_norm(self) -> bool {
        matches!(self, Self::Qwen3 | Self::Gemma3)
    }

    /// Whether the outputs of attention and of the feed-forward layer are normalised too, before they are
    /// added to the residual stream.
    #[must_use]
    pub fn sandwich_norms(self) -> bool {
        self.is_gemma()
    }

    /// Whether a norm's gain is 1 plus its weight.
    #[must_use]
    pub fn unit_offset_norms(self) -> bool {
        self.is_gemma()
    }

    /// Whether embeddings are multiplied by the square root of their width.
    #[must_use]
    pub fn scales_embeddings(self) -> bool {
        self.is_gemma()
    }

    /// Whether `qkv_proj` and `gate_up_proj` are one matrix each.
    #[must_use]
    pub fn fuses_projections(self) -> bool {
        self == Self::Phi3
    }

    pub(super) fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }

    /// Which of `layers` layers attend to a window only, where a model has a window and its files do not
    /// say which.
    #[must_use]
    pub fn sliding_layers(self, layers: usize) -> Vec<bool> {
        let slides = |layer: usize| match self {
            Self::Mistral | Self::Phi3 => true,
            Self::Gemma2 => !(layer + 1).is_multiple_of(2),
            Self::Gemma3 => !(layer + 1).is_multiple_of(6),
            Self::Llama | Self::Qwen2 | Self::Qwen3 | Self::SmolLm3 => false,
        };
        (0..layers).map(slides).collect()
    }
}

impl ModelConfig {
    /// What a model of `family` is where its `config.json` does not say; sizes are 0 and are to be filled in.
    #[must_use]
    pub fn of(family: Family) -> Self {
        let gemma = family.is_gemma();
        Self {
            family,
            vocab_size: 0,
            hidden_size: 0,
            intermediate_size: 0,
            num_hidden_layers: 0,
            num_attention_heads: 0,
            num_key_value_heads: 0,
            head_dim: 0,
            max_position_embeddings: match family {
                Family::Llama => 2048,
                Family::Phi3 => 4096,
                Family::Gemma2 => 8192,
                Family::Qwen2 | Family::Qwen3 | Family::SmolLm3 => 32_768,
                Family::Mistral | Family::Gemma3 => 131_072,
            },
            rms_norm_eps: if family == Family::Phi3 { 1e-5 } else { 1e-6 },
            rope_theta: match family {
                Family::Gemma3 => 1_000_000.0,
                Family::SmolLm3 => 2_000_000.0,
                _ => 10_000.0,
            },
            rope_scaling: RopeScaling::None,
            local_rope: (family == Family::Gemma3).then_some(RopeParameters {
                theta: 10_000.0,
                scaling: RopeScaling::None,
            }),
            rope_layers: Vec::new(),
            sliding_window: None,
            sliding_layers: Vec::new(),
            activation: match gemma {
                true => Activation::GeluTanh,
                false => Activation::Silu,
            },
            attention_bias: family == Family::Qwen2,
            attention_output_bias: false,
            mlp_bias: false,
            query_pre_attn_scalar: None,
            attn_logit_softcapping: None,
            final_logit_softcapping: None,
            tie_word_embeddings: gemma || family == Family::SmolLm3,
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
