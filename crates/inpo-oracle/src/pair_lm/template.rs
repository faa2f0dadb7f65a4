//! The words in which two answers are put before a model.

use std::path::PathBuf;

use inpo_data::Message;

/// How a question is written for a model that reads two answers at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairTemplate {
    /// The pair preference model of RLHFlow (arXiv 2405.07863), whose judge INPO's paper used.
    Rlhflow,
    /// A file.
    File(PathBuf),
}

impl From<&str> for PairTemplate {
    /// A built-in template by its name, or else a file by its path.
    fn from(name: &str) -> Self {
        match name {
            "rlhflow" => Self::Rlhflow,
            path => Self::File(PathBuf::from(path)),
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
pub(super) fn rlhflow_message(messages: &[Message], first: &str, second: &str) -> String {
    let context = rlhflow_context(messages);
    format!("[CONTEXT] {context} [RESPONSE A] {first} [RESPONSE B] {second} \n")
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
