//! The verdict in the text of an answer.

use std::collections::BTreeMap;

use fancy_regex::Regex;
use inpo_data::excerpt;
use inpo_game::Preference;

use crate::text::foreign_regex;

/// Steps at each place of an answer after which the pattern is given up.
const PATIENCE: usize = 1_000_000;

/// How the text of an answer is read.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    verdicts: BTreeMap<String, f64>,
}

impl Pattern {
    /// A pattern and P for each text that it may find.
    pub(super) fn new(pattern: &str, verdicts: BTreeMap<String, f64>) -> Result<Self, String> {
        let regex = foreign_regex(pattern, PATIENCE);
        let regex = regex.map_err(|error| format!("`pattern`: {error}"))?;
        if verdicts.is_empty() {
            return Err("[verdicts] is empty".to_owned());
        }
        for (text, p) in &verdicts {
            Preference::new(*p).map_err(|_| {
                format!("[verdicts] {text:?} is {p}; allowed: P(the first is better), from 0 to 1")
            })?;
        }
        Ok(Self { regex, verdicts })
    }

    /// P for the last match.
    pub(super) fn read(&self, text: &str) -> Result<Preference, String> {
        let mut last = None;
        for found in self.regex.captures_iter(text) {
            let found = found.map_err(|error| format!("`pattern` fails: {error}"))?;
            last = found.get(1).or_else(|| found.get(0));
        }
        let Some(last) = last else {
            return Err(format!("no verdict in {}", ending(text)));
        };
        let p = self.verdicts.get(last.as_str()).ok_or_else(|| {
            format!(
                "the verdict {} is not in [verdicts]",
                excerpt(last.as_str())
            )
        })?;
        Preference::new(*p).map_err(|error| error.to_string())
    }
}

/// The end of a text, where a verdict is expected, for messages.
fn ending(text: &str) -> String {
    const LIMIT: usize = 60;
    let text = text.trim_end();
    let from = text.char_indices().rev().nth(LIMIT - 1);
    let end = &text[from.map_or(0, |(place, _)| place)..];
    if end.len() < text.len() {
        format!("\"…{}\"", end.escape_debug())
    } else {
        excerpt(end)
    }
}
