//! The words in which two answers are put before a model.

use inpo_data::Message;
use serde_json::{Value, json};

use crate::model_judge::conversation;
use crate::pair_template::{PairTemplate, PairTemplateError};
use crate::verdict::Question;

/// How a question is written for a model that reads two answers at once.
#[derive(Debug)]
pub enum PairPrompt {
    /// The pair preference model of RLHFlow (arXiv 2405.07863), whose judge INPO's paper used: one message of the user,
    /// without the opening of an answer.
    Rlhflow,
    /// A judge's template, whose answer the model's chat template opens.
    Template(Box<PairTemplate>),
}

impl PairPrompt {
    /// `rlhflow`, a shipped template by its name, or a file by its path.
    ///
    /// # Errors
    ///
    /// As [`PairTemplate::find`].
    pub fn find(name: &str) -> Result<Self, PairTemplateError> {
        Ok(match name {
            "rlhflow" => Self::Rlhflow,
            name => Self::Template(Box::new(PairTemplate::find(name)?)),
        })
    }

    /// What decides the questions beside the model: a name or a digest.
    pub(super) fn identity(&self) -> &str {
        match self {
            Self::Rlhflow => "rlhflow",
            Self::Template(template) => template.digest(),
        }
    }

    /// The messages, and whether the chat template opens an answer behind them.
    ///
    /// # Errors
    ///
    /// Why the question cannot be asked.
    pub(super) fn messages(
        &self,
        question: &Question<'_>,
        labels: &[String],
    ) -> Result<(Vec<Value>, bool), String> {
        let user = |text: String| json!({ "role": "user", "content": text });
        Ok(match self {
            Self::Rlhflow => {
                let messages = conversation(question.prompt)?;
                let (first, second) = (&question.first.text, &question.second.text);
                (vec![user(rlhflow_message(messages, first, second))], false)
            }
            Self::Template(template) => {
                let messages = template.render(question, labels)?;
                (
                    messages.iter().map(|message| json!(message)).collect(),
                    true,
                )
            }
        })
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
