//! What a family of decoders declares about itself.

use serde_json::Value;

use crate::config::keys::Keys;
use crate::config::{Activation, ModelConfig};
use crate::error::PolicyError;

/// A family of decoders. A family's file gives the fields that differ from [`PLAIN`].
pub(crate) struct FamilySpec {
    /// Its `model_type`.
    pub(crate) model_type: &'static str,
    /// Relatives that are refused: `model_type`, and what is allowed instead.
    pub(crate) refused: &'static [(&'static str, &'static str)],
    /// Transformers' class with a vocabulary head.
    pub(crate) causal_lm: &'static str,
    /// Transformers' class with a score of one number.
    pub(crate) classifier: &'static str,

    /// Every query and key head is normalised before the rotation.
    pub(crate) query_key_norm: bool,
    /// The outputs of attention and of the feed-forward layer are normalised too, before they are added to the residual
    /// stream.
    pub(crate) sandwich_norms: bool,
    /// A norm's gain is 1 plus its weight.
    pub(crate) unit_offset_norms: bool,
    /// Embeddings are multiplied by the square root of their width.
    pub(crate) scales_embeddings: bool,
    /// `qkv_proj` and `gate_up_proj` are one matrix each.
    pub(crate) fuses_projections: bool,
    /// The bias of the projections of attention.
    pub(crate) attention_bias: Bias,
    /// The bias of the projections of the feed-forward layer.
    pub(crate) mlp_bias: Bias,

    /// `max_position_embeddings` where it is absent; the next ones likewise.
    pub(crate) max_position_embeddings: usize,
    pub(crate) rms_norm_eps: f64,
    pub(crate) rope_theta: f64,
    pub(crate) tie_word_embeddings: bool,
    /// `head_dim` where it is absent; none is the width of the model over the query heads.
    pub(crate) head_dim: Option<usize>,
    /// `num_key_value_heads` may be absent: as many as query heads.
    pub(crate) optional_key_value_heads: bool,
    /// The function of the feed-forward gate, and the key that names it.
    pub(crate) activation: Activation,
    pub(crate) activation_key: &'static str,
    /// The rotary base of layers with a sliding window, where they have their own.
    pub(crate) local_rope_theta: Option<f64>,
    /// Why a stretched rotary position is refused, where it is.
    pub(crate) refuses_rope_scaling: Option<&'static str>,
    /// How layers get a sliding window; none: the family has no such layers.
    pub(crate) windows: Option<Windows>,

    /// Keys of `config.json` that only some families have.
    pub(crate) keys: &'static [&'static str],
    /// Keys that say nothing about the arithmetic of this family, and could of others.
    pub(crate) ignored: &'static [&'static str],
    /// Reads what no other field describes.
    pub(crate) read: fn(&Keys<'_>, &mut ModelConfig) -> Result<(), PolicyError>,
    /// Writes the keys that only some families have.
    pub(crate) write: fn(&ModelConfig, &mut SetKey<'_>),
    /// Its GGUF files; none where they are not implemented.
    pub(crate) gguf: Option<GgufSpec>,
}

/// Llama's decoder without a name: no biases but by key, no further norms, no windows.
pub(super) const PLAIN: FamilySpec = FamilySpec {
    model_type: "",
    refused: &[],
    causal_lm: "",
    classifier: "",
    query_key_norm: false,
    sandwich_norms: false,
    unit_offset_norms: false,
    scales_embeddings: false,
    fuses_projections: false,
    attention_bias: Bias::Key,
    mlp_bias: Bias::Fixed(false),
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000.0,
    tie_word_embeddings: false,
    head_dim: None,
    optional_key_value_heads: false,
    activation: Activation::Silu,
    activation_key: "hidden_act",
    local_rope_theta: None,
    refuses_rope_scaling: None,
    windows: None,
    keys: &[],
    ignored: &[],
    read: |_, _| Ok(()),
    write: |_, _| {},
    gguf: None,
};

/// Sets a key of `config.json`.
pub(crate) type SetKey<'a> = dyn FnMut(&str, Value) + 'a;

/// Where it is decided whether projections have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bias {
    /// In the class, which has no key for it. A key that contradicts is refused.
    Fixed(bool),
    /// By the key `attention_bias` or `mlp_bias`; absent is false.
    Key,
}

/// How the layers of a family get a sliding window.
pub(crate) struct Windows {
    /// The window where `sliding_window` is absent; `null` is none.
    pub(crate) absent: Option<usize>,
    /// `use_sliding_window` switches it on.
    pub(crate) switched: bool,
    /// Which layers have it, one entry a layer, where `layer_types` does not say. May set what else the same keys decide.
    pub(crate) layers: fn(&Keys<'_>, &mut ModelConfig) -> Result<Vec<bool>, PolicyError>,
}

/// The GGUF files of a family.
pub(crate) struct GgufSpec {
    /// Its `general.architecture`, which is also the prefix of its metadata keys.
    pub(crate) architecture: &'static str,
    /// The rows of the query and key projections are permuted for a rotation of neighbouring pairs.
    pub(crate) interleaves: bool,
    /// Metadata keys behind the prefix that only some families have.
    pub(crate) keys: &'static [&'static str],
    /// The keys of `config.json` that only some families have.
    pub(crate) config: fn(&dyn GgufKeys, &GgufModel) -> Result<Value, PolicyError>,
}

/// The metadata of a GGUF file behind the family's prefix.
pub(crate) trait GgufKeys {
    fn size(&self, name: &str) -> Result<Option<usize>, PolicyError>;
    fn float(&self, name: &str) -> Result<Option<f64>, PolicyError>;
    fn flags(&self, name: &str) -> Result<Option<&[bool]>, PolicyError>;
    /// The error for a value that cannot be used.
    fn refuse(&self, name: &str, found: String, allowed: &str) -> PolicyError;
}

/// What is read of every GGUF file before its family's own keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GgufModel {
    pub(crate) hidden_size: usize,
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) layers: usize,
    /// Whether the first layer has a bias behind attention, and in the feed-forward layer.
    pub(crate) attention_bias: bool,
    pub(crate) mlp_bias: bool,
}
