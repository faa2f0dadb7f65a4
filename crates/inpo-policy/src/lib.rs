//! The policy of INPO: a transformer language model on Burn.
//!
//! A [`Policy`] reads a Hugging Face directory or a GGUF file, samples responses
//! ([`Policy::generate`]), scores them ([`Policy::logps`]) and carries LoRA adapters whose switched-off
//! state is exactly the reference policy ([`Policy::reference`]). Training needs the decoder
//! ([`model::Decoder`]), the packing of sequences ([`logps::PackedBatch`]) and the chunked head with
//! its closed-form gradient ([`head`]).
//!
//! Log-probs are natural logarithms, summed over response tokens, end token included, prompt
//! excluded. No function here picks a device: give it a `burn::tensor::Device`.

pub mod config;
mod continuations;
pub mod error;
pub mod files;
mod float_type;
pub mod head;
pub mod logps;
pub mod lora;
pub mod model;
mod policy;
pub mod preference;
pub mod prefix;
#[cfg(feature = "remote")]
pub mod remote;
pub mod reward;
pub mod sample;
mod sampler;
mod save;
pub mod template;
pub mod tokenizer;

pub use config::ModelConfig;
pub use error::PolicyError;
pub use float_type::FloatType;
pub use logps::Sequence;
pub use lora::LoraConfig;
pub use policy::{Policy, PolicyFiles, PolicyMixture, PolicyWriter, Precision};
pub use preference::{PreferenceHead, PreferenceHeadConfig, PreferenceModel, PromptScale};
pub use prefix::PrefixBatch;
pub use reward::RewardModel;
pub use sample::{DrawKey, GenerationConfig, Generations, PromptTask, Sample, SamplingCost};
pub use sampler::{Answers, BehaviourPolicy, Engine, LocalEngine, Sampler, Samples};
pub use save::SaveOptions;
pub use tokenizer::TextCodec;
