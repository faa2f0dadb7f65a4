//! Settings of adapters that cannot be used.

use crate::error::{PolicyError, excerpt};

/// A setting that cannot be used, by the name of its key in [`LoraConfig`](super::LoraConfig).
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) key: &'static str,
    pub(super) got: String,
    pub(super) allowed: String,
}

impl Refusal {
    /// A regular expression that does not compile or that takes too long.
    pub(super) fn pattern(key: &'static str, text: &str, error: &fancy_regex::Error) -> Self {
        Self {
            key,
            got: excerpt(text),
            allowed: format!("a regular expression of module paths ({error})"),
        }
    }
}

impl From<Refusal> for PolicyError {
    /// A key of a run's configuration.
    fn from(refusal: Refusal) -> Self {
        Self::InvalidSetting {
            key: format!("policy.lora.{}", refusal.key),
            got: refusal.got,
            allowed: refusal.allowed,
        }
    }
}
