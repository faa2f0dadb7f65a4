//! Answers that are given as text, in their places behind a prompt.

use inpo_data::{Message, TemplateInput};

use super::TextCodec;
use crate::error::{PolicyError, excerpt};
use crate::template::ChatOptions;

/// An answer to a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Its text, without the token that ends it.
    Text(&'a str),
    /// The assistant's message, with whatever fields the template knows.
    Message(&'a Message),
    /// Its ids.
    Ids(&'a [u32]),
}

/// A prompt and the answers to it, as ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// The ids of the prompt.
    pub prompt: Vec<u32>,
    /// The ids of each answer, with the token that ends it.
    pub responses: Vec<Vec<u32>>,
}

/// Marks that close reasoning.
const CLOSES_REASONING: [&str; 4] = ["</think>", "</thinking>", "</reasoning>", "[/THINK]"];

const STRIPPED: &str = "the chat template strips the reasoning of an answer: such answers are kept as they are given, \
                        behind the prompt as it is sampled from";
const IGNORED: &str = "the chat template does not show an answer that is given to it: answers are kept as they are \
                       given, behind the prompt as it is sampled from";
const SHORTENED: &str = "the chat template writes the end of a prompt in another way once it is answered: the prompt of \
                         such a row ends where the two part, and its answers begin there";

impl TextCodec {
    /// The ids of a conversation and of answers to it.
    ///
    /// For each answer the whole conversation is rendered and encoded once and split behind the ids of the prompt, so
    /// that the response has the ids that it has in its place; it ends with the token that closes the turn, and what
    /// the template writes behind that is left out. As in TRL, the prompt ends where it and the answered conversations
    /// part. Two kinds of answers are kept as they are given, followed by the token that ends a turn: those whose
    /// reasoning the template strips, and those that it does not show at all. Where a token would lie across the border
    /// of prompt and answer, which generation cannot produce, the two are encoded each by itself. [`TextCodec::notes`]
    /// says which of this has happened.
    ///
    /// # Errors
    /// Those of [`TextCodec::encode_prompt`]; an answer that is templated already.
    pub fn encode_answered(
        &self,
        messages: &[Message],
        answers: &[Answer<'_>],
    ) -> Result<Answered, PolicyError> {
        self.encode_answered_with(messages, &TemplateInput::default(), answers)
    }

    /// [`TextCodec::encode_answered`] with what the template is given beside the conversation.
    ///
    /// # Errors
    /// Those of [`TextCodec::encode_answered`].
    pub fn encode_answered_with(
        &self,
        messages: &[Message],
        input: &TemplateInput,
        answers: &[Answer<'_>],
    ) -> Result<Answered, PolicyError> {
        self.refuse_templated_prompt(messages)?;
        let text = self.render_prompt_with(messages, input)?;
        let prompt = Prompt {
            messages,
            input,
            ids: self.encode(&text)?,
            text,
        };
        let sequences = answers.iter().map(|answer| match answer {
            Answer::Ids(ids) => Ok([&prompt.ids, *ids].concat()),
            Answer::Text(text) => self.sequence(&prompt, &Message::assistant(*text)),
            Answer::Message(message) => self.sequence(&prompt, message),
        });
        let sequences = sequences.collect::<Result<Vec<_>, PolicyError>>()?;
        let shared = sequences
            .iter()
            .map(|sequence| shared(&prompt.ids, sequence));
        let shared = shared.min().unwrap_or(prompt.ids.len());
        if shared < prompt.ids.len() {
            self.note(SHORTENED.to_owned());
        }
        Ok(Answered {
            responses: sequences.iter().map(|ids| ids[shared..].to_vec()).collect(),
            prompt: prompt.ids[..shared].to_vec(),
        })
    }

    /// The ids of an answer behind a prompt that is given as ids: the text's, followed by the token that ends a turn.
    ///
    /// # Errors
    /// Those of [`TextCodec::encode`].
    pub fn encode_response(&self, answer: &str) -> Result<Vec<u32>, PolicyError> {
        let mut ids = self.encode_behind(self.without_end(answer))?;
        ids.extend(self.end_of_turn());
        Ok(ids)
    }

    /// The ids of a prompt and one answer.
    fn sequence(&self, prompt: &Prompt<'_>, message: &Message) -> Result<Vec<u32>, PolicyError> {
        self.refuse_templated(&message.content)?;
        let answer = self.without_end(&message.content);
        let kept = |note: &str| {
            self.note(note.to_owned());
            Ok([prompt.ids.as_slice(), &self.encode_response(answer)?].concat())
        };
        let whole = self.render_answered(prompt, message, answer)?;
        let common = common_text(&prompt.text, &whole);
        let tail = squeezed(&whole[common..]);
        if !tail.contains(&squeezed(answer)) {
            if strips_reasoning(&tail, answer) {
                return kept(STRIPPED);
            }
            if self.render_answered(prompt, message, "another answer")? == whole {
                return kept(IGNORED);
            }
        }
        let mut ids = self.encode(&whole)?;
        if common == prompt.text.len() && !ids.starts_with(&prompt.ids) {
            ids = [
                prompt.ids.as_slice(),
                &self.encode_behind(&whole[common..])?,
            ]
            .concat();
        }
        let last = ids.iter().rposition(|id| Some(*id) == self.end_of_turn());
        if let Some(last) = last.filter(|last| *last >= shared(&prompt.ids, &ids)) {
            ids.truncate(last + 1);
        }
        Ok(ids)
    }

    /// The conversation with `message` behind it, its content being `content`.
    fn render_answered(
        &self,
        prompt: &Prompt<'_>,
        message: &Message,
        content: &str,
    ) -> Result<String, PolicyError> {
        let mut messages = prompt.messages.to_vec();
        let mut message = message.clone();
        if message.content != content {
            message.content = content.to_owned();
        }
        messages.push(message);
        let options = ChatOptions::from(prompt.input);
        self.templates
            .render(&self.in_its_form(&messages), &options)
    }

    /// An answer without the token that ends a turn, where its text has one: the template writes it.
    fn without_end<'a>(&self, answer: &'a str) -> &'a str {
        let mut rest = answer;
        for id in self.end_ids() {
            let Some(end) = self.tokenizer.id_to_token(*id) else {
                continue;
            };
            if let Some(before) = rest.trim_end().strip_suffix(&end) {
                rest = before;
            }
        }
        rest
    }

    /// The ids of a text that does not open a sequence: without the space that some tokenizers put before a text.
    fn encode_behind(&self, text: &str) -> Result<Vec<u32>, PolicyError> {
        let line = self.encode("\n")?;
        let behind = |text: &str| -> Result<Option<Vec<u32>>, PolicyError> {
            let ids = self.encode(&format!("\n{text}"))?;
            Ok(ids.strip_prefix(line.as_slice()).map(<[u32]>::to_vec))
        };
        let plain = self.encode(text)?;
        let alike = behind("a")?.is_none_or(|ids| self.encode("a").is_ok_and(|plain| plain == ids));
        if alike {
            return Ok(plain);
        }
        Ok(behind(text)?.unwrap_or(plain))
    }

    /// Refuses a prompt of one text that holds what the template writes around it.
    pub(super) fn refuse_templated_prompt(&self, messages: &[Message]) -> Result<(), PolicyError> {
        match messages {
            [only] if only.role == "user" => self.refuse_templated(&only.content),
            _ => Ok(()),
        }
    }

    fn refuse_templated(&self, text: &str) -> Result<(), PolicyError> {
        let marks = &self.marks;
        let text = text.trim();
        let opens = marks
            .opening
            .as_deref()
            .filter(|mark| text.starts_with(mark));
        let ends = marks.answer.as_deref();
        let ends = ends.filter(|mark| text.starts_with(mark) || text.ends_with(mark));
        match opens.or(ends) {
            None => Ok(()),
            Some(mark) => Err(PolicyError::AlreadyTemplated {
                mark: excerpt(mark),
            }),
        }
    }

    /// Looks for the marks that the template writes around a text.
    pub(super) fn find_marks(&self) -> Marks {
        const QUESTION: &str = "the-question-that-is-looked-for";
        let messages = [Message::user(QUESTION)];
        let render = |add_generation_prompt: bool| {
            let options = ChatOptions {
                add_generation_prompt,
                ..ChatOptions::default()
            };
            self.templates.render(&messages, &options).ok()
        };
        let (Some(asked), Some(open)) = (render(false), render(true)) else {
            return Marks::default();
        };
        let added = self.tokenizer.get_added_tokens_decoder();
        let special = |text: &str| -> Option<String> {
            let ids = self.encode(text).ok()?;
            let found = ids
                .iter()
                .find_map(|id| added.get(id).filter(|token| token.special));
            found.map(|token| token.content.clone())
        };
        let opening = asked
            .split_once(QUESTION)
            .and_then(|(before, _)| special(before));
        let answer = open.strip_prefix(&asked).map(str::trim);
        Marks {
            opening,
            answer: answer
                .filter(|mark| special(mark).is_some())
                .map(str::to_owned),
        }
    }
}

/// What a template writes around a text that is asked.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The first special token before it.
    opening: Option<String>,
    /// The opening of the answer, where it has a special token.
    answer: Option<String>,
}

/// A prompt as messages, text and ids.
struct Prompt<'a> {
    messages: &'a [Message],
    input: &'a TemplateInput,
    text: String,
    ids: Vec<u32>,
}

/// How many ids two sequences share at the front.
fn shared(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// How many bytes two texts share at the front, in whole characters.
fn common_text(a: &str, b: &str) -> usize {
    let characters = a.chars().zip(b.chars());
    let same = characters.take_while(|(a, b)| a == b);
    same.map(|(c, _)| c.len_utf8()).sum()
}

fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Whether of an answer with reasoning only what follows it is there.
fn strips_reasoning(tail: &str, answer: &str) -> bool {
    let ends = CLOSES_REASONING.iter().filter_map(|mark| {
        let at = answer.rfind(mark)?;
        Some((at, at + mark.len()))
    });
    let Some((end, next)) = ends.max() else {
        return false;
    };
    // With the reasoning under other marks nothing is lost.
    let reasoning = &answer[..end];
    let reasoning = reasoning
        .rsplit_once(['>', ']'])
        .map_or(reasoning, |(_, inner)| inner);
    let (tail_lower, wanted) = (tail.to_lowercase(), squeezed(reasoning).to_lowercase());
    let kept = !wanted.is_empty() && tail_lower.contains(&wanted);
    !kept && tail.contains(&squeezed(&answer[next..]))
}
