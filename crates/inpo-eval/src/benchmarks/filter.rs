//! What is taken from a generated text, and how it is compared.

use fancy_regex::Regex;

use super::python::strip;

/// Compiles a pattern of Python.
pub(super) fn pattern(text: &str) -> Result<Regex, String> {
    // Python's `$` also matches before a last line end.
    let adapted = match text.strip_suffix('$') {
        Some(front) if !front.ends_with('\\') => format!(r"{front}(?=\n?\z)"),
        _ => text.to_owned(),
    };
    Regex::new(&adapted).map_err(|error| format!("the pattern {text:?} is not read: {error}"))
}

fn failed(error: &fancy_regex::Error) -> String {
    format!("a pattern cannot be matched: {error}")
}

/// Changes an answer before it is compared.
#[derive(Debug, Clone)]
pub(super) enum Filter {
    /// A match of a pattern.
    Regex {
        pattern: Regex,
        /// Which of the matches, from the end if negative.
        place: i64,
        /// What stands for no match.
        fallback: String,
    },
    Lowercase,
    Uppercase,
    /// Without white space at either end.
    Strip,
}

impl Filter {
    pub(super) fn regex(text: &str, place: i64, fallback: &str) -> Result<Self, String> {
        Ok(Self::Regex {
            pattern: pattern(text)?,
            place,
            fallback: fallback.to_owned(),
        })
    }

    pub(super) fn apply(&self, text: &str) -> Result<String, String> {
        match self {
            Self::Regex {
                pattern,
                place,
                fallback,
            } => {
                let found = found(pattern, text)?;
                let index = if *place < 0 {
                    found.len().checked_sub(place.unsigned_abs() as usize)
                } else {
                    Some(*place as usize)
                };
                let found = index.and_then(|index| found.get(index).cloned().flatten());
                Ok(found.map_or_else(|| fallback.clone(), |text| strip(&text).to_owned()))
            }
            Self::Lowercase => Ok(text.to_lowercase()),
            Self::Uppercase => Ok(text.to_uppercase()),
            Self::Strip => Ok(strip(text).to_owned()),
        }
    }
}

/// Python's `findall`, where of several groups the first that is not empty counts; none where all of them are.
fn found(pattern: &Regex, text: &str) -> Result<Vec<Option<String>>, String> {
    let groups = pattern.captures_len();
    let mut all = Vec::new();
    for captures in pattern.captures_iter(text) {
        let captures = captures.map_err(|error| failed(&error))?;
        let group = |index: usize| captures.get(index).map_or("", |m| m.as_str()).to_owned();
        all.push(match groups {
            1 | 2 => Some(group(groups - 1)),
            _ => (1..groups).map(group).find(|text| !text.is_empty()),
        });
    }
    Ok(all)
}

/// The harness's `exact_match`.
#[derive(Debug, Clone)]
pub(super) struct ExactMatch {
    /// What is taken out of both texts, one after the other.
    pub(super) ignored: Vec<Regex>,
    pub(super) ignore_case: bool,
    pub(super) ignore_punctuation: bool,
    pub(super) ignore_numbers: bool,
}

impl ExactMatch {
    pub(super) fn new(ignored: &[String]) -> Result<Self, String> {
        Ok(Self {
            ignored: ignored
                .iter()
                .map(|text| pattern(text))
                .collect::<Result<_, _>>()?,
            ignore_case: false,
            ignore_punctuation: false,
            ignore_numbers: false,
        })
    }

    /// 1 where the two are the same text, and else 0.
    pub(super) fn of(&self, answer: &str, gold: &str) -> Result<f64, String> {
        let same = self.reduced(answer)? == self.reduced(gold)?;
        Ok(f64::from(u8::from(same)))
    }

    fn reduced(&self, text: &str) -> Result<String, String> {
        let mut text = text.to_owned();
        for pattern in &self.ignored {
            let replaced = pattern.try_replacen(&text, 0, "");
            text = replaced.map_err(|error| failed(&error))?.into_owned();
        }
        if self.ignore_case {
            text = text.to_lowercase();
        }
        text.retain(|c| {
            !(self.ignore_punctuation && c.is_ascii_punctuation()
                || self.ignore_numbers && c.is_ascii_digit())
        });
        Ok(text)
    }
}
