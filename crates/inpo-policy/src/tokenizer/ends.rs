//! The tokens that end a turn.

use serde_json::{Value, json};

use super::TextCodec;
use crate::template::ChatOptions;

/// Turn ends that are known by their names, for files whose metadata say less than llama.cpp knows.
pub(super) const KNOWN: [&str; 8] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<end_of_turn>",
    "<|end|>",
    "<|end_of_turn|>",
    "<EOT>",
    "<turn|>",
];

/// What stands for an answer where the end of one is looked for.
const ANSWER: &str = "the-answer-that-is-looked-for";

/// The ids that end a turn.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// The token that closes an answer: the one that the template writes, or else the tokenizer's end token.
    pub(super) of_turn: Option<u32>,
    /// All that end one: that token, the tokenizer's end token, and those that the file names.
    pub(super) all: Vec<u32>,
}

impl TextCodec {
    /// The id that closes an answer: the first special token that the template writes after one,
    /// or else the end token of the tokenizer.
    #[must_use]
    pub fn end_of_turn(&self) -> Option<u32> {
        self.ends.of_turn
    }

    /// The ids that end a response: the token that the template writes after an answer, the tokenizer's end token, and
    /// in a GGUF `eot_token_id`, `eom_token_id` and known names.
    #[must_use]
    pub fn end_ids(&self) -> &[u32] {
        &self.ends.all
    }

    /// Finds the ends; `named` are those that the file names.
    pub(super) fn find_ends(&mut self, named: Vec<u32>) {
        let eos = self.special.get("eos_token");
        let eos = eos.and_then(|token| self.token_to_id(token));
        let written = self.end_that_is_written(eos);
        let of_turn = match &written {
            Written::Token(id) => Some(*id),
            _ => eos,
        };
        let mut all: Vec<u32> = of_turn.into_iter().chain(eos).chain(named).collect();
        let mut seen = std::collections::BTreeSet::new();
        all.retain(|id| seen.insert(*id));
        let note = match written {
            Written::Token(_) | Written::NoTemplate => None,
            Written::Nothing => Some(
                "the chat template writes no special token after an answer: a response that is given as text gets \
                 none, and a sampled one ends at the end tokens of the model's files"
                    .to_owned(),
            ),
            Written::Unknown(reason) => Some(format!(
                "which token ends a turn could not be determined from the chat template ({reason}); responses end at \
                 the end tokens of the model's files"
            )),
        };
        if let Some(note) = note {
            self.note(note);
        }
        self.ends = Ends { of_turn, all };
    }

    /// The first token after an answer that can be an end, in the first conversation that the template takes.
    fn end_that_is_written(&self, eos: Option<u32>) -> Written {
        if !self.has_template() {
            return Written::NoTemplate;
        }
        let text = |role: &str, text: &str| json!({"role": role, "content": text});
        let parts = |role: &str, text: &str| json!({"role": role, "content": [{"type": "text", "text": text}]});
        let (question, answer) = (text("user", "a question"), text("assistant", ANSWER));
        let conversations: [Vec<Value>; 4] = [
            vec![question.clone(), answer.clone()],
            vec![text("system", "a rule"), question.clone(), answer.clone()],
            vec![parts("user", "a question"), parts("assistant", ANSWER)],
            vec![question, text("model", ANSWER)],
        ];
        let mut reason = "it does not show the answer".to_owned();
        let mut shown = false;
        for conversation in conversations {
            let rendered = self
                .templates
                .render(&conversation, &ChatOptions::default());
            let rendered = match rendered {
                Ok(rendered) => rendered,
                Err(error) => {
                    reason = error.to_string();
                    continue;
                }
            };
            let Some((_, after)) = rendered.rsplit_once(ANSWER) else {
                continue;
            };
            shown = true;
            let ids = self.encode(after).unwrap_or_default();
            if let Some(id) = ids.into_iter().find(|id| self.can_end(*id, eos)) {
                return Written::Token(id);
            }
        }
        if shown {
            Written::Nothing
        } else {
            Written::Unknown(reason)
        }
    }

    /// Whether a token can end a turn: a special one, or one that is added and no white space.
    fn can_end(&self, id: u32, eos: Option<u32>) -> bool {
        let added = self.tokenizer.get_added_vocabulary();
        let token = added.get_added_tokens_decoder().get(&id);
        let marks = token.is_some_and(|token| token.special || !token.content.trim().is_empty());
        marks || eos == Some(id)
    }
}

/// What the template writes after an answer.
enum Written {
    Token(u32),
    Nothing,
    Unknown(String),
    NoTemplate,
}
