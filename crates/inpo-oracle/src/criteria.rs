//! The criteria: each gives one response a score in [0, 1], from the text alone, without a model.
//!
//! All are defined for any text. None of them sees the other response, so a cycle can only come from the vote.

use std::collections::BTreeSet;

use inpo_data::Completion;
use serde::{Deserialize, Serialize};

use crate::text::{content_stems, is_function_word, topic_stems, words};

/// New content words at which [`relevance`] stops asking for more.
const ENOUGH_NEW_WORDS: usize = 5;

/// Words of a copied run that [`relevance`] punishes.
const COPY_LENGTH: usize = 5;

/// Content words in a row, with neither punctuation nor a function word between them, that make a word salad.
const SALAD_LENGTH: usize = 8;

/// Words of an average sentence up to which, and from which on, [`plainness`] is 1 and 0.
const EASY_SENTENCE: f64 = 8.0;
const HARD_SENTENCE: f64 = 32.0;

/// Openings that talk about the answer and do not give it.
const PREAMBLES: &[&str] = &[
    "absolutely",
    "as a helpful",
    "as a language model",
    "as an ai",
    "certainly",
    "glad you",
    "great question",
    "here are",
    "here is",
    "here's",
    "hello",
    "hi",
    "i am glad",
    "i am happy to",
    "i am here to",
    "i am sorry",
    "i apologize",
    "i can help",
    "i cannot",
    "i can't",
    "i don't have",
    "i understand",
    "i would be happy",
    "i'd be happy",
    "i'm glad",
    "i'm happy to",
    "i'm here to",
    "i'm sorry",
    "i'm unable",
    "of course",
    "ok",
    "okay",
    "sorry",
    "sure",
    "thank you for",
    "thanks for",
];

/// Markup and template tokens that do not belong in a plain answer.
const MARKUP: &[&str] = &[
    "<|", "|>", "**", "```", "__", "</", "<br", "[insert", "[your", "\\n",
];

/// Labels at the start of a line that show the model speaking for someone else, or a heading.
const LINE_LABELS: &[&str] = &[
    "#",
    "user:",
    "assistant:",
    "system:",
    "human:",
    "question:",
    "answer:",
    "response:",
];

/// A criterion of the vote.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// It speaks of what was asked, and adds to it.
    Relevance,
    /// It is as long as wanted.
    Brevity,
    /// It goes on without repeating itself.
    Variety,
    /// Its sentences are short.
    Plainness,
    /// It ends cleanly, and is a plain, direct answer.
    Form,
}

impl Criterion {
    /// All criteria, in the order in which they vote by default.
    pub const ALL: [Self; 5] = [
        Self::Relevance,
        Self::Brevity,
        Self::Variety,
        Self::Plainness,
        Self::Form,
    ];

    /// The name in configurations and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relevance => "relevance",
            Self::Brevity => "brevity",
            Self::Variety => "variety",
            Self::Plainness => "plainness",
            Self::Form => "form",
        }
    }

    /// The score of a response that is an answer at all (see [`is_void`]).
    pub fn score(self, instruction: &str, response: &Completion, target_words: usize) -> f64 {
        match self {
            Self::Relevance => relevance(instruction, &response.text),
            Self::Brevity => brevity(&response.text, target_words),
            Self::Variety => variety(&response.text, target_words),
            Self::Plainness => plainness(&response.text),
            Self::Form => form(response),
        }
    }
}

/// Whether a response is no answer at all, so that it loses every criterion to any answer.
///
/// It is none if it has fewer than `min_words` words, or no content word that the instruction lacks (an echo), or none
/// of the instruction's topic words (canned text; not asked of an instruction without topic words), or is a word salad:
/// 8 content words in a row with neither punctuation nor a function word between them.
pub fn is_void(instruction: &str, response: &str, min_words: usize) -> bool {
    let words = words(response);
    if words.len() < min_words {
        return true;
    }
    let (topic, said) = (topic_stems(instruction), content_stems(response));
    if said.is_subset(&content_stems(instruction))
        || (!topic.is_empty() && topic.is_disjoint(&said))
    {
        return true;
    }
    let mut run = 0;
    words.iter().any(|word| {
        run = match (is_function_word(&word.text), word.after_break) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => run + 1,
        };
        run >= SALAD_LENGTH
    })
}

/// Does it speak of what was asked, and add to it?
///
/// `c n (1 - k)`, with `c` the share of the instruction's topic stems that the response contains, `n = min(1, new / 5)`
/// for the number of its content stems that the instruction lacks, and `k` the share of its 5-word runs copied from the
/// instruction. Zero when the instruction has no topic word: then the criterion ties. Range [0, 1].
pub fn relevance(instruction: &str, response: &str) -> f64 {
    let topic = topic_stems(instruction);
    if topic.is_empty() {
        return 0.0;
    }
    let said = content_stems(response);
    let covered = topic.intersection(&said).count() as f64 / topic.len() as f64;
    let new = said.difference(&content_stems(instruction)).count();
    let newness = new.min(ENOUGH_NEW_WORDS) as f64 / ENOUGH_NEW_WORDS as f64;
    covered * newness * (1.0 - copied_share(instruction, response))
}

fn copied_share(instruction: &str, response: &str) -> f64 {
    let texts = |text: &str| {
        words(text)
            .into_iter()
            .map(|word| word.text)
            .collect::<Vec<_>>()
    };
    let (source, copy) = (texts(instruction), texts(response));
    let runs: BTreeSet<&[String]> = source.windows(COPY_LENGTH).collect();
    let total = copy.windows(COPY_LENGTH).len();
    if total == 0 {
        return 0.0;
    }
    copy.windows(COPY_LENGTH)
        .filter(|run| runs.contains(run))
        .count() as f64
        / total as f64
}

/// Is it as long as wanted?
///
/// `1 - min(1, |words - target| / target)`: 1 at the target, 0 for an empty text and from twice the target on.
/// Range [0, 1].
pub fn brevity(response: &str, target_words: usize) -> f64 {
    let target = target_words.max(1) as f64;
    let distance = (words(response).len() as f64 - target).abs();
    1.0 - (distance / target).min(1.0)
}

/// Does it go on without repeating itself?
///
/// Distinct pairs of neighbouring words over all such pairs, of which there are counted to be at least half the target:
/// a short text has not shown that it can go on. Range [0, 1].
pub fn variety(response: &str, target_words: usize) -> f64 {
    let words = words(response);
    let distinct: BTreeSet<(&str, &str)> = words
        .windows(2)
        .map(|pair| (pair[0].text.as_str(), pair[1].text.as_str()))
        .collect();
    let total = words
        .len()
        .saturating_sub(1)
        .max(target_words.div_ceil(2))
        .max(1);
    distinct.len() as f64 / total as f64
}

/// Are its sentences short?
///
/// `1 - min(1, max(0, l - 8) / 24)` for `l` words a sentence on average: 1 up to 8 words, so that fragments gain nothing,
/// 0 from 32 on and for a text without sentences. A sentence ends at a full stop, exclamation or question mark before
/// white space, or at the end of a line, and has a letter in it. Range [0, 1].
pub fn plainness(response: &str) -> f64 {
    let sentences = sentence_count(response);
    if sentences == 0 {
        return 0.0;
    }
    let length = words(response).len() as f64 / sentences as f64;
    1.0 - ((length - EASY_SENTENCE).max(0.0) / (HARD_SENTENCE - EASY_SENTENCE)).min(1.0)
}

fn sentence_count(text: &str) -> usize {
    text.lines()
        .map(|line| {
            let mut sentences = 0;
            let mut open = false;
            for piece in line.split_whitespace() {
                open |= piece.chars().any(char::is_alphabetic);
                if open && ends_sentence(piece) {
                    sentences += 1;
                    open = false;
                }
            }
            sentences + usize::from(open)
        })
        .sum()
}

/// True if `text` ends with a full stop, exclamation or question mark, closing quotes and brackets aside.
fn ends_sentence(text: &str) -> bool {
    text.trim_end_matches(['"', '\'', ')', ']', '\u{201d}', '\u{2019}'])
        .ends_with(['.', '!', '?', '\u{2026}'])
}

/// Does it end cleanly, and is it a plain, direct answer?
///
/// `(e + f) / 2`. The ending `e` is 1 if the model ended it itself after a full stop, exclamation or question mark
/// (closing quotes and brackets may follow), 1/2 if it did so elsewhere, 1/4 if it was cut off just after such a mark,
/// else 0. `f` is the share that holds of: it opens with a capital letter, a digit, a list marker, a quote or a bracket;
/// it starts without a preamble ("Sure", "Here is", "As an AI"); it has no markup, template token or speaker label; it
/// does not end by asking back; its brackets and double quotes are balanced. Range [0, 1].
pub fn form(response: &Completion) -> f64 {
    let text = response.text.trim();
    let held = [
        opens_well(text),
        is_direct(text),
        is_plain(text),
        !text.ends_with('?'),
        is_balanced(text),
    ];
    let faultless = held.iter().filter(|&&holds| holds).count() as f64 / held.len() as f64;
    (ending(response.is_finished(), text) + faultless) / 2.0
}

fn ending(finished: bool, text: &str) -> f64 {
    match (finished && !text.is_empty(), ends_sentence(text)) {
        (true, true) => 1.0,
        (true, false) => 0.5,
        (false, true) => 0.25,
        (false, false) => 0.0,
    }
}

fn opens_well(text: &str) -> bool {
    text.chars().next().is_some_and(|first| {
        first.is_uppercase()
            || first.is_numeric()
            || "-*\u{2022}\"'(\u{201c}\u{2018}".contains(first)
    })
}

fn is_direct(text: &str) -> bool {
    let opening: Vec<String> = words(text)
        .into_iter()
        .take(5)
        .map(|word| word.text)
        .collect();
    let opening = format!("{} ", opening.join(" "));
    !PREAMBLES.iter().any(|preamble| {
        opening
            .strip_prefix(preamble)
            .is_some_and(|rest| rest.starts_with(' '))
    })
}

fn is_plain(text: &str) -> bool {
    let lower = text.to_lowercase();
    !MARKUP.iter().any(|markup| lower.contains(markup))
        && !lower.lines().any(|line| {
            LINE_LABELS
                .iter()
                .any(|label| line.trim_start().starts_with(label))
        })
}

/// Brackets nest, straight double quotes come in pairs and typographic ones open before they close. A closing
/// parenthesis after a list number, as in `1) first`, is a marker and not a bracket.
fn is_balanced(text: &str) -> bool {
    let mut open = Vec::new();
    let mut before = None;
    let mut straight = 0;
    for character in text.chars() {
        let expected = match character {
            ')' => Some('('),
            ']' => Some('['),
            '}' => Some('{'),
            '\u{201d}' => Some('\u{201c}'),
            _ => None,
        };
        match expected {
            Some(opening) if open.last() == Some(&opening) => drop(open.pop()),
            Some('(') if before.is_some_and(char::is_numeric) => {}
            Some(_) => return false,
            None if "([{\u{201c}".contains(character) => open.push(character),
            None if character == '"' => straight += 1,
            None => {}
        }
        before = Some(character);
    }
    open.is_empty() && straight % 2 == 0
}

#[cfg(test)]
mod tests;
