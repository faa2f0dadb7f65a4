//! What the files of an iteration hold.

use inpo_policy::FinishReason;
use serde::{Deserialize, Serialize};

use crate::rows::PromptInput;

/// A row of `responses.jsonl`: a prompt with its K samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResponseRecord {
    /// The prompt's number among all prompts.
    pub prompt_id: u64,
    /// The iteration, 0 outside a loop.
    pub iteration: u64,
    /// The run's seed.
    pub seed: u64,
    /// The prompt, when it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PromptInput>,
    /// The prompt's ids, as the model saw them.
    pub prompt_token_ids: Vec<u32>,
    /// K texts, without special tokens.
    pub responses: Vec<String>,
    /// K id lists, end token included when emitted: what is trained on.
    pub response_token_ids: Vec<Vec<u32>>,
    /// K reasons for the end.
    pub finish_reason: Vec<FinishReason>,
    /// K sums of token log-probs under the sampler at temperature 1, in nats: Nash-MD's is a mixture.
    pub sampling_logps: Vec<f64>,
}

/// A row of `preferences.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreferenceRecord {
    /// The prompt's number.
    pub prompt_id: u64,
    /// `preference[i][j]` = P(response i beats response j), diagonal 1/2.
    pub preference: Vec<Vec<f64>>,
    /// The oracle's name, parameters included.
    pub judge: String,
}

/// A row of `pairs.jsonl`: the pair kept for a prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairRecord {
    /// The prompt's number.
    pub prompt_id: u64,
    /// The prompt's ids.
    pub prompt_token_ids: Vec<u32>,
    /// The preferred response's text.
    pub chosen: String,
    /// Its ids.
    pub chosen_token_ids: Vec<u32>,
    /// The other response's text.
    pub rejected: String,
    /// Its ids.
    pub rejected_token_ids: Vec<u32>,
    /// P(chosen beats rejected).
    pub probability: f64,
    /// Share of the prompt's other responses, without the rejected one, that the chosen one beats.
    pub score_chosen: f64,
    /// The same for the rejected one, without the chosen one.
    pub score_rejected: f64,
    /// A response of the sampler whatever the oracle says of it, for ENPO's exploration term.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explored_token_ids: Option<Vec<u32>>,
}
