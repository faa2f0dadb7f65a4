//! Sentences as NLTK finds them: the Punkt algorithm with its English parameters.
//!
//! Kiss and Strunk, Unsupervised Multilingual Sentence Boundary Detection, Computational Linguistics 32(4), 2006, as NLTK
//! 3.10.4 has it, curly quotes included. `english.py` says where the parameters come from.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

use super::pattern::Pattern;
use super::python::{is_space, strip};

/// What a closing quote or bracket is that still belongs to the sentence before it.
const CLOSING: &[char] = &['"', '\'', ')', ']', '}', '‘', '’', '“', '”', '«', '»'];

/// What cannot be inside a word, and so may follow the end of a sentence directly.
const NOT_IN_WORD: &[char] = &[
    ')', '"', ';', '}', ']', '*', ':', '@', '\'', '(', '{', '[', '‘', '’', '“', '”', '«', '»', '?',
    '!',
];

/// What no word starts with.
const NOT_AT_START: &[char] = &[
    '(', '"', '`', '{', '[', ':', ';', '&', '#', '*', '@', ')', '}', ']', '-', ',',
];

/// How a word was seen that was seen in lower case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// In upper case inside a sentence as well.
    Mixed,
    /// Never so, and not only in lower case or never at the start of a sentence.
    Clean,
    /// In lower case alone, at the start of a sentence too.
    Beginning,
}

/// The parameters.
struct English {
    abbreviations: HashSet<&'static str>,
    collocations: HashSet<(&'static str, &'static str)>,
    starters: HashSet<&'static str>,
    seen: HashMap<&'static str, Seen>,
    number: Pattern,
    initial: Pattern,
}

static ENGLISH: LazyLock<English> = LazyLock::new(|| {
    let mut english = English {
        abbreviations: HashSet::new(),
        collocations: HashSet::new(),
        starters: HashSet::new(),
        seen: HashMap::new(),
        number: Pattern::new(r"^-?[.,]?\d[\d,.\-]*$"),
        initial: Pattern::new(r"^[\p{Alphabetic}\p{M}\p{Pc}]\.$"),
    };
    for line in include_str!("english.tsv").lines() {
        let mut columns = line.split('\t');
        let mut column = || columns.next().unwrap_or_default();
        let (kind, word) = (column(), column());
        match kind {
            "abbreviation" => drop(english.abbreviations.insert(word)),
            "collocation" => drop(english.collocations.insert((word, column()))),
            "starter" => drop(english.starters.insert(word)),
            "m" => drop(english.seen.insert(word, Seen::Mixed)),
            "c" => drop(english.seen.insert(word, Seen::Clean)),
            _ => drop(english.seen.insert(word, Seen::Beginning)),
        }
    }
    english
});

/// The sentences of a text, in order.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut slices = slices(text).into_iter().peekable();
    // How far closing quotes of the sentence before reach into a slice, with the space after them.
    let mut taken = 0;
    while let Some(slice) = slices.next() {
        let start = slice.start + taken;
        let next = slices.peek().map(|next| &text[next.clone()]);
        let end = match next.and_then(closing) {
            Some((quotes, all)) => {
                taken = all;
                slice
                    .end
                    .max(slices.peek().map_or(0, |next| next.start + quotes))
            }
            None => {
                taken = 0;
                slice.end
            }
        };
        if start < end {
            found.push(&text[start..end]);
        }
    }
    found
}

/// The length of the closing quotes that a slice starts with, without and with the space after them.
fn closing(slice: &str) -> Option<(usize, usize)> {
    let mut end = 0;
    for c in slice.chars() {
        if !CLOSING.contains(&c) {
            return None;
        }
        end += c.len_utf8();
        let rest = &slice[end..];
        let after = rest.trim_start_matches(char::is_whitespace);
        if after.len() < rest.len() || rest.is_empty() || rest.starts_with("--") {
            return Some((end, slice.len() - after.len()));
        }
    }
    None
}

/// The text between one end of a sentence and the next; quotes that close a sentence still stand at the start of the next.
fn slices(text: &str) -> Vec<Range<usize>> {
    let mut slices = Vec::new();
    let mut start = 0;
    for end in candidates(text) {
        if ends_sentence(&text[end.context]) {
            slices.push(start..end.at + 1);
            start = end.next.unwrap_or(end.at + 1);
        }
    }
    let last = text.trim_end_matches(is_space).len();
    slices.push(start..last.max(start));
    slices
}

/// A place where a sentence may end.
#[derive(Clone)]
struct Candidate {
    /// The place of the mark.
    at: usize,
    /// Where the word after it starts, if space comes first.
    next: Option<usize>,
    /// From the start of the word before it to the end of the word or mark after it.
    context: Range<usize>,
}

/// The full stops, question and exclamation marks with space or punctuation after them. Of several after one word the last.
fn candidates(text: &str) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    // The word before the last candidate.
    let mut word = 0..0;
    let mut last: Option<Candidate> = None;
    for (at, mark) in text.char_indices() {
        if !matches!(mark, '.' | '?' | '!') {
            continue;
        }
        let rest = &text[at + 1..];
        let Some(c) = rest.chars().next() else {
            continue;
        };
        let (next, end) = if NOT_IN_WORD.contains(&c) {
            (None, at + 1 + c.len_utf8())
        } else {
            let after = rest.trim_start_matches(char::is_whitespace);
            if after.len() == rest.len() || after.is_empty() {
                continue;
            }
            let next = text.len() - after.len();
            let length = after.find(char::is_whitespace).unwrap_or(after.len());
            (Some(next), next + length)
        };
        // A space at the very start of what is searched does not count, as in NLTK.
        let space = |c: char| matches!(c, ' ' | '\t'..='\r');
        let start = match text[word.end..at].rfind(space) {
            Some(place) if place > 0 => word.end + place + 1,
            _ => word.start,
        };
        if let Some(last) = last.take().filter(|_| word.end <= start) {
            found.push(last);
        }
        word = start..at;
        let context = start..end;
        last = Some(Candidate { at, next, context });
    }
    found.extend(last);
    found
}

/// Whether a sentence ends inside a context: at one of its tokens but the last.
fn ends_sentence(context: &str) -> bool {
    let lines = context.split('\n').filter(|line| !strip(line).is_empty());
    let tokens: Vec<Token<'_>> = lines.flat_map(words).map(Token::new).collect();
    tokens.windows(2).any(|pair| pair[0].ends_before(&pair[1]))
}

/// The words and marks of a line; a full stop stays with its word.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let length = if let Some(length) = marks(rest) {
            length
        } else if c.is_whitespace() || NOT_AT_START.contains(&c) {
            c.len_utf8()
        } else {
            let mut ends = rest.char_indices().map(|(place, _)| place).skip(1);
            ends.find(|&end| ends_word(&rest[end..]))
                .unwrap_or(rest.len())
        };
        if !c.is_whitespace() {
            words.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    words
}

/// Whether a word ends before `rest`.
fn ends_word(rest: &str) -> bool {
    let stops = |rest: &str| {
        let c = rest.chars().next();
        c.is_none_or(|c| c.is_whitespace() || NOT_IN_WORD.contains(&c)) || marks(rest).is_some()
    };
    stops(rest) || rest.strip_prefix(',').is_some_and(stops)
}

/// The length of a dash, or of an ellipsis with or without spaces, that `rest` starts with.
fn marks(rest: &str) -> Option<usize> {
    for mark in ['-', '.'] {
        let run = rest.len() - rest.trim_start_matches(mark).len();
        if run >= 2 {
            return Some(run);
        }
    }
    // `. . .`: at least two stops with a space each, and one more.
    let (mut end, mut pairs, mut length) = (0, 0, None);
    while let Some(after) = rest[end..].strip_prefix('.') {
        length = (pairs >= 2).then_some(end + 1);
        let Some(space) = after.chars().next().filter(|c| c.is_whitespace()) else {
            break;
        };
        end += 1 + space.len_utf8();
        pairs += 1;
    }
    length
}

/// A token after the first pass, which looks at it alone.
struct Token<'t> {
    text: &'t str,
    /// In lower case, a number as `##number##`.
    kind: String,
    breaks: bool,
    is_abbreviation: bool,
}

impl<'t> Token<'t> {
    fn new(text: &'t str) -> Self {
        let mut kind = text.to_lowercase();
        if ENGLISH.number.is_in(&kind) {
            "##number##".clone_into(&mut kind);
        }
        let is_ellipsis = text.len() >= 2 && text.chars().all(|c| c == '.');
        let known = |word: &str| {
            let word = word.to_lowercase();
            let last = word.rsplit('-').next().unwrap_or_default();
            let abbreviations = &ENGLISH.abbreviations;
            abbreviations.contains(word.as_str()) || abbreviations.contains(last)
        };
        let (breaks, is_abbreviation) = match text.strip_suffix('.') {
            _ if matches!(text, "." | "?" | "!") => (true, false),
            _ if is_ellipsis => (false, true),
            Some(word) if !word.ends_with('.') => {
                let known = known(word);
                (!known, known)
            }
            _ => (false, false),
        };
        Self {
            text,
            kind,
            breaks,
            is_abbreviation,
        }
    }

    /// The kind without a final full stop.
    fn bare(&self) -> &str {
        match self.kind.strip_suffix('.') {
            Some("") | None => &self.kind,
            Some(bare) => bare,
        }
    }

    /// The second pass: whether a sentence ends with this token, now that the next is known.
    fn ends_before(&self, next: &Self) -> bool {
        if !self.text.ends_with('.') {
            return self.breaks;
        }
        let kind = self.bare();
        let next_kind = if next.breaks { next.bare() } else { &next.kind };
        if ENGLISH.collocations.contains(&(kind, next_kind)) {
            return false;
        }
        let is_initial = ENGLISH.initial.is_in(self.text);
        let is_upper = next.text.starts_with(char::is_uppercase);
        let starts = next.starts_sentence(next_kind);
        let mut ends = self.breaks;
        if self.is_abbreviation && !is_initial {
            if starts == Some(true) {
                return true;
            }
            if is_upper && ENGLISH.starters.contains(next_kind) {
                return true;
            }
        }
        if is_initial || kind == "##number##" {
            let is_name = is_initial && is_upper && !ENGLISH.seen.contains_key(next_kind);
            if starts == Some(false) || (starts.is_none() && is_name) {
                ends = false;
            }
        }
        ends
    }

    /// Whether its case says that this token starts a sentence, or that it does not.
    fn starts_sentence(&self, kind: &str) -> Option<bool> {
        if matches!(self.text, ";" | ":" | "," | "." | "!" | "?") {
            return Some(false);
        }
        let seen = ENGLISH.seen.get(kind).copied();
        if self.text.starts_with(char::is_uppercase) && seen.is_some_and(|s| s != Seen::Mixed) {
            return Some(true);
        }
        let is_lower = self.text.starts_with(char::is_lowercase);
        (is_lower && seen != Some(Seen::Beginning)).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers of NLTK 3.10.4.
    #[test]
    fn sentences_end_where_nltk_ends_them() {
        let text = "He said “Hi.” Then left. Dr. A. Smith went!!! OK? (Yes.) Next.";
        assert_eq!(
            sentences(text),
            [
                "He said “Hi.”",
                "Then left.",
                "Dr. A. Smith went!!!",
                "OK?",
                "(Yes.)",
                "Next."
            ]
        );
        assert!(sentences(" \n").is_empty());
    }
}
