//! The metadata of a GGUF file: typed access whose refusals name file and key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{PolicyError, excerpt};

/// A metadata value.
#[derive(Debug, PartialEq)]
pub(crate) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    String(String),
    Strings(Vec<String>),
    Integers(Vec<i64>),
    Floats(Vec<f32>),
    Flags(Vec<bool>),
    /// An array of a type that is not kept.
    Other,
}

impl Value {
    fn describe(&self) -> String {
        match self {
            Self::Unsigned(n) => n.to_string(),
            Self::Signed(n) => n.to_string(),
            Self::Float(x) => x.to_string(),
            Self::Bool(b) => b.to_string(),
            Self::String(text) => excerpt(text),
            Self::Strings(list) => format!("a list of {} strings", list.len()),
            Self::Integers(list) => format!("a list of {} numbers", list.len()),
            Self::Floats(list) => format!("a list of {} numbers", list.len()),
            Self::Flags(list) => format!("a list of {} truth values", list.len()),
            Self::Other => "a list".to_owned(),
        }
    }
}

/// The metadata of a GGUF file, with the path that messages name.
#[derive(Debug)]
pub(crate) struct Metadata {
    values: BTreeMap<String, Value>,
    path: PathBuf,
}

impl Metadata {
    pub(crate) fn new(values: BTreeMap<String, Value>, path: PathBuf) -> Self {
        Self { values, path }
    }

    /// The error for a value that cannot be used.
    pub(crate) fn refuse(&self, key: &str, found: String, allowed: &str) -> PolicyError {
        PolicyError::ConfigValue {
            path: self.path.clone(),
            key: key.to_owned(),
            found,
            allowed: allowed.to_owned(),
        }
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        kind: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, PolicyError> {
        let Some(value) = self.values.get(key) else {
            return Ok(None);
        };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(self.refuse(key, value.describe(), &format!("it must be {kind}"))),
        }
    }

    pub(crate) fn unsigned(&self, key: &str) -> Result<Option<u64>, PolicyError> {
        self.typed(key, "a whole number", |value| match value {
            Value::Unsigned(n) => Some(*n),
            Value::Signed(n) => u64::try_from(*n).ok(),
            _ => None,
        })
    }

    /// A whole number, or a list of one for each layer that are all the same.
    pub(super) fn size(&self, key: &str) -> Result<Option<usize>, PolicyError> {
        if let Some(Value::Integers(list)) = self.values.get(key) {
            let same = |first: &&i64| list.iter().all(|n| n == *first);
            let Some(&same) = list.first().filter(same) else {
                let found = self.values[key].describe();
                return Err(self.refuse(key, found, "it must be the same in every layer"));
            };
            let size = usize::try_from(same).map(Some);
            return size
                .map_err(|_| self.refuse(key, same.to_string(), "it must be a whole number"));
        }
        // A number above usize is refused by the bounds of ModelConfig.
        Ok(self
            .unsigned(key)?
            .map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
    }

    pub(super) fn required_size(&self, key: &str) -> Result<usize, PolicyError> {
        self.size(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn missing(&self, key: &str) -> PolicyError {
        PolicyError::MissingConfigKey {
            path: self.path.clone(),
            key: key.to_owned(),
        }
    }

    /// A finite number.
    pub(super) fn float(&self, key: &str) -> Result<Option<f64>, PolicyError> {
        self.typed(key, "a finite number", |value| match value {
            Value::Float(x) if x.is_finite() => Some(*x),
            Value::Unsigned(n) => Some(*n as f64),
            Value::Signed(n) => Some(*n as f64),
            _ => None,
        })
    }

    pub(super) fn required_float(&self, key: &str) -> Result<f64, PolicyError> {
        self.float(key)?.ok_or_else(|| self.missing(key))
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, PolicyError> {
        self.typed(key, "a string", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, PolicyError> {
        self.typed(key, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    pub(crate) fn strings(&self, key: &str) -> Result<Option<&[String]>, PolicyError> {
        self.typed(key, "a list of strings", |value| match value {
            Value::Strings(list) => Some(list.as_slice()),
            _ => None,
        })
    }

    pub(crate) fn integers(&self, key: &str) -> Result<Option<&[i64]>, PolicyError> {
        self.typed(key, "a list of whole numbers", |value| match value {
            Value::Integers(list) => Some(list.as_slice()),
            _ => None,
        })
    }

    pub(crate) fn floats(&self, key: &str) -> Result<Option<&[f32]>, PolicyError> {
        self.typed(key, "a list of numbers", |value| match value {
            Value::Floats(list) => Some(list.as_slice()),
            _ => None,
        })
    }

    pub(super) fn flags(&self, key: &str) -> Result<Option<&[bool]>, PolicyError> {
        self.typed(key, "a list of truth values", |value| match value {
            Value::Flags(list) => Some(list.as_slice()),
            _ => None,
        })
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A token id; -1 is none, in whichever type it is written.
    pub(crate) fn id(&self, key: &str) -> Result<Option<u32>, PolicyError> {
        self.typed(key, "a token id", |value| match value {
            Value::Unsigned(n) => u32::try_from(*n).ok(),
            Value::Signed(-1) => Some(u32::MAX),
            Value::Signed(n) => u32::try_from(*n).ok(),
            _ => None,
        })
        .map(|id| id.filter(|id| *id != u32::MAX))
    }

    /// Whether the value of `key` is the number or truth value `wanted`.
    pub(super) fn is(&self, key: &str, wanted: f64) -> bool {
        match self.values.get(key) {
            Some(Value::Unsigned(n)) => *n as f64 == wanted,
            Some(Value::Signed(n)) => *n as f64 == wanted,
            Some(Value::Float(x)) => *x == wanted,
            Some(Value::Bool(flag)) => f64::from(u8::from(*flag)) == wanted,
            _ => false,
        }
    }

    /// The value of `key` as messages show it.
    pub(super) fn shown(&self, key: &str) -> String {
        self.values
            .get(key)
            .map_or_else(|| "absent".to_owned(), Value::describe)
    }
}
