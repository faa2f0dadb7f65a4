//! Instructions that a program can check: IFEval's, as a preference.
//!
//! A row of IFEval names instructions by id and gives their arguments; each is checked by a rule of its own
//! ([`Instruction`]). All 25 are here, with the published rules, strict and loose. What they take from other programs:
//!
//! - Sentences and words are those of NLTK 3.10.4. Versions before 3.10 do not end a sentence before a closing curly quote,
//!   split no dashes off, and cut Indic words at vowel signs: with 3.9.1, 112 of the 3100 recorded verdicts that rest on NLTK
//!   are others, on texts that were written to be hard.
//! - Languages are those of langdetect 1.0.9 with seed 0. The published checkers do not seed it, so that on a text in more
//!   than one language, or too short for one, they may answer otherwise from one run to the next: of the 462 recorded
//!   verdicts on languages, 5 change with one of ten other seeds.
//! - `keywords:letter_frequency` of a character that is no letter counts it; the published checker draws a letter.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ptr;

use inpo_data::{Completion, Prompt};
use inpo_game::{Comparison, OracleError, Preference, PreferenceOracle};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::kind::OracleConfigError;

mod check;
mod content;
mod error;
mod instruction;
mod json;
mod keywords;
mod kwargs;
mod language;
mod length;
mod pattern;
mod punkt;
mod python;
mod sentences;
mod tokens;
mod whole;

pub use error::InstructionError;
use instruction::distinct_variants;
pub use instruction::{Instruction, loose_variants};

/// When an instruction counts as followed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum InstructionMode {
    /// By the response as it is.
    #[default]
    Strict,
    /// By the response, or by it without its first line, its last line or its stars.
    Loose,
}

impl InstructionMode {
    fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Loose => "loose",
        }
    }
}

/// The instructions of a row.
#[derive(Clone, Debug)]
pub struct Instructions(Vec<Instruction>);

impl Instructions {
    /// Reads `instruction_id_list`, a list of ids, and `kwargs`, a list with an object for each; JSON text of the same will
    /// do, as tables hold it. A row without instructions is read too: every response ties.
    ///
    /// # Errors
    ///
    /// A column that is missing or no such list, lists of different lengths, an instruction that cannot be read.
    pub fn from_row(row: &Map<String, Value>) -> Result<Self, InstructionError> {
        let ids = list(row, "instruction_id_list", "a list of instruction ids")?;
        let kwargs = list(row, "kwargs", "a list of objects")?;
        if ids.len() != kwargs.len() {
            let (ids, kwargs) = (ids.len(), kwargs.len());
            return Err(InstructionError::Lengths { ids, kwargs });
        }
        let none = Map::new();
        let read = |(id, kwargs): (&Value, &Value)| {
            let id = id.as_str().ok_or(InstructionError::Column {
                column: "instruction_id_list",
                expected: "a list of instruction ids",
            })?;
            let kwargs = match kwargs {
                Value::Object(kwargs) => kwargs,
                Value::Null => &none,
                _ => {
                    return Err(InstructionError::Column {
                        column: "kwargs",
                        expected: "a list of objects",
                    });
                }
            };
            Instruction::from_row(id, kwargs)
        };
        let instructions = ids
            .iter()
            .zip(&kwargs)
            .map(read)
            .collect::<Result<_, _>>()?;
        Ok(Self(instructions))
    }

    /// The instructions, in the row's order.
    #[must_use]
    pub fn as_slice(&self) -> &[Instruction] {
        &self.0
    }

    /// Whether a response follows each of the instructions, in the row's order.
    #[must_use]
    pub fn verdicts(&self, response: &str, mode: InstructionMode) -> Vec<bool> {
        let variants = match mode {
            InstructionMode::Strict => vec![response.to_owned()],
            InstructionMode::Loose => distinct_variants(response),
        };
        let follows =
            |instruction: &Instruction| variants.iter().any(|variant| instruction.follows(variant));
        self.0.iter().map(follows).collect()
    }

    /// How many of the instructions a response follows.
    #[must_use]
    pub fn followed(&self, response: &str, mode: InstructionMode) -> usize {
        let verdicts = self.verdicts(response, mode);
        verdicts.into_iter().filter(|&follows| follows).count()
    }
}

/// A column that is a list, or JSON text of one.
fn list(
    row: &Map<String, Value>,
    column: &'static str,
    expected: &'static str,
) -> Result<Vec<Value>, InstructionError> {
    let value = match row.get(column) {
        None | Some(Value::Null) => return Err(InstructionError::NoColumn(column)),
        Some(Value::String(text)) => serde_json::from_str(text).ok(),
        Some(value) => Some(value.clone()),
    };
    match value {
        Some(Value::Array(values)) => Ok(values),
        _ => Err(InstructionError::Column { column, expected }),
    }
}

/// Configuration of [`InstructionsOracle`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InstructionsOracleConfig {
    /// When an instruction counts as followed.
    pub mode: InstructionMode,
}

impl InstructionsOracleConfig {
    /// Builds the oracle.
    ///
    /// # Errors
    ///
    /// None: every configuration that can be read is valid.
    pub fn init(self) -> Result<InstructionsOracle, OracleConfigError> {
        Ok(InstructionsOracle { config: self })
    }
}

/// P(a > b | x) = 1 if a follows more of the instructions of x than b, 0 if fewer, 1/2 if as many.
///
/// The instructions are in the columns `instruction_id_list` and `kwargs` of the prompt's row, as in IFEval.
///
/// ```
/// use inpo_data::{Completion, Prompt};
/// use inpo_game::{Comparison, PreferenceOracle};
/// use inpo_oracle::InstructionsOracleConfig;
///
/// let oracle = InstructionsOracleConfig::default().init()?;
/// let mut prompt = Prompt::user("Write a haiku about rain. Use no commas.");
/// prompt.metadata.insert("instruction_id_list".into(), vec!["punctuation:no_comma"].into());
/// prompt.metadata.insert("kwargs".into(), "[{}]".into());
/// let good = Completion::finished("Rain on the tin roof");
/// let bad = Completion::finished("Rain, rain, go away");
/// let verdicts = oracle.compare(&[Comparison { prompt: &prompt, first: &good, second: &bad }])?;
/// assert_eq!(verdicts[0].get(), 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct InstructionsOracle {
    config: InstructionsOracleConfig,
}

impl PreferenceOracle<Prompt, Completion> for InstructionsOracle {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, Prompt, Completion>],
    ) -> Result<Vec<Preference>, OracleError> {
        // A prompt and a response stand in many comparisons of a batch: by their addresses each is read once.
        let mut instructions: HashMap<*const Prompt, Instructions> = HashMap::new();
        let mut counts: HashMap<(*const Prompt, *const Completion), usize> = HashMap::new();
        let mut preferences = Vec::with_capacity(comparisons.len());
        for (index, comparison) in comparisons.iter().enumerate() {
            let prompt = ptr::from_ref(comparison.prompt);
            let row = match instructions.entry(prompt) {
                Entry::Occupied(read) => read.into_mut(),
                Entry::Vacant(place) => {
                    let read = Instructions::from_row(&comparison.prompt.metadata);
                    let invalid = |error: InstructionError| OracleError::Invalid {
                        index,
                        reason: error.to_string(),
                    };
                    place.insert(read.map_err(invalid)?)
                }
            };
            let mut followed = |completion: &Completion| {
                let key = (prompt, ptr::from_ref(completion));
                let count = || row.followed(&completion.text, self.config.mode);
                *counts.entry(key).or_insert_with(count)
            };
            let (first, second) = (followed(comparison.first), followed(comparison.second));
            preferences.push(match first.cmp(&second) {
                Ordering::Greater => Preference::WIN,
                Ordering::Equal => Preference::HALF,
                Ordering::Less => Preference::LOSS,
            });
        }
        Ok(preferences)
    }

    fn name(&self) -> String {
        format!("instructions(mode={})", self.config.mode.name())
    }
}

#[cfg(test)]
mod tests;
