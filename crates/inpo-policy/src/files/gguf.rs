//! GGUF files, versions 2 and 3: the format of llama.cpp.
//!
//! Two things differ from Hugging Face's layout and are undone on load. Shapes are listed fastest
//! axis first. And the rows of the query and key projections are permuted for a rotation of
//! neighbouring pairs `(2i, 2i + 1)`, where Hugging Face rotates `(i, i + head_dim / 2)`.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;
use std::sync::OnceLock;

use super::{FileReader, HostTensor, ModelFiles, WeightSource, expected_tensors};
use crate::config::ModelConfig;
use crate::error::{PolicyError, excerpt};
use crate::tokenizer::TextCodec;

mod header;
mod metadata;
#[cfg(test)]
mod tests;

use header::{Header, TensorEntry};
pub(crate) use metadata::Metadata;
#[cfg(test)]
pub(crate) use metadata::Value;

/// Opens a `.gguf` file.
///
/// # Errors
/// A file that cannot be read, that breaks the format, or that is not a Llama model.
pub fn open(path: &Path) -> Result<ModelFiles, PolicyError> {
    let (weights, metadata, config) = GgufWeights::open(path)?;
    let tokenizer = TextCodec::from_gguf(&metadata, path);
    ModelFiles::assemble(config, weights, tokenizer, path)
}

/// The weights in a GGUF file.
pub struct GgufWeights {
    reader: FileReader,
    /// Hugging Face's names in the order of the decoder, with the place of each tensor.
    order: Vec<String>,
    tensors: BTreeMap<String, TensorEntry>,
    head_dim: usize,
    identity: OnceLock<String>,
}

impl GgufWeights {
    fn open(path: &Path) -> Result<(Self, Metadata, ModelConfig), PolicyError> {
        let reader = FileReader::open(path)?;
        let header = Header::read(BufReader::new(reader.file()), reader.len(), path)?;
        let mut table: BTreeMap<String, TensorEntry> = header
            .tensors
            .into_iter()
            .map(|t| (t.name.clone(), t))
            .collect();
        let missing = |tensors| PolicyError::MissingTensors {
            path: path.to_path_buf(),
            tensors,
        };
        header.metadata.require_llama()?;
        let Some(embedding) = table.get("token_embd.weight") else {
            return Err(missing(vec!["token_embd.weight".to_owned()]));
        };
        let tied = !table.contains_key("output.weight");
        let config = header.metadata.model_config(embedding.shape[0], tied)?;
        let (mut order, mut tensors, mut absent) = (Vec::new(), BTreeMap::new(), Vec::new());
        for (name, expected) in expected_tensors(&config) {
            let foreign = gguf_name(&name);
            match table.remove(&foreign) {
                None => absent.push(foreign),
                Some(entry) if entry.shape != expected => {
                    return Err(PolicyError::TensorShape {
                        path: path.to_path_buf(),
                        tensor: foreign,
                        found: entry.shape,
                        expected,
                    });
                }
                Some(entry) => {
                    order.push(name.clone());
                    tensors.insert(name, entry);
                }
            }
        }
        if !absent.is_empty() {
            return Err(missing(absent));
        }
        if let Some(rest) = table.keys().next() {
            let reason = if rest == "rope_freqs.weight" {
                "it scales the rotary frequencies, which is not implemented for GGUF files; use the Hugging Face directory of this model"
            } else {
                "it is not part of a Llama model as implemented here, and could change arithmetic; use a model without it"
            };
            let (path, tensor) = (path.to_path_buf(), rest.clone());
            return Err(PolicyError::Tensor {
                path,
                tensor,
                reason: reason.to_owned(),
            });
        }
        let head_dim = config.head_dim;
        let weights = Self {
            reader,
            order,
            tensors,
            head_dim,
            identity: OnceLock::new(),
        };
        Ok((weights, header.metadata, config))
    }
}

impl WeightSource for GgufWeights {
    fn names(&self) -> Vec<String> {
        self.order.clone()
    }

    fn load(&self, name: &str) -> Result<HostTensor, PolicyError> {
        let Some(entry) = self.tensors.get(name) else {
            return Err(PolicyError::MissingTensors {
                path: self.reader.path().to_path_buf(),
                tensors: vec![excerpt(name)],
            });
        };
        let bytes = self.reader.read_at(entry.offset, entry.bytes)?;
        let mut data = entry.element.dequantise(&bytes);
        drop(bytes);
        if name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight") {
            data = half_split_rows(&data, entry.shape[1], self.head_dim);
        }
        Ok(HostTensor {
            shape: entry.shape.clone(),
            data,
        })
    }

    fn identity(&self) -> Result<String, PolicyError> {
        if let Some(digest) = self.identity.get() {
            return Ok(digest.clone());
        }
        let digest = self.reader.sha256()?;
        Ok(self.identity.get_or_init(|| digest).clone())
    }
}

/// The name in a GGUF file of a tensor that Hugging Face calls `name`.
fn gguf_name(name: &str) -> String {
    match name {
        "model.embed_tokens.weight" => return "token_embd.weight".to_owned(),
        "model.norm.weight" => return "output_norm.weight".to_owned(),
        "lm_head.weight" => return "output.weight".to_owned(),
        _ => {}
    }
    let inner = name
        .strip_prefix("model.layers.")
        .and_then(|rest| rest.split_once('.'));
    let Some((layer, part)) = inner else {
        return name.to_owned();
    };
    let part = match part {
        "input_layernorm.weight" => "attn_norm.weight",
        "self_attn.q_proj.weight" => "attn_q.weight",
        "self_attn.k_proj.weight" => "attn_k.weight",
        "self_attn.v_proj.weight" => "attn_v.weight",
        "self_attn.o_proj.weight" => "attn_output.weight",
        "post_attention_layernorm.weight" => "ffn_norm.weight",
        "mlp.gate_proj.weight" => "ffn_gate.weight",
        "mlp.up_proj.weight" => "ffn_up.weight",
        "mlp.down_proj.weight" => "ffn_down.weight",
        other => other,
    };
    format!("blk.{layer}.{part}")
}

/// Brings the rows of each head from interleaved to half-split order: row `i` of the first half
/// is row `2i`, row `i` of the second half is row `2i + 1`.
fn half_split_rows(data: &[f32], columns: usize, head_dim: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(data.len());
    for head in data.chunks_exact(head_dim * columns) {
        for side in 0..2 {
            for i in 0..head_dim / 2 {
                let row = (2 * i + side) * columns;
                out.extend_from_slice(&head[row..row + columns]);
            }
        }
    }
    out
}
