//! Asking an OpenAI-compatible server: requests on several threads, sent again when the server is busy.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

use crate::{DataError, excerpt};

/// Largest reply that is read.
const REPLY_BYTES: u64 = 256 << 20;
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_ASKED_WAIT: Duration = Duration::from_secs(60);
/// A year: the longest timeout.
const LONGEST_TIMEOUT: f64 = 366.0 * 86_400.0;

/// Where a server is and how patiently it is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// The address up to and including the version, for instance `http://localhost:8000/v1`.
    pub base_url: String,
    /// The environment variable that holds the key; absent: no key is sent.
    pub api_key_env: Option<String>,
    /// Requests in flight at a time.
    pub concurrency: usize,
    /// Longest wait for one reply, in seconds.
    pub timeout_seconds: f64,
    /// How often a request is sent again after a reply of 408, 429 or 5xx or a lost connection.
    pub max_retries: usize,
    /// The first wait before that, in seconds; it doubles each time, up to 30. `Retry-After` wins, up to 60.
    pub retry_seconds: f64,
}

impl ServerConfig {
    /// A server with 16 requests in flight, a timeout of 10 minutes and 5 retries, the first after half a second.
    #[must_use]
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            api_key_env: None,
            concurrency: 16,
            timeout_seconds: 600.0,
            max_retries: 5,
            retry_seconds: 0.5,
        }
    }

    /// The first setting out of its range: its key, its value and what it may be.
    #[must_use]
    pub fn out_of_range(&self) -> Option<(&'static str, String, &'static str)> {
        let web = ["http://", "https://"];
        if !web.iter().any(|start| self.base_url.starts_with(start)) {
            let allowed = "an address such as http://localhost:8000/v1";
            return Some(("base_url", format!("{:?}", self.base_url), allowed));
        }
        if self.concurrency == 0 {
            return Some(("concurrency", "0".into(), "at least 1"));
        }
        if !(self.timeout_seconds > 0.0 && self.timeout_seconds <= LONGEST_TIMEOUT) {
            let got = self.timeout_seconds.to_string();
            return Some(("timeout_seconds", got, "above 0, at most a year"));
        }
        if !(0.0..=60.0).contains(&self.retry_seconds) {
            return Some((
                "retry_seconds",
                self.retry_seconds.to_string(),
                "from 0 to 60",
            ));
        }
        None
    }
}

/// A server's client. It shows its address and never its key.
pub struct Client {
    agent: Agent,
    base_url: String,
    /// The header with the key.
    authorization: Option<String>,
    key_variable: Option<String>,
    concurrency: usize,
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
    /// Worth another try, and then a fault of this request.
    Failed(String),
    /// This request, for a reason of its own.
    Refused(String),
    /// Every request: no key, no such address.
    Closed(String),
}

impl Client {
    /// The client of `config`, whose settings are in their ranges. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// An environment variable for the key that is not set.
    pub fn new(config: &ServerConfig) -> Result<Self, DataError> {
        let base_url = config.base_url.trim_end_matches('/').to_owned();
        let authorization = match &config.api_key_env {
            None => None,
            Some(name) => match std::env::var(name) {
                Ok(key) if !key.trim().is_empty() => Some(format!("Bearer {}", key.trim())),
                _ => {
                    let reason = format!(
                        "the environment variable {name} (`api_key_env`) is not set; set it to the server's key, or leave `api_key_env` out"
                    );
                    return Err(DataError::Server {
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
            concurrency: config.concurrency,
            max_retries: config.max_retries,
            wait: Duration::from_secs_f64(config.retry_seconds),
        })
    }

    /// The reply to `body`, posted to `path` behind the base address.
    ///
    /// # Errors
    ///
    /// [`DataError::Request`] for a request that is refused or whose reply is no JSON, [`DataError::Server`] for a server
    /// that refuses all, stays busy or cannot be reached.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, DataError> {
        let mut wait = self.wait;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.send(path, body) {
                Reply::Json(reply) => return Ok(reply),
                Reply::Refused(reason) => return Err(self.refusal(path, reason)),
                Reply::Closed(reason) => return Err(self.error(path, reason)),
                Reply::Busy(reason, _) if tries > self.max_retries => {
                    let reason = format!("{reason} (tried {tries} times)");
                    return Err(self.error(path, reason));
                }
                Reply::Failed(reason) if tries > self.max_retries => {
                    return Err(self.refusal(path, format!("{reason} (tried {tries} times)")));
                }
                Reply::Busy(_, Some(asked)) => std::thread::sleep(asked.min(LONGEST_ASKED_WAIT)),
                Reply::Busy(_, None) | Reply::Failed(_) => std::thread::sleep(wait),
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Runs `work` on each of `items` on as many threads as requests may be in flight, and hands each result to `done`
    /// with the item's place, as it comes. After a failure no further item is begun.
    ///
    /// # Errors
    ///
    /// The first failure that arrives, of `work` or of `done`.
    pub fn for_each<T: Sync, R: Send, E: Send>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> Result<R, E> + Sync,
        done: &mut dyn FnMut(usize, R) -> Result<(), E>,
    ) -> Result<(), E> {
        let next = AtomicUsize::new(0);
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..self.concurrency.min(items.len()) {
                let (next, work, sender) = (&next, &work, sender.clone());
                scope.spawn(move || {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(index) else { return };
                        if sender.send((index, work(item))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for (index, result) in receiver {
                if let Err(error) = result.and_then(|result| done(index, result)) {
                    // No thread takes another item.
                    next.store(items.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
            Ok(())
        })
    }

    /// An error about one request to `path`.
    #[must_use]
    pub fn refusal(&self, path: &str, reason: String) -> DataError {
        DataError::Request {
            url: format!("{}{path}", self.base_url),
            reason,
        }
    }

    /// An error about `path` on this server.
    #[must_use]
    pub fn error(&self, path: &str, reason: String) -> DataError {
        DataError::Server {
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
                return Reply::Closed(error.to_string());
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
            500 => Reply::Failed(reason),
            408 | 429 | 501..=599 => Reply::Busy(reason, asked),
            401 | 403 => Reply::Closed(match &self.key_variable {
                Some(name) => format!("{reason}; is the key in {name} right?"),
                None => format!("{reason}; name the variable with the key in `api_key_env`"),
            }),
            404 => Reply::Closed(format!("{reason}; are `base_url` and `model` right?")),
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
