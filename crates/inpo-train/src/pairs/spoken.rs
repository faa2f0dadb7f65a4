//! Which messages are the prompt and which the answer, in the forms that data sets have.

use std::borrow::Cow;

use inpo_data::{Columns, Message, PromptInput, split_transcripts, transcript};
use serde_json::Value;

/// The two responses of a pair, by their columns.
pub(super) const SIDES: [&str; 2] = ["chosen", "rejected"];

/// The prompt and the two answers of a row, as far as they are spoken.
pub(super) struct Spoken<'a> {
    /// The conversation that is answered.
    pub(super) prompt: Option<Vec<Message>>,
    responses: [Option<Cow<'a, PromptInput>>; 2],
}

/// A response as it stands in a file: text, one message, or messages.
pub(super) fn response(columns: &Columns, name: &str) -> Result<Option<PromptInput>, String> {
    let value = columns.value(name)?;
    if let Some(Value::Array(items)) = value
        && items.iter().any(|item| item.is_string() || item.is_array())
    {
        return match items.as_slice() {
            [Value::String(only)] => Ok(Some(PromptInput::Text(only.clone()))),
            _ => Err(format!(
                "`{name}` is a list of {} responses, and a row is one pair; write a row for each of them",
                items.len()
            )),
        };
    }
    columns.conversation(name)
}

impl<'a> Spoken<'a> {
    /// `prompt` has the name of its column. In this order: the prompt that is given, what two conversations share, the
    /// turns that two texts share. A text beside two whole conversations is part of what they share, as in
    /// UltraFeedback's data sets.
    pub(super) fn new(
        prompt: Option<(&str, &PromptInput)>,
        responses: [Option<&'a PromptInput>; 2],
    ) -> Result<Self, String> {
        let shared = shared_messages(responses);
        let messages = match (prompt, shared) {
            (Some(("prompt", PromptInput::Text(text))), Some(shared)) => {
                if !shared
                    .iter()
                    .any(|message| message.content.trim() == text.trim())
                {
                    return Err(
                        "`prompt` is a text that is not among the messages that `chosen` and `rejected` share"
                            .to_owned(),
                    );
                }
                Some(shared)
            }
            (Some(("prompt", PromptInput::Messages(messages))), _) => Some(messages.clone()),
            (_, Some(shared)) => Some(shared),
            (prompt, None) => return Self::of_texts(prompt.map(|(_, prompt)| prompt), responses),
        };
        Ok(Self {
            prompt: messages,
            responses: responses.map(|response| response.map(Cow::Borrowed)),
        })
    }

    /// With a prompt that is given, or that two texts share.
    fn of_texts(
        prompt: Option<&PromptInput>,
        responses: [Option<&'a PromptInput>; 2],
    ) -> Result<Self, String> {
        let given = responses.map(|response| response.map(Cow::Borrowed));
        let split = match responses {
            [Some(PromptInput::Text(a)), Some(PromptInput::Text(b))] => split_transcripts(a, b),
            _ => None,
        };
        let said = |texts: [&str; 2]| {
            texts.map(|text| Some(Cow::Owned(PromptInput::Text(text.trim().to_owned()))))
        };
        let turns = match prompt {
            Some(PromptInput::Text(text)) => transcript(text),
            _ => None,
        };
        match (prompt, turns, split) {
            (None, _, Some((shared, answers))) => Ok(Self {
                prompt: transcript(shared),
                responses: said(answers),
            }),
            // The texts repeat the prompt.
            (Some(_), Some(turns), Some((shared, answers))) if transcript(shared).as_ref() == Some(&turns) => {
                Ok(Self {
                    prompt: Some(turns),
                    responses: said(answers),
                })
            }
            (Some(_), _, Some(_)) => Err(
                "`chosen` and `rejected` are whole conversations, and `prompt` is another one than they share; leave \
                 it out, or give the answers alone"
                    .to_owned(),
            ),
            // What follows \"Assistant:\" begins with a space.
            (Some(_), Some(turns), None) => Ok(Self {
                prompt: Some(turns),
                responses: given.map(|response| response.map(trimmed)),
            }),
            (prompt, _, None) => Ok(Self {
                prompt: prompt.map(PromptInput::messages),
                responses: given,
            }),
        }
    }

    /// Answer `k`: its text, or the one assistant message that follows the prompt's.
    ///
    /// # Errors
    ///
    /// In words: other messages than that, a weight that nothing here honours.
    pub(super) fn answer(&self, k: usize) -> Result<Message, String> {
        let name = SIDES[k];
        let messages = match self.responses[k].as_deref() {
            Some(PromptInput::Text(text)) => return Ok(Message::assistant(text)),
            Some(PromptInput::Messages(messages)) => messages,
            None => unreachable!("refused when the row was parsed"),
        };
        let prompt = self.prompt.as_deref().unwrap_or_default();
        let rest = messages.strip_prefix(prompt).unwrap_or(messages);
        let [only] = rest else {
            return Err(not_one_answer(name));
        };
        if only.role != "assistant" {
            return Err(not_one_answer(name));
        }
        if let Some(weight) = only.field("weight")
            && weight.as_f64() != Some(1.0)
        {
            return Err(format!(
                "`{name}` has a `weight` of {weight}, and an answer counts in full here; give the row a `weight`, or \
                 leave it out"
            ));
        }
        Ok(only.clone())
    }
}

fn not_one_answer(name: &str) -> String {
    format!("`{name}` must be the prompt's messages, or none of them, and one assistant message")
}

fn trimmed(response: Cow<'_, PromptInput>) -> Cow<'_, PromptInput> {
    match response.as_ref() {
        PromptInput::Text(text) => Cow::Owned(PromptInput::Text(text.trim().to_owned())),
        PromptInput::Messages(_) => response,
    }
}

/// What two conversations have in common at the front; none where there is nothing.
fn shared_messages(responses: [Option<&PromptInput>; 2]) -> Option<Vec<Message>> {
    let [
        Some(PromptInput::Messages(a)),
        Some(PromptInput::Messages(b)),
    ] = responses
    else {
        return None;
    };
    let common = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    // The same answer twice: the last message is the answer all the same.
    let common = common.min(a.len().min(b.len()).saturating_sub(1));
    (common > 0).then(|| a[..common].to_vec())
}
