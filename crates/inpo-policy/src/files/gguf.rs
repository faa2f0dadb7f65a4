//! GGUF files, versions 2 and 3: the format of llama.cpp.
//!
//! Three things differ from Hugging Face's layout and are undone on load. Shapes are listed fastest
//! axis first. The rows of Llama's query and key projections are permuted for a rotation of
//! neighbouring pairs `(2i, 2i + 1)`, where Hugging Face rotates `(i, i + head_dim / 2)`. And the gains
//! of Gemma's norms have 1 added.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use rayon::prelude::*;
use serde_json::{Map, Value as Json};

use super::dequant::{StoredMatrix, first_not_finite};
use super::{FileReader, HostTensor, ModelFiles, WeightSource, expected_tensors, identity};
use crate::config::{Family, GgufSpec, ModelConfig};
use crate::error::{PolicyError, excerpt};
use crate::tokenizer::TextCodec;

mod header;
mod hyper;
mod metadata;
mod names;
mod split;
#[cfg(test)]
mod tests;

use header::TensorEntry;
pub(crate) use metadata::Metadata;
#[cfg(test)]
pub(crate) use metadata::Value;

/// Opens a `.gguf` file, or the first of several that `gguf-split` made of one.
///
/// # Errors
/// A file that cannot be read, that breaks the format, or whose model is of a family that is not
/// implemented.
pub(super) fn open(path: &Path) -> Result<ModelFiles, PolicyError> {
    let (weights, metadata, config) = GgufWeights::open(path)?;
    let tokenizer = TextCodec::from_gguf(&metadata, path);
    ModelFiles::assemble(config, weights, tokenizer, path)
}

/// The weights in a GGUF file.
struct GgufWeights {
    /// The file, or its parts in their order.
    parts: Vec<FileReader>,
    family: Family,
    /// Hugging Face's names in the order of the decoder, with the place of each tensor.
    order: Vec<String>,
    tensors: BTreeMap<String, TensorEntry>,
    head_dim: usize,
    identity: OnceLock<String>,
}

/// What is read from a GGUF file before it is known whether its tensors are those of its model.
struct Contents {
    parts: Vec<FileReader>,
    metadata: Metadata,
    family: Family,
    gguf: &'static GgufSpec,
    /// The `config.json` of the model.
    config: Map<String, Json>,
    /// All tensors of the file by their names there.
    table: BTreeMap<String, TensorEntry>,
}

impl Contents {
    fn read(path: &Path) -> Result<Self, PolicyError> {
        let split::Joined {
            parts,
            metadata,
            mut table,
        } = split::read(path)?;
        let (family, gguf) = hyper::family(&metadata)?;
        let Some(embedding) = table.get("token_embd.weight") else {
            return Err(PolicyError::MissingTensors {
                path: path.to_path_buf(),
                tensors: vec!["token_embd.weight".to_owned()],
            });
        };
        let vocab_size = embedding.shape[0];
        let divisors = table
            .remove("rope_freqs.weight")
            .map(|entry| finite_values(&parts, &entry))
            .transpose()?;
        let seen = hyper::Seen {
            vocab_size,
            tied: !table.contains_key("output.weight"),
            attention_bias: table.contains_key("blk.0.attn_output.bias"),
            mlp_bias: table.contains_key("blk.0.ffn_down.bias"),
            rope_divisors: divisors.as_deref(),
        };
        let config = hyper::hf_config(&metadata, family, gguf, &seen)?;
        Ok(Self {
            parts,
            metadata,
            family,
            gguf,
            config,
            table,
        })
    }
}

impl GgufWeights {
    fn entry(&self, name: &str) -> Result<&TensorEntry, PolicyError> {
        self.tensors
            .get(name)
            .ok_or_else(|| PolicyError::MissingTensors {
                path: self.parts[0].path().to_path_buf(),
                tensors: vec![excerpt(name)],
            })
    }

    fn open(path: &Path) -> Result<(Self, Metadata, ModelConfig), PolicyError> {
        let Contents {
            parts,
            metadata,
            family,
            gguf,
            config,
            mut table,
        } = Contents::read(path)?;
        let config = ModelConfig::from_object(&config, path)?;
        config.check(path)?;
        let (mut order, mut tensors, mut absent) = (Vec::new(), BTreeMap::new(), Vec::new());
        for (name, expected) in expected_tensors(&config) {
            let foreign = names::gguf_name(family, &name);
            match table.remove(&foreign) {
                None => absent.push(foreign),
                Some(entry) if entry.shape != expected => {
                    return Err(PolicyError::TensorShape {
                        path: parts[entry.part].path().to_path_buf(),
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
            return Err(PolicyError::MissingTensors {
                path: path.to_path_buf(),
                tensors: absent,
            });
        }
        if let Some((rest, entry)) = table.iter().next() {
            return Err(PolicyError::Tensor {
                path: parts[entry.part].path().to_path_buf(),
                tensor: rest.clone(),
                reason: format!(
                    "it is not part of a {} model as implemented here, and could change arithmetic; use a model without it",
                    gguf.architecture
                ),
            });
        }
        let head_dim = config.head_dim;
        let weights = Self {
            parts,
            family,
            order,
            tensors,
            head_dim,
            identity: OnceLock::new(),
        };
        Ok((weights, metadata, config))
    }
}

/// A tensor in Hugging Face's layout, `name` being its name there.
fn load(
    parts: &[FileReader],
    family: Family,
    head_dim: usize,
    (name, entry): (&str, &TensorEntry),
) -> Result<HostTensor, PolicyError> {
    let mut data = finite_values(parts, entry)?;
    if names::interleaves(family, name) {
        let columns = entry.shape[1..].iter().product();
        half_split_rows(&mut data, columns, head_dim);
    }
    if names::adds_one(family, name) {
        data.iter_mut().for_each(|gain| *gain -= 1.0);
    }
    Ok(HostTensor {
        shape: entry.shape.clone(),
        data,
    })
}

/// The values of a tensor as they are in the file, which must be finite. They are read piece by piece
/// by all threads.
fn finite_values(parts: &[FileReader], entry: &TensorEntry) -> Result<Vec<f32>, PolicyError> {
    let reader = &parts[entry.part];
    // Checked against the length of the file when the header was read.
    let count = entry.shape.iter().product();
    let data = entry.element.dequantise_pieces(count, |at, len| {
        reader.read_at(entry.offset + at as u64, len)
    })?;
    match first_not_finite(&data) {
        None => Ok(data),
        Some(at) => Err(PolicyError::Tensor {
            path: reader.path().to_path_buf(),
            tensor: entry.name.clone(),
            reason: format!(
                "its value number {at} is {}, and weights must be finite; the file is damaged or its training diverged",
                data[at]
            ),
        }),
    }
}

impl WeightSource for GgufWeights {
    fn names(&self) -> Vec<String> {
        self.order.clone()
    }

    fn load(&self, name: &str) -> Result<HostTensor, PolicyError> {
        let entry = self.entry(name)?;
        load(&self.parts, self.family, self.head_dim, (name, entry))
    }

    fn blocks(&self, name: &str) -> Result<Option<StoredMatrix>, PolicyError> {
        let entry = self.entry(name)?;
        let (&[output, input], Some(_)) = (&entry.shape[..], entry.element.block_kind()) else {
            return Ok(None);
        };
        // Checked against the length of the file when the header was read.
        let bytes = self.parts[entry.part].read_at(entry.offset, entry.bytes)?;
        let stored = StoredMatrix::new(entry.element, [output, input], bytes);
        if !names::interleaves(self.family, name) {
            return Ok(stored);
        }
        let rows = (0..output).map(|row| interleaved_row(row, self.head_dim));
        Ok(stored.map(|stored| stored.with_order(rows.collect())))
    }

    fn identity(&self) -> Result<String, PolicyError> {
        if let Some(digest) = self.identity.get() {
            return Ok(digest.clone());
        }
        let digest = identity(&self.parts)?;
        Ok(self.identity.get_or_init(|| digest).clone())
    }
}

/// Where a row in half-split order is in interleaved order: within a head row `i` of the first half is row `2i`, row `i` of the
/// second half is row `2i + 1`.
fn interleaved_row(row: usize, head_dim: usize) -> usize {
    let (head, within) = (row / head_dim * head_dim, row % head_dim);
    let half = head_dim / 2;
    head + within % half * 2 + within / half
}

/// Brings the rows of each head from interleaved to half-split order. A bias is a matrix of one column.
fn half_split_rows(data: &mut [f32], columns: usize, head_dim: usize) {
    data.par_chunks_exact_mut(head_dim * columns)
        .for_each(|head| {
            let interleaved = head.to_vec();
            let rows = (0..head_dim).map(|row| interleaved_row(row, head_dim));
            for (out, row) in head.chunks_exact_mut(columns).zip(rows) {
                out.copy_from_slice(&interleaved[row * columns..][..columns]);
            }
        });
}
