//! What an oracle over text is asked about: messages and responses.

use serde::{Deserialize, Serialize};

/// One message of a conversation. A prompt is a slice of these, roles included, so that a judge sees who
/// said what.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant` or another role of the chat template.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message of any role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
        }
    }

    /// A message of the user.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new("user", content)
    }
}

/// A response to a prompt: its text, and whether the model ended it by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// The text, without special tokens.
    pub text: String,
    /// True when the model emitted its end token, false when it was cut off at the token limit.
    pub finished: bool,
}

impl Response {
    /// A response that the model ended by itself.
    pub fn finished(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            finished: true,
        }
    }

    /// A response that was cut off at the token limit.
    pub fn cut_off(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            finished: false,
        }
    }
}

/// The instruction a response answers: the content of the last message whose role is `user`, if there is one.
pub fn instruction(prompt: &[Message]) -> Option<&str> {
    prompt
        .iter()
        .rev()
        .find(|message| message.role == "user")
        .map(|message| message.content.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruction_is_the_last_user_message() {
        let prompt = [
            Message::new("system", "Be brief."),
            Message::user("Hello."),
            Message::new("assistant", "Hi."),
            Message::user("Name a fruit."),
        ];
        assert_eq!(instruction(&prompt), Some("Name a fruit."));
        assert_eq!(instruction(&prompt[..1]), None);
        assert_eq!(instruction(&[]), None);
    }
}
