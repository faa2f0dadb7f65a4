//! Writing weights that a policy does not hold.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Tensor;
use serde_json::{Map, Value};

use crate::config::ModelConfig;
use crate::error::PolicyError;
use crate::lora::{LoraConfig, save_adapters};
use crate::model::Decoder;
use crate::save::{SaveOptions, Surroundings, save_model};
use crate::tokenizer::TextCodec;

/// What a policy's directory holds beside the weights.
#[derive(Debug, Clone)]
pub struct PolicyWriter {
    pub(super) config: ModelConfig,
    pub(super) config_json: Option<Arc<Map<String, Value>>>,
    pub(super) codec: Option<Arc<TextCodec>>,
    pub(super) source: PathBuf,
    pub(super) lora: Option<LoraConfig>,
}

impl PolicyWriter {
    /// Writes `decoder`, of the policy's architecture, into `dir`: its adapters in PEFT's layout, naming `base_model`, or
    /// the whole model as a Hugging Face directory where the policy has none.
    ///
    /// # Errors
    ///
    /// Files that cannot be written.
    pub fn save(&self, decoder: &Decoder, base_model: &str, dir: &Path) -> Result<(), PolicyError> {
        match &self.lora {
            Some(config) => save_adapters(decoder, config, base_model, dir),
            None => self.save_whole(decoder, Vec::new(), &SaveOptions::default(), dir),
        }
    }

    /// Writes a decoder without adapters, and heads beside it.
    pub(super) fn save_whole(
        &self,
        decoder: &Decoder,
        heads: Vec<(&str, Tensor<2>)>,
        options: &SaveOptions,
        dir: &Path,
    ) -> Result<(), PolicyError> {
        let around = Surroundings {
            config: &self.config,
            original: self.config_json.as_deref(),
            codec: self.codec.as_deref(),
            source: &self.source,
        };
        save_model(decoder, heads, &around, options, dir)
    }
}
