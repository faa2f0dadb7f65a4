//! Settings of sampling.

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::PolicyError;

/// The most samples of one prompt.
const MOST_GENERATIONS: usize = 1 << 16;

/// Settings of sampling, with Hugging Face's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GenerationConfig {
    /// Responses to each prompt, K, at least 1; from 2 (with scores as labels 3) to 1024 in a run.
    pub num_generations: usize,
    /// Most tokens of a response, its end token included, at least 1.
    #[serde(alias = "max_completion_tokens")]
    #[schemars(extend("x-aliases" = ["max_completion_tokens"]))]
    pub max_new_tokens: usize,
    /// No end token among the first this many tokens, at most `max_new_tokens` (as in `transformers`, where stop strings do
    /// not wait either).
    pub min_new_tokens: usize,
    /// Divides the logits, above 0; 0 is greedy, which a run refuses.
    pub temperature: f64,
    /// Keeps the most likely tokens up to this probability, above 0; 1 keeps all.
    pub top_p: f64,
    /// Keeps this many most likely tokens. Absent, or 0: all.
    #[serde(deserialize_with = "none_at_zero")]
    pub top_k: Option<usize>,
    /// Keeps tokens at least this likely relative to the most likely one, from 0 to 1; 0 keeps all.
    pub min_p: f64,
    /// Divides the positive logits of ids that the prompt or the response so far has, and multiplies the
    /// negative ones (arXiv 1909.05858), above 0; 1 changes nothing. It changes what is drawn, not the log-probs.
    pub repetition_penalty: f64,
    /// Ids that end a response beside the model's own end tokens, below the size of the vocabulary.
    pub stop_token_ids: Vec<u32>,
    /// Texts that end a response, of a character or more: its last token is the one that completes the text. The texts of special
    /// tokens do not count, and the prompt's text does not either.
    pub stop_strings: Vec<String>,
    /// Samples that are decoded together at most, at least 1: more of them read the weights less often. Every sample has
    /// random draws of its own, so that another number changes the last bits of log-probs (`sampling_logps`), and a text only
    /// where a draw falls within that rounding.
    pub max_num_seqs: usize,
    /// Tokens that the cache of all these samples has room for, at least 1, those of a prompt once for its samples: 16384
    /// tokens of SmolLM2 in f32 are 750 MB. Another number changes what another `max_num_seqs` does.
    pub max_cache_tokens: usize,
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
            repetition_penalty: 1.0,
            stop_token_ids: Vec::new(),
            stop_strings: Vec::new(),
            max_num_seqs: 128,
            max_cache_tokens: 16_384,
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
        if self.num_generations > MOST_GENERATIONS {
            let (got, allowed) = (
                self.num_generations.to_string(),
                format!("at most {MOST_GENERATIONS}"),
            );
            return fail("num_generations", got, &allowed);
        }
        if self.max_new_tokens == 0 {
            return fail("max_new_tokens", "0".into(), "at least 1");
        }
        if self.max_num_seqs == 0 {
            return fail("max_num_seqs", "0".into(), "at least 1");
        }
        if self.max_cache_tokens == 0 {
            return fail("max_cache_tokens", "0".into(), "at least 1");
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
        let penalty = self.repetition_penalty;
        if !(penalty > 0.0 && penalty.is_finite()) {
            let allowed = "a positive number; 1 is none";
            return fail("repetition_penalty", penalty.to_string(), allowed);
        }
        if self.stop_strings.iter().any(String::is_empty) {
            return fail(
                "stop_strings",
                "an empty text".into(),
                "texts of a character or more",
            );
        }
        Ok(())
    }

    /// Checks that a model of `vocab_size` ids can end its responses with [`stop_token_ids`](Self::stop_token_ids).
    ///
    /// # Errors
    ///
    /// The first id that the model does not have.
    pub fn check_vocabulary(&self, vocab_size: usize) -> Result<(), PolicyError> {
        let mut ids = self.stop_token_ids.iter();
        match ids.find(|&&id| id as usize >= vocab_size) {
            None => Ok(()),
            Some(id) => Err(PolicyError::InvalidSetting {
                key: "generation.stop_token_ids".to_owned(),
                got: id.to_string(),
                allowed: format!("ids below {vocab_size}, the size of the model's vocabulary"),
            }),
        }
    }

    /// Whether every response to a prompt is the same: at temperature 0, or where one token is left to draw from.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0 || self.top_k == Some(1) || self.min_p == 1.0
    }

    /// Whether responses are drawn from the policy itself: temperature 1, nothing truncated, no penalty. Only
    /// then are pairs what the theory asks for.
    pub fn draws_the_policy(&self) -> bool {
        self.temperature == 1.0
            && self.top_p == 1.0
            && self.top_k.is_none()
            && self.min_p == 0.0
            && self.repetition_penalty == 1.0
    }
}

/// transformers and vLLM write 0 for no limit.
fn none_at_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let top_k = Option::<usize>::deserialize(deserializer)?;
    Ok(top_k.filter(|&k| k != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_the_model_does_not_have_ends_nothing() {
        let config = GenerationConfig {
            stop_token_ids: vec![3, 64],
            ..GenerationConfig::default()
        };
        config.check_vocabulary(65).unwrap();
        assert_eq!(
            config.check_vocabulary(64).unwrap_err().to_string(),
            "`generation.stop_token_ids` is 64; allowed: ids below 64, the size of the model's vocabulary"
        );
    }

    /// OpenAI's name of the longest response, and 0 for no limit of the tokens.
    #[test]
    fn words_of_others_are_understood() {
        let read = |text: &str| serde_json::from_str::<GenerationConfig>(text).unwrap();
        let others = read(r#"{"max_completion_tokens": 7, "top_k": 0}"#);
        assert_eq!(others, read(r#"{"max_new_tokens": 7}"#));
        assert_eq!(read(r#"{"top_k": 3}"#).top_k, Some(3));
    }
}
