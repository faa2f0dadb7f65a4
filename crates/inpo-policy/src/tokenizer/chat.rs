//! Conversations to prompts.

use std::borrow::Cow;

use inpo_data::{Message, TemplateInput};
use serde_json::{Value, json};

use super::TextCodec;
use crate::error::PolicyError;
use crate::template::{ChatOptions, check_messages};

/// The options of a prompt that is to be answered.
fn to_answer(input: &TemplateInput) -> ChatOptions {
    ChatOptions {
        add_generation_prompt: true,
        ..ChatOptions::from(input)
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
        self.render_prompt_with(messages, &TemplateInput::default())
    }

    /// [`TextCodec::render_prompt`] with what the template is given beside the conversation.
    ///
    /// # Errors
    /// Those of [`TextCodec::render_prompt`].
    pub fn render_prompt_with(
        &self,
        messages: &[Message],
        input: &TemplateInput,
    ) -> Result<String, PolicyError> {
        check_messages(messages)?;
        let messages = self.in_its_form(messages);
        self.templates.render(&messages, &to_answer(input))
    }

    /// The messages in the form that the template knows: reasoning under each of its names, and lists of parts as texts
    /// where it would print them as lists.
    pub(super) fn in_its_form<'a>(&self, messages: &'a [Message]) -> Cow<'a, [Message]> {
        if messages.iter().all(Message::is_plain) {
            return Cow::Borrowed(messages);
        }
        let join = messages.iter().any(Message::has_parts) && !self.takes_parts();
        let form = |message: &Message| {
            let message = message.clone().with_reasoning_names();
            if join {
                message.with_joined_parts()
            } else {
                message
            }
        };
        Cow::Owned(messages.iter().map(form).collect())
    }

    /// Whether the template writes the text of a part, and not the list that it stands in.
    fn takes_parts(&self) -> bool {
        const TEXT: &str = "the-part-that-is-looked-for";
        let message = json!({"role": "user", "content": [{"type": "text", "text": TEXT}]});
        let rendered = self.templates.render(&[message], &ChatOptions::default());
        // The list's own words, as Python or as JSON.
        let list = |text: &str| text.contains("'text'") || text.contains("\"text\"");
        rendered.is_ok_and(|text| text.contains(TEXT) && !list(&text))
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
        self.encode_prompt_with(messages, &TemplateInput::default())
    }

    /// The ids of [`TextCodec::render_prompt_with`].
    ///
    /// # Errors
    /// Those of [`TextCodec::encode_prompt`].
    pub fn encode_prompt_with(
        &self,
        messages: &[Message],
        input: &TemplateInput,
    ) -> Result<Vec<u32>, PolicyError> {
        self.refuse_templated_prompt(messages)?;
        self.encode(&self.render_prompt_with(messages, input)?)
    }

    /// The text of a whole conversation that is judged and not answered: as
    /// transformers' `apply_chat_template(messages, tokenize=False)`, with what the template writes behind the last message.
    ///
    /// # Errors
    /// A model without a template, or a template that refuses the conversation.
    pub fn render_conversation(&self, messages: &[Message]) -> Result<String, PolicyError> {
        let messages = self.in_its_form(messages);
        self.templates.render(&messages, &ChatOptions::default())
    }

    /// The sha256 of the chat template's text, in hexadecimal.
    #[must_use]
    pub fn template_hash(&self) -> Option<String> {
        self.templates.hash()
    }
}
