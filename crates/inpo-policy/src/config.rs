//! The hyper-parameters of a decoder, read from `config.json` in any of its spellings.
//!
//! A key that could change arithmetic and for which there is no code is an error, never ignored:
//! a model that runs with the wrong rotary base gives plausible, wrong log-probabilities.

mod check;
mod families;
mod keys;
mod known;
mod read;
mod rope;
#[cfg(test)]
pub(crate) mod tests;
mod write;

pub use families::Family;
pub(crate) use families::{GgufKeys, GgufModel, GgufSpec, listed};
pub(crate) use keys::{Keys, read_object, shown};
pub use rope::{RopeParameters, RopeScaling};

/// The function that the gate of a feed-forward layer goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x sigmoid(x)`.
    Silu,
    /// The tanh form of GELU (arXiv 1606.08415).
    GeluTanh,
}

/// The hyper-parameters of a decoder, by their Hugging Face names where those have one.
///
/// [`ModelConfig::of`] gives the defaults of a family; the caller fills in the sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// The family, which decides norms and names.
    pub family: Family,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads of a layer.
    pub num_attention_heads: usize,
    /// Key and value heads of a layer; divides the number of query heads.
    pub num_key_value_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// The longest sequence that the model was trained for.
    pub max_position_embeddings: usize,
    /// The epsilon of RMSNorm.
    pub rms_norm_eps: f64,
    /// The base of the rotary frequencies.
    pub rope_theta: f64,
    /// How the rotary frequencies are stretched.
    pub rope_scaling: RopeScaling,
    /// The rotary positions of the layers with a window, where they are others.
    pub local_rope: Option<RopeParameters>,
    /// Which layers rotate queries and keys, one entry a layer; empty: all.
    pub rope_layers: Vec<bool>,
    /// How many positions, its own included, a token of a layer with a window sees; none: no such layers.
    pub sliding_window: Option<usize>,
    /// Which layers have the window, one entry a layer; empty: none.
    pub sliding_layers: Vec<bool>,
    /// The function of the feed-forward gate.
    pub activation: Activation,
    /// Whether the projections to queries, keys and values have a bias.
    pub attention_bias: bool,
    /// Whether the projection behind attention has a bias.
    pub attention_output_bias: bool,
    /// Whether the projections of the feed-forward layer have biases.
    pub mlp_bias: bool,
    /// Attention scores are divided by its root; none: by that of `head_dim`.
    pub query_pre_attn_scalar: Option<f64>,
    /// Attention scores become `cap tanh(score / cap)`.
    pub attn_logit_softcapping: Option<f64>,
    /// Logits of the vocabulary become `cap tanh(logit / cap)`.
    pub final_logit_softcapping: Option<f64>,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// Whether the head is a score of one number (`score.weight`) and not the vocabulary's.
    pub classifier: bool,
    /// The id that opens a text, where the model has one.
    pub bos_token_id: Option<u32>,
    /// The ids that end generation: those of `config.json` and `generation_config.json`.
    pub eos_token_ids: Vec<u32>,
    /// The id that fills up a batch, where the model has one.
    pub pad_token_id: Option<u32>,
}

impl ModelConfig {
    /// How many positions a token of `layer` sees, where that is bounded.
    #[must_use]
    pub fn window(&self, layer: usize) -> Option<usize> {
        let slides = self.sliding_layers.get(layer).copied().unwrap_or(false);
        self.sliding_window.filter(|_| slides)
    }

    /// Whether `layer` rotates queries and keys.
    #[must_use]
    pub fn rotates(&self, layer: usize) -> bool {
        self.rope_layers.get(layer).copied().unwrap_or(true)
    }

    /// What attention scores are multiplied by.
    #[must_use]
    pub fn attention_scale(&self) -> f64 {
        let scalar = self.query_pre_attn_scalar.unwrap_or(self.head_dim as f64);
        1.0 / scalar.sqrt()
    }
}
