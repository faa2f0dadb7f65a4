//! Answers that were computed before, so that an evaluation that was stopped goes on where it was.

use std::collections::HashMap;
use std::path::Path;

use inpo_data::files::SealedLog;
use inpo_data::{DataError, sha256};
use inpo_policy::Policy;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::question::{Question, Requests};
use super::task::Answer;

/// The answers of one model: a file of [`SealedLog`] whose name is the digest of its weights and tokenizer, under the digest
/// of each question.
#[derive(Debug)]
pub struct AnswerCache {
    log: SealedLog,
    known: HashMap<String, Answer>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    logps: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl AnswerCache {
    /// Opens the file of `policy` in the folder `dir`, or makes both.
    ///
    /// # Errors
    ///
    /// A file that another process has open, that cannot be read or written.
    pub fn open(dir: &Path, policy: &Policy) -> Result<Self, DataError> {
        let tokenizer = policy
            .codec()
            .map(|codec| codec.tokenizer_hash())
            .unwrap_or_default();
        let model = sha256(format!("{}\n{tokenizer}", policy.digest()).as_bytes());
        let (log, entries) = SealedLog::open(&dir.join(format!("answers-{}.jsonl", &model[..16])))?;
        let entries = entries.into_iter().flatten();
        let entries = entries.filter_map(|text| serde_json::from_str::<Entry>(&text).ok());
        let known = entries.filter_map(|entry| {
            let answer = match (entry.logps, entry.text) {
                (Some(logps), None) => Answer::LogLikelihoods(logps),
                (None, Some(text)) => Answer::Text(text),
                _ => return None,
            };
            Some((entry.key, answer))
        });
        Ok(Self {
            known: known.collect(),
            log,
        })
    }

    pub(super) fn get(&self, key: &str) -> Option<&Answer> {
        self.known.get(key)
    }

    /// Appends an answer.
    pub(super) fn put(&mut self, key: String, answer: &Answer) -> Result<(), DataError> {
        let entry = Entry {
            key,
            logps: match answer {
                Answer::LogLikelihoods(logps) => Some(logps.clone()),
                Answer::Text(_) => None,
            },
            text: match answer {
                Answer::LogLikelihoods(_) => None,
                Answer::Text(text) => Some(text.clone()),
            },
        };
        // JSON has no NaN and no infinity.
        if answer.log_likelihoods().iter().all(|logp| logp.is_finite()) {
            self.log.append(&entry)?;
        }
        self.known.insert(entry.key, answer.clone());
        Ok(())
    }
}

/// The digest of what a model is asked.
pub(super) fn key(question: &Question) -> String {
    let asked: Value = match &question.requests {
        Requests::Scored(scored) => {
            let pair =
                |scored: &super::question::Scored| json!([*scored.context, scored.continuation]);
            json!({"scored": scored.iter().map(pair).collect::<Vec<_>>()})
        }
        Requests::Text(asked) => json!({
            "prompt": asked.prompt,
            "until": asked.limits.until,
            "max_new_tokens": asked.limits.max_new_tokens,
        }),
    };
    sha256(asked.to_string().as_bytes())
}
