//! `detectable_content:..` and `detectable_format:..`: things that a response contains.

use std::sync::LazyLock;

use super::check::Check;
use super::error::InstructionError;
use super::json::is_json;
use super::kwargs::Kwargs;
use super::pattern::{Pattern, SPACE};
use super::python::strip;

static PLACEHOLDER: LazyLock<Pattern> = LazyLock::new(|| Pattern::new(r"\[.*?\]"));

/// At least so many texts in square brackets, each within a line.
pub(super) fn number_placeholders(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let count = kwargs.count("num_placeholders")?;
    Ok(Check::new(move |text| PLACEHOLDER.count(text) >= count))
}

/// The marker is found somewhere, in any case. `P.S.` and `P.P.S` may have a space after a full stop; any other marker is a
/// regular expression.
pub(super) fn postscript(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let marker = match strip(kwargs.text("postscript_marker")?) {
        "P.P.S" => r"p\.\s?p\.\s?s".to_owned(),
        "P.S." => r"p\.\s?s\.".to_owned(),
        other => other.to_lowercase(),
    };
    let marker = kwargs.pattern("postscript_marker", Pattern::python_cased(&marker))?;
    Ok(Check::new(move |text| marker.is_in(&text.to_lowercase())))
}

static STARS: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(&format!(r"(?m)^{SPACE}*\*[^*].*$")));
static DASHES: LazyLock<Pattern> = LazyLock::new(|| Pattern::new(&format!(r"(?m)^{SPACE}*-.*$")));

/// Exactly so many lines that start with one `*` or with `-`.
pub(super) fn number_bullet_lists(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let count = kwargs.count("num_bullets")?;
    Ok(Check::new(move |text| {
        STARS.count(text) + DASHES.count(text) == count
    }))
}

/// One of three sentences is found somewhere.
pub(super) fn constrained_response(_: &Kwargs<'_>) -> Result<Check, InstructionError> {
    Ok(Check::new(|text| {
        let answers = [
            "My answer is yes.",
            "My answer is no.",
            "My answer is maybe.",
        ];
        answers.iter().any(|answer| text.contains(answer))
    }))
}

static SINGLE: LazyLock<Pattern> = LazyLock::new(|| Pattern::new(r"\*[^\n*]*\*"));
static DOUBLE: LazyLock<Pattern> = LazyLock::new(|| Pattern::new(r"\*\*[^\n*]*\*\*"));

/// At least so many texts between single or between double stars, each within a line and not blank.
pub(super) fn number_highlighted_sections(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let count = kwargs.count("num_highlights")?;
    let is_full = |found: &&str| !strip(found.trim_matches('*')).is_empty();
    Ok(Check::new(move |text| {
        let single = SINGLE.find(text).filter(is_full).count();
        single + DOUBLE.find(text).filter(is_full).count() >= count
    }))
}

/// At least so many section headings: the word, which is a regular expression, and a number.
pub(super) fn multiple_sections(kwargs: &Kwargs<'_>) -> Result<Check, InstructionError> {
    let heading = strip(kwargs.text("section_spliter")?);
    let heading = Pattern::python_cased(&format!(r"\s?{heading}\s?\d+\s?"));
    let heading = kwargs.pattern("section_spliter", heading)?;
    let count = kwargs.count("num_sections")?;
    // Python's split also returns what the groups of the expression matched, and all its pieces are counted.
    Ok(Check::new(move |text| {
        heading.count(text) * heading.groups() >= count
    }))
}

/// The response is JSON, in a fenced block or not.
pub(super) fn json_format(_: &Kwargs<'_>) -> Result<Check, InstructionError> {
    Ok(Check::new(|text| {
        let mut text = strip(text);
        for fence in ["```json", "```Json", "```JSON", "```"] {
            text = text.strip_prefix(fence).unwrap_or(text);
        }
        is_json(strip(text.strip_suffix("```").unwrap_or(text)))
    }))
}

static TITLE: LazyLock<Pattern> = LazyLock::new(|| Pattern::new(r"<<[^\n]+>>"));

/// A text in double angular brackets within a line that is not blank.
pub(super) fn title(_: &Kwargs<'_>) -> Result<Check, InstructionError> {
    Ok(Check::new(|text| {
        let bare = |title: &str| strip(title.trim_start_matches('<').trim_end_matches('>')).len();
        TITLE.find(text).any(|title| bare(title) > 0)
    }))
}
