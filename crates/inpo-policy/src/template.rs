//! Chat templates, rendered as transformers renders them.
//!
//! The settings are those of transformers' `render_jinja_template`: `trim_blocks`,
//! `lstrip_blocks`, loop controls, `raise_exception`, `strftime_now`, `tojson` without ASCII
//! escapes, and the `{% generation %}` block, which only marks text and is rendered through. What the engine reads otherwise
//! than Jinja is rewritten first (`source`), and filters and methods are Python's.
//!
//! A template comes with a model and is foreign code: it sees the conversation and nothing else, and runs within the limits
//! of [`inpo_data::jinja`].

use minijinja::machinery::WhitespaceConfig;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::error::{PolicyError, excerpt};
use inpo_data::{Message, TemplateInput, jinja, sha256};

mod clock;
mod document;
mod filters;
mod methods;
mod named;
mod python;
mod source;
#[cfg(test)]
mod tests;
mod text;

pub use document::DocumentTemplate;
pub(crate) use named::{DEFAULT, Templates};

/// Who speaks in a conversation, in the words of published templates.
const ROLES: [&str; 7] = [
    "system",
    "developer",
    "user",
    "assistant",
    "tool",
    "function",
    "ipython",
];

/// Checks a conversation that is to be answered: it has messages, their roles are known, and
/// they say something ([`Message::is_blank`]). A blank system message is allowed: it switches a default one off.
///
/// # Errors
/// The first message that breaks this, by its index from 0.
pub fn check_messages(messages: &[Message]) -> Result<(), PolicyError> {
    if messages.is_empty() {
        return Err(PolicyError::EmptyConversation);
    }
    for (index, message) in messages.iter().enumerate() {
        let role = message.role.as_str();
        if !ROLES.contains(&role) {
            return Err(PolicyError::UnknownRole {
                index,
                role: excerpt(role),
            });
        }
        if !["system", "developer"].contains(&role) && message.is_blank() {
            return Err(PolicyError::EmptyMessage {
                index,
                role: role.to_owned(),
            });
        }
    }
    Ok(())
}

/// What a template is told besides the messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatOptions {
    /// Whether to end with the opening of the model's answer.
    pub add_generation_prompt: bool,
    /// The functions that the model may call, as JSON schemas.
    pub tools: Option<Vec<Json>>,
    /// Which of a model's named templates to use; by itself `tool_use` where there is one and `tools` are
    /// given, and else `default`.
    pub template: Option<String>,
    /// Texts to answer from.
    pub documents: Option<Vec<Json>>,
    /// Variables of the template's own, such as `enable_thinking`.
    pub variables: Map<String, Json>,
}

impl From<&TemplateInput> for ChatOptions {
    fn from(input: &TemplateInput) -> Self {
        Self {
            tools: input.tools.clone(),
            documents: input.documents.clone(),
            variables: input.variables.clone(),
            ..Self::default()
        }
    }
}

/// The texts of a model's special tokens by the names that templates know them by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpecialTokens(Vec<(String, String)>);

impl SpecialTokens {
    /// The names that every model may have; others are a model's own.
    pub(crate) const STANDARD: [&'static str; 7] = [
        "bos_token",
        "eos_token",
        "unk_token",
        "sep_token",
        "pad_token",
        "cls_token",
        "mask_token",
    ];

    pub(crate) fn new(tokens: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(tokens.into_iter().collect())
    }

    /// The text of a token.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, token)| token.as_str())
    }

    /// Names and texts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, token)| (name.as_str(), token.as_str()))
    }
}

/// A compiled chat template.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    special: SpecialTokens,
}

const NAME: &str = "chat template";

/// An environment with the template of `source`, and the filters, tests and methods of Python's Jinja.
fn python_environment(
    source: &str,
    whitespace: WhitespaceConfig,
) -> Result<Environment<'static>, Error> {
    let guarded = jinja::guarded(NAME, &source::adapted(source), whitespace)?;
    let mut environment = jinja::environment();
    environment.set_unknown_method_callback(methods::call);
    environment.set_formatter(python::format);
    environment.add_filter("tojson", python::tojson);
    environment.add_filter("string", python::string);
    filters::add_to(&mut environment);
    environment.add_filter("round", python::round);
    environment.add_test("number", python::is_number);
    environment.add_test("callable", python::is_callable);
    environment.add_test("iterable", python::is_iterable);
    environment.add_test("sequence", python::is_sequence);
    environment.add_template_owned(NAME, guarded)?;
    Ok(environment)
}

/// The longest prompt in bytes: well above the context of any model.
const LONGEST: usize = 64 << 20;

/// The longest template in bytes; published ones have some thousand.
pub(crate) const LONGEST_SOURCE: usize = 1 << 20;

impl ChatTemplate {
    pub(crate) fn compile(source: &str, special: SpecialTokens) -> Result<Self, PolicyError> {
        Self::compile_at(source, special, clock::now)
    }

    /// [`ChatTemplate::compile`] with the time in seconds since 1970.
    fn compile_at(
        source: &str,
        special: SpecialTokens,
        now: fn() -> i64,
    ) -> Result<Self, PolicyError> {
        if source.len() > LONGEST_SOURCE {
            return Err(PolicyError::ChatTemplate {
                reason: format!(
                    "it has {} bytes, and at most {LONGEST_SOURCE} are read",
                    source.len()
                ),
            });
        }
        // Jinja reads every line end as a line feed.
        let plain = source.replace("\r\n", "\n").replace('\r', "\n");
        let compile = || Self::environment(&plain, now).map_err(|e| failed(&e));
        let broken = |reason: String| PolicyError::ChatTemplate { reason };
        Ok(Self {
            environment: jinja::apart(compile).map_err(broken)??,
            source: source.to_owned(),
            special,
        })
    }

    fn environment(source: &str, now: fn() -> i64) -> Result<Environment<'static>, Error> {
        let whitespace = WhitespaceConfig {
            keep_trailing_newline: false,
            lstrip_blocks: true,
            trim_blocks: true,
        };
        let mut environment = python_environment(source, whitespace)?;
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", move |format: &str| {
            clock::strftime(now(), format)
        });
        Ok(environment)
    }

    /// The text of a conversation. Messages are whatever the template understands; variables of the
    /// options win over the special tokens, as in transformers.
    pub(crate) fn render<M: Serialize + Sync>(
        &self,
        messages: &[M],
        options: &ChatOptions,
    ) -> Result<String, PolicyError> {
        let broken = |reason: String| PolicyError::ChatTemplate { reason };
        jinja::apart(|| self.render_here(messages, options)).map_err(broken)?
    }

    fn render_here<M: Serialize>(
        &self,
        messages: &[M],
        options: &ChatOptions,
    ) -> Result<String, PolicyError> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|e| failed(&e))?;
        let special = self.special.iter();
        let special = special.map(|(name, token)| (name.to_owned(), Value::from(token)));
        let own = options.variables.iter();
        let own = own.map(|(name, value)| (name.clone(), Value::from_serialize(value)));
        let fixed = [
            ("messages", Value::from_serialize(messages)),
            ("tools", Value::from_serialize(&options.tools)),
            ("documents", Value::from_serialize(&options.documents)),
            (
                "add_generation_prompt",
                Value::from(options.add_generation_prompt),
            ),
        ];
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value));
        let context: Value = special.chain(own).chain(fixed).collect();
        let mut prompt = Bounded(Vec::new());
        template
            .render_captured_to(context, &mut prompt)
            .map_err(|e| failed(&e))?;
        String::from_utf8(prompt.0).map_err(|_| PolicyError::ChatTemplate {
            reason: "it does not write text".to_owned(),
        })
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn hash(&self) -> String {
        sha256(self.source.as_bytes())
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

fn failed(error: &Error) -> PolicyError {
    use std::error::Error as _;
    let mut reason = error.to_string();
    if let Some(source) = error.source() {
        reason = format!("{reason}: {source}");
    }
    PolicyError::ChatTemplate { reason }
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}
