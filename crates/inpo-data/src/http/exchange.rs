//! One request and what comes of it.

use std::time::Duration;

use chrono::Utc;
use serde_json::Value;
use ureq::http::Response;

use super::{Client, followed, is_same_server, limits, redact};
use crate::{FOREIGN_WORDS, excerpt, printable};

/// Redirects that are followed, all on the same host.
const REDIRECTS: usize = 3;

/// Why there is no answer to a request.
pub(super) enum Fault {
    /// Worth another try, and then a fault of the server.
    Busy {
        reason: String,
        /// The wait that the server asks for.
        asked: Option<Duration>,
        /// Whether it says that it has too much to do.
        overload: bool,
    },
    /// No reply or half of one: worth another try.
    Lost { reason: String, timeout: bool },
    /// Worth another try, and then a fault of this request.
    Failed(String),
    /// This request, for a reason of its own.
    Refused(String),
    /// Every request: no key, no such address, a certificate that is not trusted.
    Closed(String),
}

impl Fault {
    /// Whether fewer requests at a time may help.
    pub(super) fn is_overload(&self) -> bool {
        match self {
            Self::Busy { overload, .. } => *overload,
            Self::Lost { timeout, .. } => *timeout,
            Self::Failed(_) | Self::Refused(_) | Self::Closed(_) => false,
        }
    }
}

impl Client {
    /// The text of the answer to `body`, or to a question without one.
    pub(super) fn send(&self, path: &str, body: Option<&Value>) -> Result<String, Fault> {
        let body = body.map(Value::to_string);
        let mut url = format!("{}{path}", self.base_url);
        for _ in 0..=REDIRECTS {
            let mut response = self.sent(&url, body.as_deref()).map_err(no_reply)?;
            let status = response.status();
            if status.is_redirection() {
                url = redirected(&url, &response)?;
                continue;
            }
            let now = Utc::now();
            // Four characters to a token, as a rule of thumb.
            let tokens = body.as_ref().map_or(0, String::len) as f64 / 4.0;
            let refill = limits::refill(response.headers(), tokens, now);
            let asked = limits::retry_after(response.headers(), now).or(refill);
            let bytes = response
                .body_mut()
                .with_config()
                .limit(self.reply_bytes)
                .read_to_vec();
            let bytes = bytes.map_err(|error| self.broken_off(error))?;
            // What is no UTF-8 is no JSON either: the caller says so.
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if status.is_success() {
                if let Some(wait) = refill {
                    self.throttle.pause(wait);
                }
                return Ok(text);
            }
            // The key goes before anything is cut short.
            let words = message(&self.without_secrets(&text));
            let reason = format!("{status}: {words}");
            return Err(self.fault(status.as_u16(), reason, asked));
        }
        Err(Fault::Closed(format!(
            "it redirects more than {REDIRECTS} times"
        )))
    }

    fn sent(&self, url: &str, body: Option<&str>) -> Result<Response<ureq::Body>, ureq::Error> {
        let authorization = self.key.as_ref().map(|key| format!("Bearer {key}"));
        match body {
            None => {
                let mut request = self.agent.get(url);
                if let Some(authorization) = authorization {
                    request = request.header("Authorization", authorization);
                }
                request.call()
            }
            Some(body) => {
                let mut request = self.agent.post(url);
                request = request.header("Content-Type", "application/json");
                if let Some(authorization) = authorization {
                    request = request.header("Authorization", authorization);
                }
                request.send(body)
            }
        }
    }

    fn broken_off(&self, error: ureq::Error) -> Fault {
        if let ureq::Error::BodyExceedsLimit(_) = error {
            let limit = self.reply_bytes;
            return Fault::Refused(format!("the reply is longer than {limit} bytes"));
        }
        Fault::Lost {
            timeout: matches!(error, ureq::Error::Timeout(_)),
            reason: format!("the reply broke off: {}", why_no_reply(&error)),
        }
    }

    fn fault(&self, status: u16, reason: String, asked: Option<Duration>) -> Fault {
        match status {
            500 => Fault::Failed(reason),
            408 | 409 | 425 | 429 | 501..=599 => Fault::Busy {
                reason,
                asked,
                // 529 is Anthropic's.
                overload: matches!(status, 429 | 503 | 529),
            },
            401 | 403 => Fault::Closed(match &self.key_variable {
                Some(name) => format!("{reason}; is the key in {name} right?"),
                None => format!("{reason}; name the variable with the key in `api_key_env`"),
            }),
            402 => Fault::Closed(reason),
            404 => Fault::Closed(format!("{reason}; are `base_url` and `model` right?")),
            _ => Fault::Refused(reason),
        }
    }
}

fn no_reply(error: ureq::Error) -> Fault {
    let reason = format!("no reply: {}", why_no_reply(&error));
    if is_permanent(&error) {
        return Fault::Closed(reason);
    }
    Fault::Lost {
        timeout: matches!(error, ureq::Error::Timeout(_)),
        reason,
    }
}

/// Why nothing came back, in words that are safe to print.
fn why_no_reply(error: &ureq::Error) -> String {
    let words = redact(&printable(&error.to_string(), FOREIGN_WORDS));
    if words.contains("invalid peer certificate") {
        return format!(
            "{words}; name the file of the authority that is to be trusted in `ca_file`"
        );
    }
    words
}

/// Whether the same error would come again: a certificate that is not trusted, a name that does not exist, an address that
/// is none.
#[must_use]
pub fn is_permanent(error: &ureq::Error) -> bool {
    use ureq::Error;
    match error {
        // What the library for TLS says comes as data that are invalid; names are looked up by the system, whose words tell
        // a name that does not exist from a service that did not answer.
        Error::Io(error) => {
            let words = error.to_string();
            let no_name = words.contains("failed to lookup address")
                && !words.to_lowercase().contains("temporary failure");
            no_name || error.kind() == std::io::ErrorKind::InvalidData
        }
        Error::BadUri(_)
        | Error::Http(_)
        | Error::HostNotFound
        | Error::InvalidProxyUrl
        | Error::Pem(_)
        | Error::Rustls(_)
        | Error::Tls(_)
        | Error::TlsRequired => true,
        _ => false,
    }
}

/// Where a redirect leads, if that is on the same host.
fn redirected(from: &str, response: &Response<ureq::Body>) -> Result<String, Fault> {
    let location = response.headers().get("location");
    let location = location.and_then(|value| value.to_str().ok());
    let status = response.status();
    let Some(location) = location else {
        return Err(Fault::Closed(format!("{status}: it redirects nowhere")));
    };
    if !matches!(status.as_u16(), 301 | 302 | 307 | 308) {
        let reason = format!("{status}: it redirects to {}", excerpt(&redact(location)));
        return Err(Fault::Closed(reason));
    }
    let there = followed(from, location).filter(|there| is_same_server(from, there));
    there.ok_or_else(|| {
        let location = excerpt(&redact(location));
        Fault::Closed(format!(
            "it redirects to another host, {location}, and neither key nor prompts are sent there; set `base_url` to it if it is right"
        ))
    })
}

/// The server's own words in the body of an error.
fn message(text: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(text).ok();
    let words = parsed.as_ref().and_then(|value| {
        let error = value.get("error").unwrap_or(value);
        let inner = error.get("message").or_else(|| value.get("detail"));
        inner.unwrap_or(error).as_str()
    });
    printable(words.unwrap_or(text), FOREIGN_WORDS)
}
