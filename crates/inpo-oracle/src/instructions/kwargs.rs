//! The keyword arguments of an instruction.

use serde_json::{Map, Value};

use super::error::InstructionError;
use super::pattern::Pattern;

/// The arguments that a row gives one instruction. Entries that are null count as absent.
pub(super) struct Kwargs<'r> {
    id: &'static str,
    values: &'r Map<String, Value>,
}

/// How a count is bounded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    /// `less than`
    LessThan(usize),
    /// `at least`
    AtLeast(usize),
}

impl Bound {
    /// Whether a count is within the bound.
    pub(super) fn holds(self, count: usize) -> bool {
        match self {
            Self::LessThan(bound) => count < bound,
            Self::AtLeast(bound) => count >= bound,
        }
    }
}

impl<'r> Kwargs<'r> {
    /// The arguments of the instruction `id`, which takes those named `known` and no others.
    pub(super) fn new(
        id: &'static str,
        known: &[&'static str],
        values: &'r Map<String, Value>,
    ) -> Result<Self, InstructionError> {
        let mut given = values.iter().filter(|(_, value)| !value.is_null());
        match given.find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, _)) => Err(InstructionError::Unknown {
                id,
                key: key.clone(),
                known: match known {
                    [] => "none".to_owned(),
                    known => known.join(", "),
                },
            }),
            None => Ok(Self { id, values }),
        }
    }

    fn value(&self, key: &'static str) -> Result<&'r Value, InstructionError> {
        let value = self.values.get(key).filter(|value| !value.is_null());
        value.ok_or(InstructionError::Missing { id: self.id, key })
    }

    /// The error of an argument that is not what it must be.
    pub(super) fn wrong(&self, key: &'static str, expected: &'static str) -> InstructionError {
        let got = self.values.get(key).cloned().unwrap_or_default();
        InstructionError::Wrong {
            id: self.id,
            key,
            expected,
            got,
        }
    }

    /// A whole number, also one that a table wrote with a decimal point.
    pub(super) fn count(&self, key: &'static str) -> Result<usize, InstructionError> {
        let value = self.value(key)?;
        let whole = |x: &f64| x.fract() == 0.0 && (0.0..1e15).contains(x);
        let count = value
            .as_u64()
            .or(value.as_f64().filter(whole).map(|x| x as u64));
        count
            .and_then(|count| usize::try_from(count).ok())
            .ok_or_else(|| self.wrong(key, "a whole number of at least 0"))
    }

    /// A text.
    pub(super) fn text(&self, key: &'static str) -> Result<&'r str, InstructionError> {
        let text = self.value(key)?.as_str().filter(|text| !text.is_empty());
        text.ok_or_else(|| self.wrong(key, "a text"))
    }

    /// Texts, at least one.
    pub(super) fn texts(&self, key: &'static str) -> Result<Vec<&'r str>, InstructionError> {
        let texts = self
            .value(key)?
            .as_array()
            .filter(|texts| !texts.is_empty());
        let texts = texts.and_then(|texts| texts.iter().map(Value::as_str).collect());
        texts.ok_or_else(|| self.wrong(key, "a list of texts"))
    }

    /// A count and its relation.
    pub(super) fn bound(
        &self,
        count: &'static str,
        relation: &'static str,
    ) -> Result<Bound, InstructionError> {
        let count = self.count(count)?;
        match self.text(relation)? {
            "less than" => Ok(Bound::LessThan(count)),
            "at least" => Ok(Bound::AtLeast(count)),
            _ => Err(self.wrong(relation, "`less than` or `at least`")),
        }
    }

    /// An argument as a regular expression, as the published checkers take it.
    pub(super) fn pattern(
        &self,
        key: &'static str,
        compiled: Result<Pattern, String>,
    ) -> Result<Pattern, InstructionError> {
        compiled.map_err(|reason| InstructionError::Pattern {
            id: self.id,
            key,
            reason,
        })
    }
}
