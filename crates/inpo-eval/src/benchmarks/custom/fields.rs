//! The fields of a definition as values of a document.

use inpo_policy::template::DocumentTemplate;
use serde_json::Value;

use crate::benchmarks::literal::literal;
use crate::benchmarks::task::Document;

/// A text that is a column's name, or else a template.
#[derive(Debug)]
pub(super) struct Field {
    text: String,
    template: Box<DocumentTemplate>,
}

impl Field {
    pub(super) fn new(text: &str) -> Result<Self, String> {
        Ok(Self {
            text: text.to_owned(),
            template: Box::new(DocumentTemplate::compile(text)?),
        })
    }

    fn column<'a>(&self, document: &'a Document) -> Option<&'a Value> {
        document.columns.get(&self.text)
    }

    /// The text of a document.
    pub(super) fn of(&self, document: &Document) -> Result<String, String> {
        match self.column(document) {
            Some(value) => Ok(text_of(value)),
            None => self.rendered(document),
        }
    }

    fn rendered(&self, document: &Document) -> Result<String, String> {
        if !self.text.contains('{') {
            return Ok(self.text.clone());
        }
        let rendered = self.template.render(&document.columns);
        rendered.map_err(|error| {
            format!(
                "the template {:?} fails: {error}; the columns are {}",
                self.text,
                document.columns.names()
            )
        })
    }
}

/// A value's text: texts without quotation marks.
pub(super) fn text_of(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// `doc_to_choice`.
#[derive(Debug)]
pub(super) enum Choices {
    Fixed(Vec<String>),
    Of(Field),
}

impl Choices {
    pub(super) fn new(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Self::Of(
                Field::new(text).map_err(|e| format!("`doc_to_choice`: {e}"))?,
            )),
            Value::Array(values) => Ok(Self::Fixed(values.iter().map(text_of).collect())),
            Value::Object(values) => Ok(Self::Fixed(values.values().map(text_of).collect())),
            other => Err(format!(
                "`doc_to_choice` is {other}; allowed: a list of texts or a template"
            )),
        }
    }

    pub(super) fn of(&self, document: &Document) -> Result<Vec<String>, String> {
        let field = match self {
            Self::Fixed(choices) => return Ok(choices.clone()),
            Self::Of(field) => field,
        };
        let value = match field.column(document) {
            Some(value) => Some(value.clone()),
            None => literal(&field.rendered(document)?),
        };
        let choices = value
            .as_ref()
            .and_then(Value::as_array)
            .filter(|choices| !choices.is_empty());
        let choices = choices.map(|choices| choices.iter().map(text_of).collect());
        choices.ok_or_else(|| {
            format!(
                "`doc_to_choice` ({:?}) gives no list of choices",
                field.text
            )
        })
    }
}

/// `doc_to_target`.
#[derive(Debug)]
pub(super) enum Target {
    Fixed(Value),
    Of(Field),
}

impl Target {
    pub(super) fn new(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Self::Of(
                Field::new(text).map_err(|e| format!("`doc_to_target`: {e}"))?,
            )),
            Value::Number(_) | Value::Array(_) => Ok(Self::Fixed(value.clone())),
            other => Err(format!(
                "`doc_to_target` is {other}; allowed: a template, a number or a list"
            )),
        }
    }

    /// The value: a number is a label where there are choices, and a text in brackets a list.
    pub(super) fn of(&self, document: &Document, has_choices: bool) -> Result<Value, String> {
        let field = match self {
            Self::Fixed(value) => return Ok(value.clone()),
            Self::Of(field) => field,
        };
        if let Some(value) = field.column(document) {
            return Ok(value.clone());
        }
        let text = field.rendered(document)?;
        let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        if digits && has_choices {
            return text
                .parse::<u32>()
                .map(Value::from)
                .map_err(|e| format!("`doc_to_target` is {text}: {e}"));
        }
        if text.starts_with('[') && text.ends_with(']') {
            return Ok(literal(&text).unwrap_or(Value::String(text)));
        }
        Ok(Value::String(text))
    }
}
