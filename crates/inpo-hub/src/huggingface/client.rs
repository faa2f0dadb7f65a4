//! Asking the hub.

use std::collections::BTreeMap;
use std::time::Duration;

use inpo_data::http::{
    CA_FILE_VARIABLE, agent, followed, is_exposed, is_permanent, is_same_server, redact,
    redact_address,
};
use inpo_data::{DataError, FOREIGN_WORDS, excerpt, printable};
use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::Failure;
use super::cache::{Cache, is_hex, is_plain};
use super::digest::Stated;
use crate::{Progress, Watch};

/// Where a model is asked for unless `HF_ENDPOINT` says otherwise.
const ENDPOINT: &str = "https://huggingface.co";

/// Redirects that are followed.
const REDIRECTS: usize = 5;

/// The longest wait for the head of a reply, and for the next bytes of a body.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// The longest time of a body, and the slowest rate that extends it, in bytes a second.
const LONGEST_BODY: Duration = Duration::from_secs(600);
const SLOWEST: u64 = 50_000;

/// The longest list of files that is read, in bytes.
const LONGEST_LIST: u64 = 16 << 20;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// It may pass.
    Passing(String),
    /// It stays.
    Permanent(String),
    /// What came cannot be written.
    Disk(DataError),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Passing(reason) | Fault::Permanent(reason) => Self::Hub(reason),
            Fault::Disk(error) => Self::Disk(error),
        }
    }
}

impl Fault {
    pub(super) fn of(error: &ureq::Error) -> Self {
        let mut words = redact(&printable(&error.to_string(), FOREIGN_WORDS));
        if words.contains("invalid peer certificate") {
            words += "; name the file of the authority that is to be trusted in ";
            words += CA_FILE_VARIABLE;
        }
        if is_permanent(error) {
            Self::Permanent(words)
        } else {
            Self::Passing(words)
        }
    }
}

/// The hub, or a mirror of it.
pub(super) struct Hub {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

/// The files of a repository at one commit.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: BTreeMap<String, Stated>,
}

/// A reply, and what the hub's own heads said of the file before it sent the client elsewhere.
pub(super) struct Opened {
    pub(super) response: Response<Body>,
    pub(super) stated: Stated,
}

impl Hub {
    /// The hub of `HF_ENDPOINT`, with the token of the cache. A token is not sent over plain http to another machine, unless
    /// `INPO_ALLOW_INSECURE_HTTP=1`.
    pub(super) fn from_env(cache: &Cache, watch: Watch<'_>) -> Result<Self, String> {
        let endpoint = std::env::var("HF_ENDPOINT").ok();
        let endpoint = endpoint.filter(|endpoint| !endpoint.trim().is_empty());
        let endpoint = endpoint.unwrap_or_else(|| ENDPOINT.to_owned());
        let file = cache.token_file();
        let token = std::fs::read_to_string(&file).unwrap_or_default();
        let mut token = Some(token.trim().to_owned()).filter(|token| !token.is_empty());
        let allowed = std::env::var_os("INPO_ALLOW_INSECURE_HTTP").is_some_and(|v| v == "1");
        if token.is_some() && is_exposed(&endpoint) && !allowed {
            token = None;
            watch(Progress::Note(&format!(
                "note: the token in {} is not sent to {}, which is another machine without https; INPO_ALLOW_INSECURE_HTTP=1 sends it",
                file.display(),
                redact(&endpoint)
            )));
        }
        Self::new(&endpoint, token)
    }

    pub(super) fn new(endpoint: &str, token: Option<String>) -> Result<Self, String> {
        let endpoint = endpoint.trim().trim_end_matches('/').to_owned();
        let web = ["http://", "https://"];
        if !web.iter().any(|start| endpoint.starts_with(start)) {
            let endpoint = excerpt(&redact_address(&endpoint));
            return Err(format!(
                "HF_ENDPOINT is {endpoint}; allowed: an address such as {ENDPOINT}"
            ));
        }
        let agent = agent(&endpoint, None).map_err(|error| error.to_string())?;
        let agent = agent
            .timeout_recv_response(Some(LONGEST_SILENCE))
            .timeout_per_read(Some(LONGEST_SILENCE))
            .user_agent(concat!("inpo/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity");
        Ok(Self {
            agent: agent.build().new_agent(),
            endpoint,
            token,
        })
    }

    /// The files of a model on its main branch.
    pub(super) fn list(&self, id: &str) -> Result<Listing, Fault> {
        let url = format!("{}/api/models/{id}/revision/main?blobs=true", self.endpoint);
        let mut opened = self.open(&url, 0, 0)?;
        let body = opened.response.body_mut().with_config().limit(LONGEST_LIST);
        let body = body.read_to_vec().map_err(|error| Fault::of(&error))?;
        let list = serde_json::from_slice(&body).map_err(|_| {
            let body = excerpt(&String::from_utf8_lossy(&body));
            Fault::Permanent(format!("the list of the model's files is no JSON: {body}"))
        })?;
        listing(&list).map_err(Fault::Permanent)
    }

    /// Begins to read a file of a model from byte `from` on; `bytes` are its size where it is known.
    pub(super) fn file(
        &self,
        id: &str,
        commit: &str,
        file: &str,
        from: u64,
        bytes: u64,
    ) -> Result<Opened, Fault> {
        let url = format!("{}/{id}/resolve/{commit}/{file}", self.endpoint);
        self.open(&url, from, bytes)
    }

    /// Follows redirects, to any host but never from https to http. The token goes to the hub alone.
    fn open(&self, url: &str, from: u64, bytes: u64) -> Result<Opened, Fault> {
        let mut url = url.to_owned();
        let mut stated = Stated::default();
        for _ in 0..=REDIRECTS {
            let at_hub = is_same_server(&self.endpoint, &url);
            let time = LONGEST_BODY + Duration::from_secs(bytes / SLOWEST);
            let request = self.agent.get(&url).config();
            let mut request = request.timeout_recv_body(Some(time)).build();
            if let (true, Some(token)) = (at_hub, &self.token) {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            if from > 0 {
                request = request.header("Range", format!("bytes={from}-"));
            }
            let response = request.call().map_err(|error| Fault::of(&error))?;
            if at_hub {
                // What a content server says of its own copy counts nothing.
                stated = Stated::of_head(response.headers()).or(stated);
            }
            let status = response.status();
            if status.is_success() {
                return Ok(Opened { response, stated });
            }
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Err(self.refused(&response));
            }
            url = self.next(&url, &response)?;
        }
        Err(Fault::Permanent(format!(
            "it redirects more than {REDIRECTS} times"
        )))
    }

    fn next(&self, from: &str, response: &Response<Body>) -> Result<String, Fault> {
        let location = response.headers().get("location");
        let location = location
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let there = followed(from, location);
        let encrypted = |url: &str| url.starts_with("https://");
        let there = there.filter(|there| encrypted(there) || !encrypted(from));
        there.ok_or_else(|| {
            let location = excerpt(&redact(location));
            Fault::Permanent(format!("it redirects to {location}, which is not followed"))
        })
    }

    fn refused(&self, response: &Response<Body>) -> Fault {
        let status = response.status();
        let words = response.headers().get("x-error-message");
        let words = words
            .and_then(|words| words.to_str().ok())
            .unwrap_or_default();
        let mut reason = format!("the hub answers {status}");
        if !words.is_empty() {
            let words = match &self.token {
                Some(token) => words.replace(token.as_str(), "***"),
                None => words.to_owned(),
            };
            reason = format!("{reason}: {}", redact(&printable(&words, FOREIGN_WORDS)));
        }
        match status.as_u16() {
            408 | 425 | 429 | 500..=599 => Fault::Passing(reason),
            401 | 403 => Fault::Permanent(format!(
                "{reason}; is the name right, and does `hf auth login` have a token that may read it?"
            )),
            _ => Fault::Permanent(reason),
        }
    }
}

/// The hub's list of files, whose commit, names and digests are what they should be. Files whose names are not plain are left
/// out: none of them is read.
fn listing(list: &Value) -> Result<Listing, String> {
    let text = |value: &Value| excerpt(value.as_str().unwrap_or_default());
    let commit = list["sha"].as_str().filter(|sha| is_hex(sha, 40));
    let commit = commit.ok_or_else(|| {
        format!(
            "the hub names the commit {}, and a commit is 40 hexadecimal digits",
            text(&list["sha"])
        )
    })?;
    let siblings = list["siblings"].as_array();
    let siblings = siblings.ok_or("the list of the model's files has no `siblings`")?;
    let mut files = BTreeMap::new();
    for sibling in siblings {
        let name = sibling["rfilename"].as_str().unwrap_or_default();
        if is_plain(name) {
            let stated = Stated::of_list(sibling).map_err(|reason| format!("{name}: {reason}"))?;
            files.insert(name.to_owned(), stated);
        }
    }
    Ok(Listing {
        commit: commit.to_ascii_lowercase(),
        files,
    })
}
