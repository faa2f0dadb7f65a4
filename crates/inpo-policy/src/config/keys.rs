//! Typed access to the keys of a JSON object; every refusal names file and key.

use std::path::Path;

use serde_json::{Map, Value};

use super::RopeScaling;
use crate::error::{PolicyError, excerpt};

/// The largest JSON configuration that is read.
const LARGEST_JSON: u64 = 16 << 20;

/// Reads a file that holds one JSON object.
pub(super) fn read_object(path: &Path) -> Result<Map<String, Value>, PolicyError> {
    let json = |reason: String| PolicyError::Json {
        path: path.to_path_buf(),
        reason,
    };
    let size = std::fs::metadata(path)
        .map_err(PolicyError::read(path))?
        .len();
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
pub(super) struct Keys<'a> {
    object: &'a Map<String, Value>,
    path: &'a Path,
    prefix: &'a str,
}

impl<'a> Keys<'a> {
    pub(super) fn new(object: &'a Map<String, Value>, path: &'a Path, prefix: &'a str) -> Self {
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
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// The error for a value that cannot be used.
    pub(super) fn refuse(&self, key: &str, found: String, allowed: &str) -> PolicyError {
        PolicyError::ConfigValue {
            path: self.path.to_path_buf(),
            key: self.full(key),
            found,
            allowed: allowed.to_owned(),
        }
    }

    /// The error for a key that must be there.
    pub(super) fn missing(&self, key: &str) -> PolicyError {
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
            None => Err(self.refuse(key, excerpt_json(value), &format!("it must be {kind}"))),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, PolicyError> {
        self.typed(key, "a string", Value::as_str)
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, PolicyError> {
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

    /// A token id or a list of them; absent: none.
    pub(super) fn ids(&self, key: &str) -> Result<Vec<u32>, PolicyError> {
        let id = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
        let read = |v: &Value| match v {
            Value::Array(list) => list.iter().map(id).collect(),
            one => id(one).map(|id| vec![id]),
        };
        Ok(self
            .typed(key, "a token id or a list of token ids", read)?
            .unwrap_or_default())
    }

    fn object(&self, key: &str) -> Result<Option<&'a Map<String, Value>>, PolicyError> {
        self.typed(key, "an object", Value::as_object)
    }

    /// Refuses every key that is not null and not `known`.
    pub(super) fn nothing_else(&self, known: impl Fn(&str) -> bool) -> Result<(), PolicyError> {
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

fn excerpt_json(value: &Value) -> String {
    match value {
        Value::String(text) => excerpt(text),
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}

/// The rotary base and scaling, from `rope_theta` and `rope_scaling` or from `rope_parameters`.
pub(super) fn rope(keys: &Keys) -> Result<(f64, RopeScaling), PolicyError> {
    let theta = keys.number("rope_theta")?;
    let (old, new) = (
        keys.object("rope_scaling")?,
        keys.object("rope_parameters")?,
    );
    let inner = match (old, new) {
        (None, None) => return Ok((theta.unwrap_or(10_000.0), RopeScaling::None)),
        (Some(old), None) => Keys::new(old, keys.path, "rope_scaling."),
        (None, Some(new)) => Keys::new(new, keys.path, "rope_parameters."),
        (Some(old), Some(new)) => {
            let old = scaling(&Keys::new(old, keys.path, "rope_scaling."))?;
            let new_keys = Keys::new(new, keys.path, "rope_parameters.");
            if old != scaling(&new_keys)? {
                return Err(keys.refuse(
                    "rope_parameters",
                    "another scaling than `rope_scaling`".to_owned(),
                    "the two spellings must agree; remove the wrong one",
                ));
            }
            new_keys
        }
    };
    let inner_theta = inner.number("rope_theta")?;
    if let (Some(outer), Some(inner)) = (theta, inner_theta)
        && outer != inner
    {
        let allowed =
            format!("the rotary scaling says {inner}; the two must agree, remove the wrong one");
        return Err(keys.refuse("rope_theta", outer.to_string(), &allowed));
    }
    if inner
        .number("partial_rotary_factor")?
        .is_some_and(|factor| factor != 1.0)
    {
        return Err(inner.refuse(
            "partial_rotary_factor",
            "not 1".to_owned(),
            "only 1 is implemented",
        ));
    }
    Ok((inner_theta.or(theta).unwrap_or(10_000.0), scaling(&inner)?))
}

fn scaling(keys: &Keys) -> Result<RopeScaling, PolicyError> {
    const ALWAYS: &[&str] = &["rope_type", "type", "rope_theta", "partial_rotary_factor"];
    let kind = match keys.text("rope_type")? {
        Some(kind) => kind,
        None => keys.text("type")?.unwrap_or("default"),
    };
    let (scaling, own): (RopeScaling, &[&str]) = match kind {
        "default" => (RopeScaling::None, &[]),
        "linear" => (
            RopeScaling::Linear {
                factor: keys.required_number("factor")?,
            },
            &["factor"],
        ),
        "llama3" => {
            let scaling = RopeScaling::Llama3 {
                factor: keys.required_number("factor")?,
                low_freq_factor: keys.required_number("low_freq_factor")?,
                high_freq_factor: keys.required_number("high_freq_factor")?,
                original_max_position_embeddings: keys
                    .required_size("original_max_position_embeddings")?,
            };
            let own = &[
                "factor",
                "low_freq_factor",
                "high_freq_factor",
                "original_max_position_embeddings",
            ];
            (scaling, own)
        }
        other => {
            return Err(keys.refuse(
                "rope_type",
                excerpt(other),
                "only \"default\", \"linear\" and \"llama3\" are implemented",
            ));
        }
    };
    keys.nothing_else(|key| ALWAYS.contains(&key) || own.contains(&key))?;
    Ok(scaling)
}
