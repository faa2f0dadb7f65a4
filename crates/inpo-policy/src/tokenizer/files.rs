//! The files of a tokenizer in a Hugging Face directory.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use super::bounds::{self, Growth, LONGEST_FILE};
use super::declared::{Declared, Files};
use super::{PANICKED, TextCodec, written};
use crate::error::PolicyError;
use crate::template::{DEFAULT, LONGEST_SOURCE, Templates};
use inpo_data::caught;
use inpo_data::files::write_whole;
use inpo_data::input;

const CONFIG: &str = "tokenizer_config.json";
/// Two files of older directories.
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const ADDED_TOKENS: &str = "added_tokens.json";
const TEMPLATE: &str = "chat_template.jinja";
/// The directory of the templates that have names.
const NAMED_TEMPLATES: &str = "additional_chat_templates";
/// The most templates that are read from a directory.
const MOST_TEMPLATES: usize = 64;

impl TextCodec {
    /// Reads `tokenizer.json`, and beside it `tokenizer_config.json`, `special_tokens_map.json`,
    /// `added_tokens.json`, `chat_template.jinja` and the directory `additional_chat_templates` where they exist. As in
    /// transformers, templates in files of their own win over those in `tokenizer_config.json`, and tokens that
    /// only the other files declare are added.
    ///
    /// Truncation and padding that the file asks for are switched off: they are the trainer's.
    ///
    /// # Errors
    /// A file that cannot be read or used, or a template that does not compile.
    pub fn from_file(path: &Path) -> Result<Self, PolicyError> {
        let refuse = |reason: String| PolicyError::Tokenizer {
            path: path.to_path_buf(),
            reason,
        };
        let bytes = read_at_most(path, LONGEST_FILE)?;
        let (mut tokenizer, growth) = parse(&bytes).map_err(refuse)?;
        tokenizer
            .with_truncation(None)
            .map_err(|e| refuse(e.to_string()))?;
        let padding = tokenizer.get_padding().map(|with| with.pad_token.clone());
        tokenizer.with_padding(None);

        let config_path = path.with_file_name(CONFIG);
        let config = read_config(&config_path)?;
        let map = read_config(&path.with_file_name(SPECIAL_TOKENS))?;
        let added = read_config(&path.with_file_name(ADDED_TOKENS))?;
        let nothing = Map::new();
        let files = Files {
            path: &config_path,
            config: config.as_ref().unwrap_or(&nothing),
            special_tokens_map: map.as_ref(),
            added_tokens: added.as_ref(),
        };
        let declared = Declared::read(&files, &tokenizer, padding.as_deref())?;
        let special = declared.special();
        declared.add_to(&mut tokenizer).map_err(refuse)?;
        let mut sources = template_files(path)?;
        if sources.is_empty() {
            sources = templates_in(config.as_ref().and_then(|c| c.get("chat_template")));
        }
        let templates = Templates::compile(sources, &special)?;
        Self::assemble(
            (tokenizer, growth),
            templates,
            special,
            config,
            Vec::new(),
            path,
        )
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja` and named templates into a
    /// directory that exists. A `tokenizer_config.json` that was read is written as it was, with the special tokens
    /// that it lacks and other files named.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), PolicyError> {
        let path = dir.join("tokenizer.json");
        let refuse = |reason: String| PolicyError::Tokenizer {
            path: path.clone(),
            reason,
        };
        let text = written(&self.tokenizer).map_err(refuse)?;
        write_whole(&path, text.as_bytes())?;
        let config = match &self.config {
            Some(config) => {
                let mut config = config.clone();
                for (name, token) in self.special.iter() {
                    if special_token(config.get(name)) != Some(token) {
                        config.insert(name.to_owned(), json!(token));
                    }
                }
                Value::Object(config)
            }
            None => json!({
                "add_prefix_space": false,
                "bos_token": self.special.get("bos_token"),
                "clean_up_tokenization_spaces": false,
                "eos_token": self.special.get("eos_token"),
                "pad_token": self.special.get("pad_token"),
                "tokenizer_class": "PreTrainedTokenizerFast",
                "unk_token": self.special.get("unk_token"),
            }),
        };
        write_whole(&dir.join(CONFIG), format!("{config:#}\n").as_bytes())?;
        for (name, source) in self.templates.sources() {
            let path = if name == DEFAULT {
                dir.join(TEMPLATE)
            } else {
                let dir = dir.join(NAMED_TEMPLATES);
                std::fs::create_dir_all(&dir).map_err(PolicyError::write(&dir))?;
                dir.join(format!("{name}.jinja"))
            };
            write_whole(&path, source.as_bytes())?;
        }
        Ok(())
    }
}

/// Reads `tokenizer.json` within its limits. The library is given the values that were checked and not the text, in which
/// a key could be there twice.
fn parse(bytes: &[u8]) -> Result<(Tokenizer, Growth), String> {
    let file = bounds::read(bytes)?;
    let growth = bounds::check(&file)?;
    let tokenizer = caught(|| serde_json::from_value::<Tokenizer>(file)).ok_or(PANICKED)?;
    Ok((tokenizer.map_err(|e| e.to_string())?, growth))
}

/// A JSON object, where the file exists.
fn read_config(path: &Path) -> Result<Option<Map<String, Value>>, PolicyError> {
    if !input::is_there(path).map_err(PolicyError::read(path))? {
        return Ok(None);
    }
    let refuse = |reason: String| PolicyError::Json {
        path: path.to_path_buf(),
        reason,
    };
    let file = bounds::read(&read_at_most(path, LONGEST_FILE)?).map_err(refuse)?;
    let object = serde_json::from_value(file);
    object.map(Some).map_err(|e| refuse(e.to_string()))
}

/// A file's bytes: all, or one more than `longest`, which is then refused.
fn read_at_most(path: &Path, longest: usize) -> Result<Vec<u8>, PolicyError> {
    let mut bytes = Vec::new();
    let file = input::open(path).map_err(PolicyError::read(path))?;
    file.take(longest as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(PolicyError::read(path))?;
    Ok(bytes)
}

/// A special token is a string or an object with a `content`.
fn special_token(value: Option<&Value>) -> Option<&str> {
    let value = value?;
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// The templates in files of their own beside `tokenizer.json`, by name.
fn template_files(tokenizer: &Path) -> Result<Vec<(String, String)>, PolicyError> {
    let read = |path: &Path| {
        let text = String::from_utf8(read_at_most(path, LONGEST_SOURCE)?);
        text.map_err(|e| PolicyError::read(path)(std::io::Error::other(e)))
    };
    let mut templates = Vec::new();
    let default = tokenizer.with_file_name(TEMPLATE);
    if input::is_there(&default).map_err(PolicyError::read(&default))? {
        templates.push((DEFAULT.to_owned(), read(&default)?));
    }
    let dir = tokenizer.with_file_name(NAMED_TEMPLATES);
    if dir.is_dir() {
        for entry in std::fs::read_dir(&dir).map_err(PolicyError::read(&dir))? {
            let path = entry.map_err(PolicyError::read(&dir))?.path();
            let name = path.file_stem().and_then(|name| name.to_str());
            if let Some(name) = name
                && path.extension().is_some_and(|e| e == "jinja")
                && templates.len() < MOST_TEMPLATES
            {
                templates.push((name.to_owned(), read(&path)?));
            }
        }
    }
    Ok(templates)
}

/// The templates in `tokenizer_config.json`: a string, or a list of named ones. A name that could not be
/// the name of a file is left out.
fn templates_in(value: Option<&Value>) -> Vec<(String, String)> {
    match value {
        Some(Value::String(text)) => vec![(DEFAULT.to_owned(), text.clone())],
        Some(Value::Array(list)) => list
            .iter()
            .take(MOST_TEMPLATES)
            .filter_map(|named| {
                let text = |key: &str| named.get(key)?.as_str().map(str::to_owned);
                let name = text("name").filter(|name| {
                    let plain = |c: char| c.is_ascii_alphanumeric() || "-_ .".contains(c);
                    name.chars().all(plain) && !name.starts_with('.') && !name.is_empty()
                })?;
                Some((name, text("template")?))
            })
            .collect(),
        _ => Vec::new(),
    }
}
