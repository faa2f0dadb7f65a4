//! A configuration from a TOML file and overrides of its settings.

use std::path::Path;

use inpo_data::{DataError, in_toml};
use serde::de::DeserializeOwned;

use crate::error::TrainError;

pub(crate) fn load<T: DeserializeOwned>(
    path: &Path,
    overrides: &[String],
    validate: impl Fn(&T) -> Result<(), TrainError>,
) -> Result<T, TrainError> {
    let text = inpo_data::input::read_text(path).map_err(DataError::read(path))?;
    parse(&text, &path.display().to_string(), overrides, validate)
}

pub(crate) fn parse<T: DeserializeOwned>(
    text: &str,
    origin: &str,
    overrides: &[String],
    validate: impl Fn(&T) -> Result<(), TrainError>,
) -> Result<T, TrainError> {
    let fail = |reason: String| TrainError::Config {
        origin: origin.to_owned(),
        reason,
    };
    let in_text = |e: toml::de::Error| {
        let words = in_toml(text, e.span(), e.message());
        match text.parse::<toml::Table>() {
            Ok(_) => fail(words),
            Err(_) => fail(format!("not TOML: {words}")),
        }
    };
    let config: T = if overrides.is_empty() {
        toml::from_str(text).map_err(in_text)?
    } else {
        let table: toml::Table = toml::from_str(text).map_err(in_text)?;
        let mut table = toml::Value::Table(table);
        for entry in overrides {
            set(&mut table, entry).map_err(|reason| TrainError::Config {
                origin: format!("--set {entry}"),
                reason,
            })?;
        }
        let merged = || format!("{origin} with --set {}", overrides.join(" --set "));
        table.try_into().map_err(|e| TrainError::Config {
            origin: merged(),
            reason: in_table(&e),
        })?
    };
    validate(&config).map_err(|e| fail(e.to_string()))?;
    Ok(config)
}

/// What is wrong with a table that has no text: the key that the library names, and its message in words.
fn in_table(error: &toml::de::Error) -> String {
    let whole = error.to_string();
    let key = whole.lines().find_map(|line| line.strip_prefix("in `"));
    let words = in_toml("", None, error.message());
    match key.and_then(|key| key.strip_suffix('`')) {
        Some(key) => format!("`{key}`: {words}"),
        None => words,
    }
}

fn set(table: &mut toml::Value, entry: &str) -> Result<(), String> {
    let (key, value) = entry
        .split_once('=')
        .ok_or("expected key=value, for instance train.learning_rate=1e-5")?;
    let value = value.trim();
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut place = table;
    let mut parts = key.trim().split('.').peekable();
    while let Some(part) = parts.next() {
        let inner = place
            .as_table_mut()
            .ok_or_else(|| format!("`{key}`: the part before `{part}` is not a section"))?;
        if parts.peek().is_none() {
            inner.insert(part.to_owned(), parsed);
            return Ok(());
        }
        place = inner
            .entry(part)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
    }
    Ok(())
}
