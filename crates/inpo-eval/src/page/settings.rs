//! The settings of a run, flat, and how those of several runs differ.

use std::collections::BTreeSet;

use serde::Serialize;

use super::RunReport;

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its key with its section, as `--set` takes it.
    pub key: String,
    /// Its value, as TOML writes it.
    pub value: String,
}

/// A setting in which runs differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its key.
    pub key: String,
    /// Its value in each run; none where the run's settings do not have it.
    pub values: Vec<Option<String>>,
}

/// All settings of a table, in its order.
pub(super) fn flat(table: &toml::Table) -> Vec<Setting> {
    let mut settings = Vec::new();
    add(&mut settings, "", table);
    settings
}

fn add(settings: &mut Vec<Setting>, section: &str, table: &toml::Table) {
    for (name, value) in table {
        let key = match section {
            "" => name.clone(),
            section => format!("{section}.{name}"),
        };
        match value {
            toml::Value::Table(inner) => add(settings, &key, inner),
            value => settings.push(Setting {
                key,
                value: value.to_string(),
            }),
        }
    }
}

/// The settings in which runs differ, but for `output_dir`, by their keys.
pub(super) fn differences(runs: &[RunReport]) -> Vec<Difference> {
    let settings = runs.iter().flat_map(|run| &run.settings);
    let keys: BTreeSet<&String> = settings.map(|setting| &setting.key).collect();
    let value = |run: &RunReport, key: &str| {
        let found = run.settings.iter().find(|setting| setting.key == key);
        found.map(|setting| setting.value.clone())
    };
    keys.into_iter()
        .filter(|key| *key != "output_dir")
        .filter_map(|key| {
            let values: Vec<_> = runs.iter().map(|run| value(run, key)).collect();
            let differ = values.iter().any(|value| *value != values[0]);
            differ.then(|| Difference {
                key: key.clone(),
                values,
            })
        })
        .collect()
}

/// A path for a shell: as it is where that is safe, else in quotes.
pub(super) fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !path.is_empty() && path.chars().all(is_plain) {
        return path.to_owned();
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_flat_and_paths_quoted() {
        let table: toml::Table = "a = 1\n[b]\nc = ['x', 'y']\n[b.d]\ne = 0.5\n"
            .parse()
            .unwrap();
        let flat = flat(&table);
        let lines: Vec<String> = flat
            .iter()
            .map(|s| format!("{}={}", s.key, s.value))
            .collect();
        assert_eq!(lines, ["a=1", "b.c=[\"x\", \"y\"]", "b.d.e=0.5"]);
        assert_eq!(quoted("runs/a-1"), "runs/a-1");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
