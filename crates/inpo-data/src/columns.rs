//! The columns of a row.

use std::ops::Deref;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::PromptInput;
use crate::text::quoted;

/// The columns of a row, by their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns {
    values: Map<String, Value>,
    /// Columns that hold a number that JSON does not know (NaN, an infinity), each of which is null in `values`.
    not_finite: Vec<String>,
}

impl Columns {
    /// Columns, with the names of those in which a null stands for a number that is not finite.
    #[must_use]
    pub(crate) fn new(values: Map<String, Value>, not_finite: Vec<String>) -> Self {
        Self { values, not_finite }
    }

    /// The columns alone; a number that is not finite is null.
    #[must_use]
    pub fn into_map(self) -> Map<String, Value> {
        self.values
    }

    /// A column, when it is there and not null; `what` says in an error what it should be.
    ///
    /// # Errors
    ///
    /// A value of another type, or with a number that is not finite, in words.
    pub fn read<T: DeserializeOwned>(&self, key: &str, what: &str) -> Result<Option<T>, String> {
        let value = self.value(key)?.cloned();
        value
            .map(serde_json::from_value)
            .transpose()
            .map_err(|_| format!("`{key}` is not {what}"))
    }

    /// A column with a conversation: text, messages, or one message.
    ///
    /// # Errors
    ///
    /// In words, what is wrong with which message.
    pub fn conversation(&self, key: &str) -> Result<Option<PromptInput>, String> {
        let value = self.value(key)?;
        let read = |value| PromptInput::from_json(value).map_err(|e| format!("`{key}`: {e}"));
        value.map(read).transpose()
    }

    /// The value of a column, when it is there and not null.
    ///
    /// # Errors
    ///
    /// A number that is not finite, in words.
    pub fn value(&self, key: &str) -> Result<Option<&Value>, String> {
        if self.not_finite.iter().any(|name| name == key) {
            return Err(format!(
                "`{key}` holds NaN or an infinity, which is no value; correct it, or leave the column out"
            ));
        }
        Ok(self.values.get(key).filter(|value| !value.is_null()))
    }

    /// The names of all columns, for a message.
    #[must_use]
    pub fn names(&self) -> String {
        quoted(self.values.keys().map(String::as_str))
    }
}

impl From<Map<String, Value>> for Columns {
    fn from(values: Map<String, Value>) -> Self {
        Self::new(values, Vec::new())
    }
}

impl Deref for Columns {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.values
    }
}
