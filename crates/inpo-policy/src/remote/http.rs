//! Requests that are sent again when a server is busy.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

use super::RemoteConfig;
use crate::error::{PolicyError, excerpt};

/// Largest reply that is read.
const REPLY_BYTES: u64 = 256 << 20;
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_ASKED_WAIT: Duration = Duration::from_secs(60);

pub(super) struct Client {
    agent: Agent,
    base_url: String,
    /// The header with the key.
    authorization: Option<String>,
    key_variable: Option<String>,
    max_retries: usize,
    wait: Duration,
}

impl std::fmt::Debug for Client {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut f = f.debug_struct("Client");
        f.field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// What came of one request.
enum Reply {
    Json(Value),
    /// Worth another try: why, and the wait that the server asks for.
    Busy(String, Option<Duration>),
    Refused(String),
}

impl Client {
    pub(super) fn new(config: &RemoteConfig) -> Result<Self, PolicyError> {
        let base_url = config.base_url.trim_end_matches('/').to_owned();
        let authorization = match &config.api_key_env {
            None => None,
            Some(name) => match std::env::var(name) {
                Ok(key) if !key.trim().is_empty() => Some(format!("Bearer {}", key.trim())),
                _ => {
                    let reason = format!(
                        "the environment variable {name} (`api_key_env`) is not set; set it to the server's key, or leave `api_key_env` out"
                    );
                    return Err(PolicyError::Remote {
                        url: base_url,
                        reason,
                    });
                }
            },
        };
        let agent = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs_f64(config.timeout_seconds)))
            .http_status_as_error(false)
            .max_idle_connections_per_host(config.concurrency)
            .build()
            .new_agent();
        Ok(Self {
            agent,
            base_url,
            authorization,
            key_variable: config.api_key_env.clone(),
            max_retries: config.max_retries,
            wait: Duration::from_secs_f64(config.retry_seconds),
        })
    }

    /// The reply to `body`.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, PolicyError> {
        let mut wait = self.wait;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.send(path, body) {
                Reply::Json(reply) => return Ok(reply),
                Reply::Refused(reason) => return Err(self.error(path, reason)),
                Reply::Busy(reason, _) if tries > self.max_retries => {
                    let reason = format!("{reason} (tried {tries} times)");
                    return Err(self.error(path, reason));
                }
                Reply::Busy(_, asked) => {
                    std::thread::sleep(asked.map_or(wait, |asked| asked.min(LONGEST_ASKED_WAIT)));
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    pub(super) fn error(&self, path: &str, reason: String) -> PolicyError {
        PolicyError::Remote {
            url: format!("{}{path}", self.base_url),
            reason,
        }
    }

    fn send(&self, path: &str, body: &Value) -> Reply {
        let mut request = self
            .agent
            .post(format!("{}{path}", self.base_url))
            .header("Content-Type", "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let mut response = match request.send(body.to_string()) {
            Ok(response) => response,
            Err(error @ (ureq::Error::BadUri(_) | ureq::Error::Http(_))) => {
                return Reply::Refused(error.to_string());
            }
            Err(error) => return Reply::Busy(format!("no reply: {error}"), None),
        };
        let status = response.status();
        let asked = response
            .headers()
            .get("Retry-After")
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let text = response
            .body_mut()
            .with_config()
            .limit(REPLY_BYTES)
            .read_to_string();
        let text = match text {
            Ok(text) => text,
            Err(error) => return Reply::Busy(format!("the reply broke off: {error}"), None),
        };
        if status.is_success() {
            return match serde_json::from_str(&text) {
                Ok(reply) => Reply::Json(reply),
                Err(_) => Reply::Refused(format!("the reply is no JSON: {}", excerpt(&text))),
            };
        }
        let reason = format!("{status}: {}", message(&text));
        match status.as_u16() {
            408 | 429 | 500..=599 => Reply::Busy(reason, asked),
            401 | 403 => Reply::Refused(match &self.key_variable {
                Some(name) => format!("{reason}; is the key in {name} right?"),
                None => format!("{reason}; name the variable with the key in `api_key_env`"),
            }),
            404 => Reply::Refused(format!("{reason}; are `base_url` and `model` right?")),
            _ => Reply::Refused(reason),
        }
    }
}

/// The server's own words in the body of an error.
fn message(text: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(text).ok();
    let words = parsed.as_ref().and_then(|value| {
        let error = value.get("error").unwrap_or(value);
        let inner = error.get("message").or_else(|| value.get("detail"));
        inner.unwrap_or(error).as_str()
    });
    let mut words: String = words.unwrap_or(text).chars().take(300).collect();
    words.retain(|c| !c.is_control() || c == '\n');
    words
}
