//! What a chat template is given beside the conversation.

use serde_json::{Map, Value};

use crate::Columns;
use crate::text::kind_of;

/// What a chat template is given beside the conversation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TemplateInput {
    /// The functions that the model may call, as JSON schemas.
    pub tools: Option<Vec<Value>>,
    /// Texts to answer from.
    pub documents: Option<Vec<Value>>,
    /// Variables of the template's own, such as `enable_thinking`.
    pub variables: Map<String, Value>,
}

/// Arguments of transformers' `apply_chat_template` that are no variables of a template.
const NO_VARIABLES: [&str; 14] = [
    "messages",
    "conversation",
    "chat_template",
    "add_generation_prompt",
    "continue_final_message",
    "tokenize",
    "padding",
    "truncation",
    "max_length",
    "return_tensors",
    "return_dict",
    "return_assistant_tokens_mask",
    "tokenizer_kwargs",
    "processor_kwargs",
];

impl TemplateInput {
    /// The columns of a row that a template reads: `tools`, `documents` and `chat_template_kwargs`. Null and an
    /// empty list are taken as absent, and lists may be written as JSON text, as TRL reads them.
    ///
    /// # Errors
    ///
    /// In words, a column of another type, or an argument that is no variable of a template.
    pub fn from_columns(columns: &Columns) -> Result<Self, String> {
        let own = Self {
            tools: list(columns.value("tools")?, "tools")?,
            documents: list(columns.value("documents")?, "documents")?,
            variables: Map::new(),
        };
        let kwargs = match columns.value("chat_template_kwargs")? {
            None => return Ok(own),
            Some(Value::String(text)) => serde_json::from_str(text).ok(),
            Some(value) => Some(value.clone()),
        };
        let Some(Value::Object(kwargs)) = kwargs else {
            return Err("`chat_template_kwargs` is not an object".to_owned());
        };
        // As in TRL, they win over the row's columns.
        Ok(Self::from_kwargs(&kwargs)?.over(&own))
    }

    /// What `chat_template_kwargs` say.
    ///
    /// # Errors
    ///
    /// In words, an argument that is no variable of a template, tools or documents that are none.
    pub fn from_kwargs(kwargs: &Map<String, Value>) -> Result<Self, String> {
        if let Some(name) = kwargs
            .keys()
            .find(|name| NO_VARIABLES.contains(&name.as_str()))
        {
            return Err(format!(
                "`chat_template_kwargs` has `{name}`, which is no variable of a template; leave it out"
            ));
        }
        let mut variables = kwargs.clone();
        variables.retain(|name, _| !["tools", "documents"].contains(&name.as_str()));
        Ok(Self {
            tools: list(kwargs.get("tools"), "tools")?,
            documents: list(kwargs.get("documents"), "documents")?,
            variables,
        })
    }

    /// This, and where it says nothing `defaults`.
    #[must_use]
    pub fn over(self, defaults: &Self) -> Self {
        let mut variables = defaults.variables.clone();
        variables.extend(self.variables);
        Self {
            tools: self.tools.or_else(|| defaults.tools.clone()),
            documents: self.documents.or_else(|| defaults.documents.clone()),
            variables,
        }
    }
}

/// A list of objects; an empty one is none, for some templates write the surroundings of tools that are not there.
fn list(value: Option<&Value>, name: &str) -> Result<Option<Vec<Value>>, String> {
    let parsed = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(Value::String(text)) => serde_json::from_str(text)
            .map_err(|_| format!("`{name}` is text, but not the JSON of a list"))?,
        Some(value) => value.clone(),
    };
    match parsed {
        Value::Null => Ok(None),
        Value::Array(items) => match items.iter().find(|item| !item.is_object()) {
            Some(item) => Err(format!("`{name}` holds {}, not objects", kind_of(item))),
            None => Ok((!items.is_empty()).then_some(items)),
        },
        other => Err(format!(
            "`{name}` is {}, not a list of objects",
            kind_of(&other)
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn columns(value: Value) -> Result<TemplateInput, String> {
        let Value::Object(columns) = value else {
            panic!("an object");
        };
        TemplateInput::from_columns(&Columns::new(columns, Vec::new()))
    }

    #[test]
    fn columns_and_arguments_come_together() {
        let tool = json!({"type": "function", "function": {"name": "f"}});
        let as_text = json!([tool]).to_string();
        for tools in [json!([tool]), json!(as_text)] {
            let read = columns(json!({"tools": tools, "documents": []})).unwrap();
            assert_eq!(read.tools, Some(vec![tool.clone()]));
            assert_eq!(read.documents, None);
        }
        let kwargs = json!({"enable_thinking": false, "documents": [{"text": "a"}], "tools": null});
        let read = columns(json!({"documents": [{"text": "b"}], "chat_template_kwargs": kwargs}));
        let read = read.unwrap();
        assert_eq!(read.documents, Some(vec![json!({"text": "a"})]));
        assert_eq!(
            Value::Object(read.variables.clone()),
            json!({"enable_thinking": false})
        );
        let defaults = columns(json!({"chat_template_kwargs": {"enable_thinking": true, "x": 1}}));
        let both = read.over(&defaults.unwrap()).variables;
        assert_eq!(
            Value::Object(both),
            json!({"enable_thinking": false, "x": 1})
        );
        assert_eq!(
            columns(json!({"tools": null, "chat_template_kwargs": null})),
            Ok(TemplateInput::default())
        );
    }

    #[test]
    fn what_a_template_cannot_be_given_is_refused() {
        for (row, reason) in [
            (
                json!({"tools": "f()"}),
                "`tools` is text, but not the JSON of a list",
            ),
            (json!({"tools": ["f"]}), "`tools` holds text, not objects"),
            (
                json!({"documents": 1}),
                "`documents` is a number, not a list of objects",
            ),
            (
                json!({"chat_template_kwargs": "x"}),
                "`chat_template_kwargs` is not an object",
            ),
            (
                json!({"chat_template_kwargs": {"add_generation_prompt": true}}),
                "`chat_template_kwargs` has `add_generation_prompt`, which is no variable of a template; leave it out",
            ),
        ] {
            assert_eq!(columns(row).unwrap_err(), reason);
        }
    }
}
