//! One message of a conversation.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::text::kind_of;

/// Roles whose content may be any JSON: what a function returned.
const OF_TOOLS: [&str; 3] = ["tool", "ipython", "function"];

/// Fields that say something where there is no text.
const SPEAKING: [&str; 5] = [
    "tool_calls",
    "function_call",
    "reasoning_content",
    "thinking",
    "reasoning",
];

/// The names under which reasoning is given; the first one is the standard.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// ShareGPT's names of the two speakers.
const SHARE_GPT: [(&str, &str); 5] = [
    ("human", "user"),
    ("gpt", "assistant"),
    ("chatgpt", "assistant"),
    ("bing", "assistant"),
    ("bard", "assistant"),
];

/// One message of a conversation.
///
/// It is written as it was read, with every field: a chat template sees the whole object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, `tool`, ..
    pub role: String,
    /// What is said: the text, or the texts of its parts on lines of their own; empty where there is none.
    pub content: String,
    /// The whole object, where it is more than a role and a text.
    object: Option<Box<Map<String, Value>>>,
}

impl Message {
    /// A message with this role and text.
    #[must_use]
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
            object: None,
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

    /// Reads a message object: `role` and `content`, or ShareGPT's `from` and `value`, with whatever fields come
    /// along. Content is text, a list of text parts, or absent; what a tool returned may be any JSON. A field
    /// that is null is absent, as in transformers: tables fill absent fields with null.
    ///
    /// # Errors
    ///
    /// In words, what is wrong with which field; the sentence goes on after "message 3: ".
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let Value::Object(given) = value else {
            return Err(format!(
                "it is {}, and not an object with `role` and `content`",
                kind_of(value)
            ));
        };
        let mut object = given.clone();
        object.retain(|_, value| !value.is_null());
        rename_share_gpt(&mut object);
        let role = match object.get("role") {
            Some(Value::String(role)) => role.clone(),
            Some(other) => return Err(format!("`role` is {}, not text", kind_of(other))),
            None => return Err("it has no `role`".to_owned()),
        };
        if let Some(calls) = object.get("tool_calls")
            && !calls.is_array()
        {
            return Err(format!("`tool_calls` is {}, not a list", kind_of(calls)));
        }
        let content = match object.get("content") {
            Some(Value::String(text)) => text.clone(),
            None => String::new(),
            Some(_) if OF_TOOLS.contains(&role.as_str()) => String::new(),
            Some(Value::Array(parts)) => parts_text(parts)?,
            Some(other) => {
                return Err(format!(
                    "`content` is {}, not text or a list of text parts",
                    kind_of(other)
                ));
            }
        };
        let plain = object.len() == 2 && matches!(object.get("content"), Some(Value::String(_)));
        Ok(Self {
            role,
            content,
            object: (!plain).then(|| Box::new(object)),
        })
    }

    /// A field beside role and content.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.object.as_ref()?.get(name)
    }

    /// Whether it is a role and a text and nothing else.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.object.is_none()
    }

    /// Whether it says nothing: no text, no call of a tool, no reasoning. What a tool returned always says something.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        let returned = OF_TOOLS.contains(&self.role.as_str());
        let speaks = |name: &str| self.field(name).is_some();
        !returned && self.content.trim().is_empty() && !SPEAKING.iter().any(|name| speaks(name))
    }

    /// Whether its content is a list of parts.
    #[must_use]
    pub fn has_parts(&self) -> bool {
        self.field("content").is_some_and(Value::is_array)
    }

    /// The same message with its reasoning under each of the names that templates read, as transformers fills them.
    #[must_use]
    pub fn with_reasoning_names(mut self) -> Self {
        let reasoning = REASONING.iter().find_map(|name| self.field(name)).cloned();
        if let (Some(reasoning), Some(object)) = (reasoning, &mut self.object) {
            if !object.contains_key("thinking") {
                object.insert("thinking".to_owned(), reasoning.clone());
            }
            object.insert("reasoning_content".to_owned(), reasoning);
        }
        self
    }

    /// The same message with its parts as one text, for templates that do not know parts.
    #[must_use]
    pub fn with_joined_parts(mut self) -> Self {
        if self.has_parts()
            && let Some(object) = &mut self.object
        {
            object.insert("content".to_owned(), self.content.clone().into());
        }
        self
    }
}

/// The texts of parts, each on a line of its own, as vLLM and llama.cpp join them.
fn parts_text(parts: &[Value]) -> Result<String, String> {
    let text = |(place, part): (usize, &Value)| match part {
        Value::String(text) => Ok(text.clone()),
        Value::Object(object) => match (object.get("type"), object.get("text")) {
            (Some(Value::String(kind)), _) if kind != "text" => Err(format!(
                "part {place} of `content` is of type {kind:?}, and only text is read"
            )),
            (_, Some(Value::String(text))) => Ok(text.clone()),
            _ => Err(format!("part {place} of `content` has no `text`")),
        },
        other => Err(format!(
            "part {place} of `content` is {}, not text",
            kind_of(other)
        )),
    };
    let texts: Result<Vec<String>, String> = parts.iter().enumerate().map(text).collect();
    Ok(texts?.join("\n"))
}

/// Gives ShareGPT's fields their usual names, in their places.
fn rename_share_gpt(object: &mut Map<String, Value>) {
    if object.contains_key("role") || !object.contains_key("from") {
        return;
    }
    let renamed = std::mem::take(object).into_iter();
    *object = renamed
        .map(|(name, value)| match (name.as_str(), value) {
            ("from", Value::String(speaker)) => {
                let known = SHARE_GPT.iter().find(|(theirs, _)| *theirs == speaker);
                let role = known.map_or(speaker.as_str(), |(_, ours)| ours);
                ("role".to_owned(), role.into())
            }
            ("from", value) => ("role".to_owned(), value),
            ("value", value) => ("content".to_owned(), value),
            (_, value) => (name, value),
        })
        .collect();
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Plain<'a> {
            role: &'a str,
            content: &'a str,
        }
        match &self.object {
            Some(object) => object.serialize(serializer),
            None => Plain {
                role: &self.role,
                content: &self.content,
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Message {
        Message::from_json(value).unwrap()
    }

    /// A template sees what stands in the file.
    #[test]
    fn a_message_is_written_as_it_was_read() {
        for value in [
            json!({"role": "user", "content": "a"}),
            json!({"content": "a", "role": "user", "name": "bob", "weight": 0}),
            json!({"role": "user", "content": [{"type": "text", "text": "a"}]}),
            json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f"}}]}),
            json!({"role": "assistant", "tool_calls": []}),
            json!({"role": "assistant", "content": "a", "reasoning_content": "b", "thinking": "c"}),
            json!({"role": "tool", "content": {"x": 1}, "tool_call_id": "1"}),
        ] {
            let written = serde_json::to_string(&read(&value)).unwrap();
            assert_eq!(written, value.to_string());
        }
        // Tables fill absent fields with null.
        let filled = json!({"role": "user", "content": "a", "name": null, "tool_calls": null});
        assert_eq!(read(&filled), Message::user("a"));
        let call = json!({"role": "assistant", "content": null, "tool_calls": [{}]});
        let written = serde_json::to_value(read(&call)).unwrap();
        assert_eq!(written, json!({"role": "assistant", "tool_calls": [{}]}));
    }

    /// What `_alias_reasoning_fields` of transformers 5.24 makes of the same messages.
    #[test]
    fn reasoning_has_every_name_that_templates_read() {
        for (given, expected) in [
            (
                json!({"reasoning": "b"}),
                json!({"reasoning": "b", "thinking": "b", "reasoning_content": "b"}),
            ),
            (
                json!({"thinking": "b"}),
                json!({"thinking": "b", "reasoning_content": "b"}),
            ),
            (
                json!({"reasoning_content": "b", "thinking": "c"}),
                json!({"reasoning_content": "b", "thinking": "c"}),
            ),
            (json!({"name": "b"}), json!({"name": "b"})),
        ] {
            let [mut given, mut expected] = [given, expected];
            for message in [&mut given, &mut expected] {
                message["role"] = "assistant".into();
                message["content"] = "a".into();
            }
            let named = read(&given).with_reasoning_names();
            assert_eq!(serde_json::to_value(named).unwrap(), expected);
        }
    }

    #[test]
    fn the_text_is_that_of_the_parts() {
        let parts = json!([{"type": "text", "text": "a"}, "b", {"text": "c"}]);
        let message = read(&json!({"role": "user", "content": parts}));
        assert_eq!(message.content, "a\nb\nc");
        assert!(message.has_parts());
        let joined = serde_json::to_value(message.with_joined_parts()).unwrap();
        assert_eq!(joined, json!({"role": "user", "content": "a\nb\nc"}));
    }

    #[test]
    fn share_gpt_names_are_understood() {
        assert_eq!(
            read(&json!({"from": "human", "value": "a"})),
            Message::user("a")
        );
        assert_eq!(
            read(&json!({"from": "gpt", "value": "a"})),
            Message::assistant("a")
        );
        assert_eq!(
            read(&json!({"from": "system", "value": "a"})),
            Message::system("a")
        );
        // A name that is no speaker's is left to those who check roles.
        assert_eq!(
            read(&json!({"from": "narrator", "value": "a"})).role,
            "narrator"
        );
    }

    #[test]
    fn calls_and_answers_of_tools_are_not_blank() {
        assert!(read(&json!({"role": "assistant", "content": " "})).is_blank());
        assert!(read(&json!({"role": "user", "content": null, "name": "bob"})).is_blank());
        assert!(!read(&json!({"role": "assistant", "tool_calls": [{}]})).is_blank());
        assert!(!read(&json!({"role": "tool", "content": ""})).is_blank());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (value, reason) in [
            (
                json!("a"),
                "it is text, and not an object with `role` and `content`",
            ),
            (json!({"content": "a"}), "it has no `role`"),
            (
                json!({"role": 1, "content": "a"}),
                "`role` is a number, not text",
            ),
            (
                json!({"role": "user", "content": 1}),
                "`content` is a number, not text or a list of text parts",
            ),
            (
                json!({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}),
                "part 1 of `content` is of type \"image_url\", and only text is read",
            ),
            (
                json!({"role": "user", "content": [{"type": "text"}]}),
                "part 0 of `content` has no `text`",
            ),
            (
                json!({"role": "assistant", "tool_calls": "f()"}),
                "`tool_calls` is text, not a list",
            ),
        ] {
            assert_eq!(Message::from_json(&value).unwrap_err(), reason, "{value}");
        }
    }
}
