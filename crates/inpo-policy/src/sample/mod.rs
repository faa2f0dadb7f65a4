//! Sampling responses: host-side draws and batched decoding.

mod batch;
mod config;
mod generate;
mod mixture;
mod queue;
mod row;
mod sampler;
mod stop;

pub use config::GenerationConfig;
pub(crate) use generate::{Drawn, Watch, check_prompt, counting, generate_from};
pub use generate::{FinishReason, Generations, PromptTask, Sample};
pub(crate) use mixture::Mixture;
pub use sampler::{Draw, SampleKey, Sampler};
