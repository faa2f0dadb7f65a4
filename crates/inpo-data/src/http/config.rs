//! The settings of a server's client.

use std::path::PathBuf;

use super::{has_more_than_a_path, redact_address};

/// A year: the longest timeout.
const LONGEST_TIMEOUT: f64 = 366.0 * 86_400.0;
/// The most requests in flight: each has a thread.
const MOST_IN_FLIGHT: usize = 1024;

/// Where a server is and how patiently it is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// The address up to and including the version, for instance `http://localhost:8000/v1`; without user, password or
    /// query.
    pub base_url: String,
    /// The environment variable that holds the key; absent: no key is sent.
    pub api_key_env: Option<String>,
    /// A PEM file with the authorities that an `https` server's certificate may come from, and no others; absent: those of
    /// `INPO_CA_FILE`, else Mozilla's.
    pub ca_file: Option<PathBuf>,
    /// Whether the key may be sent over plain `http` to another machine.
    pub allow_insecure_http: bool,
    /// Requests in flight at a time, at most: a server that is busy (429, 503) halves the number, and answers raise it again.
    pub concurrency: usize,
    /// Longest wait for one reply, in seconds.
    pub timeout_seconds: f64,
    /// How often a request is sent again after a reply of 408, 409, 425, 429 or 5xx or a lost connection, but not once it has
    /// taken 10 minutes, or `timeout_seconds` where that is longer. A certificate that is not trusted and a name that does
    /// not exist are not tried again.
    pub max_retries: usize,
    /// The first wait before that, in seconds; it doubles each time, up to 30, and a random part of it, up to a half, is left
    /// out. `Retry-After` and the reset of a rate limit win, up to 60.
    pub retry_seconds: f64,
}

impl ServerConfig {
    /// A server with 16 requests in flight, a timeout of 10 minutes and 5 retries, the first after half a second.
    #[must_use]
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            api_key_env: None,
            ca_file: None,
            allow_insecure_http: false,
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
            return Some((
                "base_url",
                format!("{:?}", redact_address(&self.base_url)),
                allowed,
            ));
        }
        if has_more_than_a_path(&self.base_url) {
            let allowed = "an address without user, password and query, which would be written to files (a key stands in \
                           the variable that `api_key_env` names)";
            return Some((
                "base_url",
                format!("{:?}", redact_address(&self.base_url)),
                allowed,
            ));
        }
        if !(1..=MOST_IN_FLIGHT).contains(&self.concurrency) {
            return Some((
                "concurrency",
                self.concurrency.to_string(),
                "from 1 to 1024",
            ));
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
