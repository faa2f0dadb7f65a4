//! Model files, without Burn: a directory in Hugging Face's layout or a GGUF file.
//!
//! Whatever the format, tensors have Hugging Face's names and layout: a matrix is `[out, in]`, row
//! major, and the rows of the query and key projections are in the half-split rotary order.
//!
//! Files are read tensor by tensor at their positions, not mapped: memory stays bounded by the
//! largest tensor and a file that shrinks under us is an error instead of a crash.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::config::ModelConfig;
use crate::error::PolicyError;
use crate::tokenizer::TextCodec;

pub(crate) mod dequant;
pub(crate) mod gguf;
mod hf;
mod random;
mod reader;

pub use dequant::{ElementType, StoredMatrix};
pub use random::RandomWeights;
pub(crate) use random::random_matrix;
pub(crate) use reader::{FileReader, identity};

/// A tensor in host memory, row major.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// The extent of each axis, slowest first.
    pub shape: Vec<usize>,
    /// The values; as many as the product of the shape.
    pub data: Vec<f32>,
}

/// Where the weights of a model come from.
pub trait WeightSource: Send + Sync {
    /// The names of all tensors of the model, in the order of the decoder: those of
    /// [`expected_tensors`] and no others.
    fn names(&self) -> Vec<String>;

    /// Reads one tensor as `f32`, in Hugging Face's layout.
    ///
    /// # Errors
    /// An unknown name, or bytes that cannot be read or used.
    fn load(&self, name: &str) -> Result<HostTensor, PolicyError>;

    /// Reads the matrix `name` as it is stored, in quantised blocks or bf16 numbers with the values that
    /// [`WeightSource::load`] gives; none where it is stored otherwise.
    ///
    /// # Errors
    /// An unknown name, or bytes that cannot be read.
    fn blocks(&self, name: &str) -> Result<Option<StoredMatrix>, PolicyError> {
        let _ = name;
        Ok(None)
    }

    /// The sha256 of the weights, in hexadecimal.
    ///
    /// For a model of one file it is the digest of that file. For a model of several it is the
    /// digest of the text that `sha256sum` prints for them, in the order of their names. All bytes
    /// are read on the first call and the digest is kept.
    ///
    /// # Errors
    /// A file that cannot be read.
    fn identity(&self) -> Result<String, PolicyError>;
}

/// A model on disk, opened: hyper-parameters and tokenizer are in memory, weights are not.
pub struct ModelFiles {
    /// The hyper-parameters.
    pub config: ModelConfig,
    /// The weights.
    pub weights: Box<dyn WeightSource>,
    /// Tokenizer and chat template, where the model has one that is known here. Where text is
    /// needed, use [`ModelFiles::require_tokenizer`].
    pub tokenizer: Option<TextCodec>,
    /// The path that was opened.
    pub path: PathBuf,
    /// `config.json` as it was read, where there is one.
    pub config_json: Option<Map<String, Value>>,
    /// Where the files contradict each other and one of them was taken: a sentence each.
    pub notes: Vec<String>,
    /// Why there is no tokenizer, where there is none.
    no_tokenizer: String,
}

impl std::fmt::Debug for ModelFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            config,
            tokenizer,
            path,
            ..
        } = self;
        f.debug_struct("ModelFiles")
            .field("config", config)
            .field("tokenizer", &tokenizer.is_some())
            .field("path", path)
            .finish_non_exhaustive()
    }
}

impl ModelFiles {
    /// Opens a directory in Hugging Face's layout or a `.gguf` file.
    ///
    /// All headers are checked here: every tensor that the configuration implies is there with its
    /// shape, inside its file. [`WeightSource::load`] then reads the values.
    ///
    /// # Errors
    /// A path that is not a model, or files that are broken or of another architecture.
    pub fn open(path: &Path) -> Result<Self, PolicyError> {
        let metadata = std::fs::metadata(path).map_err(PolicyError::read(path))?;
        if metadata.is_dir() {
            return hf::open(path);
        }
        if path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("gguf"))
        {
            return gguf::open(path);
        }
        let reason = "it is a file whose name does not end in .gguf".to_owned();
        Err(PolicyError::NotAModel {
            path: path.to_path_buf(),
            reason,
        })
    }

    /// Opens a directory of a decoder with the heads of these names, those of them that are there, and the shapes of those;
    /// [`WeightSource::load`] reads them too. The configuration may name any class. A vocabulary head is left out.
    ///
    /// # Errors
    /// Those of [`ModelFiles::open`]; a path that is no directory.
    pub(crate) fn open_headed(
        path: &Path,
        heads: &[&str],
    ) -> Result<(Self, BTreeMap<String, Vec<usize>>), PolicyError> {
        let metadata = std::fs::metadata(path).map_err(PolicyError::read(path))?;
        if metadata.is_dir() {
            return hf::open_headed(path, heads);
        }
        Err(PolicyError::NotAModel {
            path: path.to_path_buf(),
            reason: "heads beside a decoder are read from directories alone".to_owned(),
        })
    }

    /// Puts the parts together; a tokenizer that is absent or unknown is no error yet, because
    /// token ids can do without one.
    fn assemble(
        config: ModelConfig,
        weights: impl WeightSource + 'static,
        tokenizer: Result<TextCodec, PolicyError>,
        path: &Path,
    ) -> Result<Self, PolicyError> {
        let (tokenizer, no_tokenizer) = match tokenizer {
            Ok(tokenizer) => (Some(tokenizer), String::new()),
            Err(PolicyError::NoTokenizer { reason, .. }) => (None, reason),
            Err(error) => return Err(error),
        };
        let weights = Box::new(weights);
        Ok(Self {
            config,
            weights,
            tokenizer,
            path: path.to_path_buf(),
            config_json: None,
            notes: Vec::new(),
            no_tokenizer,
        })
    }

    /// The tokenizer, for what cannot do without.
    ///
    /// # Errors
    /// [`PolicyError::NoTokenizer`], with the reason and what to do.
    pub fn require_tokenizer(&self) -> Result<&TextCodec, PolicyError> {
        self.tokenizer
            .as_ref()
            .ok_or_else(|| PolicyError::NoTokenizer {
                path: self.path.clone(),
                reason: self.no_tokenizer.clone(),
            })
    }
}

/// The names and shapes of all tensors of a model, in the order of the decoder.
///
/// `lm_head.weight` is among them only when the head is not tied to the embedding; a classifier has
/// `score.weight` instead.
#[must_use]
pub fn expected_tensors(config: &ModelConfig) -> Vec<(String, Vec<usize>)> {
    let hidden = config.hidden_size;
    let table = vec![config.vocab_size, hidden];
    let mut tensors = vec![("model.embed_tokens.weight".to_owned(), table.clone())];
    for layer in 0..config.num_hidden_layers {
        let parts = layer_tensors(config);
        let named = |(name, shape)| (format!("model.layers.{layer}.{name}"), shape);
        tensors.extend(parts.into_iter().map(named));
    }
    tensors.push(("model.norm.weight".to_owned(), vec![hidden]));
    if config.classifier {
        tensors.push(("score.weight".to_owned(), vec![1, hidden]));
    } else if !config.tie_word_embeddings {
        tensors.push(("lm_head.weight".to_owned(), table));
    }
    tensors
}

/// Those of one layer, without the layer's name before them.
fn layer_tensors(config: &ModelConfig) -> Vec<(String, Vec<usize>)> {
    let family = config.family;
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let queries = config.num_attention_heads * config.head_dim;
    let keys = config.num_key_value_heads * config.head_dim;
    let (bias, fused) = (config.attention_bias, family.fuses_projections());
    let norm = |name: &str| vec![(format!("{name}.weight"), vec![hidden])];
    let projection = |name: &str, [output, input]: [usize; 2], bias: bool| {
        let weight = (format!("{name}.weight"), vec![output, input]);
        let bias = bias.then(|| (format!("{name}.bias"), vec![output]));
        std::iter::once(weight).chain(bias).collect::<Vec<_>>()
    };
    let attention = if fused {
        projection("self_attn.qkv_proj", [queries + 2 * keys, hidden], bias)
    } else {
        [
            projection("self_attn.q_proj", [queries, hidden], bias),
            projection("self_attn.k_proj", [keys, hidden], bias),
            projection("self_attn.v_proj", [keys, hidden], bias),
        ]
        .concat()
    };
    let output = projection(
        "self_attn.o_proj",
        [hidden, queries],
        config.attention_output_bias,
    );
    let mut heads = Vec::new();
    if family.query_key_norm() {
        let head = |name| (format!("self_attn.{name}.weight"), vec![config.head_dim]);
        heads.extend(["q_norm", "k_norm"].map(head));
    }
    let mut sandwich = Vec::new();
    if family.sandwich_norms() {
        sandwich.extend(norm("pre_feedforward_layernorm"));
        sandwich.extend(norm("post_feedforward_layernorm"));
    }
    let bias = config.mlp_bias;
    let gate = if fused {
        projection("mlp.gate_up_proj", [2 * inner, hidden], bias)
    } else {
        [
            projection("mlp.gate_proj", [inner, hidden], bias),
            projection("mlp.up_proj", [inner, hidden], bias),
        ]
        .concat()
    };
    [
        norm("input_layernorm"),
        attention,
        output,
        heads,
        norm("post_attention_layernorm"),
        sandwich,
        gate,
        projection("mlp.down_proj", [hidden, inner], bias),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_model_and_a_wrong_kind_of_file_are_named() {
        let missing = ModelFiles::open(Path::new("no/such/model"))
            .unwrap_err()
            .to_string();
        assert!(
            missing.starts_with("cannot read no/such/model: "),
            "{missing}"
        );
        let file = tempfile::Builder::new().suffix(".bin").tempfile().unwrap();
        let wrong = ModelFiles::open(file.path()).unwrap_err().to_string();
        assert!(
            wrong.contains("is not a model: it is a file whose name does not end in .gguf"),
            "{wrong}"
        );
    }
}
