//! The words in which two answers are put before a model.

use std::path::PathBuf;

use inpo_data::Message;

use crate::model_judge::conversation;
use crate::verdict::Question;

/// How a question is written for a model that reads two answers at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wording {
    /// The pair preference model of RLHFlow (arXiv 2405.07863), whose judge INPO's paper used.
    Rlhflow,
    /// A file.
    File(PathBuf),
}

impl From<&str> for Wording {
    /// A built-in wording by its name, or else a file by its path.
    fn from(name: &str) -> Self {
        match name {
            "rlhflow" => Self::Rlhflow,
            path => Self::File(PathBuf::from(path)),
        }
    }
}

impl Wording {
    /// The messages to the judge, for its own chat template.
    ///
    /// # Errors
    ///
    /// Why the question cannot be asked.
    pub(super) fn messages(&self, question: &Question<'_>) -> Result<Vec<Message>, String> {
        match self {
            Self::Rlhflow => Ok(vec![Message::user(rlhflow(question)?)]),
            Self::File(path) => Err(format!("the template {path:?} was not read")),
        }
    }
}

/// The message of RLHFlow's judge:
///
/// ```text
/// [CONTEXT] {context} [RESPONSE A] {first} [RESPONSE B] {second} \n
/// ```
///
/// with a space before the line feed and the conversation written by [`rlhflow_context`].
fn rlhflow(question: &Question<'_>) -> Result<String, String> {
    let context = rlhflow_context(conversation(question.prompt)?);
    let (first, second) = (&question.first.text, &question.second.text);
    Ok(format!(
        "[CONTEXT] {context} [RESPONSE A] {first} [RESPONSE B] {second} \n"
    ))
}

/// A conversation as RLHFlow's second, plain template writes it. That template goes by a message's place and not by its
/// role: the first, third, .. are the user's and the others the assistant's, a system message included. Of its line feeds,
/// transformers drops the one behind each block and the last one of the source.
fn rlhflow_context(messages: &[Message]) -> String {
    let mut context = "\n".to_owned();
    for (place, message) in messages.iter().enumerate() {
        let speaker = ["user", "assistant"][place % 2];
        context += &format!("\n<turn> {speaker}\n {}", message.content);
    }
    context + "\n"
}
