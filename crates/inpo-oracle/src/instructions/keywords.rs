//! `keywords:..`: words and letters that a response has or lacks.

use super::check::Check;
use super::error::InstructionError;
use super::kwargs::Kwargs;
use super::pattern::Pattern;

/// Every keyword is found somewhere, in any case; each is a regular expression.
pub(super) fn existence(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let compile = |word: &str| kwargs.pattern("keywords", Pattern::python(word));
    let words = kwargs.texts("keywords")?;
    let words: Vec<Pattern> = words.into_iter().map(compile).collect::<Result<_, _>>()?;
    Ok(Check::new(move |text| {
        words.iter().all(|word| word.is_in(text))
    }))
}

/// The keyword is found so many times, in any case and inside of words too; it is a regular expression.
pub(super) fn frequency(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let word = super::python::strip(kwargs.text("keyword")?);
    let word = kwargs.pattern("keyword", Pattern::python(word))?;
    let bound = kwargs.bound("frequency", "relation")?;
    Ok(Check::new(move |text| bound.holds(word.count(text))))
}

/// No forbidden word is found as a word of its own, in any case; each is a regular expression.
pub(super) fn forbidden_words(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let compile = |word: &str| {
        let word = Pattern::python(&format!(r"\b{word}\b"));
        kwargs.pattern("forbidden_words", word)
    };
    let words = kwargs.texts("forbidden_words")?;
    let words: Vec<Pattern> = words.into_iter().map(compile).collect::<Result<_, _>>()?;
    Ok(Check::new(move |text| {
        !words.iter().any(|word| word.is_in(text))
    }))
}

/// The letter is found so many times, in any case. In place of a character that is none of a to z, such as the `#` and
/// the `!` of IFEval's rows, the published checker draws a letter at random; here the character itself is counted.
pub(super) fn letter_frequency(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let letter = kwargs.text("letter")?.to_lowercase();
    let mut characters = letter.chars();
    let (Some(letter), None) = (characters.next(), characters.next()) else {
        return Err(kwargs.wrong("letter", "one character"));
    };
    let bound = kwargs.bound("let_frequency", "let_relation")?;
    Ok(Check::new(move |text| {
        let lower = text.to_lowercase();
        bound.holds(lower.chars().filter(|&c| c == letter).count())
    }))
}
