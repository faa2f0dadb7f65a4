//! Compares the settings of a run with those that its directory was written with.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// The settings in which `saved`, TOML, differs from `config`, each with its old and its new value. The device is left
/// out, as a run may be resumed elsewhere, and so are the checkpoints, which change nothing of its result. Settings that an older version did not know have their defaults.
///
/// # Errors
///
/// Settings that cannot be read, in words.
pub(crate) fn changed_settings<T: DeserializeOwned + Serialize>(
    saved: &str,
    config: &T,
) -> Result<Vec<String>, String> {
    let saved: T = toml::from_str(saved).map_err(|e| e.to_string().trim_end().to_owned())?;
    let [saved, now] = [&saved, config].map(|config| {
        let mut table = Table::try_from(config).expect("a configuration is TOML");
        table.remove("device");
        if let Some(train) = table.get_mut("train").and_then(Value::as_table_mut) {
            train.retain(|key, _| !["save_steps", "save_total_limit"].contains(&key));
        }
        table
    });
    let mut changed = Vec::new();
    compare("", &saved, &now, &mut changed);
    Ok(changed)
}

fn compare(section: &str, saved: &Table, now: &Table, changed: &mut Vec<String>) {
    let added = now.keys().filter(|&key| !saved.contains_key(key));
    for key in saved.keys().chain(added) {
        let name = match section {
            "" => key.clone(),
            section => format!("{section}.{key}"),
        };
        let word = |value: Option<&Value>| value.map_or("absent".to_owned(), Value::to_string);
        match (saved.get(key), now.get(key)) {
            (Some(Value::Table(saved)), Some(Value::Table(now))) => {
                compare(&name, saved, now, changed);
            }
            (was, is) if was != is => {
                changed.push(format!("`{name}` was {}, is {}", word(was), word(is)));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TrainConfig;

    const TEXT: &str = "output_dir = 'runs/a'\nseed = 3\n[policy]\nmodel = 'm'\nlora = { rank = 4 }\n\
                        [data]\npairs = 'p.jsonl'\n[objective]\neta = 0.1\n[train]\nlearning_rate = 1e-3\n";

    fn changed(saved: &str, overrides: &[&str]) -> Vec<String> {
        let overrides: Vec<String> = overrides.iter().map(|&o| o.to_owned()).collect();
        let config = TrainConfig::parse(TEXT, "train.toml", &overrides).unwrap();
        changed_settings(saved, &config).unwrap()
    }

    #[test]
    fn every_changed_key_is_named_with_both_values() {
        let whole = TrainConfig::parse(TEXT, "train.toml", &[]).unwrap();
        let whole = toml::to_string_pretty(&whole).unwrap();
        assert_eq!(changed(&whole, &[]), [""; 0]);
        assert_eq!(changed(&whole, &["device=cuda:0"]), [""; 0]);
        assert_eq!(
            changed(&whole, &["train.save_steps=5", "train.save_total_limit=2"]),
            [""; 0]
        );
        assert_eq!(
            changed(&whole, &["train.learning_rate=2e-3"]),
            ["`train.learning_rate` was 0.001, is 0.002"]
        );
        assert_eq!(
            changed(
                &whole,
                &["policy.lora.rank=8", "policy.max_length=64", "seed=4"]
            ),
            [
                "`policy.lora.rank` was 4, is 8",
                "`policy.max_length` was absent, is 64",
                "`seed` was 3, is 4"
            ]
        );
        // A section that is there on one side only.
        let full = whole.split("[policy.lora]").next().unwrap().to_owned()
            + &whole[whole.find("[data]").unwrap()..];
        let [only] = changed(&full, &[]).try_into().unwrap();
        assert!(
            only.starts_with("`policy.lora` was absent, is {") && only.contains("rank = 4"),
            "{only}"
        );
    }

    /// What an older version wrote lacks the keys that it did not have.
    #[test]
    fn keys_that_are_not_there_have_their_defaults() {
        assert_eq!(changed(TEXT, &[]), [""; 0]);
        assert_eq!(
            changed(TEXT, &["train.gradient_checkpointing=true"]),
            ["`train.gradient_checkpointing` was false, is true"]
        );
        assert_eq!(
            changed(TEXT, &["policy.lora.dropout=0.5"]),
            ["`policy.lora.dropout` was 0.0, is 0.5"]
        );
    }

    #[test]
    fn settings_that_cannot_be_read_say_why() {
        let config = TrainConfig::parse(TEXT, "train.toml", &[]).unwrap();
        let error = changed_settings(&format!("{TEXT}colour = 1\n"), &config).unwrap_err();
        assert!(error.contains("colour"), "{error}");
    }
}
