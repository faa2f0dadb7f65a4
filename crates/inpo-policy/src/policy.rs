//! The policy: a decoder with its configuration and its text codec.

mod files;
mod mixture;
mod sampling;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use inpo_data::sha256;
use inpo_kernels::Kernels;
use serde_json::{Map, Value};

pub use files::{PolicyFiles, Precision};
pub use mixture::PolicyMixture;
pub use writer::PolicyWriter;

use crate::config::ModelConfig;
use crate::error::PolicyError;
use crate::files::{ModelFiles, RandomWeights, WeightSource};
use crate::logps::{Sequence, response_logps};
use crate::lora::{
    LoraConfig, adapter_digest, add_adapters, load_adapters, merged, other_base, without_adapters,
};
use crate::model::{Decoder, FileBlocks};
use crate::save::{SaveOptions, weight_digest};
use crate::tokenizer::TextCodec;

/// A language model as a policy over responses: `pi(y | x)` with `log pi(y | x)` the sum of the
/// log-probs of the response's tokens, end token included.
#[derive(Debug, Clone)]
pub struct Policy {
    decoder: Decoder,
    config: ModelConfig,
    codec: Option<Arc<TextCodec>>,
    no_codec: String,
    identity: String,
    source: PathBuf,
    lora: Option<LoraConfig>,
    /// Digest of fully trained weights; empty while they are those of the file.
    trained: String,
    /// The files that hold all of the weights, where there are such.
    files: Option<PolicyFiles>,
    precision: Precision,
    /// The matrices in the blocks of the file, while the dense weights are the file's.
    blocks: Option<Arc<FileBlocks>>,
    /// `config.json` as it was read, where there is one.
    config_json: Option<Arc<Map<String, Value>>>,
    /// Where its files contradict each other, and which was taken.
    pub(crate) notes: Vec<String>,
}

impl Policy {
    /// Loads a Hugging Face directory or a GGUF file in f32 on `device`.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the files, by name.
    pub fn load(path: &Path, device: &Device) -> Result<Self, PolicyError> {
        Self::load_in(path, device, Precision::F32)
    }

    /// Loads a Hugging Face directory or a GGUF file on `device`, whatever float type it is stored in.
    ///
    /// On the CPU backend the process keeps the memory that is freed from now on, as [`Decoder::load`] says.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the files, by name.
    pub fn load_in(
        path: &Path,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, PolicyError> {
        // Before the tokenizer's and the template's threads.
        Kernels::on(device, precision.weights()).keep_freed_memory();
        let files = ModelFiles::open(path)?;
        require_language_model(&files.config, path)?;
        let options = (device, precision.weights());
        let mut decoder = Decoder::load(&files.config, files.weights.as_ref(), options)?;
        if precision == Precision::Bf16Mixed {
            decoder = decoder.computing_in(DType::BF16);
        }
        let no_codec = match files.require_tokenizer() {
            Err(PolicyError::NoTokenizer { reason, .. }) => reason,
            _ => String::new(),
        };
        Ok(Self {
            decoder: decoder.valid(),
            identity: files.weights.identity()?,
            no_codec,
            config: files.config,
            codec: files.tokenizer.map(Arc::new),
            source: files.path,
            lora: None,
            trained: String::new(),
            files: Some(PolicyFiles {
                model: path.to_owned(),
                adapter: None,
                device: device.clone(),
                precision,
            }),
            precision,
            blocks: (precision == Precision::F32)
                .then(|| Arc::new(FileBlocks::new(Arc::from(files.weights)))),
            config_json: files.config_json.map(Arc::new),
            notes: files.notes,
        })
    }

    /// A freshly initialised model of `config`, without a tokenizer: weights normal with standard
    /// deviation 0.02 from `seed`, gains 1 (Hugging Face's initialisation).
    ///
    /// # Errors
    ///
    /// A configuration that contradicts itself.
    pub fn init(config: ModelConfig, seed: u64, device: &Device) -> Result<Self, PolicyError> {
        config.validate()?;
        require_language_model(&config, Path::new("a fresh model"))?;
        let weights = RandomWeights::new(&config, seed);
        let decoder = Decoder::load(&config, &weights, (device, DType::F32))?;
        Ok(Self {
            decoder: decoder.valid(),
            identity: weights.identity()?,
            no_codec: "it was initialised, not read".to_owned(),
            config,
            codec: None,
            source: PathBuf::from("a fresh model"),
            lora: None,
            trained: String::new(),
            files: None,
            precision: Precision::F32,
            blocks: None,
            config_json: None,
            notes: Vec::new(),
        })
    }

    /// The decoder, without autodiff.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The architecture.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The tokenizer and chat template.
    ///
    /// # Errors
    ///
    /// A model directory without a tokenizer cannot read or write text.
    pub fn codec(&self) -> Result<&TextCodec, PolicyError> {
        self.codec
            .as_deref()
            .ok_or_else(|| PolicyError::NoTokenizer {
                path: self.source.clone(),
                reason: self.no_codec.clone(),
            })
    }

    /// A digest of the base weights.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// A digest of everything that decides this policy's log-probs: the base weights and whatever was
    /// trained on top of them.
    pub fn digest(&self) -> String {
        let trained = match &self.lora {
            Some(config) => adapter_digest(&self.decoder, config),
            None => self.trained.clone(),
        };
        let precision = match self.precision {
            Precision::F32 => "",
            Precision::Bf16 => "\nbf16",
            // Gains, embedding and head are not rounded.
            Precision::Bf16Mixed => "\nbf16 over f32",
        };
        sha256(format!("{}\n{trained}{precision}", self.identity).as_bytes())
    }

    /// Where the weights were read from.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// The files that this policy can be read from again as it is; none for weights that were initialised or
    /// trained here.
    pub fn files(&self) -> Option<&PolicyFiles> {
        self.files.as_ref()
    }

    /// The float types.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The adapters' settings, when there are adapters.
    pub fn lora(&self) -> Option<&LoraConfig> {
        self.lora.as_ref()
    }

    /// This policy with fresh adapters, which leave it as it is until they are trained.
    ///
    /// # Errors
    ///
    /// Settings outside their range.
    pub fn with_adapters(mut self, config: &LoraConfig, seed: u64) -> Result<Self, PolicyError> {
        let config = config.resolved(&self.decoder)?;
        self.decoder = add_adapters(self.decoder, &config, seed)?;
        self.lora = Some(config);
        self.files = None;
        Ok(self)
    }

    /// This policy with the adapters saved in `dir`, in PEFT's layout. That they name another base model is among its
    /// [notes](Self::notes).
    ///
    /// # Errors
    ///
    /// Missing or malformed files, tensors that do not fit.
    pub fn with_saved_adapters(mut self, dir: &Path) -> Result<Self, PolicyError> {
        let (decoder, config) = load_adapters(self.decoder, dir)?;
        let note = other_base(dir, &self.source, self.config_json.as_deref());
        self.notes.extend(note);
        self.decoder = decoder;
        self.lora = Some(config);
        if let Some(files) = &mut self.files {
            files.adapter = Some(dir.to_owned());
        }
        Ok(self)
    }

    /// This policy with the weights that [`Policy::save`] wrote to `dir` without adapters. The weights it had
    /// go first.
    ///
    /// # Errors
    ///
    /// Missing or malformed files.
    pub fn with_saved_weights(self, dir: &Path) -> Result<Self, PolicyError> {
        let (device, precision) = (self.decoder.device(), self.precision);
        self.map_decoder(|before| {
            drop(before);
            Ok(Self::load_in(dir, &device, precision)?.decoder)
        })
    }

    /// Writes the policy into `dir`: the adapters in PEFT's layout, naming `base_model`, or the whole
    /// model as a Hugging Face directory when there are none.
    ///
    /// # Errors
    ///
    /// Files that cannot be written.
    pub fn save(&self, base_model: &str, dir: &Path) -> Result<(), PolicyError> {
        self.writer().save(&self.decoder, base_model, dir)
    }

    /// Writes weights that were trained from this policy as [`Policy::save`] writes its own. It holds none of them.
    pub fn writer(&self) -> PolicyWriter {
        PolicyWriter {
            config: self.config.clone(),
            config_json: self.config_json.clone(),
            codec: self.codec.clone(),
            source: self.source.clone(),
            lora: self.lora.clone(),
        }
    }

    /// Writes the whole model into `dir` as a Hugging Face directory, adapters added to the weights:
    /// `config.json` as it was read except for the float type, the weights in one file or several, and the
    /// files of tokenizer and template.
    ///
    /// # Errors
    ///
    /// Files that cannot be written.
    pub fn save_whole(&self, dir: &Path, options: &SaveOptions) -> Result<(), PolicyError> {
        self.save_with(Vec::new(), dir, options)
    }

    /// [`Policy::save_whole`] with heads beside the decoder.
    pub(crate) fn save_with(
        &self,
        heads: Vec<(&str, Tensor<2>)>,
        dir: &Path,
        options: &SaveOptions,
    ) -> Result<(), PolicyError> {
        self.writer()
            .save_whole(&merged(&self.decoder), heads, options, dir)
    }

    /// This policy with its adapters added to its weights.
    pub fn merged(&self) -> Self {
        match self.lora {
            None => self.clone(),
            Some(_) => Self {
                lora: None,
                ..self.clone()
            }
            .with_decoder(&merged(&self.decoder)),
        }
    }

    /// The reference of LoRA training: this policy with its adapters off. Weights are shared.
    pub fn reference(&self) -> Self {
        Self {
            decoder: without_adapters(&self.decoder),
            lora: None,
            files: self.files.clone().map(|files| PolicyFiles {
                adapter: None,
                ..files
            }),
            ..self.clone()
        }
    }

    /// This policy with trained weights.
    pub fn with_decoder(&self, decoder: &Decoder) -> Self {
        let policy: Result<Self, std::convert::Infallible> =
            self.clone().map_decoder(|_| Ok(decoder.clone()));
        let Ok(policy) = policy;
        policy
    }

    /// This policy with the weights that `change` makes of its own. `change` owns them: where no clone of this
    /// policy is left, it can write the new ones in the old ones' place.
    ///
    /// # Errors
    ///
    /// Those of `change`.
    pub fn map_decoder<E>(
        self,
        change: impl FnOnce(Decoder) -> Result<Decoder, E>,
    ) -> Result<Self, E> {
        // Gone before the change: they are no longer the weights' and would only take room.
        let blocks = self.blocks.filter(|_| self.lora.is_some());
        let decoder = change(self.decoder)?.valid();
        let trained = match self.lora {
            Some(_) => String::new(),
            None => weight_digest(&decoder),
        };
        Ok(Self {
            decoder,
            trained,
            files: None,
            blocks,
            ..self
        })
    }

    /// Log-probs of the response tokens of each sequence, in nats, at temperature 1.
    ///
    /// # Errors
    ///
    /// An empty prompt, a sequence beyond the model's context, an id beyond its vocabulary.
    pub fn logps(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f64>>, PolicyError> {
        for (number, sequence) in sequences.iter().enumerate() {
            self.check(number as u64, sequence)?;
        }
        Ok(response_logps(&self.decoder.cast_once(), sequences))
    }

    /// Checks that `sequence` can be scored; `number` names it in the error.
    ///
    /// # Errors
    ///
    /// An empty prompt, a sequence beyond the model's context, an id beyond its vocabulary.
    pub fn check(&self, number: u64, sequence: &Sequence) -> Result<(), PolicyError> {
        let (tokens, limit) = (sequence.ids.len(), self.config.max_position_embeddings);
        let vocab_size = self.config.vocab_size;
        if sequence.prompt_len == 0 {
            return Err(PolicyError::EmptyPrompt { number });
        }
        if tokens > limit {
            return Err(PolicyError::PromptTooLong {
                number,
                tokens,
                limit,
            });
        }
        match sequence.ids.iter().find(|&&id| id as usize >= vocab_size) {
            Some(&id) => Err(PolicyError::TokenOutOfVocabulary { id, vocab_size }),
            None => Ok(()),
        }
    }
}

/// Refuses a model without a vocabulary head.
fn require_language_model(config: &ModelConfig, path: &Path) -> Result<(), PolicyError> {
    if !config.classifier {
        return Ok(());
    }
    Err(PolicyError::NotAModel {
        path: path.to_path_buf(),
        reason: "its `architectures` name a sequence classifier, which has no vocabulary head"
            .to_owned(),
    })
}
