//! Bodies of requests and replies.

use std::ops::Range;

use inpo_data::http::check_places;
use inpo_data::{Completion, DataError, FinishReason, Prompt, TemplateInput, excerpt, in_words};
use rand::RngExt;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Endpoint, RemoteConfig};
use crate::error::PolicyError;
use crate::logps::Sequence;
use crate::sample::{DrawKey, GenerationConfig};
use crate::tokenizer::TextCodec;

impl Endpoint {
    /// Its path behind the base address.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Completions => "/completions",
        }
    }
}

/// One request: some samples of a prompt.
pub(super) struct Ask<'a> {
    pub(super) prompt: &'a Prompt,
    pub(super) samples: Range<usize>,
}

impl Ask<'_> {
    /// The request's body; `codec` is asked for where a conversation must become ids.
    pub(super) fn body<'c>(
        &self,
        remote: &RemoteConfig,
        config: &GenerationConfig,
        draws: DrawKey,
        codec: impl FnOnce() -> Result<&'c TextCodec, PolicyError>,
    ) -> Result<Value, PolicyError> {
        let mut body = Map::new();
        let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
        set("model", json!(remote.model));
        match (remote.endpoint, &self.prompt.token_ids) {
            (Endpoint::Completions, Some(ids)) => {
                set("prompt", json!(ids));
            }
            (Endpoint::Completions, None) => {
                let Prompt {
                    messages, template, ..
                } = self.prompt;
                set(
                    "prompt",
                    json!(codec()?.encode_prompt_with(messages, template)?),
                );
            }
            (Endpoint::Chat, _) if !self.prompt.messages.is_empty() => {
                set("messages", json!(self.prompt.messages));
                let TemplateInput {
                    tools,
                    documents,
                    variables,
                } = &self.prompt.template;
                if let Some(tools) = tools {
                    set("tools", json!(tools));
                }
                // vLLM's words.
                if let Some(documents) = documents {
                    set("documents", json!(documents));
                }
                if !variables.is_empty() {
                    set("chat_template_kwargs", json!(variables));
                }
            }
            (Endpoint::Chat, _) => {
                let reason = format!(
                    "prompt {} is given as token ids, and `endpoint = \"chat\"` takes conversations; ask `completions`",
                    self.prompt.number
                );
                let url = remote.base_url.clone();
                return Err(DataError::Server { url, reason }.into());
            }
        }
        set("n", json!(self.samples.len()));
        set("max_tokens", json!(config.max_new_tokens));
        set("temperature", json!(config.temperature));
        set("top_p", json!(config.top_p));
        let key = draws.sample(self.prompt.number, self.samples.start as u64);
        // 31 bits: some servers read a signed number of 32.
        set("seed", json!(key.rng().random::<u32>() >> 1));
        if !config.stop_strings.is_empty() {
            set("stop", json!(config.stop_strings));
        }
        if let Some(top_k) = config.top_k {
            set("top_k", json!(top_k));
        }
        if config.min_p != 0.0 {
            set("min_p", json!(config.min_p));
        }
        if config.repetition_penalty != 1.0 {
            set("repetition_penalty", json!(config.repetition_penalty));
        }
        if config.min_new_tokens != 0 {
            set("min_tokens", json!(config.min_new_tokens));
        }
        if !config.stop_token_ids.is_empty() {
            set("stop_token_ids", json!(config.stop_token_ids));
        }
        if remote.logprobs {
            let value = match remote.endpoint {
                Endpoint::Chat => json!(true),
                // The drawn token, and no other.
                Endpoint::Completions => json!(0),
            };
            set("logprobs", value);
        }
        if remote.token_ids {
            set("return_token_ids", json!(true));
            if remote.logprobs {
                set("return_tokens_as_token_ids", json!(true));
            }
        }
        Ok(Value::Object(body))
    }
}

#[derive(Deserialize)]
struct Reply {
    choices: Vec<Choice>,
    /// vLLM's, of a conversation.
    prompt_token_ids: Option<Vec<u32>>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<usize>,
    text: Option<String>,
    message: Option<ReplyMessage>,
    finish_reason: Option<String>,
    logprobs: Option<LogProbs>,
    token_ids: Option<Vec<u32>>,
    prompt_token_ids: Option<Vec<u32>>,
}

#[derive(Deserialize)]
struct ReplyMessage {
    content: Option<String>,
    /// OpenAI's, in the place of the content.
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct LogProbs {
    /// Of a chat.
    content: Option<Vec<TokenLogProb>>,
    /// Of a completion.
    tokens: Option<Vec<String>>,
    token_logprobs: Option<Vec<Option<f64>>>,
}

#[derive(Deserialize)]
struct TokenLogProb {
    token: String,
    logprob: f64,
}

impl LogProbs {
    /// Tokens and their log-probs.
    fn split(self) -> (Vec<String>, Option<Vec<f64>>) {
        match (self.content, self.tokens, self.token_logprobs) {
            (Some(content), _, _) => {
                let (tokens, logps): (Vec<_>, Vec<_>) =
                    content.into_iter().map(|t| (t.token, t.logprob)).unzip();
                (tokens, Some(logps))
            }
            (None, tokens, logps) => {
                let logps = logps.and_then(|logps| logps.into_iter().collect());
                (tokens.unwrap_or_default(), logps)
            }
        }
    }
}

/// The ids of tokens that are written as vLLM's `token_id:123`.
fn named_ids(tokens: &[String]) -> Option<Vec<u32>> {
    let id = |token: &String| token.strip_prefix("token_id:")?.parse().ok();
    let ids: Option<Vec<u32>> = tokens.iter().map(id).collect();
    ids.filter(|ids| !ids.is_empty())
}

/// A response with what the server said beside it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) completion: Completion,
    /// Whether there was a text, or ids alone.
    pub(super) has_text: bool,
    pub(super) prompt_ids: Option<Vec<u32>>,
}

/// Log-probs from 0 to this much above it are 0 with an error of rounding.
const ROUNDING: f64 = 0.01;

/// No model gives a token that it drew, or a token of a text, so small a log-prob: servers write such numbers for "cannot
/// come".
const ABSURD: f64 = -1000.0;

/// Log-probs as they may be: at most 0, where a rounding error above it counts as 0.
fn believed(logps: Vec<f64>) -> Result<Vec<f64>, String> {
    let one = |(place, logp): (usize, f64)| match logp {
        ABSURD..=ROUNDING => Ok(logp.min(0.0)),
        _ => Err(format!(
            "the log-prob of token {place} is {logp}, and those of tokens lie between {ABSURD} and 0"
        )),
    };
    logps.into_iter().enumerate().map(one).collect()
}

fn unexpected(error: serde_json::Error) -> String {
    let words = in_words(&error.to_string());
    format!("the reply is not as expected: {words}")
}

/// The answers of a reply to `ask`, or what is wrong with it.
pub(super) fn answers(
    reply: &Value,
    ask: &Ask<'_>,
    endpoint: Endpoint,
    config: &GenerationConfig,
) -> Result<Vec<Answer>, String> {
    let reply = Reply::deserialize(reply).map_err(unexpected)?;
    let count = ask.samples.len();
    if reply.choices.len() != count {
        return Err(format!(
            "{count} responses were asked for (`n`), and {} came; set `samples_per_request = 1`",
            reply.choices.len()
        ));
    }
    check_places(reply.choices.iter().map(|choice| choice.index))?;
    let mut choices = reply.choices;
    choices.sort_by_key(|choice| choice.index);
    let of_all = reply.prompt_token_ids;
    let answer = |choice: Choice| {
        let finish_reason = match choice.finish_reason.as_deref() {
            Some("stop") => FinishReason::Stop,
            Some("length") => FinishReason::Length,
            Some(other) => {
                let other = excerpt(other);
                return Err(format!("a response ended for the reason {other}"));
            }
            None => return Err("a response has no `finish_reason`".to_owned()),
        };
        let (tokens, logps) = choice.logprobs.map(LogProbs::split).unwrap_or_default();
        let logps = logps.map(believed).transpose()?;
        let named = named_ids(&tokens);
        if let (Some(ids), Some(named)) = (&choice.token_ids, &named)
            && ids != named
        {
            return Err("a response has other ids in `token_ids` than in `logprobs`".to_owned());
        }
        let ids = choice.token_ids.or(named);
        if let (Some(ids), Some(logps)) = (&ids, &logps)
            && ids.len() != logps.len()
        {
            let (ids, logps) = (ids.len(), logps.len());
            return Err(format!("a response has {ids} ids and {logps} log-probs"));
        }
        let (most, count) = (config.max_new_tokens, ids.as_ref().map_or(0, Vec::len));
        if count > most {
            return Err(format!(
                "a response has {count} ids, and {most} were asked for (`max_tokens`)"
            ));
        }
        let refusal = choice.message.as_ref().and_then(|m| m.refusal.as_ref());
        if let Some(refusal) = refusal {
            return Err(format!("the model refuses: {}", excerpt(refusal)));
        }
        let text = match endpoint {
            Endpoint::Completions => choice.text,
            Endpoint::Chat => choice.message.and_then(|message| message.content),
        };
        if text.is_none() && ids.is_none() {
            return Err("a response has neither text nor ids".to_owned());
        }
        let prompt_ids = choice.prompt_token_ids.or_else(|| of_all.clone());
        if let (Endpoint::Completions, Some(asked), Some(read)) =
            (endpoint, &ask.prompt.token_ids, &prompt_ids)
            && asked != read
        {
            return Err("the ids in `prompt_token_ids` are not those that were sent".to_owned());
        }
        Ok(Answer {
            has_text: text.is_some(),
            completion: Completion {
                text: text.unwrap_or_default(),
                token_ids: ids,
                token_logps: logps,
                finish_reason,
            },
            prompt_ids,
        })
    };
    choices.into_iter().map(answer).collect()
}

/// Refuses an answer whose ids are not its text's. A text may lack what the ids end with (the token that ends a turn, a stop
/// string, half a character), and a chat's the reasoning before it.
pub(super) fn check_ids(codec: &TextCodec, completion: &Completion) -> Result<(), String> {
    let Some(ids) = &completion.token_ids else {
        return Ok(());
    };
    if let Some(id) = ids.iter().find(|&&id| id as usize >= codec.vocab_size()) {
        return Err(format!(
            "the tokenizer does not know the id {id} of a response"
        ));
    }
    let decoded = codec.decode(ids).map_err(|error| error.to_string())?;
    let text = completion.text.trim().trim_end_matches('\u{fffd}');
    if decoded.contains(text) {
        return Ok(());
    }
    Err(format!(
        "the ids of a response are those of {}, and its text is {}",
        excerpt(&decoded),
        excerpt(&completion.text)
    ))
}

/// The request for the log-probs of a sequence.
pub(super) fn echo(model: &str, sequence: &Sequence) -> Value {
    json!({
        "model": model,
        "prompt": sequence.ids,
        // Some servers refuse 0; what comes behind the prompt is cut off.
        "max_tokens": 1,
        "temperature": 0.0,
        "echo": true,
        "logprobs": 0,
    })
}

/// The log-probs of the response in the reply to [`echo`], or what is wrong with it.
pub(super) fn echoed(reply: &Value, sequence: &Sequence) -> Result<Vec<f64>, String> {
    let reply = Reply::deserialize(reply).map_err(unexpected)?;
    let logprobs = reply
        .choices
        .into_iter()
        .next()
        .and_then(|choice| choice.logprobs);
    let (tokens, logps) = logprobs.map_or_else(Default::default, |logprobs| {
        (
            logprobs.tokens.unwrap_or_default(),
            logprobs.token_logprobs.unwrap_or_default(),
        )
    });
    if let Some(ids) = named_ids(&tokens)
        && !ids.starts_with(&sequence.ids)
    {
        return Err("the tokens in `logprobs` are not those that were sent".to_owned());
    }
    // One token is generated, and some servers leave it out.
    if logps.len() > sequence.ids.len() + 1 {
        return Err(format!(
            "{} log-probs came for {} tokens and one that is generated",
            logps.len(),
            sequence.ids.len()
        ));
    }
    let response = logps.get(sequence.prompt_len..sequence.ids.len());
    let response: Option<Vec<f64>> = response.and_then(|logps| logps.iter().copied().collect());
    let response = response.ok_or_else(|| {
        "the server gives no log-probs of a prompt (`echo` with `logprobs`); score with the model's files"
            .to_owned()
    })?;
    believed(response)
}
