//! Bodies of chat requests and their replies.

use inpo_data::http::check_places;
use inpo_data::{Message, excerpt, in_words};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::config::{
    JudgeTemperature, MaxTokensName, ServerJudgeConfig, StructuredOutput, VerdictMode,
};

pub(super) const PATH: &str = "/chat/completions";

/// The field of a JSON answer that holds the label.
const FIELD: &str = "verdict";

impl MaxTokensName {
    /// The name as it is sent.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// How answers are asked for.
pub(super) struct Asking<'a> {
    pub(super) config: &'a ServerJudgeConfig,
    pub(super) mode: VerdictMode,
    pub(super) labels: &'a [String],
    pub(super) max_tokens: u32,
}

impl Asking<'_> {
    /// The body that asks for `count` answers, of which the first is number `first`.
    pub(super) fn body(&self, messages: &[Message], first: usize, count: usize) -> Value {
        let config = self.config;
        let mut body = Map::new();
        let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
        set("model", json!(config.model));
        set("messages", json!(messages));
        set(config.max_tokens_name.word(), json!(self.max_tokens));
        if let JudgeTemperature::Value(value) = config.temperature {
            set("temperature", json!(value));
        }
        if let Some(seed) = config.seed {
            set("seed", json!(seed.wrapping_add(first as u64)));
        }
        if count > 1 {
            set("n", json!(count));
        }
        match (self.mode, config.structured) {
            (VerdictMode::Logprobs, _) => {
                set("logprobs", json!(true));
                set("top_logprobs", json!(config.top_logprobs));
            }
            (VerdictMode::Choice, StructuredOutput::StructuredOutputs) => {
                set("structured_outputs", json!({ "choice": self.labels }));
            }
            (VerdictMode::Choice, StructuredOutput::ResponseFormat) => {
                let schema = json!({
                    "type": "object",
                    "properties": { FIELD: { "type": "string", "enum": self.labels } },
                    "required": [FIELD],
                    "additionalProperties": false,
                });
                let schema = json!({ "name": FIELD, "strict": true, "schema": schema });
                set(
                    "response_format",
                    json!({ "type": "json_schema", "json_schema": schema }),
                );
            }
            (VerdictMode::Text, _) => {}
        }
        for (key, value) in &config.extra_body {
            set(key, value.clone());
        }
        Value::Object(body)
    }
}

/// A reply.
#[derive(Debug, Deserialize)]
pub(super) struct Reply {
    pub(super) choices: Vec<Choice>,
    pub(super) model: Option<String>,
    pub(super) usage: Option<Tokens>,
}

/// What it took.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Tokens {
    #[serde(default)]
    pub(super) prompt_tokens: u64,
    #[serde(default)]
    pub(super) completion_tokens: u64,
}

/// One answer.
#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    index: Option<usize>,
    message: Said,
    pub(super) finish_reason: Option<String>,
    logprobs: Option<Logprobs>,
}

#[derive(Debug, Deserialize)]
struct Said {
    content: Option<String>,
    /// OpenAI's, in the place of the content.
    refusal: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Logprobs {
    content: Option<Vec<Position>>,
}

#[derive(Debug, Deserialize)]
struct Position {
    #[serde(flatten)]
    drawn: TokenLogprob,
    #[serde(default)]
    top_logprobs: Vec<TokenLogprob>,
}

/// A token and its log-prob in nats.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct TokenLogprob {
    pub(super) token: String,
    pub(super) logprob: f64,
}

/// Why a reply has another form, in words that are safe to print.
pub(super) fn unexpected(error: serde_json::Error) -> String {
    let words = in_words(&error.to_string());
    format!("the reply is not as expected: {words}")
}

impl Reply {
    /// Reads a reply with at least one answer.
    ///
    /// # Errors
    ///
    /// In words, an error in the place of a reply, a reply of another form.
    pub(super) fn read(reply: Value) -> Result<Self, String> {
        if let Some(error) = reply.get("error").filter(|error| !error.is_null()) {
            let words = error.get("message").unwrap_or(error);
            let words = words
                .as_str()
                .map_or_else(|| words.to_string(), str::to_owned);
            return Err(format!("the reply is an error: {}", excerpt(&words)));
        }
        let reply = Self::deserialize(reply).map_err(unexpected)?;
        check_places(reply.choices.iter().map(|choice| choice.index))?;
        if reply.choices.is_empty() {
            return Err("the reply has no choices".to_owned());
        }
        Ok(reply)
    }
}

impl Choice {
    /// The text of the answer.
    ///
    /// # Errors
    ///
    /// In words, an answer that is none: refused, filtered, empty.
    pub(super) fn text(&self) -> Result<&str, String> {
        if let Some(refusal) = &self.message.refusal {
            return Err(format!("the judge refuses: {}", excerpt(refusal)));
        }
        if self.finish_reason.as_deref() == Some("content_filter") {
            return Err("the answer was filtered".to_owned());
        }
        let text = self.message.content.as_deref().unwrap_or_default();
        if text.trim().is_empty() {
            return Err(match self.finish_reason.as_deref() {
                Some("length") => {
                    "the answer is empty at oracle.max_tokens: a judge that reasons needs more"
                        .to_owned()
                }
                _ => "the answer is empty".to_owned(),
            });
        }
        Ok(text)
    }

    /// The label in an answer that is JSON.
    ///
    /// # Errors
    ///
    /// In words, an answer without it.
    pub(super) fn label(text: &str) -> Result<String, String> {
        let json: Option<Value> = serde_json::from_str(text).ok();
        let label = json.as_ref().and_then(|json| json.get(FIELD)?.as_str());
        label
            .map(str::to_owned)
            .ok_or_else(|| format!("the answer {} holds no `{FIELD}`", excerpt(text)))
    }

    /// The likeliest first tokens, the drawn one among them; none where the reply has no log-probs.
    pub(super) fn first_tokens(&self) -> Option<Vec<TokenLogprob>> {
        let first = self.logprobs.as_ref()?.content.as_ref()?.first()?;
        let mut tokens = first.top_logprobs.clone();
        if !tokens.iter().any(|token| token.token == first.drawn.token) {
            tokens.push(first.drawn.clone());
        }
        Some(tokens)
    }
}
