//! Prompts: the description, the few-shot examples and the question, as a text or as a conversation.

use inpo_policy::template::ChatOptions;
use inpo_policy::{PolicyError, TextCodec};
use serde_json::{Value, json};

use super::task::{Delimiters, Shot};

/// How prompts are put together.
#[derive(Debug, Clone, Default)]
pub(super) struct Form {
    /// Whether the model's chat template is applied.
    pub(super) chat: bool,
    /// Whether few-shot examples are turns of the conversation.
    pub(super) multiturn: bool,
    /// What stands before the task's description.
    pub(super) system: Option<String>,
}

/// A part of a prompt.
#[derive(Debug, Clone)]
struct Part {
    role: &'static str,
    text: String,
    /// What follows in a plain text.
    delimiter: String,
}

/// A prompt up to its question.
#[derive(Debug, Clone, Default)]
pub(super) struct Front {
    parts: Vec<Part>,
}

impl Front {
    pub(super) fn new(
        form: &Form,
        description: &str,
        shots: &[&Shot],
        delimiters: &Delimiters,
    ) -> Self {
        let mut parts = Vec::new();
        let system = joined(
            form.system.as_deref().unwrap_or(""),
            description,
            &delimiters.few_shot,
        );
        let mut part = |role, text: &str, delimiter: &str| {
            parts.push(Part {
                role,
                text: text.to_owned(),
                delimiter: delimiter.to_owned(),
            });
        };
        if !system.is_empty() {
            part("system", &system, "");
        }
        for shot in shots {
            // An empty answer is none, and has no delimiters.
            if shot.answer.is_empty() {
                part("user", &shot.question, "");
            } else {
                part("user", &shot.question, &delimiters.target);
                part("assistant", &shot.answer, &delimiters.few_shot);
            }
        }
        Self { parts }
    }

    /// The prompt with its question, as a text.
    pub(super) fn text(&self, question: &str) -> String {
        let parts = self
            .parts
            .iter()
            .flat_map(|part| [part.text.as_str(), &part.delimiter]);
        parts.chain([question]).collect()
    }

    /// The prompt with its question, as the model's chat template writes it, up to the opening of the answer.
    pub(super) fn chat(
        &self,
        question: &str,
        codec: &TextCodec,
        multiturn: bool,
    ) -> Result<String, PolicyError> {
        let (system, rest): (Vec<&Part>, Vec<&Part>) =
            self.parts.iter().partition(|part| part.role == "system");
        let message = |role: &str, text: &str| json!({"role": role, "content": text});
        let mut messages: Vec<Value> = system
            .iter()
            .map(|part| message(part.role, &part.text))
            .collect();
        if multiturn {
            messages.extend(rest.iter().map(|part| message(part.role, &part.text)));
            messages.push(message("user", question));
        } else {
            let parts = rest
                .iter()
                .flat_map(|part| [part.text.as_str(), &part.delimiter]);
            let text: String = parts.chain([question]).collect();
            messages.push(message("user", &text));
        }
        let options = ChatOptions {
            add_generation_prompt: true,
            ..ChatOptions::default()
        };
        let rendered = codec.render_chat(&messages, &options);
        if rendered.is_ok() || system.is_empty() {
            return rendered;
        }
        // A template that knows no system message.
        codec.render_chat(&messages[system.len()..], &options)
    }
}

/// Two texts with a delimiter between them, unless either is empty or has white space where they meet.
fn joined(first: &str, second: &str, delimiter: &str) -> String {
    let space = |c: Option<char>| c.is_none_or(super::python::is_space);
    if space(first.chars().next_back()) || space(second.chars().next()) {
        format!("{first}{second}")
    } else {
        format!("{first}{delimiter}{second}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shot(question: &str, answer: &str) -> Shot {
        Shot {
            question: question.to_owned(),
            answer: answer.to_owned(),
        }
    }

    #[test]
    fn parts_stand_between_their_delimiters() {
        let form = Form {
            system: Some("Be brief.".to_owned()),
            ..Form::default()
        };
        let shots = [shot("Q: 1", "one"), shot("Q: 2", "")];
        let front = Front::new(
            &form,
            "About numbers.\n\n",
            &shots.each_ref(),
            &Delimiters::default(),
        );
        assert_eq!(
            front.text("Q: 3"),
            "Be brief.\n\nAbout numbers.\n\nQ: 1 one\n\nQ: 2Q: 3"
        );
        assert_eq!(joined("a\n", "b", "--"), "a\nb");
        assert_eq!(joined("", "b", "--"), "b");
        assert_eq!(joined("a", "", "--"), "a");
    }
}
