//! Loading the model that a command names.

use clap::Args;
use inpo_core::data::files::Output;
use inpo_core::policy::Policy;
use inpo_core::train::config::PolicySection;

use crate::error::CliError;
use crate::output::Inputs;
use crate::print::tell;

/// Says how PEFT reads adapters that were trained on a GGUF file, which its loader does not open.
pub(crate) fn tell_base(policy: &PolicySection) {
    let adapted = policy.lora.is_some() || policy.adapter.is_some();
    let file = inpo_console::find_model(&policy.model).unwrap_or_default();
    if adapted
        && file
            .extension()
            .is_some_and(|extension| extension == "gguf")
    {
        let model = &policy.model;
        tell(&format!(
            "note: the adapter's base, {model}, is a GGUF file, which AutoPeftModelForCausalLM does not open: `inpo convert --model {model} --output DIR` writes it as a directory; \
             then set `base_model_name_or_path` of adapter_config.json to DIR"
        ));
    }
}

/// `--model` and `--device`.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Hugging Face directory, .gguf file, hub id, or `smollm2-135m-instruct`.
    #[arg(long)]
    model: String,
    /// PEFT adapter directory to put on the model.
    #[arg(long)]
    adapter: Option<std::path::PathBuf>,
    /// flex (the CPU), cuda:N, tch, wgpu, cpu; `inpo devices` lists them.
    #[arg(long, default_value = "flex")]
    device: String,
}

impl ModelArgs {
    /// The flags' values, for a command that has them otherwise.
    pub(crate) fn new(model: &str, adapter: Option<&std::path::PathBuf>, device: &str) -> Self {
        Self {
            model: model.to_owned(),
            adapter: adapter.cloned(),
            device: device.to_owned(),
        }
    }

    /// The name that was given.
    pub(crate) fn name(&self) -> &str {
        &self.model
    }

    /// What decides the model's answers: not the device.
    pub(crate) fn identity(&self) -> serde_json::Value {
        serde_json::json!([self.model, self.adapter])
    }

    /// Adds the model's files to what a command reads.
    pub(crate) fn inputs(&self, inputs: Inputs) -> Inputs {
        inputs.model(&self.model, self.adapter.as_ref())
    }

    /// Finds (or fetches) and loads the model, of which `output` must be no file.
    pub(crate) fn load(&self, output: Option<&Output>) -> Result<Policy, CliError> {
        let device = inpo_core::device(&self.device)?;
        let found = inpo_console::find_model(&self.model);
        let path = found.map_err(|error| CliError::from(error).about("--model"))?;
        if let Some(output) = output {
            output.check_apart([&path])?;
        }
        let policy = Policy::load(&path, &device)?;
        Ok(match &self.adapter {
            Some(dir) => policy
                .with_saved_adapters(dir)
                .map_err(|error| error.named_by("--adapter"))?,
            None => policy,
        })
    }
}
