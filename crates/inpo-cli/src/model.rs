//! Loading the model that a command names.

use clap::Args;
use inpo_core::policy::Policy;

use crate::error::CliError;
use crate::print::tell;

/// `--model` and `--device`.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Hugging Face directory, .gguf file, hub id, or `smollm2-135m-instruct`.
    #[arg(long)]
    model: String,
    /// PEFT adapter directory to put on the model.
    #[arg(long)]
    adapter: Option<std::path::PathBuf>,
    /// flex, cpu, cuda:N, tch, wgpu:N.
    #[arg(long, default_value = "flex")]
    device: String,
}

impl ModelArgs {
    /// The name that was given.
    pub(crate) fn name(&self) -> &str {
        &self.model
    }

    /// Finds (or fetches) and loads the model.
    pub(crate) fn load(&self) -> Result<Policy, CliError> {
        let device = inpo_core::device(&self.device)?;
        let path = inpo_console::find_model(&self.model)?;
        let policy = Policy::load(&path, &device)?;
        policy.notes().iter().for_each(|note| tell(note));
        Ok(match &self.adapter {
            Some(dir) => policy.with_saved_adapters(dir)?,
            None => policy,
        })
    }
}
