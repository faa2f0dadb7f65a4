//! Directories in Hugging Face's layout: `config.json` with `model.safetensors`, or with shards
//! that `model.safetensors.index.json` lists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::Deserialize;

use super::dequant::{ElementType, StoredMatrix};
use super::{FileReader, HostTensor, ModelFiles, WeightSource, expected_tensors, identity};
use crate::config::{ModelConfig, read_object};
use crate::error::{PolicyError, excerpt};
use crate::tokenizer::TextCodec;

mod head;
#[cfg(test)]
mod tests;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The longest safetensors header: that of the format's own library.
const LONGEST_HEADER: u64 = 100_000_000;

/// Opens a directory in Hugging Face's layout.
///
/// # Errors
/// A directory without a configuration or weights, or files that are broken or do not fit together.
pub(super) fn open(dir: &Path) -> Result<ModelFiles, PolicyError> {
    open_with(dir, None).map(|(files, _)| files)
}

/// Opens a decoder with heads; see [`ModelFiles::open_headed`].
pub(super) fn open_headed(
    dir: &Path,
    heads: &[&str],
) -> Result<(ModelFiles, BTreeMap<String, Vec<usize>>), PolicyError> {
    open_with(dir, Some(heads))
}

fn open_with(
    dir: &Path,
    heads: Option<&[&str]>,
) -> Result<(ModelFiles, BTreeMap<String, Vec<usize>>), PolicyError> {
    let absent = |reason: &str| {
        Err(PolicyError::NotAModel {
            path: dir.to_path_buf(),
            reason: reason.to_owned(),
        })
    };
    let config = dir.join("config.json");
    if !is_there(&config)? {
        return absent("config.json is not in it");
    }
    if !is_there(&dir.join(INDEX))? && !is_there(&dir.join(SINGLE))? {
        return absent("neither model.safetensors nor model.safetensors.index.json is in it");
    }
    let config_json = read_object(&config)?;
    let mut object = config_json.clone();
    if heads.is_some() {
        // A class of its own, or a bare decoder's.
        object.remove("architectures");
    }
    let mut config = ModelConfig::from_hf_object(&object, &config)?;
    let mut notes = Vec::new();
    let weights = SafetensorsWeights::open(dir, &mut config, heads, &mut notes)?;
    let shapes = weights.head_shapes(heads.unwrap_or_default());
    let path = dir.join("tokenizer.json");
    let tokenizer = if is_there(&path)? {
        TextCodec::from_file(&path)
    } else {
        let reason = "tokenizer.json is not in it".to_owned();
        Err(PolicyError::NoTokenizer {
            path: dir.to_path_buf(),
            reason,
        })
    };
    let files = ModelFiles::assemble(config, weights, tokenizer, dir)?;
    let files = ModelFiles {
        config_json: Some(config_json),
        notes,
        ..files
    };
    Ok((files, shapes))
}

fn is_there(path: &Path) -> Result<bool, PolicyError> {
    inpo_data::input::is_there(path).map_err(PolicyError::read(path))
}

/// Where a tensor is.
struct Place {
    shard: usize,
    shape: Vec<usize>,
    element: ElementType,
    offset: u64,
    bytes: usize,
}

/// The weights in one or more safetensors files.
struct SafetensorsWeights {
    /// In the order of their names.
    shards: Vec<FileReader>,
    order: Vec<String>,
    places: BTreeMap<String, Place>,
    identity: OnceLock<String>,
}

impl SafetensorsWeights {
    /// Opens the weights of the model of `config`, which is corrected where the weights contradict it, with a note. With
    /// `heads` it is a decoder with those of them that are there, and without a vocabulary head.
    fn open(
        dir: &Path,
        config: &mut ModelConfig,
        heads: Option<&[&str]>,
        notes: &mut Vec<String>,
    ) -> Result<Self, PolicyError> {
        let index_path = dir.join(INDEX);
        // As in transformers, a single file wins over an index.
        let index = if is_there(&dir.join(SINGLE))? {
            None
        } else {
            Some(read_index(&index_path)?)
        };
        let files: BTreeSet<&str> = match &index {
            None => [SINGLE].into(),
            Some(index) => index.values().map(String::as_str).collect(),
        };
        let mut shards = Vec::new();
        let mut places: BTreeMap<String, Place> = BTreeMap::new();
        for (shard, file) in files.into_iter().enumerate() {
            let path = dir.join(file);
            if !is_there(&path)? {
                return Err(PolicyError::NotAModel {
                    path: dir.to_path_buf(),
                    reason: format!(
                        "{INDEX} names the shard {}, which is not in it",
                        excerpt(file)
                    ),
                });
            }
            let reader = FileReader::open(&path)?;
            for (name, place) in read_header(&reader, shard)? {
                let here = index
                    .as_ref()
                    .is_none_or(|index| index.get(&name).is_some_and(|f| f == file));
                if here {
                    places.insert(name, place?);
                }
            }
            shards.push(reader);
        }
        if let Some(index) = &index
            && let Some((name, file)) = index.iter().find(|(name, _)| !places.contains_key(*name))
        {
            return Err(PolicyError::Tensor {
                path: dir.join(file),
                tensor: name.clone(),
                reason: format!(
                    "{INDEX} says that it is in this shard, and it is not; fetch both again"
                ),
            });
        }
        let kept = match heads {
            Some(heads) => head::take_heads(heads, &mut places),
            None => BTreeMap::new(),
        };
        if config.tie_word_embeddings && !config.classifier {
            notes.extend(head::check(config, &mut places, &shards)?);
        }
        if heads.is_some() {
            // None is expected.
            config.tie_word_embeddings = true;
        }
        let weights_path = || dir.join(if index.is_some() { INDEX } else { SINGLE });
        let (mut order, mut wanted, mut absent) = (Vec::new(), BTreeMap::new(), Vec::new());
        for (name, expected) in expected_tensors(config) {
            match places.remove(&name) {
                None => absent.push(name),
                Some(place) if place.shape != expected => {
                    return Err(PolicyError::TensorShape {
                        path: shards[place.shard].path().to_path_buf(),
                        tensor: name,
                        found: place.shape,
                        expected,
                    });
                }
                Some(place) => {
                    order.push(name.clone());
                    wanted.insert(name, place);
                }
            }
        }
        if !absent.is_empty() {
            return Err(PolicyError::MissingTensors {
                path: weights_path(),
                tensors: absent,
            });
        }
        // A tied head that was written all the same, and tables that are computed anyway.
        let harmless = |name: &str| {
            (config.tie_word_embeddings && name == "lm_head.weight")
                || name.ends_with("rotary_emb.inv_freq")
        };
        if let Some((name, place)) = places.iter().find(|(name, _)| !harmless(name)) {
            return Err(PolicyError::Tensor {
                path: shards[place.shard].path().to_path_buf(),
                tensor: name.clone(),
                reason: format!(
                    "it is not part of a {} model as implemented here, and could change arithmetic; use a model without it",
                    config.family.model_type()
                ),
            });
        }
        wanted.extend(kept);
        Ok(Self {
            shards,
            order,
            places: wanted,
            identity: OnceLock::new(),
        })
    }

    /// The shapes of those of `heads` that are there.
    fn head_shapes(&self, heads: &[&str]) -> BTreeMap<String, Vec<usize>> {
        let shape = |name: &&str| Some(((*name).to_owned(), self.places.get(*name)?.shape.clone()));
        heads.iter().filter_map(shape).collect()
    }

    fn place(&self, name: &str) -> Result<&Place, PolicyError> {
        let absent = || PolicyError::MissingTensors {
            path: self.shards[0].path().to_path_buf(),
            tensors: vec![excerpt(name)],
        };
        self.places.get(name).ok_or_else(absent)
    }
}

impl WeightSource for SafetensorsWeights {
    fn names(&self) -> Vec<String> {
        self.order.clone()
    }

    fn load(&self, name: &str) -> Result<HostTensor, PolicyError> {
        let place = self.place(name)?;
        let bytes = self.shards[place.shard].read_at(place.offset, place.bytes)?;
        Ok(HostTensor {
            shape: place.shape.clone(),
            data: place.element.dequantise(&bytes),
        })
    }

    fn blocks(&self, name: &str) -> Result<Option<StoredMatrix>, PolicyError> {
        let place = self.place(name)?;
        let (&[output, input], Some(_)) = (&place.shape[..], place.element.block_kind()) else {
            return Ok(None);
        };
        let bytes = self.shards[place.shard].read_at(place.offset, place.bytes)?;
        Ok(StoredMatrix::new(place.element, [output, input], bytes))
    }

    fn identity(&self) -> Result<String, PolicyError> {
        if let Some(digest) = self.identity.get() {
            return Ok(digest.clone());
        }
        let digest = identity(&self.shards)?;
        Ok(self.identity.get_or_init(|| digest).clone())
    }
}

/// Tensor names and the shards that hold them; a shard is a plain file name.
fn read_index(path: &Path) -> Result<BTreeMap<String, String>, PolicyError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let broken = |reason: String| PolicyError::Json {
        path: path.to_path_buf(),
        reason,
    };
    let text = inpo_data::input::read(path).map_err(PolicyError::read(path))?;
    let index: Index = serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
    for (name, file) in &index.weight_map {
        let plain = Path::new(file)
            .file_name()
            .is_some_and(|n| n == file.as_str());
        if !plain || file.contains('\\') {
            return Err(broken(format!(
                "`weight_map` places {} in {}, and a shard must be a file name without directories",
                excerpt(name),
                excerpt(file)
            )));
        }
    }
    if index.weight_map.is_empty() {
        return Err(broken("`weight_map` is empty".to_owned()));
    }
    Ok(index.weight_map)
}

type Entry = (String, Result<Place, PolicyError>);

/// The tensors of one file. A tensor of a type that is not implemented is an error only when it
/// is wanted.
fn read_header(reader: &FileReader, shard: usize) -> Result<Vec<Entry>, PolicyError> {
    let path = reader.path();
    let broken = |reason: String| PolicyError::Safetensors {
        path: path.to_path_buf(),
        reason,
    };
    if reader.len() < 8 {
        return Err(broken(format!(
            "it has {} bytes, and a header needs more than 8",
            reader.len()
        )));
    }
    let length: [u8; 8] = reader.read_at(0, 8)?.try_into().unwrap_or_default();
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER || length > reader.len() - 8 {
        return Err(broken(format!(
            "its header announces {length} bytes, and the file has {}",
            reader.len()
        )));
    }
    // It is at most LONGEST_HEADER.
    let header = reader.read_at(8, usize::try_from(length).unwrap_or(0))?;
    // Reading it checks that the tensors lie end to end, each as long as its shape and type imply.
    let header: Metadata = serde_json::from_slice(&header).map_err(|e| broken(e.to_string()))?;
    let start = 8 + length;
    if header.data_len() as u64 != reader.len() - start {
        return Err(broken(format!(
            "its header describes {} bytes of tensors, and {} follow it; the file is cut off or longer than it should be",
            header.data_len(),
            reader.len() - start
        )));
    }
    let mut entries = Vec::new();
    for (name, info) in header.tensors() {
        let element = match info.dtype {
            Dtype::F32 => Ok(ElementType::F32),
            Dtype::F16 => Ok(ElementType::F16),
            Dtype::BF16 => Ok(ElementType::BF16),
            other => Err(PolicyError::Tensor {
                path: path.to_path_buf(),
                tensor: name.clone(),
                reason: format!(
                    "its type is {other:?}, and F32, F16 and BF16 are implemented; use an unquantised model"
                ),
            }),
        };
        let (from, to) = info.data_offsets;
        let place = element.map(|element| Place {
            shard,
            shape: info.shape.clone(),
            element,
            offset: start + from as u64,
            bytes: to - from,
        });
        entries.push((name, place));
    }
    Ok(entries)
}
