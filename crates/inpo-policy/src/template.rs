//! Chat templates, rendered as transformers renders them.
//!
//! The settings are those of transformers' `render_jinja_template`: `trim_blocks`,
//! `lstrip_blocks`, loop controls, `raise_exception`, `strftime_now`, `tojson` without ASCII
//! escapes, and the `{% generation %}` block, which only marks text and is rendered through.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::{Deserialize, Serialize};

use crate::error::{PolicyError, excerpt};
use crate::files::sha256_bytes;

mod python;
#[cfg(test)]
mod tests;

/// One message of a conversation.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text.
    pub content: String,
}

impl Message {
    /// A message with this role and text.
    #[must_use]
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
        }
    }

    /// What a person says.
    #[must_use]
    pub fn user(content: impl Into<String>) -> Self {
        Self::new("user", content)
    }

    /// What the model says.
    #[must_use]
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new("assistant", content)
    }

    /// What is said before the conversation.
    #[must_use]
    pub fn system(content: impl Into<String>) -> Self {
        Self::new("system", content)
    }
}

/// Checks a conversation that is to be answered: it has messages, their roles are known, and
/// their texts are not blank. A blank system message is allowed: it switches a default one off.
///
/// # Errors
/// The first message that breaks this, by its index from 0.
pub fn check_messages(messages: &[Message]) -> Result<(), PolicyError> {
    if messages.is_empty() {
        return Err(PolicyError::EmptyConversation);
    }
    for (index, message) in messages.iter().enumerate() {
        let role = message.role.as_str();
        if !["system", "user", "assistant", "tool"].contains(&role) {
            return Err(PolicyError::UnknownRole {
                index,
                role: excerpt(role),
            });
        }
        if role != "system" && message.content.trim().is_empty() {
            return Err(PolicyError::EmptyMessage {
                index,
                role: role.to_owned(),
            });
        }
    }
    Ok(())
}

/// The texts of a model's special tokens, as templates name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpecialTokens {
    pub(crate) bos: Option<String>,
    pub(crate) eos: Option<String>,
    pub(crate) unk: Option<String>,
    pub(crate) pad: Option<String>,
}

/// A compiled chat template.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    special: SpecialTokens,
}

const NAME: &str = "chat template";

/// Steps of the template engine before a template is stopped: an endless one is an error.
const FUEL: u64 = 20_000_000;

impl ChatTemplate {
    pub(crate) fn compile(source: &str, special: SpecialTokens) -> Result<Self, PolicyError> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_formatter(python::format);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", tojson);
        let plain = without_generation_blocks(source);
        environment
            .add_template_owned(NAME, plain)
            .map_err(|e| failed(&e))?;
        Ok(Self {
            environment,
            source: source.to_owned(),
            special,
        })
    }

    /// The text of a conversation, with or without the opening of the answer.
    pub(crate) fn render(&self, messages: &[Message], answer: bool) -> Result<String, PolicyError> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|e| failed(&e))?;
        let or_undefined =
            |token: &Option<String>| token.clone().map_or(Value::UNDEFINED, Value::from);
        let context = context! {
            messages => Value::from_serialize(messages),
            add_generation_prompt => answer,
            bos_token => or_undefined(&self.special.bos),
            eos_token => or_undefined(&self.special.eos),
            unk_token => or_undefined(&self.special.unk),
            pad_token => or_undefined(&self.special.pad),
            tools => Value::from(()),
            documents => Value::from(()),
        };
        template.render(context).map_err(|e| failed(&e))
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn hash(&self) -> String {
        sha256_bytes(self.source.as_bytes())
    }
}

fn failed(error: &Error) -> PolicyError {
    PolicyError::ChatTemplate {
        reason: error.to_string(),
    }
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// The date and time, in UTC so that a prompt does not depend on the machine's time zone.
///
/// `SOURCE_DATE_EPOCH` (seconds since 1970) replaces the clock, so that a prompt with a date in it
/// can be reproduced on another day.
fn strftime_now(format: &str) -> Result<String, Error> {
    let fixed = std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs().cast_signed())
    };
    strftime(fixed.unwrap_or_else(now), format)
}

fn strftime(seconds: i64, format: &str) -> Result<String, Error> {
    let refuse = || {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("strftime_now cannot format {}", excerpt(format)),
        )
    };
    let time = chrono::DateTime::from_timestamp(seconds, 0).ok_or_else(refuse)?;
    let mut text = String::new();
    write!(text, "{}", time.format(format)).map_err(|_| refuse())?;
    Ok(text)
}

fn tojson(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    if options.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "tojson(ensure_ascii=true) is not implemented",
        ));
    }
    options.assert_all_used()?;
    if value.kind() == ValueKind::Undefined {
        return Err(Error::new(
            ErrorKind::UndefinedError,
            "an undefined value cannot be written as JSON",
        ));
    }
    python::json(value, indent).map(Value::from)
}

/// Turns `{% generation %}` and `{% endgeneration %}` into a block that is always rendered, with
/// its whitespace control kept.
fn without_generation_blocks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(end);
        let inner = tag[2..].trim_matches(['-', '+']).trim();
        match inner {
            "generation" => out.push_str(&tag.replacen("generation", "if true", 1)),
            "endgeneration" => out.push_str(&tag.replacen("endgeneration", "endif", 1)),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}
