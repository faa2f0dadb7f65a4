//! The templates of a model: most have one, some several with names.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use super::{ChatOptions, ChatTemplate, SpecialTokens};
use crate::error::{PolicyError, excerpt};

/// The name of the template that is used where none is named.
pub(crate) const DEFAULT: &str = "default";

/// Compiled templates by their names.
#[derive(Debug, Default)]
pub(crate) struct Templates(BTreeMap<String, ChatTemplate>);

impl Templates {
    pub(crate) fn compile(
        sources: impl IntoIterator<Item = (String, String)>,
        special: &SpecialTokens,
    ) -> Result<Self, PolicyError> {
        let compile = |(name, source): (String, String)| {
            let template = ChatTemplate::compile(&source, special.clone())?;
            Ok((name, template))
        };
        sources
            .into_iter()
            .map(compile)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Renders with the template that the options ask for. As in transformers 5, a template does not see the fields
    /// of a message that are null.
    pub(crate) fn render<M: Serialize>(
        &self,
        messages: &[M],
        options: &ChatOptions,
    ) -> Result<String, PolicyError> {
        if self.is_empty() {
            return Err(PolicyError::NoChatTemplate);
        }
        let for_tools = options.tools.as_ref().and_then(|_| self.0.get("tool_use"));
        let template = match &options.template {
            Some(name) => self.0.get(name),
            None => for_tools.or_else(|| self.0.get(DEFAULT)),
        };
        match template {
            Some(template) => {
                let messages: Result<Vec<_>, _> = messages.iter().map(without_nulls).collect();
                let messages = messages.map_err(|e| PolicyError::ChatTemplate {
                    reason: format!("a message is no JSON: {e}"),
                })?;
                template.render(&messages, options)
            }
            None => {
                let wanted = options.template.as_deref().unwrap_or(DEFAULT);
                let names: Vec<String> = self.0.keys().map(|name| excerpt(name)).collect();
                Err(PolicyError::ChatTemplate {
                    reason: format!(
                        "the model has none named {}; it has {}",
                        excerpt(wanted),
                        names.join(", ")
                    ),
                })
            }
        }
    }

    /// Names and texts, as they were given.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, template)| (name.as_str(), template.source()))
    }

    /// The digest of the default template.
    pub(crate) fn hash(&self) -> Option<String> {
        self.0.get(DEFAULT).map(ChatTemplate::hash)
    }
}

fn without_nulls(message: &impl Serialize) -> Result<Json, serde_json::Error> {
    let mut message = serde_json::to_value(message)?;
    if let Json::Object(fields) = &mut message {
        fields.retain(|_, field| !field.is_null());
    }
    Ok(message)
}
