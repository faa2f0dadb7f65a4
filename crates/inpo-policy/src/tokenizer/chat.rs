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
    fn in_its_form<'a>(&self, messages: &'a [Message]) -> Cow<'a, [Message]> {
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
    /// Those of [`TextCodec::render_prompt`] and [`TextCodec::encode`].
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
        self.encode(&self.render_prompt_with(messages, input)?)
    }

    /// The ids of a conversation that ends with the model's answer, as prompt and response.
    ///
    /// The whole is rendered and encoded once and split behind the ids of the prompt, so that the response
    /// has the ids that it has in its place. Where a token would lie across that border, which
    /// generation cannot produce, the two parts are encoded each by itself. The response ends with the
    /// token that closes the turn; what the template writes behind it is left out.
    ///
    /// # Errors
    /// Those of [`TextCodec::render_prompt`]; a conversation that does not end with the model's answer; a
    /// template that rewrites the prompt once it is answered.
    pub fn encode_answered(
        &self,
        messages: &[Message],
    ) -> Result<(Vec<u32>, Vec<u32>), PolicyError> {
        self.encode_answered_with(messages, &TemplateInput::default())
    }

    /// [`TextCodec::encode_answered`] with what the template is given beside the conversation.
    ///
    /// # Errors
    /// Those of [`TextCodec::encode_answered`].
    pub fn encode_answered_with(
        &self,
        messages: &[Message],
        input: &TemplateInput,
    ) -> Result<(Vec<u32>, Vec<u32>), PolicyError> {
        let refuse = |reason: &str| PolicyError::ChatTemplate {
            reason: reason.to_owned(),
        };
        let prompt = match messages.split_last() {
            Some((answer, prompt)) if answer.role == "assistant" => prompt,
            _ => return Err(refuse("the last message is not the assistant's")),
        };
        let prompt = self.render_prompt_with(prompt, input)?;
        let messages = self.in_its_form(messages);
        let whole = self.templates.render(&messages, &input.into())?;
        let Some(answer) = whole.strip_prefix(&prompt) else {
            return Err(refuse(
                "it writes the prompt in another way when the answer follows, so the two cannot be told apart",
            ));
        };
        let prompt = self.encode(&prompt)?;
        let mut response = match self.encode(&whole)?.strip_prefix(prompt.as_slice()) {
            Some(response) => response.to_vec(),
            None => self.encode(answer)?,
        };
        if let Some(end) = self.end_of_turn()
            && let Some(last) = response.iter().rposition(|id| *id == end)
        {
            response.truncate(last + 1);
        }
        Ok((prompt, response))
    }

    /// The id that closes an answer: the first special token that the template writes after one,
    /// or else the end token of the tokenizer.
    #[must_use]
    pub fn end_of_turn(&self) -> Option<u32> {
        self.end_of_turn
    }

    pub(super) fn find_end_of_turn(&self) -> Option<u32> {
        const ANSWER: &str = "the-answer-that-is-looked-for";
        let conversation = [Message::user("a question"), Message::assistant(ANSWER)];
        let after = || {
            let text = self
                .templates
                .render(&conversation, &ChatOptions::default())
                .ok()?;
            let (_, after) = text.rsplit_once(ANSWER)?;
            let added = self.tokenizer.get_added_tokens_decoder();
            let ids = self.encode(after).ok()?;
            ids.into_iter()
                .find(|id| added.get(id).is_some_and(|token| token.special))
        };
        after().or_else(|| self.token_to_id(self.special.eos.as_deref()?))
    }

    /// The sha256 of the chat template's text, in hexadecimal.
    #[must_use]
    pub fn template_hash(&self) -> Option<String> {
        self.templates.hash()
    }
}
