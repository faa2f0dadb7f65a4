//! Sentences as NLTK finds them: where a text is cut.
//!
//! The Punkt algorithm as NLTK 3.10.4 has it, curly quotes included. `punkt.rs` decides which places are ends.

use std::ops::Range;

use super::punkt::{NOT_IN_WORD, ends_sentence};
use super::python::is_space;

/// What a closing quote or bracket is that still belongs to the sentence before it.
const CLOSING: &[char] = &['"', '\'', ')', ']', '}', '‘', '’', '“', '”', '«', '»'];

/// The sentences of a text, in order.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut slices = slices(text).into_iter().peekable();
    // How far closing quotes of the sentence before reach into a slice, with the space after them.
    let mut taken = 0;
    while let Some(slice) = slices.next() {
        let start = slice.start + taken;
        let next = slices.peek();
        let quotes = next.and_then(|next| Some((next.start, closing(&text[next.clone()])?)));
        let end = quotes.map_or(slice.end, |(start, (length, _))| start + length);
        taken = quotes.map_or(0, |(_, (_, with_space))| with_space);
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
