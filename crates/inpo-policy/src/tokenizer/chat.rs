//! Conversations to prompts.

use inpo_data::Message;
use serde_json::Value;

use super::TextCodec;
use crate::error::PolicyError;
use crate::template::{ChatOptions, check_messages};

/// The options of a prompt that is to be answered.
fn to_answer() -> ChatOptions {
    ChatOptions {
        add_generation_prompt: true,
        ..ChatOptions::default()
    }
}

impl TextCodec {
    /// Whether messages can be turned into prompts.
    #[must_use]
    pub fn has_template(&self) -> bool {
        !self.templates.is_empty()
    }

    /// The text of a conversation up to and including the opening of the model's answer.
    ///
    /// # Errors
    /// Messages that [`check_messages`] refuses, a model without a template, or a template that
    /// refuses the conversation.
    pub fn render_prompt(&self, messages: &[Message]) -> Result<String, PolicyError> {
        check_messages(messages)?;
        self.templates.render(messages, &to_answer())
    }

    /// The text of a conversation whose messages may have whatever fields the template knows
    /// (`tool_calls`, `name`, parts of contents), byte for byte as transformers' `apply_chat_template`
    /// renders it.
    ///
    /// # Errors
    /// A model without a template, or a template that refuses the conversation.
    pub fn render_chat(
        &self,
        messages: &[Value],
        options: &ChatOptions,
    ) -> Result<String, PolicyError> {
        self.templates.render(messages, options)
    }

    /// The ids of [`TextCodec::render_prompt`]. The template writes all special tokens, so none is added:
    /// a text that opens with one opens with one.
    ///
    /// # Errors
    /// Those of [`TextCodec::render_prompt`] and [`TextCodec::encode`]; a text that is templated already.
    pub fn encode_prompt(&self, messages: &[Message]) -> Result<Vec<u32>, PolicyError> {
        self.refuse_templated_prompt(messages)?;
        self.encode(&self.render_prompt(messages)?)
    }

    /// The sha256 of the chat template's text, in hexadecimal.
    #[must_use]
    pub fn template_hash(&self) -> Option<String> {
        self.templates.hash()
    }
}
