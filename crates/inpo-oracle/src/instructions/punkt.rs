//! Punkt with its English parameters: whether a sentence ends at a full stop, by the words around it.
//!
//! Kiss and Strunk, Unsupervised Multilingual Sentence Boundary Detection, Computational Linguistics 32(4), 2006, as NLTK
//! 3.10.4 has it. `english.py` says where the parameters come from.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::pattern::Pattern;
use super::python::strip;

/// What cannot be inside a word, and so may follow the end of a sentence directly.
pub(super) const NOT_IN_WORD: &[char] = &[
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
        initial: Pattern::new(r"^(?!\d)\w\.$"),
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

/// Whether a sentence ends inside a context: at one of its tokens but the last.
pub(super) fn ends_sentence(context: &str) -> bool {
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
