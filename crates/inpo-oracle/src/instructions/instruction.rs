//! One instruction: the table of all, and whether a response follows it.

use std::fmt;

use serde_json::{Map, Value};

use super::check::Check;
use super::error::InstructionError;
use super::kwargs::Kwargs;
use super::python::strip;
use super::{content, keywords, length, whole};

/// Reads the arguments of one kind of instruction.
type Read = fn(&Kwargs<'_>) -> Result<Check, InstructionError>;

/// The instructions: id, arguments, checker.
const ALL: [(&str, &[&str], Read); 25] = [
    ("keywords:existence", &["keywords"], keywords::existence),
    (
        "keywords:frequency",
        &["keyword", "frequency", "relation"],
        keywords::frequency,
    ),
    (
        "keywords:forbidden_words",
        &["forbidden_words"],
        keywords::forbidden_words,
    ),
    (
        "keywords:letter_frequency",
        &["letter", "let_frequency", "let_relation"],
        keywords::letter_frequency,
    ),
    (
        "language:response_language",
        &["language"],
        whole::response_language,
    ),
    (
        "length_constraints:number_sentences",
        &["num_sentences", "relation"],
        length::number_sentences,
    ),
    (
        "length_constraints:number_paragraphs",
        &["num_paragraphs"],
        length::number_paragraphs,
    ),
    (
        "length_constraints:number_words",
        &["num_words", "relation"],
        length::number_words,
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        &["num_paragraphs", "nth_paragraph", "first_word"],
        length::nth_paragraph_first_word,
    ),
    (
        "detectable_content:number_placeholders",
        &["num_placeholders"],
        content::number_placeholders,
    ),
    (
        "detectable_content:postscript",
        &["postscript_marker"],
        content::postscript,
    ),
    (
        "detectable_format:number_bullet_lists",
        &["num_bullets"],
        content::number_bullet_lists,
    ),
    (
        "detectable_format:constrained_response",
        &[],
        content::constrained_response,
    ),
    (
        "detectable_format:number_highlighted_sections",
        &["num_highlights"],
        content::number_highlighted_sections,
    ),
    (
        "detectable_format:multiple_sections",
        &["section_spliter", "num_sections"],
        content::multiple_sections,
    ),
    ("detectable_format:json_format", &[], content::json_format),
    ("detectable_format:title", &[], content::title),
    ("combination:two_responses", &[], whole::two_responses),
    (
        "combination:repeat_prompt",
        &["prompt_to_repeat"],
        whole::repeat_prompt,
    ),
    ("startend:end_checker", &["end_phrase"], whole::end_checker),
    (
        "change_case:capital_word_frequency",
        &["capital_frequency", "capital_relation"],
        whole::capital_word_frequency,
    ),
    ("change_case:english_capital", &[], whole::english_capital),
    (
        "change_case:english_lowercase",
        &[],
        whole::english_lowercase,
    ),
    ("punctuation:no_comma", &[], whole::no_comma),
    ("startend:quotation", &[], whole::quotation),
];

/// One of IFEval's instructions with its arguments.
///
/// It is checked as Google's `instruction_following_eval` does, and lm-evaluation-harness after it, quirks included. Where
/// those draw what a row leaves out at random, the row is refused here.
#[derive(Clone)]
pub struct Instruction {
    id: &'static str,
    check: Check,
}

impl Instruction {
    /// Reads an instruction from an entry of `instruction_id_list` and its entry of `kwargs`, whose nulls count as absent.
    ///
    /// # Errors
    ///
    /// An id that is none of the 25; an argument that is missing, unknown or wrong.
    pub fn from_row(id: &str, kwargs: &Map<String, Value>) -> Result<Self, InstructionError> {
        let Some(&(id, known, read)) = ALL.iter().find(|(known, ..)| *known == id) else {
            return Err(InstructionError::NoInstruction(id.to_owned()));
        };
        let check = read(&Kwargs::new(id, known, kwargs)?)?;
        Ok(Self { id, check })
    }

    /// The id, as `length_constraints:number_words`.
    #[must_use]
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// Whether a response follows the instruction as it is: IFEval's strict rule. A blank one follows none.
    #[must_use]
    pub fn follows(&self, response: &str) -> bool {
        !strip(response).is_empty() && self.check.holds(response)
    }

    /// Whether one of a response's [`loose_variants`] follows the instruction: IFEval's loose rule.
    #[must_use]
    pub fn follows_loosely(&self, response: &str) -> bool {
        let variants = distinct_variants(response);
        variants.iter().any(|variant| self.follows(variant))
    }
}

impl fmt::Debug for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instruction").field(&self.id).finish()
    }
}

/// The eight forms of a response that the loose rule tries: as it is, and without its first line, its last, or both, for an
/// introduction and a closing remark; and each of these four without its stars, for markdown.
#[must_use]
pub fn loose_variants(response: &str) -> [String; 8] {
    let after_first = response.split_once('\n').map_or("", |(_, rest)| rest);
    let before_last = |text: &str| {
        text.rsplit_once('\n')
            .map_or("", |(rest, _)| rest)
            .to_owned()
    };
    let forms = [
        response.to_owned(),
        strip(after_first).to_owned(),
        strip(&before_last(response)).to_owned(),
        strip(&before_last(after_first)).to_owned(),
    ];
    let [all, first, last, both] = forms.clone().map(|form| form.replace('*', ""));
    let [whole, no_first, no_last, neither] = forms;
    [whole, all, no_first, no_last, neither, first, last, both]
}

/// The variants without repetitions: a line without stars has but itself and a blank.
pub(super) fn distinct_variants(response: &str) -> Vec<String> {
    let mut distinct = Vec::with_capacity(8);
    for variant in loose_variants(response) {
        if !distinct.contains(&variant) {
            distinct.push(variant);
        }
    }
    distinct
}
