//! Sampling responses: host-side draws and batched decoding.

mod batch;
mod config;
mod generate;
mod sampler;

pub use config::GenerationConfig;
pub(crate) use generate::check_prompt;
pub use generate::{FinishReason, Generations, PromptTask, Sample, generate};
pub use sampler::{Draw, SampleKey, Sampler};
