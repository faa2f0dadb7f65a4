//! What is answered, and an answer.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::text::kind_of;
use crate::transcript::transcript;
use crate::{Message, TemplateInput};

/// A prompt: a conversation to be answered, or its token ids, with the other columns of its row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prompt {
    /// Keys the random draws of its responses.
    pub number: u64,
    /// The conversation; empty where there are token ids alone.
    pub messages: Vec<Message>,
    /// The ids that the model reads, generation prompt included, where they are known. They win over the messages.
    pub token_ids: Option<Vec<u32>>,
    /// What the chat template is given beside the conversation.
    pub template: TemplateInput,
    /// The other columns of the prompt's row, for oracles that read them (`instruction_id_list`, a reference answer, ..).
    pub metadata: Map<String, Value>,
}

impl Prompt {
    /// A conversation.
    #[must_use]
    pub fn new(messages: Vec<Message>) -> Self {
        Self {
            messages,
            ..Self::default()
        }
    }

    /// One message of the user.
    #[must_use]
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(vec![Message::user(content)])
    }

    /// Token ids alone.
    #[must_use]
    pub fn from_ids(token_ids: Vec<u32>) -> Self {
        Self {
            token_ids: Some(token_ids),
            ..Self::default()
        }
    }

    /// The same prompt with this number.
    #[must_use]
    pub fn numbered(self, number: u64) -> Self {
        Self { number, ..self }
    }

    /// The instruction to be answered: the content of the last message whose role is `user`, if there is one.
    #[must_use]
    pub fn instruction(&self) -> Option<&str> {
        let last = self.messages.iter().rev().find(|m| m.role == "user");
        last.map(|message| message.content.as_str())
    }
}

/// A conversation as a file writes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PromptInput {
    /// One user message, or HH-RLHF's `\n\nHuman: ..\n\nAssistant:`.
    Text(String),
    /// A conversation.
    Messages(Vec<Message>),
}

impl PromptInput {
    /// Reads a text, a list of messages, or one message.
    ///
    /// # Errors
    ///
    /// In words, what is wrong with which message; the sentence goes on after a name and a colon.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Self::Text(text.clone())),
            Value::Object(_) => Ok(Self::Messages(vec![Message::from_json(value)?])),
            Value::Array(messages) => {
                let read = |(place, message): (usize, &Value)| {
                    Message::from_json(message).map_err(|e| format!("message {place}: {e}"))
                };
                let messages: Result<_, String> = messages.iter().enumerate().map(read).collect();
                Ok(Self::Messages(messages?))
            }
            other => Err(format!(
                "it is {}, and not text, a message or a list of messages",
                kind_of(other)
            )),
        }
    }

    /// The conversation.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        match self {
            Self::Text(text) => transcript(text).unwrap_or_else(|| vec![Message::user(text)]),
            Self::Messages(messages) => messages.clone(),
        }
    }

    /// Whether no message says anything.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Text(text) => text.trim().is_empty(),
            Self::Messages(messages) => messages.iter().all(Message::is_blank),
        }
    }
}

impl<'de> Deserialize<'de> for PromptInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Why a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// An end token, which is the response's last id, or a stop string, which that id completes.
    Stop,
    /// The token limit cut it off.
    Length,
}

/// An answer to a prompt, with what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The text, without special tokens; empty where the sampler has no tokenizer.
    pub text: String,
    /// The token ids, with the one that ended it, where they are known.
    pub token_ids: Option<Vec<u32>>,
    /// The log-prob of each token under the sampler at temperature 1, in nats, where it is known.
    pub token_logps: Option<Vec<f64>>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

impl Completion {
    /// A text that ended by itself.
    #[must_use]
    pub fn finished(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            token_ids: None,
            token_logps: None,
            finish_reason: FinishReason::Stop,
        }
    }

    /// A text that was cut off at the token limit.
    #[must_use]
    pub fn cut_off(text: impl Into<String>) -> Self {
        Self {
            finish_reason: FinishReason::Length,
            ..Self::finished(text)
        }
    }

    /// Whether it ended by itself.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finish_reason == FinishReason::Stop
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruction_is_the_last_user_message() {
        let messages = vec![
            Message::system("Be brief."),
            Message::user("Hello."),
            Message::assistant("Hi."),
            Message::user("Name a fruit."),
        ];
        let first = Prompt::new(messages[..1].to_vec());
        assert_eq!(Prompt::new(messages).instruction(), Some("Name a fruit."));
        assert_eq!(first.instruction(), None);
        assert_eq!(Prompt::default().instruction(), None);
    }
}
