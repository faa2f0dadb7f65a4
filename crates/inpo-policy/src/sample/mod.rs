//! Sampling responses: host-side draws and batched decoding.

mod batch;
mod config;
mod draw;
mod generate;
mod mixture;
mod queue;
mod row;
mod stop;

pub use config::GenerationConfig;
pub use draw::{Draw, DrawKey, SampleKey, TokenSampler};
pub(crate) use generate::{Drawn, Watch, check_prompt, counting, generate_from};
pub use generate::{Generations, PromptTask, Sample, SamplingCost};
pub(crate) use mixture::Mixture;
