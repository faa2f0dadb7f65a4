//! A configuration from a TOML file and overrides of its settings.

use std::path::Path;

use inpo_data::DataError;
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
    let trimmed = |e: toml::de::Error| e.to_string().trim_end().to_owned();
    let config: T = if overrides.is_empty() {
        toml::from_str(text).map_err(|e| fail(trimmed(e)))?
    } else {
        let table: toml::Table = toml::from_str(text).map_err(|e| fail(trimmed(e)))?;
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
            reason: trimmed(e),
        })?
    };
    validate(&config).map_err(|e| fail(e.to_string()))?;
    Ok(config)
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
