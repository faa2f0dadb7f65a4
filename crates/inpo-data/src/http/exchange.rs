//! One request and what comes of it.

use std::time::Duration;

use chrono::Utc;
use serde_json::Value;
use ureq::http::{Response, Uri};

use super::{Client, limits};
use crate::excerpt;

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
    /// Every request: no key, no such address.
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
            // What is no UTF-8 is no JSON either: the caller says so. The key goes before anything is cut short.
            let text = self.without_key(String::from_utf8_lossy(&bytes).into_owned());
            if status.is_success() {
                if let Some(wait) = refill {
                    self.throttle.pause(wait);
                }
                return Ok(text);
            }
            let words = message(&text);
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
            reason: format!("the reply broke off: {error}"),
        }
    }

    fn fault(&self, status: u16, reason: String, asked: Option<Duration>) -> Fault {
        match status {
            500 => Fault::Failed(reason),
            408 | 429 | 501..=599 => Fault::Busy {
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
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => Fault::Closed(error.to_string()),
        error => Fault::Lost {
            timeout: matches!(error, ureq::Error::Timeout(_)),
            reason: format!("no reply: {error}"),
        },
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
        let reason = format!("{status}: it redirects to {}", excerpt(location));
        return Err(Fault::Closed(reason));
    }
    same_host(from, location).ok_or_else(|| {
        let location = excerpt(location);
        Fault::Closed(format!(
            "it redirects to another host, {location}, and neither key nor prompts are sent there; set `base_url` to it if it is right"
        ))
    })
}

/// `location`, seen from `from`; none where scheme, host or port differ.
fn same_host(from: &str, location: &str) -> Option<String> {
    let from: Uri = from.parse().ok()?;
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(format!("{scheme}://{authority}{location}"));
    }
    let to: Uri = location.parse().ok()?;
    let same = to.scheme_str() == Some(scheme) && to.authority() == Some(authority);
    same.then(|| location.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_on_the_host() {
        let from = "https://a.example:8000/v1/chat";
        let to = |location: &str| same_host(from, location);
        let there = Some("https://a.example:8000/v2/chat".to_owned());
        assert_eq!(to("/v2/chat"), there);
        assert_eq!(
            to("https://A.example:8000/v2"),
            Some("https://A.example:8000/v2".to_owned())
        );
        for elsewhere in [
            "https://b.example:8000/v2",
            "http://a.example:8000/v2",
            "https://a.example/v2",
            "//b.example/v2",
            "https://a.example:8000@b.example/",
            "v2",
            "",
        ] {
            assert_eq!(to(elsewhere), None, "{elsewhere}");
        }
    }
}
