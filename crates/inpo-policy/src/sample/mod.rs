//! Sampling responses: host-side draws and batched decoding.

mod generate;
mod sampler;

pub(crate) use generate::check_prompt;
pub use generate::{FinishReason, GenerationConfig, Generations, PromptTask, Sample, generate};
pub use sampler::{Draw, SampleKey, Sampler};
