//! Templates over the columns of a document, as lm-evaluation-harness renders them.

use fancy_regex::Regex;
use inpo_data::jinja;
use minijinja::machinery::WhitespaceConfig;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};
use serde_json::{Map, Value as Json};

use super::{LONGEST_SOURCE, NAME, python_environment};

/// A compiled template whose variables are the columns of a document. Blocks keep the white space around them, a name
/// that is not there is an error, and `regex_replace` is a filter.
#[derive(Debug)]
pub struct DocumentTemplate(Environment<'static>);

impl DocumentTemplate {
    /// Compiles `source`.
    ///
    /// # Errors
    /// In words: what is wrong with the template.
    pub fn compile(source: &str) -> Result<Self, String> {
        if source.len() > LONGEST_SOURCE {
            return Err(format!("it has more than {LONGEST_SOURCE} bytes"));
        }
        let compile = || Self::environment(source).map_err(|error| told(&error));
        jinja::apart(compile)?.map(Self)
    }

    fn environment(source: &str) -> Result<Environment<'static>, Error> {
        let whitespace = WhitespaceConfig {
            keep_trailing_newline: true,
            lstrip_blocks: false,
            trim_blocks: false,
        };
        let mut environment = python_environment(source, whitespace)?;
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_filter("regex_replace", regex_replace);
        Ok(environment)
    }

    /// The text for a document.
    ///
    /// # Errors
    /// In words: what the template refuses, or a column that is not there.
    pub fn render(&self, columns: &Map<String, Json>) -> Result<String, String> {
        let render = || {
            let template = self.0.get_template(NAME)?;
            template.render(Value::from_serialize(columns))
        };
        jinja::apart(render)?.map_err(|error| told(&error))
    }
}

fn told(error: &Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// `re.sub(pattern, replacement, text, count)`.
fn regex_replace(
    text: &str,
    pattern: &str,
    replacement: &str,
    count: Option<usize>,
) -> Result<String, Error> {
    let refuse =
        |error: fancy_regex::Error| Error::new(ErrorKind::InvalidOperation, error.to_string());
    let pattern = Regex::new(pattern).map_err(refuse)?;
    let groups = Regex::new(r"\\(\d)").map_err(refuse)?;
    let replacement = groups
        .replace_all(&replacement.replace('$', "$$"), "$${$1}")
        .into_owned();
    let replaced = pattern.try_replacen(text, count.unwrap_or(0), replacement.as_str());
    let replaced = replaced.map_err(refuse)?.into_owned();
    jinja::make(replaced.len())?;
    Ok(replaced)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(template: &str) -> Result<String, String> {
        let columns = json!({"question": " Why? ", "choices": {"text": ["a", "it's"], "label": ["A", "B"]}, "answerKey": "B"});
        DocumentTemplate::compile(template)?.render(columns.as_object().unwrap())
    }

    /// The texts are those of `lm_eval.utils.apply_template`.
    #[test]
    fn templates_are_rendered_as_the_harness_renders_them() {
        for (template, expected) in [
            ("Q: {{question.strip()}}\nA:", "Q: Why?\nA:"),
            ("{{choices.label.index(answerKey)}}", "1"),
            ("{{choices.text}}", "['a', \"it's\"]"),
            ("{% if answerKey == 'B' %}\nyes{% endif %}\n", "\nyes\n"),
            (
                r"{{question | regex_replace('(W)h(.)', '\\2-\\1$')}}",
                " y-W$? ",
            ),
        ] {
            assert_eq!(render(template).unwrap(), expected);
        }
        for template in ["{{answer}}", "{{choices.texts}}", "{{question"] {
            assert!(render(template).is_err(), "{template}");
        }
    }
}
