//! The settings of a judge behind a server.

use std::fmt;
use std::path::PathBuf;

use inpo_data::http::{ServerConfig, has_more_than_a_path};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::ServerJudge;
use crate::kind::OracleConfigError;
use crate::surroundings::Surroundings;

/// What of a server is asked.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum JudgeEndpoint {
    /// `/chat/completions` of any OpenAI-compatible server.
    #[default]
    Chat,
    /// vLLM's `/generative_scoring`, beside `/v1` and not below it (so that no `--api-key` guards it): P of two labels behind
    /// the prompt, nothing generated, both orders of a pair in one request. `/tokenize` applies the chat template and counts.
    GenerativeScoring,
    /// SGLang's `/v1/score`, the same in its words. Its `/tokenize` knows no chat template: `system` and `user` of ours are
    /// sent as they are, an empty line between them, so the model's own format must be written into them.
    Score,
}

/// How an answer becomes a verdict.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum VerdictMode {
    /// P from the log-probs of the labels as the first token: P(A) / (P(A) + P(B)), a tie counted half.
    #[default]
    Logprobs,
    /// One of the labels, to which the server restricts the answer.
    Choice,
    /// The last match of the template's pattern in the text, or one of the labels and nothing else where it has none.
    Text,
}

/// How an answer is restricted to the labels.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum StructuredOutput {
    /// vLLM's `structured_outputs` (0.12 and later).
    #[default]
    StructuredOutputs,
    /// OpenAI's `response_format` with a strict JSON schema.
    ResponseFormat,
}

/// The name of the bound on generated tokens.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensName {
    /// `max_tokens`, which most servers know.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`, which OpenAI's reasoning models want.
    MaxCompletionTokens,
}

/// A temperature, or none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum JudgeTemperature {
    /// This one.
    Value(f64),
    /// No temperature is sent, for models that refuse any: `"none"`.
    Unsent,
}

impl schemars::JsonSchema for JudgeTemperature {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "JudgeTemperature".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"anyOf": [
            {"type": "number"},
            {"const": "none", "description": "None is sent, for models that refuse any."},
        ]})
    }
}

impl Serialize for JudgeTemperature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => serializer.serialize_f64(*value),
            Self::Unsent => serializer.serialize_str("none"),
        }
    }
}

impl<'de> Deserialize<'de> for JudgeTemperature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::Float(value) => Ok(Self::Value(value)),
            toml::Value::Integer(value) => Ok(Self::Value(value as f64)),
            toml::Value::String(word) if word == "none" => Ok(Self::Unsent),
            other => Err(D::Error::custom(format!(
                "`temperature` is {other}; allowed: a number from 0 to 2, or \"none\""
            ))),
        }
    }
}

impl fmt::Display for JudgeTemperature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Unsent => f.write_str("none"),
        }
    }
}

/// Keys that have no default, although the struct has one.
const REQUIRED: [&str; 2] = ["base_url", "model"];

fn require(schema: &mut schemars::Schema) {
    for key in REQUIRED {
        if let Some(of_key) = schema.pointer_mut(&format!("/properties/{key}")) {
            of_key
                .as_object_mut()
                .map(|of_key| of_key.remove("default"));
        }
    }
    schema.insert("required".to_owned(), REQUIRED.as_slice().into());
}

/// Configuration of [`ServerJudge`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(transform = require)]
pub struct ServerJudgeConfig {
    /// The address up to and including the version, for instance `http://localhost:8000/v1`, without a password.
    pub base_url: String,
    /// The model's name on the server.
    pub model: String,
    /// What is asked: `chat`, `generative_scoring` or `score`.
    pub endpoint: JudgeEndpoint,
    /// The environment variable that holds the key. Absent: no key is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// A PEM file with the authorities that an `https` server's certificate may come from, and no others. Absent: those of
    /// `INPO_CA_FILE`, else Mozilla's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Whether the key may be sent over plain `http` to another machine.
    pub allow_insecure_http: bool,
    /// What the judge is asked: `labels`, `mt_bench`, `arena_hard`, or the path of a file of the same form.
    pub template: String,
    /// How an answer becomes a verdict: `logprobs`, `choice` or `text`. Absent: `text` for a template with a `pattern`,
    /// `logprobs` for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictMode>,
    /// The label of the response shown first, of the second, and perhaps of a tie. Absent: the template's, or `A` and `B`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// The token ids of the labels, for `generative_scoring` and `score`. Absent: the server's `/tokenize` is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_token_ids: Option<Vec<u32>>,
    /// The temperature of each request, from 0 to 2.
    pub temperature: JudgeTemperature,
    /// The bound on generated tokens, at least 1. Absent: 1 for `logprobs`, 64 for `choice`, 2048 for `text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Its name: `max_tokens` or `max_completion_tokens`.
    pub max_tokens_name: MaxTokensName,
    /// Answers to each question, 1 to 128, whose mean is the verdict: for judges without log-probs. With fewer than half of
    /// them valid the verdict is invalid. More than 1 need a temperature above 0.
    pub samples: usize,
    /// Tokens of which the log-probs are asked for, 2 to 20; some servers allow fewer.
    pub top_logprobs: u32,
    /// The seed of each request; further requests for samples of a question count up from it. Absent: none is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Further fields of each request's body, which win over those of the judge; not `model`, `messages` and `stream`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schemars(!skip_serializing_if)]
    pub extra_body: Map<String, Value>,
    /// How `choice` restricts the answer: `structured_outputs` or `response_format`.
    pub structured: StructuredOutput,
    /// Whether a reply that names another model than `model` ends the run. Services answer with dated names.
    pub check_model: bool,
    /// Requests in flight at a time, at most, at least 1.
    pub concurrency: usize,
    /// Longest wait for one reply in seconds, above 0.
    pub timeout_seconds: f64,
    /// How often a request is sent again, but not once it has taken 10 minutes.
    pub max_retries: usize,
    /// The first wait before that in seconds, from 0 to 60; it doubles each time.
    pub retry_seconds: f64,
    /// The price of a million prompt tokens. Absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_price: Option<f64>,
    /// The price of a million generated tokens. Absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_price: Option<f64>,
}

impl Default for ServerJudgeConfig {
    fn default() -> Self {
        let server = ServerConfig::new("");
        Self {
            base_url: String::new(),
            model: String::new(),
            endpoint: JudgeEndpoint::Chat,
            api_key_env: None,
            ca_file: None,
            allow_insecure_http: false,
            template: "labels".to_owned(),
            verdict: None,
            labels: None,
            label_token_ids: None,
            temperature: JudgeTemperature::Value(0.0),
            max_tokens: None,
            max_tokens_name: MaxTokensName::MaxTokens,
            samples: 1,
            top_logprobs: 20,
            seed: None,
            extra_body: Map::new(),
            structured: StructuredOutput::StructuredOutputs,
            check_model: false,
            concurrency: server.concurrency,
            timeout_seconds: 120.0,
            max_retries: server.max_retries,
            retry_seconds: server.retry_seconds,
            input_price: None,
            output_price: None,
        }
    }
}

impl ServerJudgeConfig {
    /// Checks the configuration and builds the judge. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// The first setting out of its range, a template that is none, an environment variable for the key that is not set.
    pub fn init(mut self, around: &Surroundings<'_>) -> Result<ServerJudge, OracleConfigError> {
        self.check().map_err(OracleConfigError::new)?;
        let key = self.api_key_env.as_ref();
        if around.dry_run && key.is_some_and(|name| std::env::var_os(name).is_none()) {
            self.api_key_env = None;
        }
        ServerJudge::new(self)
    }

    pub(super) fn server(&self) -> ServerConfig {
        ServerConfig {
            base_url: self.base_url.clone(),
            api_key_env: self.api_key_env.clone(),
            ca_file: self.ca_file.clone(),
            allow_insecure_http: self.allow_insecure_http,
            concurrency: self.concurrency,
            timeout_seconds: self.timeout_seconds,
            max_retries: self.max_retries,
            retry_seconds: self.retry_seconds,
        }
    }

    /// The settings by themselves.
    fn check(&self) -> Result<(), String> {
        let wrong = |key: &str, got: &dyn fmt::Display, allowed: &str| -> Result<(), String> {
            Err(format!("oracle.{key} is {got}; allowed: {allowed}"))
        };
        if has_more_than_a_path(&self.base_url) {
            return Err(
                "oracle.base_url holds a user or a password, or a query, which would be written to files; name a variable with a key in oracle.api_key_env"
                    .to_owned(),
            );
        }
        if let Some((key, got, allowed)) = self.server().out_of_range() {
            return wrong(key, &got, allowed);
        }
        if self.model.trim().is_empty() {
            return Err("oracle.model is missing: give the model's name on the server".to_owned());
        }
        if let Some(labels) = &self.labels {
            crate::pair_template::check_labels(labels).map_err(|e| format!("oracle: {e}"))?;
        }
        if let JudgeTemperature::Value(value) = self.temperature
            && !(0.0..=2.0).contains(&value)
        {
            return wrong("temperature", &value, "from 0 to 2, or \"none\"");
        }
        if self.max_tokens == Some(0) {
            return wrong("max_tokens", &0, "at least 1");
        }
        if !(1..=128).contains(&self.samples) {
            return wrong("samples", &self.samples, "from 1 to 128");
        }
        if self.samples > 1 && self.temperature == JudgeTemperature::Value(0.0) {
            return Err(format!(
                "oracle.samples is {} with oracle.temperature 0, and all samples would be the same; set a temperature above 0",
                self.samples
            ));
        }
        if !(2..=20).contains(&self.top_logprobs) {
            return wrong("top_logprobs", &self.top_logprobs, "from 2 to 20");
        }
        for key in ["model", "messages", "stream"] {
            if self.extra_body.contains_key(key) {
                return Err(format!(
                    "oracle.extra_body has `{key}`, which is the judge's own"
                ));
            }
        }
        let prices = [
            ("input_price", self.input_price),
            ("output_price", self.output_price),
        ];
        for (key, price) in prices {
            match price {
                Some(price) if !(price >= 0.0 && price.is_finite()) => {
                    return wrong(key, &price, "at least 0");
                }
                None if prices.iter().any(|(_, price)| price.is_some()) => {
                    return Err(format!("oracle.{key} is missing: give both prices or none"));
                }
                _ => {}
            }
        }
        self.check_scoring()
    }

    /// What the endpoints that generate nothing cannot do.
    fn check_scoring(&self) -> Result<(), String> {
        if self.endpoint == JudgeEndpoint::Chat {
            return match self.label_token_ids {
                Some(_) => Err(
                    "oracle.label_token_ids is for the endpoints `generative_scoring` and `score`"
                        .to_owned(),
                ),
                None => Ok(()),
            };
        }
        if !matches!(self.verdict, None | Some(VerdictMode::Logprobs)) {
            return Err("oracle.endpoint gives probabilities: leave oracle.verdict out".to_owned());
        }
        if self.samples > 1 {
            return Err("oracle.endpoint generates nothing: leave oracle.samples out".to_owned());
        }
        Ok(())
    }
}
