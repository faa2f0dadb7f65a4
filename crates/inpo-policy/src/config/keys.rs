//! Typed access to the keys of a JSON object; every refusal names file and key.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{PolicyError, excerpt};

/// The largest JSON configuration that is read.
const LARGEST_JSON: u64 = 16 << 20;

/// Reads a file that holds one JSON object.
pub(crate) fn read_object(path: &Path) -> Result<Map<String, Value>, PolicyError> {
    let json = |reason: String| PolicyError::Json {
        path: path.to_path_buf(),
        reason,
    };
    let file = inpo_data::input::open(path);
    let size = file.and_then(|file| file.metadata());
    let size = size.map_err(PolicyError::read(path))?.len();
    if size > LARGEST_JSON {
        return Err(json(format!(
            "it has {size} bytes, and at most {LARGEST_JSON} are read"
        )));
    }
    let text = std::fs::read(path).map_err(PolicyError::read(path))?;
    match serde_json::from_slice(&text).map_err(|e| json(e.to_string()))? {
        Value::Object(object) => Ok(object),
        _ => Err(json("an object is expected at the top".to_owned())),
    }
}

/// A JSON object, the file that it comes from and the prefix of its keys in messages.
pub(crate) struct Keys<'a> {
    object: &'a Map<String, Value>,
    path: &'a Path,
    prefix: &'a str,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(object: &'a Map<String, Value>, path: &'a Path, prefix: &'a str) -> Self {
        Self {
            object,
            path,
            prefix,
        }
    }

    fn full(&self, key: &str) -> String {
        format!("{}{}", self.prefix, key)
    }

    /// The value of `key`; `null` counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// The error for a value that cannot be used.
    pub(crate) fn refuse(&self, key: &str, found: String, allowed: &str) -> PolicyError {
        PolicyError::ConfigValue {
            path: self.path.to_path_buf(),
            key: self.full(key),
            found,
            allowed: allowed.to_owned(),
        }
    }

    /// The error for a key that must be there.
    pub(crate) fn missing(&self, key: &str) -> PolicyError {
        PolicyError::MissingConfigKey {
            path: self.path.to_path_buf(),
            key: self.full(key),
        }
    }

    fn typed<T>(
        &self,
        key: &str,
        kind: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, PolicyError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(self.refuse(key, shown(value), &format!("it must be {kind}"))),
        }
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, PolicyError> {
        self.typed(key, "a string", Value::as_str)
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, PolicyError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, PolicyError> {
        self.typed(key, "a number", Value::as_f64)
    }

    pub(super) fn size(&self, key: &str) -> Result<Option<usize>, PolicyError> {
        self.typed(key, "a whole number", |v| {
            v.as_u64().and_then(|n| usize::try_from(n).ok())
        })
    }

    pub(super) fn required_size(&self, key: &str) -> Result<usize, PolicyError> {
        self.size(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn required_number(&self, key: &str) -> Result<f64, PolicyError> {
        self.number(key)?.ok_or_else(|| self.missing(key))
    }

    /// A token id or a list of them; absent: none, as is -1.
    pub(super) fn ids(&self, key: &str) -> Result<Vec<u32>, PolicyError> {
        let id = |v: &Value| match v.as_i64() {
            Some(-1) => Some(None),
            Some(n) => u32::try_from(n).ok().map(Some),
            None => None,
        };
        let read = |v: &Value| match v {
            Value::Array(list) => list.iter().map(id).collect::<Option<Vec<_>>>(),
            one => id(one).map(|id| vec![id]),
        };
        let ids = self.typed(key, "a token id or a list of token ids", read)?;
        Ok(ids.into_iter().flatten().flatten().collect())
    }

    /// Whether `key` is there, `null` or not.
    pub(super) fn present(&self, key: &str) -> bool {
        self.object.contains_key(key)
    }

    /// A list of one entry for each of `length` layers.
    pub(super) fn list(
        &self,
        key: &str,
        length: usize,
    ) -> Result<Option<&'a [Value]>, PolicyError> {
        let kind = format!("a list of num_hidden_layers, {length}, entries");
        self.typed(key, &kind, |value| {
            let list = value.as_array().filter(|list| list.len() == length);
            list.map(Vec::as_slice)
        })
    }

    /// The keys of an object inside this one.
    pub(super) fn inner(&self, object: &'a Map<String, Value>, prefix: &'a str) -> Keys<'a> {
        Keys::new(object, self.path, prefix)
    }

    pub(super) fn object(&self, key: &str) -> Result<Option<&'a Map<String, Value>>, PolicyError> {
        self.typed(key, "an object", Value::as_object)
    }

    /// Refuses every key that is not null and not `known`.
    pub(crate) fn nothing_else(&self, known: impl Fn(&str) -> bool) -> Result<(), PolicyError> {
        match self
            .object
            .iter()
            .find(|(key, value)| !value.is_null() && !known(key))
        {
            None => Ok(()),
            Some((key, _)) => Err(PolicyError::UnknownConfigKey {
                path: self.path.to_path_buf(),
                key: self.full(key),
            }),
        }
    }
}

/// A value as messages show it.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => excerpt(text),
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}
