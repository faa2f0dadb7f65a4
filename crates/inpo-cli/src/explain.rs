//! `inpo config`: what each key of a configuration means, from the place where it is declared.

use std::fmt::Write as _;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use inpo_core::train::keys::{ConfigFile, ConfigKey, ConfigSection, config_sections};

use crate::error::CliError;
use crate::print::lines;

/// Explains the keys of the configuration files.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ExplainArgs {
    /// Explain a key, a section, or without KEY everything: `train.learning_rate`, `learning_rate`, `policy.lora`.
    #[arg(long, value_name = "KEY", num_args = 0..=1, default_missing_value = "")]
    explain: Option<String>,
    /// Print the JSON schema of a file, which editors check and complete TOML with.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "run.toml", value_parser = file())]
    schema: Option<ConfigFile>,
    /// Print docs/configuration.md.
    #[arg(long)]
    markdown: bool,
}

/// The name of a file, with or without its ending.
fn file() -> impl TypedValueParser<Value = ConfigFile> {
    let names = ConfigFile::ALL.map(ConfigFile::name);
    PossibleValuesParser::new(names).map(|name| {
        let named = |file: &ConfigFile| file.name() == name;
        ConfigFile::ALL
            .into_iter()
            .find(named)
            .expect("a file of the list")
    })
}

pub(crate) fn run(args: &ExplainArgs) -> Result<(), CliError> {
    let text = match (&args.explain, args.schema) {
        (Some(key), _) => explain(key)?,
        (None, Some(file)) => {
            serde_json::to_string_pretty(&file.schema()).expect("a schema is JSON")
        }
        (None, None) => markdown(&config_sections()),
    };
    lines([text.trim_end().to_owned()])
}

/// The full name of a key.
fn full_name(section: &ConfigSection, key: &ConfigKey) -> String {
    let path = [section.path.as_str(), &key.name].join(".");
    path.trim_start_matches('.').to_owned()
}

fn files(section: &ConfigSection) -> String {
    let names: Vec<&str> = section.files.iter().map(|file| file.name()).collect();
    names.join(", ")
}

/// The heading of a section.
fn heading(section: &ConfigSection) -> String {
    match &section.kind {
        _ if section.path.is_empty() => "top level".to_owned(),
        Some(kind) => format!("[{}] kind = \"{kind}\"", section.path),
        None => format!("[{}]", section.path),
    }
}

/// The keys that `name` says, or all of them.
fn explain(name: &str) -> Result<String, CliError> {
    let sections = config_sections();
    let inside = |section: &ConfigSection| {
        let rest = section.path.strip_prefix(name);
        name.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut found: Vec<(&ConfigSection, &[ConfigKey])> = Vec::new();
    for section in sections.iter().filter(|section| inside(section)) {
        found.push((section, &section.keys));
    }
    let each = || {
        let keys = |section: &'_ ConfigSection| (0..section.keys.len()).collect::<Vec<_>>();
        sections.iter().flat_map(move |section| {
            keys(section)
                .into_iter()
                .map(move |place| (section, &section.keys[place..=place]))
        })
    };
    if found.is_empty() {
        found.extend(each().filter(|(section, keys)| full_name(section, &keys[0]) == name));
    }
    if found.is_empty() {
        let is_named = |key: &ConfigKey| key.name == name || key.aliases.iter().any(|a| a == name);
        found.extend(each().filter(|(_, keys)| is_named(&keys[0])));
        let mut paths: Vec<String> = found
            .iter()
            .map(|(section, keys)| full_name(section, &keys[0]))
            .collect();
        paths.dedup();
        if paths.len() > 1 {
            let paths = paths.join(", ");
            return Err(CliError::Input(format!(
                "--explain: `{name}` is a key of several sections: name one of {paths}"
            )));
        }
    }
    if found.is_empty() {
        let mut names: Vec<String> = sections
            .iter()
            .map(|section| section.path.clone())
            .collect();
        for (section, keys) in each() {
            names.extend([full_name(section, &keys[0]), keys[0].name.clone()]);
        }
        let likeness = |known: &String| strsim::normalized_damerau_levenshtein(name, known);
        let nearest = names
            .iter()
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let hint = match nearest.filter(|known| likeness(known) > 0.5) {
            Some(known) => format!("do you mean `{known}`?"),
            None => "`inpo config --explain` shows all keys".to_owned(),
        };
        return Err(CliError::Input(format!(
            "--explain: no configuration has a key or section `{name}`; {hint}"
        )));
    }
    let mut text = String::new();
    for (section, keys) in found {
        if !text.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(text, "{}    ({})", heading(section), files(section));
        if !section.about.is_empty() {
            let _ = writeln!(text, "{}", section.about);
        }
        for key in keys {
            text.push('\n');
            explain_key(&mut text, section, key);
        }
    }
    Ok(text)
}

/// Its default in TOML, or what else to know of a key's presence.
fn default(key: &ConfigKey) -> String {
    match &key.default {
        _ if key.is_required => "required".to_owned(),
        Some(value) => value.to_string(),
        None => "absent".to_owned(),
    }
}

fn explain_key(text: &mut String, section: &ConfigSection, key: &ConfigKey) {
    let presence = match &key.default {
        Some(_) => format!("default {}", default(key)),
        None => default(key),
    };
    let _ = writeln!(
        text,
        "  {}    {}, {presence}",
        full_name(section, key),
        key.value
    );
    if !key.about.is_empty() {
        let _ = writeln!(text, "      {}", key.about);
    }
    for word in &key.words {
        let aliases = others(&word.aliases);
        let _ = writeln!(text, "      \"{}\"{aliases}: {}", word.name, word.about);
    }
    if !key.aliases.is_empty() {
        let _ = writeln!(text, "      also: {}", key.aliases.join(", "));
    }
    if !key.read_with.is_empty() {
        let _ = writeln!(text, "      read with: {}", key.read_with.join(", "));
    }
}

/// Other names, in brackets.
fn others(aliases: &[String]) -> String {
    if aliases.is_empty() {
        return String::new();
    }
    format!(" (also {})", aliases.join(", "))
}

const ABOUT_THE_PAGE: &str = "\
# Configuration

<!-- Written by `inpo config --markdown > docs/configuration.md`, from the doc comments of the structs: change those. -->

TOML files: `run.toml` of `inpo run`, `train.toml` of `inpo train`, `judge.toml` of `inpo train-oracle` (each `--config FILE`), and `oracle.toml` of `inpo judge --oracle FILE`, which has
the keys of `[oracle]` at its top level. `--set train.learning_rate=1e-5` overrides a key. An unknown key, and one that the rest of the configuration does not read, is an error. Defaults are the
INPO paper's (arXiv 2407.00617) where it has one. `absent` is a key without a value of its own: its meaning says what holds then.

`inpo config --explain KEY` shows what stands here. `inpo config --schema run.toml > run.schema.json` writes a JSON schema: with `#:schema run.schema.json` as the first line of a file, editors
that know TOML complete and check it.
";

/// The page of all keys.
fn markdown(sections: &[ConfigSection]) -> String {
    let mut page = ABOUT_THE_PAGE.to_owned();
    for section in sections {
        let title = heading(section).replace('[', "`[").replace(']', "]`");
        let files = files(section);
        let _ = write!(page, "\n## {title}\n\nOf {files}");
        if section.is_required {
            page.push_str(", required");
        }
        let about = format!(". {}", section.about);
        let _ = writeln!(page, "{}\n", about.trim_end());
        if section.keys.is_empty() {
            continue;
        }
        page.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
        for key in &section.keys {
            let name = format!("`{}`{}", key.name, others(&key.aliases));
            let default = match key.default {
                Some(_) => format!("`{}`", default(key)),
                None => default(key),
            };
            let meaning = meaning(key).replace('|', "\\|");
            let _ = writeln!(page, "| {name} | {} | {default} | {meaning} |", key.value);
        }
    }
    page
}

/// What a key means, with its words and who reads it.
fn meaning(key: &ConfigKey) -> String {
    let mut text = key.about.clone();
    for word in &key.words {
        let aliases = others(&word.aliases);
        let about = word.about.trim_end_matches('.');
        let _ = write!(text, "<br>`{}`{aliases}: {about}", word.name);
    }
    if !key.read_with.is_empty() {
        let _ = write!(text, "<br>Read with {}", key.read_with.join(", "));
    }
    text
}
