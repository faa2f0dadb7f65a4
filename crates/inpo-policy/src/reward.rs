//! Reward models: a decoder with a score of one number.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use inpo_kernels::Kernels;

use crate::config::ModelConfig;
use crate::error::PolicyError;
use crate::files::ModelFiles;
use crate::model::Decoder;
use crate::prefix::{PrefixBatch, check};
use crate::tokenizer::TextCodec;

/// A sequence classifier with one label (`LlamaForSequenceClassification` and its like, `score.weight`):
/// its logit at a sequence's last token is the reward.
#[derive(Debug)]
pub struct RewardModel {
    decoder: Decoder,
    config: ModelConfig,
    codec: Option<TextCodec>,
    identity: String,
    source: PathBuf,
}

impl RewardModel {
    /// Loads a Hugging Face directory in f32 on `device`.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the files, by name; a model with a vocabulary head.
    pub fn load(path: &Path, device: &Device) -> Result<Self, PolicyError> {
        Kernels::on(device, DType::F32).keep_freed_memory();
        let files = ModelFiles::open(path)?;
        if !files.config.classifier {
            return Err(PolicyError::NotAModel {
                path: path.to_path_buf(),
                reason: "its `architectures` name no sequence classifier, so it gives no reward"
                    .to_owned(),
            });
        }
        let options = (device, DType::F32);
        Ok(Self {
            decoder: Decoder::load(&files.config, files.weights.as_ref(), options)?,
            identity: files.weights.identity()?,
            config: files.config,
            codec: files.tokenizer,
            source: files.path,
        })
    }

    /// The architecture.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// A digest of the weights.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Where the weights were read from.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// The tokenizer and chat template, where the model has them.
    pub fn codec(&self) -> Option<&TextCodec> {
        self.codec.as_ref()
    }

    /// The reward of each sequence of token ids: the logit at its last token that is not padding, as in
    /// transformers. Where a model pads with its end token, that is the token before a closing one.
    ///
    /// # Errors
    ///
    /// An empty sequence, one beyond the model's context, an id beyond its vocabulary.
    pub fn rewards(&self, sequences: &[Vec<u32>]) -> Result<Vec<f64>, PolicyError> {
        for (number, ids) in (0..).zip(sequences) {
            check(&self.config, number, ids)?;
        }
        // Nothing sees what stands behind the token that is read.
        let read: Vec<&[u32]> = sequences
            .iter()
            .map(|ids| self.without_padding(ids))
            .collect();
        let mut rewards = vec![0.0; sequences.len()];
        for batch in PrefixBatch::split(&self.decoder, &read) {
            let hidden = batch.hidden(&self.decoder);
            let scores = hidden.matmul(self.decoder.head().transpose());
            let scores = scores
                .try_into_vec_as::<f64>()
                .expect("a float tensor reads as f64");
            for (&i, score) in batch.members.iter().zip(scores) {
                rewards[i] = score;
            }
        }
        Ok(rewards)
    }

    /// A sequence up to its last token that is not padding; its first token where all are.
    fn without_padding<'a>(&self, ids: &'a [u32]) -> &'a [u32] {
        let real = |&id: &u32| Some(id) != self.config.pad_token_id;
        let last = ids.iter().rposition(real).unwrap_or(0);
        &ids[..=last]
    }
}
