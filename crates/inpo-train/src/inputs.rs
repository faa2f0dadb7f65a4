//! What a run or a training reads, as digests.

use inpo_policy::Policy;
use serde::Serialize;
use serde_json::{Value, json};

/// Digests (sha256) of what is read. A directory is resumed only where they are the same.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Inputs {
    /// The starting policy.
    pub policy: String,
    /// pi_ref.
    pub reference: String,
    /// The tokenizer, when there is one.
    pub tokenizer: Option<String>,
    /// The chat template, when there is one.
    pub chat_template: Option<String>,
    /// The token ids of all prompts, held-out ones included, in the order of the run; of a training its pairs.
    pub prompts: String,
}

impl Inputs {
    pub(crate) fn new(policy: &Policy, reference: &str, prompts: &str) -> Self {
        let codec = policy.codec().ok();
        Self {
            policy: policy.digest(),
            reference: reference.to_owned(),
            tokenizer: codec.map(|codec| codec.tokenizer_hash()),
            chat_template: codec.and_then(|codec| codec.template_hash()),
            prompts: prompts.to_owned(),
        }
    }

    /// Describes the inputs that differ from `saved`, those of a manifest; `prompts` are the words for the digest of
    /// the same name.
    pub(crate) fn differences(&self, saved: &Value, prompts: &str) -> Vec<String> {
        let now = json!(self);
        let words = [
            ("policy", "another policy"),
            ("reference", "another reference"),
            ("tokenizer", "another tokenizer"),
            ("chat_template", "another chat template"),
            ("prompts", prompts),
        ];
        let other = words.iter().filter(|(key, _)| saved[key] != now[key]);
        other.map(|(_, words)| (*words).to_owned()).collect()
    }
}
