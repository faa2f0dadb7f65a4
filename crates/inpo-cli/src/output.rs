//! Outputs that a user names: refused before anything is computed, written when it is.

use std::path::{Path, PathBuf};

use inpo_core::data::files::{Output, check_directory};
use inpo_core::data::input;
use serde_json::{Map, Value};

use crate::error::CliError;
use crate::print::lines;

/// Files and directories that a command reads.
#[derive(Debug, Default)]
pub(crate) struct Inputs(Vec<PathBuf>);

impl Inputs {
    /// Files that are read.
    pub(crate) fn files<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Self(files.into_iter().cloned().collect())
    }

    /// Adds a model by its name, where that is a path, with the other parts of a GGUF file.
    pub(crate) fn model(mut self, name: &str, adapter: Option<&PathBuf>) -> Self {
        let path = PathBuf::from(name);
        let of_several = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.contains("-of-") && name.ends_with(".gguf")
        };
        if of_several(&path) {
            let beside = std::fs::read_dir(path.parent().unwrap_or(Path::new("")));
            let beside = beside.into_iter().flatten().flatten();
            let parts = beside.map(|entry| entry.path());
            self.0.extend(parts.filter(|path| of_several(path)));
        }
        self.0.push(path);
        self.0.extend(adapter.cloned());
        self
    }

    /// Adds a TOML file and the files that its texts name; one that cannot be read names none.
    pub(crate) fn settings(mut self, path: &Path) -> Self {
        // A pipe can be read once, by the command itself.
        let text = input::read(path).unwrap_or_default();
        let text = String::from_utf8(text).unwrap_or_default();
        if let Ok(table) = text.parse::<toml::Table>() {
            self.named_in(&toml::Value::Table(table));
        }
        self.0.push(path.to_owned());
        self
    }

    fn named_in(&mut self, value: &toml::Value) {
        match value {
            toml::Value::String(text) => self.0.push(PathBuf::from(text)),
            toml::Value::Array(values) => values.iter().for_each(|value| self.named_in(value)),
            toml::Value::Table(table) => table.values().for_each(|value| self.named_in(value)),
            _ => {}
        }
    }

    /// Checks `outputs`, each with its flag: each can be written, none is an input, and no two are one file.
    ///
    /// # Errors
    ///
    /// The first that cannot be used, with its flag.
    pub(crate) fn outputs<const N: usize>(
        &self,
        outputs: [(&'static str, Option<&PathBuf>); N],
    ) -> Result<[Option<Output>; N], CliError> {
        let mut checked: Vec<(&str, Output)> = Vec::new();
        for (flag, path) in outputs {
            let Some(path) = path else { continue };
            let about = |error| CliError::from(error).about(flag);
            let output = Output::check(path).map_err(about)?;
            output.check_apart(&self.0).map_err(about)?;
            if let Some((other, _)) = checked.iter().find(|(_, o)| o.is_same_file(&output)) {
                let path = path.display();
                return Err(CliError::Input(format!(
                    "{flag}: {path}: this is the file of {other}; name another one"
                )));
            }
            checked.push((flag, output));
        }
        Ok(outputs.map(|(flag, _)| {
            let of_flag = checked.iter().find(|(name, _)| *name == flag);
            of_flag.map(|(_, output)| output.clone())
        }))
    }
}

/// Checks that a folder can be written to, or made.
///
/// # Errors
///
/// A file in its place, or one whose directory cannot be written.
pub(crate) fn check_folder(flag: &str, folder: &Path) -> Result<(), CliError> {
    check_directory(folder).map_err(|error| CliError::from(error).about(flag))
}

/// Writes rows to the output, or to standard output without one.
pub(crate) fn write_rows(
    output: Option<&Output>,
    rows: Vec<Map<String, Value>>,
) -> Result<(), CliError> {
    match output {
        Some(output) => Ok(output.write_jsonl(&rows)?),
        None => lines(rows.into_iter().map(|row| Value::Object(row).to_string())),
    }
}
