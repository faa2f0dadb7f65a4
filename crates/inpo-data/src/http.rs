//! Asking an OpenAI-compatible server: requests on several threads, fewer when the server is busy, sent again when it was.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

use crate::{DataError, excerpt};

mod address;
mod config;
mod connection;
mod exchange;
mod limits;
#[cfg(test)]
mod tests;
mod throttle;

pub use address::{
    followed, has_more_than_a_path, is_exposed, is_same_server, is_this_machine, redact,
    redact_address,
};
pub use config::ServerConfig;
pub use connection::{CA_FILE_VARIABLE, agent};
use exchange::Fault;
pub use exchange::is_permanent;
use throttle::Throttle;

/// Largest reply that is read, unless a client says otherwise.
const REPLY_BYTES: u64 = 256 << 20;
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// No try of a request begins once it has taken this long, or the longest wait for one reply where that is longer.
const LONGEST_IN_ALL: Duration = Duration::from_secs(600);
/// The shortest beginning of a key that is hidden where a text was cut.
const SHORTEST_PIECE: usize = 4;

/// A server's client. It shows its address and never its key.
pub struct Client {
    agent: Agent,
    base_url: String,
    key: Option<String>,
    key_variable: Option<String>,
    concurrency: usize,
    max_retries: usize,
    wait: Duration,
    /// How long a request may take before no further try begins.
    patience: Duration,
    reply_bytes: u64,
    throttle: Throttle,
    /// Requests that were answered.
    answered: AtomicU64,
}

impl std::fmt::Debug for Client {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut f = f.debug_struct("Client");
        f.field("base_url", &redact(&self.base_url))
            .finish_non_exhaustive()
    }
}

impl Client {
    /// The client of `config`, whose settings are in their ranges. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// An environment variable for the key that is not set, a key that would travel unencrypted to another machine, a file of
    /// authorities that cannot be read.
    pub fn new(config: &ServerConfig) -> Result<Self, DataError> {
        let base_url = config.base_url.trim_end_matches('/').to_owned();
        let wrong = |reason: String| DataError::Server {
            url: redact(&base_url),
            reason,
        };
        let key = match &config.api_key_env {
            None => None,
            Some(name) => match std::env::var(name) {
                Ok(key) if !key.trim().is_empty() => Some(key.trim().to_owned()),
                _ => {
                    let reason = format!(
                        "the environment variable {name} (`api_key_env`) is not set; set it to the server's key, or leave `api_key_env` out"
                    );
                    return Err(wrong(reason));
                }
            },
        };
        if key.is_some() && !config.allow_insecure_http && is_exposed(&base_url) {
            return Err(wrong(
                "the key would travel unencrypted to another machine; use https, or allow it with `allow_insecure_http = true`"
                    .to_owned(),
            ));
        }
        let timeout = Duration::from_secs_f64(config.timeout_seconds);
        let agent = connection::agent(&base_url, config.ca_file.as_deref())?
            .timeout_global(Some(timeout))
            .max_idle_connections_per_host(config.concurrency)
            .build()
            .new_agent();
        Ok(Self {
            agent,
            base_url,
            key,
            key_variable: config.api_key_env.clone(),
            concurrency: config.concurrency,
            max_retries: config.max_retries,
            wait: Duration::from_secs_f64(config.retry_seconds),
            patience: timeout.max(LONGEST_IN_ALL),
            reply_bytes: REPLY_BYTES,
            throttle: Throttle::new(config.concurrency),
            answered: AtomicU64::new(0),
        })
    }

    /// Refuses replies of more bytes than this. Default: 256 MiB.
    #[must_use]
    pub fn with_reply_bytes(self, reply_bytes: u64) -> Self {
        Self {
            reply_bytes,
            ..self
        }
    }

    /// The reply to `body`, posted to `path` behind the base address.
    ///
    /// # Errors
    ///
    /// [`DataError::Request`] for a request that is refused or whose reply is no JSON, or that alone is not answered,
    /// [`DataError::Server`] for a server that refuses all, stays busy or cannot be reached.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, DataError> {
        let read = |text: &str| no_json(text).map_err(Fault::Refused);
        self.exchange(path, Some(body), &mut 0, &read)
    }

    /// As [`post`](Self::post), for replies whose form is known: a reply that is no JSON, or that `read` does not
    /// understand, is asked for again before it is a fault of the request. Adds the requests that were sent to `sent`.
    ///
    /// # Errors
    ///
    /// As [`post`](Self::post).
    pub fn ask<T>(
        &self,
        path: &str,
        body: &Value,
        sent: &mut u64,
        read: impl Fn(Value) -> Result<T, String>,
    ) -> Result<T, DataError> {
        let read = |text: &str| no_json(text).and_then(&read).map_err(Fault::Failed);
        self.exchange(path, Some(body), sent, &read)
    }

    /// What stands at `path` behind the base address.
    ///
    /// # Errors
    ///
    /// As [`post`](Self::post).
    pub fn get(&self, path: &str) -> Result<Value, DataError> {
        let read = |text: &str| no_json(text).map_err(Fault::Refused);
        self.exchange(path, None, &mut 0, &read)
    }

    /// Sends until there is an answer, the server's word that there is none, or no try left.
    fn exchange<T>(
        &self,
        path: &str,
        body: Option<&Value>,
        sent: &mut u64,
        read: &dyn Fn(&str) -> Result<T, Fault>,
    ) -> Result<T, DataError> {
        let answered = self.answered.load(Ordering::Relaxed);
        let mut wait = self.wait;
        let mut tries = 0;
        // Without the waits for a turn.
        let mut taken = Duration::ZERO;
        loop {
            let permit = self.throttle.enter();
            tries += 1;
            *sent += 1;
            let started = Instant::now();
            let reply = self.send(path, body).and_then(|text| read(&text));
            taken += started.elapsed();
            let fault = match reply {
                Ok(reply) => {
                    permit.answered();
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(fault) => fault,
            };
            if fault.is_overload() {
                permit.busy();
            } else {
                drop(permit);
            }
            let last = tries > self.max_retries || taken >= self.patience;
            let asked = match fault {
                Fault::Refused(reason) => return Err(self.refusal(path, reason)),
                Fault::Closed(reason) => return Err(self.error(path, reason)),
                Fault::Failed(reason) if last => {
                    return Err(self.refusal(path, given_up(&reason, tries)));
                }
                // A server that answered others meanwhile is there: something is wrong with this request. (Not where it has
                // too much to do: that is nobody's own.)
                Fault::Lost { reason, .. }
                | Fault::Busy {
                    reason,
                    overload: false,
                    ..
                } if last && self.answered.load(Ordering::Relaxed) > answered => {
                    return Err(self.refusal(path, given_up(&reason, tries)));
                }
                Fault::Busy { reason, .. } | Fault::Lost { reason, .. } if last => {
                    return Err(self.error(path, given_up(&reason, tries)));
                }
                Fault::Busy { asked, .. } => asked,
                Fault::Lost { .. } | Fault::Failed(_) => None,
            };
            match asked {
                // It is meant for all who have this key.
                Some(asked) => {
                    self.throttle.pause(asked);
                    taken += asked;
                }
                None => {
                    let wait = jittered(wait);
                    std::thread::sleep(wait);
                    taken += wait;
                }
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Runs `work` on each of `items` on as many threads as requests may be in flight, and hands each result to `done`
    /// with the item's place, as it comes. After a failure no further item is begun; results of those that were are still
    /// handed over, unless it was `done` that failed.
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
        // Without a buffer: a thread begins its next item when its result is taken, so that results that are paid for and
        // not yet handed over are never many, however slow `done` is.
        let (sender, receiver) = mpsc::sync_channel(0);
        std::thread::scope(|scope| {
            for _ in 0..self.concurrency.min(items.len()) {
                let (next, work, sender) = (&next, &work, sender.clone());
                scope.spawn(move || {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(index) else { return };
                        let result = work(item);
                        if result.is_err() {
                            // No thread takes another item.
                            next.store(items.len(), Ordering::Relaxed);
                        }
                        if sender.send((index, result)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            let (mut failure, mut heard) = (None, true);
            for (index, result) in receiver {
                let outcome = match result {
                    Ok(result) if heard => done(index, result).inspect_err(|_| heard = false),
                    Ok(_) => continue,
                    Err(error) => Err(error),
                };
                if let Err(error) = outcome {
                    next.store(items.len(), Ordering::Relaxed);
                    failure.get_or_insert(error);
                }
            }
            failure.map_or(Ok(()), Err)
        })
    }

    /// Requests that may be in flight now: fewer than configured after the server was busy.
    #[must_use]
    pub fn in_flight_limit(&self) -> usize {
        self.throttle.limit()
    }

    /// An error about one request to `path`.
    #[must_use]
    pub fn refusal(&self, path: &str, reason: String) -> DataError {
        DataError::Request {
            url: redact(&format!("{}{path}", self.base_url)),
            reason: self.without_secrets(&reason),
        }
    }

    /// An error about `path` on this server.
    #[must_use]
    pub fn error(&self, path: &str, reason: String) -> DataError {
        DataError::Server {
            url: redact(&format!("{}{path}", self.base_url)),
            reason: self.without_secrets(&reason),
        }
    }

    /// `words` with neither the key, which some servers repeat, nor the secrets of addresses ([`redact`]). The beginning of
    /// the key before a `…`, where a text was cut, goes too.
    #[must_use]
    pub fn without_secrets(&self, words: &str) -> String {
        let words = redact(words);
        let Some(key) = &self.key else {
            return words;
        };
        let words = words.replace(key.as_str(), "***");
        let mut pieces: Vec<&str> = words.split('…').collect();
        let last = pieces.pop().unwrap_or_default();
        let mut shown = String::with_capacity(words.len());
        for piece in pieces {
            let cut = |length: &usize| key.get(..*length).is_some_and(|key| piece.ends_with(key));
            let hidden = (SHORTEST_PIECE..key.len()).rev().find(cut);
            shown.push_str(&piece[..piece.len() - hidden.unwrap_or(0)]);
            shown.push_str(if hidden.is_some() { "***…" } else { "…" });
        }
        shown + last
    }
}

/// The places that the parts of a reply name (`index`) must be 0, 1, 2 .. in any order; a server may name none.
///
/// # Errors
///
/// In words, a place that is named twice, left out, or not among the parts.
pub fn check_places(named: impl IntoIterator<Item = Option<usize>>) -> Result<(), String> {
    let named: Vec<Option<usize>> = named.into_iter().collect();
    let mut places: Vec<usize> = named.iter().copied().flatten().collect();
    places.sort_unstable();
    if places.is_empty() || places.iter().copied().eq(0..named.len()) {
        return Ok(());
    }
    let shown: Vec<String> = places.iter().take(8).map(usize::to_string).collect();
    Err(format!(
        "the {} parts of the reply have the `index` {}, and it counts them from 0",
        named.len(),
        shown.join(", ")
    ))
}

fn no_json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|_| format!("the reply is no JSON: {}", excerpt(text)))
}

fn given_up(reason: &str, tries: usize) -> String {
    match tries {
        1 => format!("{reason} (tried once)"),
        _ => format!("{reason} (tried {tries} times)"),
    }
}

/// From half of `wait` to all of it, so that requests that failed together do not come together again.
fn jittered(wait: Duration) -> Duration {
    // The keys of a hasher are random, and nothing here needs more than that.
    let random = RandomState::new().hash_one(()) >> 11;
    wait.mul_f64(0.5 + 0.5 * random as f64 / (1_u64 << 53) as f64)
}
