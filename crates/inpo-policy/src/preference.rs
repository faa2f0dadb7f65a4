//! Preference models: a decoder whose hidden state at the end of an answered conversation says how it fares against others.

mod head;

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use inpo_kernels::Kernels;

use head::{PROMPT, REWARD, Shapes, VALUE};
pub use head::{
    PreferenceHead, PreferenceHeadConfig, PreferenceHeadShape, PromptScale, Represented,
};

use crate::config::ModelConfig;
use crate::error::PolicyError;
use crate::files::ModelFiles;
use crate::model::{Decoder, index_tensor};
use crate::policy::Policy;
use crate::prefix::{PrefixBatch, check};
use crate::save::SaveOptions;
use crate::tokenizer::TextCodec;

/// A general preference model, a Bradley-Terry model with a value head, or the two together: see [`PreferenceHead`].
///
/// Its directory is a Hugging Face one: the `config.json` of the decoder, whatever class it names (a causal language model,
/// a bare decoder, a class of its own), and safetensors with the decoder, with or without `model.` before its names, and
/// the heads `value_head.weight`, `reward_head.weight` and `prompt_head.weight`, the first of which must be there. A
/// vocabulary head is not read.
#[derive(Debug)]
pub struct PreferenceModel {
    decoder: Decoder,
    head: PreferenceHead,
    config: ModelConfig,
    codec: Option<TextCodec>,
    identity: String,
    source: PathBuf,
}

impl PreferenceModel {
    /// Loads a directory on `device`, the decoder in the float type `dtype` and the heads in f32.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the files, by name; a directory without a value head.
    pub fn load(
        path: &Path,
        options: (&Device, DType),
        config: PreferenceHeadConfig,
    ) -> Result<Self, PolicyError> {
        let (device, dtype) = options;
        Kernels::on(device, dtype).keep_freed_memory();
        let (files, shapes) = ModelFiles::open_headed(path, &[VALUE, REWARD, PROMPT])?;
        let shape = |name: &str| shapes.get(name).cloned();
        let Some(value) = shape(VALUE) else {
            return Err(PolicyError::NotAModel {
                path: path.to_path_buf(),
                reason: format!("it has no tensor `{VALUE}`, so it is no preference model"),
            });
        };
        let shapes = Shapes {
            value,
            reward: shape(REWARD),
            prompt: shape(PROMPT),
        };
        let fits = shapes.check(files.config.hidden_size);
        fits.map_err(|wrong| wrong.of(path))?;
        let head = |name: &str| -> Result<Tensor<2>, PolicyError> {
            let tensor = files.weights.load(name)?;
            if let Some(index) = tensor.data.iter().position(|value| !value.is_finite()) {
                return Err(PolicyError::NonFiniteWeight {
                    tensor: name.to_owned(),
                    value: tensor.data[index],
                    index,
                });
            }
            let data = TensorData::new(tensor.data, tensor.shape);
            Ok(Tensor::from_data(data, (device, DType::F32)))
        };
        let optional = |there: bool, name: &str| there.then(|| head(name)).transpose();
        let reward = optional(shapes.reward.is_some(), REWARD)?;
        let prompt = optional(shapes.prompt.is_some(), PROMPT)?;
        let head = PreferenceHead::new(head(VALUE)?, reward, prompt, config)?;
        Ok(Self {
            decoder: Decoder::load(&files.config, files.weights.as_ref(), options)?,
            head,
            identity: files.weights.identity()?,
            config: files.config,
            codec: files.tokenizer,
            source: files.path,
        })
    }

    /// The decoder.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The heads.
    pub fn head(&self) -> &PreferenceHead {
        &self.head
    }

    /// The architecture of the decoder.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The tokenizer and chat template, where the model has them.
    pub fn codec(&self) -> Option<&TextCodec> {
        self.codec.as_ref()
    }

    /// A digest of the weights.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Where the weights were read from.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// The logits of P(first > second) for each of `pairs`, which are places in `sequences`: token ids, each read at its
    /// last one and once, whatever the number of its pairs.
    ///
    /// # Errors
    ///
    /// An empty sequence, one beyond the model's context, an id beyond its vocabulary.
    ///
    /// # Panics
    ///
    /// A place that is none, a pair without a prompt where there is a prompt head.
    pub fn logits(&self, sequences: &[Vec<u32>], pairs: &[Pair]) -> Result<Vec<f64>, PolicyError> {
        for (number, ids) in (0..).zip(sequences) {
            check(&self.config, number, ids)?;
        }
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let hidden = self.hidden(sequences);
        let device = hidden.device();
        let places = |place: &dyn Fn(&Pair) -> usize| -> Tensor<1, Int> {
            index_tensor(pairs.iter().map(place), &device)
        };
        let all = self.head.represent(hidden.clone());
        let scales = self.head.prompt.as_ref().and_then(|_| {
            let prompt = |pair: &Pair| {
                pair.prompt
                    .expect("a prompt head reads the prompt of a pair")
            };
            self.head.scales(hidden.select(0, places(&prompt)))
        });
        let first = all.rows(places(&|pair| pair.first));
        let second = all.rows(places(&|pair| pair.second));
        let logits = self.head.logits(&first, &second, scales);
        Ok(logits
            .try_into_vec_as()
            .expect("a float tensor reads as f64"))
    }

    /// The final hidden state at the last token of each sequence, `[sequences, hidden]`.
    fn hidden(&self, sequences: &[Vec<u32>]) -> Tensor<2> {
        let views: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
        let batches = PrefixBatch::split(&self.decoder, &views);
        let rows = batches.iter().map(|batch| batch.hidden(&self.decoder));
        let rows = Tensor::cat(rows.collect(), 0);
        let mut places = vec![0; sequences.len()];
        let members = batches.iter().flat_map(|batch| &batch.members);
        for (row, &member) in members.enumerate() {
            places[member] = row;
        }
        let places = index_tensor(places.into_iter(), &rows.device());
        rows.select(0, places)
    }
}

/// Two answered conversations and perhaps their prompt, by their places in a list of sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The first.
    pub first: usize,
    /// The second.
    pub second: usize,
    /// The prompt, where it is read by itself.
    pub prompt: Option<usize>,
}

impl Policy {
    /// Writes a preference model of this policy's decoder, adapters added to the weights, and `head` into `dir`, a
    /// directory that [`PreferenceModel::load`] reads; transformers reads the decoder of it. What [`PreferenceHeadConfig`]
    /// holds is in no file: give it again.
    ///
    /// # Errors
    ///
    /// Files that cannot be written.
    pub fn save_with_head(
        &self,
        head: &PreferenceHead,
        dir: &Path,
        options: &SaveOptions,
    ) -> Result<(), PolicyError> {
        self.save_with(head.tensors(), dir, options)
    }
}
