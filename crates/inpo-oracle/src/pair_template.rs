//! What a judge is asked about two responses: a template and the way in which its answer is read.

use std::collections::{BTreeMap, BTreeSet};

use inpo_data::{Message, Prompt, excerpt, in_toml, jinja, sha256};
use inpo_game::Preference;
use minijinja::machinery::WhitespaceConfig;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::verdict::Question;

mod pattern;
#[cfg(test)]
mod tests;

use pattern::Pattern;

/// The shipped templates.
const SHIPPED: [(&str, &str); 3] = [
    ("labels", include_str!("templates/labels.toml")),
    ("mt_bench", include_str!("templates/mt_bench.toml")),
    ("arena_hard", include_str!("templates/arena_hard.toml")),
];

/// Variables of every template; a column of the same name is not seen.
const OWN: [&str; 6] = ["conversation", "messages", "prompt", "a", "b", "labels"];

/// The longest question in bytes; well above the context of any model.
const LONGEST: usize = 64 << 20;

/// The longest template file in bytes.
const LONGEST_SOURCE: u64 = 1 << 20;

/// What is wrong with a template, in a sentence that names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairTemplateError {
    /// Neither a shipped template nor a file.
    #[error(
        "oracle.template is {0}: it is no file, and the shipped templates are `labels`, `mt_bench` and `arena_hard`"
    )]
    Unknown(String),
    /// A file that does not hold a template.
    #[error("oracle.template, {name}: {reason}")]
    Malformed {
        /// The file, or the name of a shipped one.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A template's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    system: Option<String>,
    user: String,
    labels: Option<Vec<String>>,
    pattern: Option<String>,
    verdicts: Option<BTreeMap<String, f64>>,
}

/// What a judge is asked about two responses. A template is a TOML file:
///
/// ```toml
/// system = "..."       # optional
/// user = "..."
/// labels = ["A", "B"]  # optional: the label of the first, of the second, and perhaps of a tie
/// pattern = '\[\[([AB])\]\]'   # optional: the verdict in a text
///
/// [verdicts]           # with `pattern`: P(the first is better) for each text that its first group may match
/// A = 1.0
/// B = 0.0
/// ```
///
/// `system` and `user` are Jinja templates. They see `a` and `b`, the responses in the order shown, `prompt`, the last
/// message of the user, `conversation`, all messages as plain text (one message of the user as it is, several with their
/// roles), `messages`, `labels`, and every other column of the prompt's row by its name. A variable that is not there is an
/// error. In an answer the last match of the pattern counts.
#[derive(Debug)]
pub struct PairTemplate {
    environment: Environment<'static>,
    has_system: bool,
    labels: Option<Vec<String>>,
    pattern: Option<Pattern>,
    columns: Vec<String>,
    digest: String,
}

impl PairTemplate {
    /// A shipped template by its name (`labels`, `mt_bench`, `arena_hard`), or a file by its path.
    ///
    /// # Errors
    ///
    /// A name that is neither, a file that cannot be read or is no template.
    pub fn find(name: &str) -> Result<Self, PairTemplateError> {
        if let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return Self::parse(name, text);
        }
        let malformed = |reason: String| PairTemplateError::Malformed {
            name: name.to_owned(),
            reason,
        };
        let size = match std::fs::metadata(name) {
            Ok(file) if file.is_file() => file.len(),
            _ => return Err(PairTemplateError::Unknown(excerpt(name))),
        };
        if size > LONGEST_SOURCE {
            let reason = format!("it has {size} bytes, and at most {LONGEST_SOURCE} are read");
            return Err(malformed(reason));
        }
        let text = std::fs::read_to_string(name);
        let text = text.map_err(|error| malformed(format!("it cannot be read: {error}")))?;
        Self::parse(name, &text)
    }

    /// Reads the text of a template's file; `name` is for messages.
    ///
    /// # Errors
    ///
    /// Unknown keys, templates and patterns that do not compile, verdicts that are no probabilities, a template that does
    /// not show both responses.
    pub fn parse(name: &str, text: &str) -> Result<Self, PairTemplateError> {
        Self::parsed(text).map_err(|reason| PairTemplateError::Malformed {
            name: name.to_owned(),
            reason,
        })
    }

    fn parsed(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text)
            .map_err(|error: toml::de::Error| in_toml(text, error.span(), error.message()))?;
        let pattern = match (file.pattern, file.verdicts) {
            (None, None) => None,
            (Some(_), None) => return Err("it has a `pattern` and no [verdicts]".to_owned()),
            (None, Some(_)) => return Err("it has [verdicts] and no `pattern`".to_owned()),
            (Some(pattern), Some(verdicts)) => Some(Pattern::new(&pattern, verdicts)?),
        };
        if let Some(labels) = &file.labels {
            check_labels(labels)?;
        }
        let has_system = file.system.is_some();
        let sources = [("system", file.system), ("user", Some(file.user))];
        let (environment, read) = jinja::apart(|| compiled(sources))??;
        for response in ["a", "b"] {
            if !read.contains(response) {
                return Err(format!("it does not show the response `{response}`"));
            }
        }
        let globals: BTreeSet<String> = environment
            .globals()
            .map(|(name, _)| name.to_owned())
            .collect();
        let is_column = |name: &String| !OWN.contains(&name.as_str()) && !globals.contains(name);
        Ok(Self {
            has_system,
            labels: file.labels,
            pattern,
            columns: read.into_iter().filter(is_column).collect(),
            digest: sha256(text.as_bytes()),
            environment,
        })
    }

    /// The labels that the template gives itself.
    #[must_use]
    pub fn labels(&self) -> Option<&[String]> {
        self.labels.as_deref()
    }

    /// The columns of a prompt's row that the template reads.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The sha256 of the template's file.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether the template says how a text is read.
    #[must_use]
    pub fn has_pattern(&self) -> bool {
        self.pattern.is_some()
    }

    /// What of a prompt the question depends on: the conversation and the columns that the template reads.
    #[must_use]
    pub fn prompt_key(&self, prompt: &Prompt) -> Json {
        let mut key = json!({ "messages": prompt.messages });
        if !self.columns.is_empty() {
            let named = |name: &String| {
                let value = column(prompt, name).cloned();
                (name.clone(), value.unwrap_or_default())
            };
            key["columns"] = Json::Object(self.columns.iter().map(named).collect());
        }
        key
    }

    /// The question to the judge.
    ///
    /// # Errors
    ///
    /// In words, a prompt without a conversation, a column that is not there, a template that does not end.
    pub fn render(
        &self,
        question: &Question<'_>,
        labels: &[String],
    ) -> Result<Vec<Message>, String> {
        let prompt = question.prompt;
        if prompt.messages.is_empty() {
            return Err(format!(
                "prompt {} is given as token ids, and a judge over text needs its conversation",
                prompt.number
            ));
        }
        let own = [
            ("conversation", Value::from(conversation(&prompt.messages))),
            ("messages", Value::from_serialize(&prompt.messages)),
            (
                "prompt",
                Value::from(prompt.instruction().unwrap_or_default()),
            ),
            ("a", Value::from(question.first.text.as_str())),
            ("b", Value::from(question.second.text.as_str())),
            ("labels", Value::from_serialize(labels)),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value));
        let columns = self.columns.iter().filter_map(|name| {
            let value = column(prompt, name)?;
            Some((name.clone(), Value::from_serialize(value)))
        });
        let context: Value = columns.chain(own).collect();
        let mut messages = Vec::new();
        if self.has_system {
            messages.push(Message::system(self.part("system", &context, prompt)?));
        }
        messages.push(Message::user(self.part("user", &context, prompt)?));
        Ok(messages)
    }

    fn part(&self, part: &str, context: &Value, prompt: &Prompt) -> Result<String, String> {
        let failed = |error: &minijinja::Error| {
            let mut reason = format!(
                "the template cannot be filled for prompt {}: {}",
                prompt.number,
                full(error)
            );
            let mut missing = self.columns.iter();
            let missing = missing.find(|name| column(prompt, name).is_none());
            if let (ErrorKind::UndefinedError, Some(name)) = (error.kind(), missing) {
                reason = format!("{reason}; its row has no column `{name}`");
            }
            reason
        };
        let template = self
            .environment
            .get_template(part)
            .map_err(|e| failed(&e))?;
        let mut text = Bounded(Vec::new());
        let render = || {
            let rendered = template.render_captured_to(context.clone(), &mut text);
            rendered.map(drop)
        };
        jinja::apart(render)?.map_err(|e| failed(&e))?;
        String::from_utf8(text.0).map_err(|_| "the template does not write text".to_owned())
    }

    /// The verdict in the text of an answer: the last match of the pattern.
    ///
    /// # Errors
    ///
    /// In words, a text without a verdict, and a template without a pattern.
    pub fn read(&self, text: &str) -> Result<Preference, String> {
        let Some(pattern) = &self.pattern else {
            return Err("the template has no `pattern`".to_owned());
        };
        pattern.read(text)
    }
}

/// The environment of a template's parts, and the variables that they read.
fn compiled(
    sources: [(&'static str, Option<String>); 2],
) -> Result<(Environment<'static>, BTreeSet<String>), String> {
    let whitespace = WhitespaceConfig {
        keep_trailing_newline: true,
        lstrip_blocks: true,
        trim_blocks: true,
    };
    let mut environment = jinja::environment();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut read = BTreeSet::new();
    for (part, source) in sources {
        let Some(source) = source else { continue };
        jinja::guarded(part, &source, whitespace)
            .and_then(|guarded| environment.add_template_owned(part, guarded))
            .map_err(|error| format!("`{part}`: {}", full(&error)))?;
        let template = environment.get_template(part).map_err(|e| full(&e))?;
        read.extend(template.undeclared_variables(false));
    }
    Ok((environment, read))
}

/// Checks the labels of two responses, and perhaps of a tie.
///
/// # Errors
///
/// In words, their number, an empty one, one that is there twice.
pub(crate) fn check_labels(labels: &[String]) -> Result<(), String> {
    if !(2..=3).contains(&labels.len()) {
        let got = labels.len();
        return Err(format!(
            "`labels` has {got} texts; allowed: two, or three where the third is a tie"
        ));
    }
    for (place, label) in labels.iter().enumerate() {
        if label.trim().is_empty() || label.trim() != label {
            return Err(format!(
                "`labels` holds {label:?}; allowed: texts without spaces around them"
            ));
        }
        if labels[..place].contains(label) {
            return Err(format!("`labels` holds {label:?} twice"));
        }
    }
    Ok(())
}

/// Messages as plain text: a lone one of the user as it is, several with their roles.
fn conversation(messages: &[Message]) -> String {
    if let [message] = messages
        && message.role == "user"
    {
        return message.content.clone();
    }
    let turn = |message: &Message| {
        let mut role = message.role.clone();
        if let Some(first) = role.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        format!("{role}: {}", message.content)
    };
    let turns: Vec<String> = messages.iter().map(turn).collect();
    turns.join("\n\n")
}

/// A column of a prompt's row; one that is null is absent: tables fill absent fields with null.
fn column<'a>(prompt: &'a Prompt, name: &str) -> Option<&'a Json> {
    prompt.metadata.get(name).filter(|value| !value.is_null())
}

fn full(error: &minijinja::Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// A text that is refused when it grows too long.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            let message = format!("it writes more than {LONGEST} bytes");
            return Err(std::io::Error::other(message));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
