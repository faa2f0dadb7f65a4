//! `length_constraints:..`: how many sentences, paragraphs and words.

use std::sync::LazyLock;

use super::check::Check;
use super::error::InstructionError;
use super::kwargs::Kwargs;
use super::pattern::Pattern;
use super::python::{is_space, strip};
use super::sentences::sentences;

/// So many sentences, as NLTK's English model finds them.
pub(super) fn number_sentences(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let bound = kwargs.bound("num_sentences", "relation")?;
    Ok(Check::new(move |text| bound.holds(sentences(text).len())))
}

/// Exactly so many paragraphs with `***` between them. An empty one is not counted at either end, and is a fault inside.
pub(super) fn number_paragraphs(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let count = kwargs.count("num_paragraphs")?;
    Ok(Check::new(move |text| {
        let paragraphs: Vec<&str> = text.split("***").map(strip).collect();
        let (first, last) = (0, paragraphs.len() - 1);
        let empty: Vec<usize> = (first..=last)
            .filter(|&i| paragraphs[i].is_empty())
            .collect();
        let is_fault = |place: &usize| ![first, last].contains(place);
        !empty.iter().any(is_fault) && paragraphs.len() - empty.len() == count
    }))
}

static WORD: LazyLock<Pattern> = LazyLock::new(|| Pattern::new(r"\w+"));

/// So many words: runs of letters, marks, digits and underscores, so that `don't` is two.
pub(super) fn number_words(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let bound = kwargs.bound("num_words", "relation")?;
    Ok(Check::new(move |text| bound.holds(WORD.count(text))))
}

/// Exactly so many paragraphs with an empty line between them, the nth of which starts with a word. Empty paragraphs are
/// not counted, but have their place when the nth is looked up.
pub(super) fn nth_paragraph_first_word(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let count = kwargs.count("num_paragraphs")?;
    let nth = kwargs.count("nth_paragraph")?;
    if !(1..=count).contains(&nth) {
        return Err(kwargs.wrong("nth_paragraph", "from 1 to `num_paragraphs`"));
    }
    let expected = kwargs.text("first_word")?.to_lowercase();
    Ok(Check::new(move |text| {
        let paragraphs: Vec<&str> = text.split("\n\n").map(strip).collect();
        let full = paragraphs.iter().filter(|text| !text.is_empty()).count();
        full == count && first_word(paragraphs[nth - 1]).is_some_and(|word| word == expected)
    }))
}

/// The first word of a paragraph up to punctuation, in lower case, without quotes before it; none in an empty paragraph.
fn first_word(paragraph: &str) -> Option<String> {
    let word = paragraph
        .split(is_space)
        .next()
        .filter(|word| !word.is_empty())?;
    let word = word.trim_start_matches('\'').trim_start_matches('"');
    let end = word
        .find(['.', ',', '?', '!', '\'', '"'])
        .unwrap_or(word.len());
    Some(word[..end].chars().flat_map(char::to_lowercase).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_word_ends_at_punctuation() {
        assert_eq!(first_word("'\"Hello, you").as_deref(), Some("hello"));
        assert_eq!(first_word("\"'Hello").as_deref(), Some(""));
        assert_eq!(first_word(""), None);
    }
}
