//! A row of a file of pairs, before and after its text is encoded.

use inpo_data::rows::{conversation, template_input};
use inpo_data::{Columns, Message, PairRecord, Place, Prompt, PromptInput, TemplateInput};
use inpo_policy::{Policy, PolicyError};

use super::spoken::{Spoken, response};
use super::{Labels, given};

/// A row before its text is encoded.
pub(super) struct RawPair {
    pub(super) place: Place,
    pub(super) columns: Columns,
    /// The prompt with the name of its column.
    prompt: Option<(&'static str, PromptInput)>,
    prompt_token_ids: Option<Vec<u32>>,
    template: TemplateInput,
    sides: [RawSide; 2],
    /// Whether `logp_reduction` says that log-probs are sums.
    pub(super) sums: bool,
    /// Whether the pair was cut to the limit.
    pub(super) cut: bool,
}

struct RawSide {
    response: Option<PromptInput>,
    token_ids: Option<Vec<u32>>,
}

pub(super) const SIDES: [&str; 2] = ["chosen", "rejected"];

/// Why a row cannot be encoded: the row's fault, or the model's, which has no tokenizer.
pub(super) enum Encoding {
    Row(String),
    Policy(PolicyError),
}

impl From<String> for Encoding {
    fn from(reason: String) -> Self {
        Self::Row(reason)
    }
}

impl From<PolicyError> for Encoding {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::NoTokenizer { .. } => Self::Policy(error),
            error => Self::Row(error.to_string()),
        }
    }
}

impl RawPair {
    pub(super) fn parse(
        place: Place,
        columns: Columns,
        defaults: &TemplateInput,
    ) -> Result<Self, String> {
        let prompt = conversation(&columns)?;
        let prompt_token_ids: Option<Vec<u32>> =
            columns.read("prompt_token_ids", "a list of ids")?;
        if prompt_token_ids.as_ref().is_some_and(Vec::is_empty) {
            return Err("`prompt_token_ids` is empty".to_owned());
        }
        let side = |name: &str| {
            let ids = format!("{name}_token_ids");
            let side = RawSide {
                response: response(&columns, name)?,
                token_ids: columns.read(&ids, "a list of ids")?,
            };
            match (&side.response, &side.token_ids) {
                (None, None) => Err(format!(
                    "there is neither `{name}` nor `{ids}`; the columns are {}",
                    columns.names()
                )),
                _ => Ok(side),
            }
        };
        given::check_names(&columns)?;
        let reduction: Option<serde_json::Value> = columns.read("logp_reduction", "a word")?;
        if reduction.as_ref().is_some_and(|word| word != "sum") {
            return Err(
                "`logp_reduction` is not \"sum\": log-probs must be sums over the response's tokens"
                    .to_owned(),
            );
        }
        Ok(Self {
            place,
            prompt,
            prompt_token_ids,
            template: template_input(&columns)?.over(defaults),
            sides: [side("chosen")?, side("rejected")?],
            sums: reduction.is_some(),
            cut: false,
            columns,
        })
    }

    /// Token ids of the prompt and of both responses.
    pub(super) fn encode(&self, policy: &Policy) -> Result<(Vec<u32>, [Vec<u32>; 2]), Encoding> {
        let responses = self.sides.each_ref().map(|side| side.response.as_ref());
        let prompt = self.prompt.as_ref().map(|(name, prompt)| (*name, prompt));
        let spoken = Spoken::new(prompt, responses)?;
        let prompt = match (&self.prompt_token_ids, &spoken.prompt) {
            (Some(ids), _) => Prompt::from_ids(ids.clone()),
            (None, None) => {
                let reason = "there is neither `prompt` nor `prompt_token_ids`, and `chosen` and \
                              `rejected` are not messages with a common beginning, or texts of the form \
                              \"\\n\\nHuman: ..\\n\\nAssistant: ..\" with one";
                return Err(Encoding::Row(reason.to_owned()));
            }
            (None, Some(messages)) => {
                if messages.iter().all(Message::is_blank) {
                    return Err(Encoding::Row("`prompt` is empty".to_owned()));
                }
                if messages.last().is_some_and(|m| m.role == "assistant") {
                    let reason =
                        "the prompt ends with an assistant's message, which nothing answers";
                    return Err(Encoding::Row(reason.to_owned()));
                }
                Prompt {
                    template: self.template.clone(),
                    ..Prompt::new(messages.clone())
                }
            }
        };
        let ids = policy.prompt_ids(&prompt)?;
        let mut sides = [Vec::new(), Vec::new()];
        for (k, into) in sides.iter_mut().enumerate() {
            if let Some(ids) = &self.sides[k].token_ids {
                into.clone_from(ids);
                continue;
            }
            let answer = spoken.answer(k)?;
            if !answer.is_blank() {
                *into = answer_ids(policy, &prompt, &answer, SIDES[k])?;
            }
        }
        Ok((ids, sides))
    }

    /// The response for ENPO's exploration term, as `inpo run` writes it.
    pub(super) fn explored(&self) -> Result<Option<Vec<u32>>, String> {
        self.columns.read("explored_token_ids", "a list of ids")
    }

    pub(super) fn record(
        &self,
        prompt: Vec<u32>,
        sides: [Vec<u32>; 2],
        explored_token_ids: Option<Vec<u32>>,
    ) -> Result<(PairRecord, Labels), String> {
        let probability = match self.number("probability")? {
            Some(p) => Some(p),
            None => self.number("chosen_probs")?,
        };
        if let Some(p) = probability
            && !(0.0..=1.0).contains(&p)
        {
            return Err(format!("the probability is {p}; allowed: from 0 to 1"));
        }
        let weight = self.number("weight")?.unwrap_or(1.0);
        if !(weight.is_finite() && weight > 0.0) {
            return Err(format!("`weight` is {weight}; allowed: above 0"));
        }
        let scores = [self.number("score_chosen")?, self.number("score_rejected")?];
        let labels = Labels {
            soft: probability.is_some(),
            scores: scores.iter().all(Option::is_some),
        };
        let text = |side: &RawSide| match &side.response {
            Some(PromptInput::Text(text)) => text.clone(),
            _ => String::new(),
        };
        let [chosen_token_ids, rejected_token_ids] = sides;
        let record = PairRecord {
            prompt_id: self.place.number() as u64,
            prompt_token_ids: prompt,
            chosen: text(&self.sides[0]),
            chosen_token_ids,
            rejected: text(&self.sides[1]),
            rejected_token_ids,
            probability: probability.unwrap_or(1.0),
            score_chosen: scores[0],
            score_rejected: scores[1],
            explored_token_ids,
            weight,
        };
        Ok((record, labels))
    }

    /// A column with a number.
    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, String> {
        self.columns.read(key, "a number")
    }
}

/// Ids of an answer: those of its text, or, where it calls tools or reasons, those that the template makes of it.
fn answer_ids(
    policy: &Policy,
    prompt: &Prompt,
    answer: &Message,
    name: &str,
) -> Result<Vec<u32>, Encoding> {
    const WRITTEN_BY_TEMPLATES: [&str; 4] = [
        "tool_calls",
        "function_call",
        "reasoning_content",
        "thinking",
    ];
    let codec = policy.codec()?;
    let field = WRITTEN_BY_TEMPLATES
        .into_iter()
        .find(|field| answer.field(field).is_some());
    if let Some(field) = field {
        if prompt.token_ids.is_some() {
            return Err(Encoding::Row(format!(
                "`{name}` has `{field}`, which a chat template writes, and the prompt is given as ids; give \
                 `{name}_token_ids`"
            )));
        }
        let ids = |answer: &Message| {
            let whole = [prompt.messages.as_slice(), std::slice::from_ref(answer)].concat();
            let (_, ids) = codec.encode_answered_with(&whole, &prompt.template)?;
            Ok::<_, PolicyError>(ids)
        };
        let written = ids(answer)?;
        let calls = ["tool_calls", "function_call"].contains(&field);
        if calls && written == ids(&Message::assistant(&answer.content))? {
            return Err(Encoding::Row(format!(
                "`{name}` has `{field}`, which the model's chat template does not write; the model would learn \
                 another answer"
            )));
        }
        return Ok(written);
    }
    let ids = policy.response_ids(&answer.content)?;
    // A text of which no token is left but the end's is as empty as no text.
    let only_end = ids.len() == usize::from(codec.end_of_turn().is_some());
    Ok(if only_end { Vec::new() } else { ids })
}
