//! What a command gives the chat template beside the rows.

use clap::Args;
use inpo_core::data::{TemplateInput, in_words};

use crate::error::CliError;

/// `--chat-template-kwargs`.
#[derive(Debug, Args)]
pub(crate) struct TemplateArgs {
    /// Variables of the chat template, `{"enable_thinking": false}` for instance; those of a row win.
    #[arg(long, value_name = "JSON")]
    chat_template_kwargs: Option<String>,
}

impl TemplateArgs {
    pub(crate) fn read(&self) -> Result<TemplateInput, CliError> {
        let Some(text) = &self.chat_template_kwargs else {
            return Ok(TemplateInput::default());
        };
        let refuse = |reason: String| CliError::Input(format!("--chat-template-kwargs: {reason}"));
        let kwargs = serde_json::from_str(text)
            .map_err(|e| refuse(format!("no JSON object: {}", in_words(&e.to_string()))))?;
        TemplateInput::from_kwargs(&kwargs).map_err(refuse)
    }
}
