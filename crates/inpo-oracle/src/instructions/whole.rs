//! `combination:..`, `startend:..`, `change_case:..`, `punctuation:..` and `language:..`: what a response is as a whole.

use super::check::Check;
use super::error::InstructionError;
use super::kwargs::Kwargs;
use super::language::{CODES, is_in};
use super::python::{is_lower, is_upper, strip};
use super::tokens::tokens;

/// Two different answers with `******` between them, and nothing empty between more of them.
pub(super) fn two_responses(_: &Kwargs<'_>) -> Result<Check, InstructionError> {
    Ok(Check::new(|text| {
        let parts: Vec<&str> = text.split("******").map(strip).collect();
        let inner = parts.get(1..parts.len().max(2) - 1).unwrap_or_default();
        let full: Vec<&&str> = parts.iter().filter(|part| !part.is_empty()).collect();
        !inner.contains(&"") && matches!(full[..], [first, second] if first != second)
    }))
}

/// The response starts with the request, in any case.
pub(super) fn repeat_prompt(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let request = strip(kwargs.text("prompt_to_repeat")?).to_lowercase();
    Ok(Check::new(move |text| {
        strip(text).to_lowercase().starts_with(&request)
    }))
}

/// The response ends with the phrase, in any case; double quotes around the response do not count.
pub(super) fn end_checker(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let phrase = strip(kwargs.text("end_phrase")?).to_lowercase();
    Ok(Check::new(move |text| {
        let text = strip(text).trim_matches('"').to_lowercase();
        text.ends_with(strip(&phrase))
    }))
}

/// The response is in double quotes.
pub(super) fn quotation(_: &Kwargs<'_>) -> Result<Check, InstructionError> {
    Ok(Check::new(|text| {
        let text = strip(text);
        text.len() > 1 && text.starts_with('"') && text.ends_with('"')
    }))
}

/// So many words in capital letters, as NLTK cuts words.
pub(super) fn capital_word_frequency(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let bound = kwargs.bound("capital_frequency", "capital_relation")?;
    Ok(Check::new(move |text| {
        bound.holds(tokens(text).iter().filter(|word| is_upper(word)).count())
    }))
}

/// Capital letters alone, in English.
pub(super) fn english_capital(_: &Kwargs<'_>) -> Result<Check, InstructionError> {
    Ok(Check::new(|text| is_upper(text) && is_in(text, "en")))
}

/// Small letters alone, in English.
pub(super) fn english_lowercase(_: &Kwargs<'_>) -> Result<Check, InstructionError> {
    Ok(Check::new(|text| is_lower(text) && is_in(text, "en")))
}

/// No comma.
pub(super) fn no_comma(_: &Kwargs<'_>) -> Result<Check, InstructionError> {
    Ok(Check::new(|text| !text.contains(',')))
}

/// The response is in the language.
pub(super) fn response_language(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let code = kwargs.text("language")?;
    let Some(&code) = CODES.iter().find(|&&known| known == code) else {
        return Err(kwargs.wrong("language", "one of IFEval's 30 codes, as `en`"));
    };
    Ok(Check::new(move |text| is_in(text, code)))
}
