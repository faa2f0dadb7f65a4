//! Sizes and digests, as the hub states them and as files have them.

use inpo_data::{excerpt, hex};
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use ureq::http::HeaderMap;

use super::cache::is_hex;

/// A digest in lower-case hexadecimal, which is also the name of the blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    /// Of files in Git LFS.
    Sha256(String),
    /// Of others: git's of the blob, or (some mirrors) of the contents alone.
    Sha1(String),
}

/// What the hub says of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stated {
    pub(super) bytes: Option<u64>,
    pub(super) sum: Option<Sum>,
}

impl Sum {
    pub(super) fn digits(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::Sha1(digits) => digits,
        }
    }

    fn read(text: &str) -> Option<Self> {
        let digits = text.to_ascii_lowercase();
        if is_hex(&digits, 64) {
            Some(Self::Sha256(digits))
        } else if is_hex(&digits, 40) {
            Some(Self::Sha1(digits))
        } else {
            None
        }
    }
}

impl Stated {
    /// Of an element of `siblings`.
    pub(super) fn of_list(file: &Value) -> Result<Self, String> {
        let lfs = &file["lfs"];
        let digits = lfs["sha256"].as_str().or_else(|| file["blobId"].as_str());
        let sum = match digits {
            None => None,
            Some(digits) => Some(Sum::read(digits).ok_or_else(|| {
                format!(
                    "the hub states the digest {}, which is none",
                    excerpt(digits)
                )
            })?),
        };
        let bytes = lfs["size"].as_u64().or_else(|| file["size"].as_u64());
        Ok(Self { bytes, sum })
    }

    /// Of the head of a reply of the hub itself. An ETag that is no digest says nothing.
    pub(super) fn of_head(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let linked = text("x-linked-etag");
        let etag = linked.or_else(|| text("etag")).unwrap_or_default();
        let etag = etag.trim_start_matches("W/").trim_matches('"');
        Self {
            bytes: text("x-linked-size").and_then(|size| size.parse().ok()),
            sum: Sum::read(etag),
        }
    }

    /// Each part of `self`, else of `other`.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.or(other.bytes),
            sum: self.sum.or(other.sum),
        }
    }
}

/// The digest of bytes as they come.
pub(super) enum Hasher {
    Sha256(Sha256),
    Sha1 { git: Sha1, plain: Sha1 },
}

impl Hasher {
    /// For a file of so many bytes whose stated digest is `sum`.
    pub(super) fn new(sum: &Sum, bytes: u64) -> Self {
        match sum {
            Sum::Sha256(_) => Self::Sha256(Sha256::new()),
            Sum::Sha1(_) => Self::Sha1 {
                git: Sha1::new_with_prefix(format!("blob {bytes}\0")),
                plain: Sha1::new(),
            },
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(sha256) => sha256.update(bytes),
            Self::Sha1 { git, plain } => {
                git.update(bytes);
                plain.update(bytes);
            }
        }
    }

    /// Compares what came with what was stated.
    ///
    /// # Errors
    ///
    /// In words, both digests where they differ.
    pub(super) fn check(self, stated: &Sum) -> Result<(), String> {
        let found = match self {
            Self::Sha256(sha256) => vec![hex(&sha256.finalize())],
            Self::Sha1 { git, plain } => vec![hex(&git.finalize()), hex(&plain.finalize())],
        };
        if found.iter().any(|found| found == stated.digits()) {
            return Ok(());
        }
        Err(format!(
            "its digest is {}, and the hub states {}",
            found[0],
            stated.digits()
        ))
    }
}
