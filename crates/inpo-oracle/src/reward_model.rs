//! A reward model: a score of each response, and P from the difference of two.

use inpo_data::{Completion, Prompt};
use inpo_game::OracleError;
use inpo_policy::preference::Pair;
use inpo_policy::{PolicyError, RewardModel, TextCodec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::kind::OracleConfigError;
use crate::model_judge::{Limit, TooLong, answered, device, find_model, of_key, require_codec};
use crate::read_apart::{self, ReadsApart};
use crate::surroundings::Surroundings;
use crate::verdict::{Heard, Judge, Question, Usage};

/// Configuration of [`RewardModelJudge`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RewardModelConfig {
    /// The model: a directory, a hub id.
    pub model: String,
    /// The most tokens of a conversation with its answer. Absent: the model's context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// What happens to a longer one.
    #[serde(default, skip_serializing_if = "TooLong::is_default")]
    #[schemars(!skip_serializing_if)]
    pub too_long: TooLong,
}

impl RewardModelConfig {
    /// The defaults with this model.
    #[must_use]
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            max_length: None,
            too_long: TooLong::default(),
        }
    }

    /// Loads the model.
    ///
    /// # Errors
    ///
    /// A setting out of its range, a model that cannot be used or that cannot read conversations.
    pub fn init(self, around: &Surroundings<'_>) -> Result<RewardModelJudge, OracleConfigError> {
        let device = device(around, "reward_model")?;
        let path = find_model(around, &self.model)?;
        let model = RewardModel::load(&path, device).map_err(of_key("model"))?;
        require_codec(model.codec())?;
        let limit = Limit::new(self.max_length, model.config(), self.too_long)?;
        Ok(RewardModelJudge {
            config: self,
            model,
            limit,
        })
    }
}

/// A sequence classifier with one label as a judge: the Bradley-Terry model.
///
/// ```text
/// P(a > b | x) = sigmoid(r(x, a) - r(x, b))
/// ```
///
/// with `r` the logit at the last token that is not padding of the conversation and its answer, as transformers'
/// `apply_chat_template` writes them. Such a judge orders the responses of a prompt: no three of them cycle.
#[derive(Debug)]
pub struct RewardModelJudge {
    config: RewardModelConfig,
    model: RewardModel,
    limit: Limit,
}

impl ReadsApart for RewardModelJudge {
    fn limit(&self) -> &Limit {
        &self.limit
    }

    fn answered_ids(&self, prompt: &Prompt, answer: &Completion) -> Result<Vec<u32>, String> {
        let messages = answered(prompt, answer)?;
        let codec = self.model.codec().ok_or("the model has no tokenizer")?;
        let text = codec.render_conversation(&messages);
        let ids = text.and_then(|text| codec.encode(&text));
        ids.map_err(|e| e.to_string())
    }

    fn logits(&self, sequences: &[Vec<u32>], pairs: &[Pair]) -> Result<Vec<f64>, PolicyError> {
        let rewards = self.model.rewards(sequences)?;
        let difference = |pair: &Pair| rewards[pair.first] - rewards[pair.second];
        Ok(pairs.iter().map(difference).collect())
    }

    fn name(&self) -> String {
        format!(
            "reward_model(model={}, Bradley-Terry: it cannot cycle)",
            self.config.model
        )
    }
}

impl Judge for RewardModelJudge {
    fn judge(&self, questions: &[Question<'_>], heard: &mut Heard<'_>) -> Result<(), OracleError> {
        read_apart::judge(self, questions, heard)
    }

    fn name(&self) -> String {
        ReadsApart::name(self)
    }

    fn specification(&self) -> Value {
        let codec = self.model.codec();
        json!({
            "judge": "reward_model",
            "weights": self.model.identity(),
            "tokenizer": codec.map(TextCodec::tokenizer_hash),
            "chat_template": codec.and_then(TextCodec::template_hash),
            "pad_token_id": self.model.config().pad_token_id,
            "max_length": self.limit.tokens,
            "too_long": self.limit.too_long,
        })
    }

    fn is_symmetric(&self) -> bool {
        true
    }

    fn estimate(&self, questions: &[Question<'_>]) -> Result<Usage, OracleError> {
        read_apart::estimate(self, questions)
    }
}
