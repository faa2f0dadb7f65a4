//! What the files of an iteration hold.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Completion, FinishReason, Prompt, PromptInput, TemplateInput};

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
    /// The other columns of the prompt's row, but for those that are named as one of the above.
    #[serde(flatten)]
    pub metadata: Map<String, Value>,
}

impl ResponseRecord {
    /// Names of its own columns, which a prompt's metadata gives way to.
    pub const COLUMNS: [&str; 9] = [
        "prompt_id",
        "iteration",
        "seed",
        "prompt",
        "prompt_token_ids",
        "responses",
        "response_token_ids",
        "finish_reason",
        "sampling_logps",
    ];

    /// The prompt, for an oracle.
    #[must_use]
    pub fn to_prompt(&self) -> Prompt {
        let messages = self.prompt.as_ref().map(PromptInput::messages);
        Prompt {
            number: self.prompt_id,
            messages: messages.unwrap_or_default(),
            token_ids: Some(self.prompt_token_ids.clone()),
            template: TemplateInput::default(),
            metadata: self.metadata.clone(),
        }
    }

    /// The responses, for an oracle.
    #[must_use]
    pub fn completions(&self) -> Vec<Completion> {
        let ids = self.response_token_ids.iter().zip(&self.finish_reason);
        let answers = self.responses.iter().zip(ids);
        answers
            .map(|(text, (ids, &finish_reason))| Completion {
                text: text.clone(),
                token_ids: Some(ids.clone()),
                token_logps: None,
                finish_reason,
            })
            .collect()
    }

    /// Whether response `k` has no token but its end.
    #[must_use]
    pub fn is_blank(&self, k: usize) -> bool {
        let end = usize::from(self.finish_reason[k] == FinishReason::Stop);
        self.response_token_ids[k].len() <= end
    }
}

/// A row of `preferences.jsonl`: what the oracle was asked about one prompt's responses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreferenceRecord {
    /// The prompt's number.
    pub prompt_id: u64,
    /// `preference[i][j]` = P(response i beats response j), `null` where nothing was asked, 1/2 on the diagonal;
    /// `[j][i]` is the complement of `[i][j]`.
    pub preference: Vec<Vec<Option<f64>>>,
    /// The oracle's name, parameters included.
    pub judge: String,
}

/// A row of `pairs.jsonl`: a pair that is trained on.
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
    /// Share of the prompt's other responses, without the rejected one, that the chosen one beats; absent where
    /// not all of these comparisons were asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_chosen: Option<f64>,
    /// The same for the rejected one, without the chosen one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_rejected: Option<f64>,
    /// A response of the sampler whatever the oracle says of it, for ENPO's exploration term.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explored_token_ids: Option<Vec<u32>>,
    /// Weight of this pair's loss; 1 unless equal pairs are merged.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: f64,
}

fn one() -> f64 {
    1.0
}

fn is_one(weight: &f64) -> bool {
    *weight == 1.0
}
