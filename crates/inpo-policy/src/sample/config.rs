//! Settings of sampling.

use serde::{Deserialize, Serialize};

use crate::error::PolicyError;

/// Settings of sampling, with Hugging Face's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenerationConfig {
    /// Samples per prompt, K.
    pub num_generations: usize,
    /// Largest number of tokens of a response, its end token included.
    pub max_new_tokens: usize,
    /// No end token among the first this many tokens (as in `transformers`).
    pub min_new_tokens: usize,
    /// Divides the logits; 0 is greedy.
    pub temperature: f64,
    /// Keeps the most likely tokens up to this probability; 1 keeps all.
    pub top_p: f64,
    /// Keeps this many most likely tokens.
    pub top_k: Option<usize>,
    /// Keeps tokens at least this likely relative to the most likely one; 0 keeps all.
    pub min_p: f64,
}

impl Default for GenerationConfig {
    /// K = 8 at temperature 1, nothing truncated: the policy itself, as the theory asks.
    fn default() -> Self {
        Self {
            num_generations: 8,
            max_new_tokens: 256,
            min_new_tokens: 0,
            temperature: 1.0,
            top_p: 1.0,
            top_k: None,
            min_p: 0.0,
        }
    }
}

impl GenerationConfig {
    /// Checks every setting, in sentences.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let fail = |key: &str, got: String, allowed: &str| {
            Err(PolicyError::InvalidSetting {
                key: format!("generation.{key}"),
                got,
                allowed: allowed.to_owned(),
            })
        };
        if self.num_generations == 0 {
            return fail("num_generations", "0".into(), "at least 1");
        }
        if self.max_new_tokens == 0 {
            return fail("max_new_tokens", "0".into(), "at least 1");
        }
        if self.min_new_tokens > self.max_new_tokens {
            let got = self.min_new_tokens.to_string();
            return fail("min_new_tokens", got, "at most max_new_tokens");
        }
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            let got = self.temperature.to_string();
            return fail("temperature", got, "0 (greedy) or a positive number");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return fail("top_p", self.top_p.to_string(), "above 0 and at most 1");
        }
        if self.top_k == Some(0) {
            return fail("top_k", "0".into(), "at least 1, or absent");
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return fail("min_p", self.min_p.to_string(), "from 0 to 1");
        }
        Ok(())
    }
}
