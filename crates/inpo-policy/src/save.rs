//! Writing a whole model as a Hugging Face directory.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Tensor};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, View};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::config::ModelConfig;
use crate::error::PolicyError;
use crate::float_type::FloatType;
use crate::model::{Decoder, Projection};
use crate::tokenizer::TextCodec;
use inpo_data::files::{sync, write_whole, write_whole_with};
use inpo_data::hex;

/// How a model is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveOptions {
    /// The float type; none is the one that the weights have in memory.
    pub dtype: Option<FloatType>,
    /// Weights beyond so many bytes go to several files, each of at most so many unless one tensor has
    /// more.
    pub max_shard_bytes: usize,
}

impl Default for SaveOptions {
    /// The weights' own type, shards of 5 GB, as in transformers.
    fn default() -> Self {
        Self {
            dtype: None,
            max_shard_bytes: 5_000_000_000,
        }
    }
}

/// A weight of the decoder in Hugging Face's shape.
enum Weight {
    Vector(Tensor<1>),
    Matrix(Tensor<2>),
    /// To be transposed when it is read.
    Projection(Tensor<2>),
}

impl Weight {
    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Vector(vector) => vector.dims().to_vec(),
            Self::Matrix(matrix) => matrix.dims().to_vec(),
            Self::Projection(matrix) => {
                let [input, output] = matrix.dims();
                vec![output, input]
            }
        }
    }

    fn values(&self) -> Vec<f32> {
        match self {
            Self::Vector(vector) => to_f32(vector.clone()),
            Self::Matrix(matrix) => to_f32(matrix.clone()),
            Self::Projection(matrix) => to_f32(matrix.clone().transpose()),
        }
    }
}

fn to_f32<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor
        .inner()
        .try_into_vec_as::<f32>()
        .expect("a float tensor reads as f32")
}

/// Every weight with Hugging Face's name; a tied head is there once.
fn weights(decoder: &Decoder, classifier: bool) -> Vec<(String, Weight)> {
    let embedding = Weight::Matrix(decoder.embed_tokens.val());
    let mut list = vec![("model.embed_tokens.weight".to_owned(), embedding)];
    if let Some(head) = &decoder.lm_head {
        let name = if classifier { "score" } else { "lm_head" };
        list.push((format!("{name}.weight"), Weight::Matrix(head.val())));
    }
    for (layer, block) in decoder.layers.iter().enumerate() {
        // The list is of mutable projections; a clone shares its tensors.
        for (part, name, projection) in block.clone().projections() {
            let path = format!("model.layers.{layer}.{part}.{name}");
            let Projection { weight, bias, .. } = projection;
            list.push((format!("{path}.weight"), Weight::Projection(weight.val())));
            if let Some(bias) = bias {
                list.push((format!("{path}.bias"), Weight::Vector(bias.val())));
            }
        }
    }
    for (layer, block) in decoder.layers.iter().enumerate() {
        for (name, norm) in block.norms() {
            let name = format!("model.layers.{layer}.{name}.weight");
            list.push((name, Weight::Vector(norm.gain.val())));
        }
    }
    let norm = Weight::Vector(decoder.norm.gain.val());
    list.push(("model.norm.weight".to_owned(), norm));
    list
}

/// sha256 over all weights.
pub(crate) fn weight_digest(decoder: &Decoder) -> String {
    let mut hash = Sha256::new();
    for (name, weight) in weights(decoder, false) {
        hash.update(name.as_bytes());
        for value in weight.values() {
            hash.update(value.to_le_bytes());
        }
    }
    hex(&hash.finalize())
}

/// A weight that is read and rounded when the file is written, so that one at a time is on the host.
struct Stored {
    weight: Weight,
    shape: Vec<usize>,
    dtype: FloatType,
}

impl View for &Stored {
    fn dtype(&self) -> Dtype {
        match self.dtype {
            FloatType::F32 => Dtype::F32,
            FloatType::Bf16 => Dtype::BF16,
            FloatType::F16 => Dtype::F16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = self.weight.values();
        let bytes: Vec<u8> = match self.dtype {
            FloatType::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            FloatType::Bf16 => values
                .iter()
                .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
                .collect(),
            FloatType::F16 => values
                .iter()
                .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                .collect(),
        };
        bytes.into()
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bytes()
    }
}

/// What a model directory has beside its weights.
pub(crate) struct Surroundings<'a> {
    pub(crate) config: &'a ModelConfig,
    /// `config.json` as it was read.
    pub(crate) original: Option<&'a Map<String, Value>>,
    pub(crate) codec: Option<&'a TextCodec>,
    /// The directory or file that the model was read from.
    pub(crate) source: &'a Path,
}

/// Files that are handed on as they are.
const CARRIED: &[&str] = &[
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
];

/// The directory of a model's named templates.
const TEMPLATES: &str = "additional_chat_templates";

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Writes the weights, those of `heads` beside the decoder's, `config.json` and the tokenizer's files into `dir`, each file whole or not at all.
///
/// # Errors
///
/// Files that cannot be written; weights that f16 cannot hold.
pub(crate) fn save_model(
    decoder: &Decoder,
    heads: Vec<(&str, Tensor<2>)>,
    around: &Surroundings<'_>,
    options: &SaveOptions,
    dir: &Path,
) -> Result<(), PolicyError> {
    let dtype = options.dtype.unwrap_or(match decoder.stored_dtype() {
        DType::BF16 => FloatType::Bf16,
        DType::F16 => FloatType::F16,
        _ => FloatType::F32,
    });
    let mut list = weights(decoder, around.config.classifier);
    let heads = heads.into_iter();
    list.extend(heads.map(|(name, head)| (name.to_owned(), Weight::Matrix(head))));
    if dtype == FloatType::F16 {
        check_range(&list)?;
    }
    let stored = list.into_iter().map(|(name, weight)| {
        let shape = weight.shape();
        let stored = Stored {
            weight,
            shape,
            dtype,
        };
        (name, stored)
    });
    write_weights(&stored.collect::<Vec<_>>(), options.max_shard_bytes, dir)?;
    carry_files(around, dir)?;
    let json = config_json(around, dtype);
    let json = serde_json::to_vec_pretty(&json).expect("plain JSON");
    Ok(write_whole(&dir.join("config.json"), &json)?)
}

/// The configuration as it was read, with the float type that is written now and whether the head is tied; else one
/// that is made.
fn config_json(around: &Surroundings<'_>, dtype: FloatType) -> Value {
    let mut object = match around.original {
        Some(original) => original.clone(),
        None => match around.config.to_hf_json() {
            Value::Object(object) => object,
            _ => unreachable!("a configuration is an object"),
        },
    };
    const TIED: &str = "tie_word_embeddings";
    let absent = around.config.family.spec().tie_word_embeddings;
    let said = object.get(TIED).and_then(Value::as_bool);
    let tied = around.config.tie_word_embeddings;
    if said.unwrap_or(absent) != tied {
        object.insert(TIED.to_owned(), json!(tied));
    }
    let mut found = false;
    for key in ["dtype", "torch_dtype"] {
        if let Some(value) = object.get_mut(key) {
            *value = json!(dtype.torch_name());
            found = true;
        }
    }
    if !found {
        object.insert("torch_dtype".to_owned(), json!(dtype.torch_name()));
    }
    Value::Object(object)
}

fn check_range(list: &[(String, Weight)]) -> Result<(), PolicyError> {
    for (name, weight) in list {
        let values = weight.values();
        let beyond = values.iter().find(|v| !f16::from_f32(**v).is_finite());
        if let Some(value) = beyond {
            return Err(PolicyError::InvalidSetting {
                key: "dtype".to_owned(),
                got: format!("float16, and tensor `{name}` holds {value}"),
                allowed: "a type that holds it: bfloat16 or float32".to_owned(),
            });
        }
    }
    Ok(())
}

/// One file, or shards with an index where that would be larger than `most` bytes. What an earlier save
/// left of the other kind goes: readers would take it.
fn write_weights(list: &[(String, Stored)], most: usize, dir: &Path) -> Result<(), PolicyError> {
    let mut shards: Vec<&[(String, Stored)]> = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (i, (_, stored)) in list.iter().enumerate() {
        let length = (&stored).data_len();
        if i > start && size + length > most {
            shards.push(&list[start..i]);
            (start, size) = (i, 0);
        }
        size += length;
    }
    shards.push(&list[start..]);
    if let [all] = shards.as_slice() {
        write_file(all, &dir.join(SINGLE))?;
        return remove(dir, INDEX);
    }
    let mut map = Map::new();
    for (number, shard) in shards.iter().enumerate() {
        let file = format!("model-{:05}-of-{:05}.safetensors", number + 1, shards.len());
        write_file(shard, &dir.join(&file))?;
        map.extend(shard.iter().map(|(name, _)| (name.clone(), json!(file))));
    }
    let total: usize = list.iter().map(|(_, stored)| (&stored).data_len()).sum();
    let index = json!({"metadata": {"total_size": total}, "weight_map": map});
    let index = serde_json::to_vec_pretty(&index).expect("plain JSON");
    write_whole(&dir.join(INDEX), &index)?;
    remove(dir, SINGLE)
}

fn write_file(list: &[(String, Stored)], path: &Path) -> Result<(), PolicyError> {
    let views = list.iter().map(|(name, stored)| (name, stored));
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    write_whole_with(path, |temporary| {
        safetensors::serialize_to_file(views, Some(metadata), temporary)
            .map_err(std::io::Error::other)
    })?;
    Ok(())
}

/// Removes a file, which does not come back.
fn remove(dir: &Path, file: &str) -> Result<(), PolicyError> {
    let path = dir.join(file);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(sync(dir)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(PolicyError::write(&path)(error)),
    }
}

/// The tokenizer's and the template's files: those that the model was read with, or ones made from what
/// was read.
fn carry_files(around: &Surroundings<'_>, dir: &Path) -> Result<(), PolicyError> {
    let mut files: Vec<PathBuf> = CARRIED.iter().map(PathBuf::from).collect();
    let templates = std::fs::read_dir(around.source.join(TEMPLATES));
    let templates = templates.into_iter().flatten().flatten();
    files.extend(templates.map(|entry| Path::new(TEMPLATES).join(entry.file_name())));
    for file in files {
        let (from, to) = (around.source.join(&file), dir.join(&file));
        if !from.is_file() || std::fs::canonicalize(&from).ok() == std::fs::canonicalize(&to).ok() {
            continue;
        }
        let bytes = inpo_data::input::read(&from).map_err(PolicyError::read(&from))?;
        write_whole(&to, &bytes)?;
    }
    match around.codec {
        Some(codec) if !around.source.join("tokenizer.json").is_file() => codec.save(dir),
        _ => Ok(()),
    }
}
