//! Reward models: a decoder with a score of one number.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use inpo_kernels::{Kernels, PackedGroup, PackedLayout, embedding};

use crate::config::ModelConfig;
use crate::error::PolicyError;
use crate::files::ModelFiles;
use crate::model::Decoder;
use crate::tokenizer::TextCodec;

/// A sequence classifier with one label (`LlamaForSequenceClassification` and its like, `score.weight`):
/// its logit at a sequence's last token is the reward.
#[derive(Debug)]
pub struct RewardModel {
    decoder: Decoder,
    config: ModelConfig,
    codec: Option<TextCodec>,
    source: PathBuf,
}

/// How many tokens are scored together, unless one sequence is longer.
const BATCH_TOKENS: usize = 2048;

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
            config: files.config,
            codec: files.tokenizer,
            source: files.path,
        })
    }

    /// The architecture.
    pub fn config(&self) -> &ModelConfig {
        &self.config
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
            self.check(number, ids)?;
        }
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(sequences[i].len()));
        let mut rewards = vec![0.0; sequences.len()];
        let mut rest = order.as_slice();
        while let Some(&longest) = rest.first() {
            let count = (BATCH_TOKENS / sequences[longest].len()).clamp(1, rest.len());
            let (members, tail) = rest.split_at(count);
            rest = tail;
            let batch: Vec<&[u32]> = members.iter().map(|&i| sequences[i].as_slice()).collect();
            for (&i, reward) in members.iter().zip(self.score(&batch)) {
                rewards[i] = reward;
            }
        }
        Ok(rewards)
    }

    fn score(&self, sequences: &[&[u32]]) -> Vec<f64> {
        let groups = sequences.iter().map(|ids| PackedGroup::sequence(ids.len()));
        let layout = PackedLayout::new(groups.collect());
        let mut ids = sequences.concat();
        let multiple = self.decoder.token_multiple();
        ids.resize(ids.len().next_multiple_of(multiple), 0);
        let last = |ids: &&[u32]| {
            let real = |&id: &u32| Some(id) != self.config.pad_token_id;
            ids.iter().rposition(real).unwrap_or(0)
        };
        let mut start = 0;
        let positions: Vec<u32> = sequences
            .iter()
            .map(|ids| {
                start += ids.len();
                (start - ids.len() + last(ids)) as u32
            })
            .collect();
        let hidden = embedding(self.decoder.forward(&ids, &layout), &positions);
        let scores = hidden.matmul(self.decoder.head().transpose());
        scores
            .try_into_vec_as::<f64>()
            .expect("a float tensor reads as f64")
    }

    fn check(&self, number: u64, ids: &[u32]) -> Result<(), PolicyError> {
        let (tokens, limit) = (ids.len(), self.config.max_position_embeddings);
        let vocab_size = self.config.vocab_size;
        if ids.is_empty() {
            return Err(PolicyError::EmptyPrompt { number });
        }
        if tokens > limit {
            return Err(PolicyError::PromptTooLong {
                number,
                tokens,
                limit,
            });
        }
        match ids.iter().find(|&&id| id as usize >= vocab_size) {
            Some(&id) => Err(PolicyError::TokenOutOfVocabulary { id, vocab_size }),
            None => Ok(()),
        }
    }
}
