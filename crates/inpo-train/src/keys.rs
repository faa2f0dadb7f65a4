//! The keys of every configuration file, as their structs declare them: type, default, meaning, from the JSON schema that
//! serde's attributes and the doc comments give.

use inpo_oracle::OracleConfig;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use crate::config::{READERS, RunConfig, TrainConfig};
use crate::judge::JudgeTrainConfig;

/// The key that says which one of several kinds a section is.
const KIND: &str = "kind";
/// In the schema, other names of a key or a word.
const ALIASES: &str = "x-aliases";
/// In the schema, the section whose keys a table has.
const KEYS_OF: &str = "x-keys-of";

/// A file that configures a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigFile {
    /// Of `inpo run`.
    Run,
    /// Of `inpo train`.
    Train,
    /// Of `inpo train-oracle`.
    Judge,
    /// Of `inpo judge`: the keys of `[oracle]` at the top level.
    Oracle,
}

impl ConfigFile {
    /// Every file.
    pub const ALL: [Self; 4] = [Self::Run, Self::Train, Self::Judge, Self::Oracle];

    /// The file's usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run.toml",
            Self::Train => "train.toml",
            Self::Judge => "judge.toml",
            Self::Oracle => "oracle.toml",
        }
    }

    /// The JSON schema (draft 2020-12) of the file.
    pub fn schema(self) -> Schema {
        match self {
            Self::Run => schema::<RunConfig>(),
            Self::Train => schema::<TrainConfig>(),
            Self::Judge => schema::<JudgeTrainConfig>(),
            Self::Oracle => schema::<OracleConfig>(),
        }
    }
}

fn schema<T: JsonSchema>() -> Schema {
    let inline = |settings: &mut SchemaSettings| settings.inline_subschemas = true;
    let settings = SchemaSettings::draft2020_12().with(inline);
    settings.into_generator().into_root_schema_for::<T>()
}

/// A section of a configuration. One that several files have alike is there once.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigSection {
    /// Its full name, for instance `policy.lora`; empty: the top level.
    pub path: String,
    /// The kind of oracle whose own keys these are.
    pub kind: Option<String>,
    /// The files that have it.
    pub files: Vec<ConfigFile>,
    /// Whether a file must have it.
    pub is_required: bool,
    /// What it is about.
    pub about: String,
    /// Its keys.
    pub keys: Vec<ConfigKey>,
}

/// A key of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigKey {
    /// Its name in its section.
    pub name: String,
    /// Whether a file must have it.
    pub is_required: bool,
    /// The type of its value in words.
    pub value: String,
    /// What it is where a file does not have it; none: see `about`.
    pub default: Option<Value>,
    /// What it means, its range and its unit.
    pub about: String,
    /// The words that it may be.
    pub words: Vec<Word>,
    /// Other names that are understood.
    pub aliases: Vec<String>,
    /// The methods, or the optimisers, that read it; empty: all.
    pub read_with: Vec<String>,
}

/// A word that a key may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// The word.
    pub name: String,
    /// Other words for the same.
    pub aliases: Vec<String>,
    /// What it means.
    pub about: String,
}

/// Every section of `run.toml`, `train.toml` and `judge.toml`, in the order of the structs, a section before those inside.
pub fn config_sections() -> Vec<ConfigSection> {
    let mut sections: Vec<ConfigSection> = Vec::new();
    for file in [ConfigFile::Run, ConfigFile::Train, ConfigFile::Judge] {
        let mut found = Vec::new();
        let top = ConfigSection {
            path: String::new(),
            kind: None,
            files: vec![file],
            is_required: true,
            about: String::new(),
            keys: Vec::new(),
        };
        walk(top, file.schema().as_value(), &mut found);
        for section in found {
            let same = |other: &&mut ConfigSection| {
                other.path == section.path
                    && other.kind == section.kind
                    && other.keys == section.keys
            };
            match sections.iter_mut().find(same) {
                Some(known) => known.files.push(file),
                None => sections.push(section),
            }
        }
    }
    sections
}

/// Adds a section with the keys of `schema`, and those inside it.
fn walk(mut section: ConfigSection, schema: &Value, into: &mut Vec<ConfigSection>) {
    let mut inside = Vec::new();
    let required = |name: &str| {
        let required = schema["required"].as_array().into_iter().flatten();
        required.into_iter().any(|key| key == name)
    };
    for (name, of_key) in schema["properties"].as_object().into_iter().flatten() {
        let about = text(&of_key["description"]);
        let keys_of = of_key[KEYS_OF].as_str();
        // Which kind a section is stands in its heading, and the kinds where their common keys are.
        if of_key["const"].is_string() {
            continue;
        }
        if let Some(table) = table(of_key).filter(|_| keys_of.is_none()) {
            let path = [section.path.as_str(), name].join(".");
            let section = ConfigSection {
                path: path.trim_start_matches('.').to_owned(),
                kind: None,
                files: section.files.clone(),
                is_required: required(name),
                about,
                keys: Vec::new(),
            };
            inside.push((section, table));
            continue;
        }
        section.keys.push(ConfigKey {
            name: name.clone(),
            is_required: required(name),
            value: match keys_of {
                Some(section) => format!("table with the keys of [{section}]"),
                None => value_words(of_key),
            },
            default: of_key.get("default").filter(|d| !d.is_null()).cloned(),
            about,
            words: words(of_key),
            aliases: texts(&of_key[ALIASES]),
            read_with: texts(&of_key[READERS]),
        });
    }
    // A section of one of several kinds: each has keys of its own.
    let kinds = schema["oneOf"].as_array().into_iter().flatten();
    let kinds = kinds.filter_map(|kind| {
        let name = kind["properties"][KIND]["const"].as_str()?;
        Some((kind, name.to_owned(), text(&kind["description"])))
    });
    let kinds: Vec<_> = kinds.collect();
    if !kinds.is_empty() {
        let word = |(_, name, about): &(&Value, String, String)| Word {
            name: name.clone(),
            aliases: Vec::new(),
            about: about.clone(),
        };
        let key = ConfigKey {
            name: KIND.to_owned(),
            is_required: true,
            value: "text".to_owned(),
            default: None,
            about: "Which one it is; each has further keys of its own.".to_owned(),
            words: kinds.iter().map(word).collect(),
            aliases: Vec::new(),
            read_with: Vec::new(),
        };
        section.keys.insert(0, key);
    }
    for (kind, name, about) in kinds {
        let of_kind = ConfigSection {
            kind: Some(name),
            about,
            is_required: false,
            keys: Vec::new(),
            ..section.clone()
        };
        inside.push((of_kind, kind));
    }
    into.push(section);
    for (section, schema) in inside {
        walk(section, schema, into);
    }
}

/// The schema of a table with keys of its own, which may be absent.
fn table(schema: &Value) -> Option<&Value> {
    let choices = schema["anyOf"].as_array().into_iter().flatten();
    let mut tables = std::iter::once(schema).chain(choices);
    tables.find(|schema| schema["properties"].is_object())
}

/// The type of a value in words.
fn value_words(schema: &Value) -> String {
    if let Some(choices) = schema["anyOf"].as_array() {
        let mut all: Vec<String> = choices.iter().map(value_words).collect();
        all.retain(|words| !words.is_empty());
        all.dedup();
        return all.join(" or ");
    }
    let of_type = |name: &str| match name {
        "integer" => "whole number".to_owned(),
        "number" => "number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => format!("list of {}s", value_words(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("table of {}s", value_words(&schema["additionalProperties"]))
        }
        "object" => "table".to_owned(),
        "null" => String::new(),
        _ => "text".to_owned(),
    };
    match &schema["type"] {
        Value::String(name) => of_type(name),
        Value::Array(names) => {
            let all = names.iter().filter_map(Value::as_str).map(of_type);
            let all: Vec<String> = all.filter(|words| !words.is_empty()).collect();
            all.join(" or ")
        }
        _ => match &schema["const"] {
            Value::String(word) => format!("\"{word}\""),
            _ => "text".to_owned(),
        },
    }
}

/// The words that a value, or each value of a list, may be.
fn words(schema: &Value) -> Vec<Word> {
    if schema["items"].is_object() {
        return words(&schema["items"]);
    }
    let word = |name: &Value, schema: &Value| {
        Some(Word {
            name: name.as_str()?.to_owned(),
            aliases: texts(&schema[ALIASES]),
            about: text(&schema["description"]),
        })
    };
    let mut all = Vec::new();
    for form in ["oneOf", "anyOf"] {
        for choice in schema[form].as_array().into_iter().flatten() {
            all.extend(words(choice));
        }
    }
    all.extend(word(&schema["const"], schema));
    let plain = schema["enum"].as_array().into_iter().flatten();
    all.extend(plain.filter_map(|name| word(name, &Value::Null)));
    all
}

fn text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    text.replace('\n', " ")
}

fn texts(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten();
    texts.map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ObjectiveSection;

    /// Each key says what it means in words of its own, and in no link of the API's documentation.
    #[test]
    fn every_key_is_documented() {
        for section in config_sections() {
            let of_top = section.path.is_empty();
            assert!(of_top || !section.about.is_empty(), "[{}]", section.path);
            for key in &section.keys {
                let name = format!("{}.{} {:?}", section.path, key.name, section.kind);
                let texts = key.words.iter().map(|word| &word.about);
                let mut texts_of_key = texts.clone().chain([&key.about]);
                let tells = texts_of_key.all(|text| text.len() > 5);
                assert!(tells, "{name}: a doc comment is missing");
                // The default stands beside the text.
                assert!(!key.about.contains("Default"), "{name}: {}", key.about);
                assert!(key.default != Some("".into()), "{name}: it is required");
                for text in texts.chain([&key.about, &section.about]) {
                    assert!(!text.contains("[`"), "{name}: {text}");
                }
            }
        }
    }

    /// serde names every word that it understands, aliases too, where it refuses another one.
    #[test]
    fn aliases_are_those_that_serde_reads() {
        let understood = |toml: &str, section: &str| -> Vec<String> {
            let base = "output_dir = 'o'\npolicy.model = 'm'\ndata.prompts = 'p'\n";
            let text = format!("{base}{toml}");
            let error = toml::from_str::<RunConfig>(&text).unwrap_err().to_string();
            let (_, expected) = error.split_once("expected ").expect(&error);
            let words = expected.split('`').skip(1).step_by(2).map(str::to_owned);
            let mut words: Vec<String> = words.collect();
            assert!(!words.is_empty(), "{section}: {error}");
            words.sort();
            words
        };
        for section in config_sections() {
            let of_run = section.files.contains(&ConfigFile::Run);
            // The oracle takes the keys of every kind out first, and `[reference]` is read alike.
            if !of_run || section.path.is_empty() || section.path.starts_with("oracle") {
                continue;
            }
            let path = &section.path;
            let mut named: Vec<String> = Vec::new();
            for key in &section.keys {
                named.extend(key.aliases.iter().chain([&key.name]).cloned());
                let [name, words] = [&key.name, &key.value];
                if !key.words.is_empty() && words == "text" {
                    let toml = format!("{path}.{name} = 'nonsense'");
                    let mut all: Vec<String> = Vec::new();
                    for word in &key.words {
                        // The methods' other words stand in their table, which serde does not have.
                        let aliases = word.aliases.iter().filter(|_| name != "algorithm");
                        all.extend(aliases.chain([&word.name]).cloned());
                    }
                    all.sort();
                    assert_eq!(understood(&toml, path), all, "{path}.{name}");
                }
            }
            if path != "policy" && path != "data" {
                named.sort();
                let model = if path == "reference" {
                    "reference.model = 'm'\n"
                } else {
                    ""
                };
                let of_serde = understood(&format!("{model}{path}.nonsense = 1"), path);
                assert_eq!(of_serde, named, "[{path}]");
            }
        }
    }

    /// A key is noted with the methods whose settings it may be among, as the methods themselves say.
    #[test]
    fn methods_read_the_keys_that_they_are_noted_with() {
        let sections = config_sections();
        let objective = sections.iter().find(|section| section.path == "objective");
        for (key, value) in [
            ("eta", "0.2"),
            ("beta", "0.2"),
            ("tau", "0.001"),
            ("tau_eta_ratio", "0.5"),
            ("label_smoothing", "0.1"),
            ("history_weights", "[1.0]"),
            ("alpha", "0.5"),
        ] {
            let noted = objective
                .unwrap()
                .keys
                .iter()
                .find(|noted| noted.name == key);
            let takes = |algorithm: &&str| {
                let text = format!("algorithm = '{algorithm}'\n{key} = {value}");
                let section: ObjectiveSection = toml::from_str(&text).unwrap();
                section.online(1).is_ok()
            };
            let all = crate::methods::Algorithm::ALL.iter().map(|a| a.name());
            let taken: Vec<&str> = all.filter(takes).collect();
            assert_eq!(noted.unwrap().read_with, taken, "{key}");
        }
    }
}
