//! A row of a file of pairs, before and after its text is encoded.

use inpo_data::rows::{conversation, template_input};
use inpo_data::{Columns, Message, PairRecord, Place, Prompt, PromptInput, TemplateInput};
use inpo_policy::tokenizer::Answer;
use inpo_policy::{Policy, PolicyError};

use super::Labels;
use super::names::check_names;
use super::spoken::{SIDES, Spoken, response};

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
        check_names(&columns)?;
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
        if self.prompt_token_ids.is_none() {
            check_prompt(spoken.prompt.as_deref())?;
            policy.codec()?;
        }
        let prompt = Prompt {
            token_ids: self.prompt_token_ids.clone(),
            template: self.template.clone(),
            ..Prompt::new(spoken.prompt.clone().unwrap_or_default())
        };
        let mut messages = [None, None];
        for (k, message) in messages.iter_mut().enumerate() {
            if self.sides[k].token_ids.is_none() {
                *message = Some(spoken.answer(k)?).filter(|answer| !answer.is_blank());
            }
        }
        let answers = [0, 1].map(|k| match (&self.sides[k].token_ids, &messages[k]) {
            (Some(ids), _) => Answer::Ids(ids),
            (None, Some(message)) => Answer::Message(message),
            (None, None) => Answer::Ids(&[]),
        });
        if messages.iter().any(Option::is_some) {
            policy.codec()?;
        }
        let answered = policy.answered(&prompt, &answers)?;
        for (k, message) in messages.iter().enumerate() {
            if let Some(message) = message {
                check_written(policy, &prompt, message, &answered.responses[k], SIDES[k])?;
            }
        }
        let ends = policy.end_ids();
        let mut sides = answered.responses.into_iter().zip(&answers);
        let mut side = || match sides.next() {
            // A text of which no token is left but the end's is as empty as no text.
            Some((ids, Answer::Message(_))) if ids.iter().all(|id| ends.contains(id)) => Vec::new(),
            Some((ids, _)) => ids,
            None => Vec::new(),
        };
        Ok((answered.prompt, [side(), side()]))
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

fn check_prompt(messages: Option<&[Message]>) -> Result<(), String> {
    let Some(messages) = messages else {
        return Err(
            "there is neither `prompt` nor `prompt_token_ids`, and `chosen` and `rejected` are not messages with a \
             common beginning, or texts of the form \"\\n\\nHuman: ..\\n\\nAssistant: ..\" with one"
                .to_owned(),
        );
    };
    if messages.iter().all(Message::is_blank) {
        return Err("`prompt` is empty".to_owned());
    }
    if messages.last().is_some_and(|m| m.role == "assistant") {
        return Err(
            "the prompt ends with an assistant's message, which nothing answers".to_owned(),
        );
    }
    Ok(())
}

/// Refuses an answer with fields that a template writes where it was not written: behind a prompt of ids, or calls of
/// tools by a template that does not know them.
fn check_written(
    policy: &Policy,
    prompt: &Prompt,
    answer: &Message,
    ids: &[u32],
    name: &str,
) -> Result<(), Encoding> {
    const WRITTEN_BY_TEMPLATES: [&str; 4] = [
        "tool_calls",
        "function_call",
        "reasoning_content",
        "thinking",
    ];
    let mut fields = WRITTEN_BY_TEMPLATES.into_iter();
    let Some(field) = fields.find(|field| answer.field(field).is_some()) else {
        return Ok(());
    };
    if prompt.token_ids.is_some() {
        return Err(Encoding::Row(format!(
            "`{name}` has `{field}`, which a chat template writes, and the prompt is given as ids; give \
             `{name}_token_ids`"
        )));
    }
    if ["tool_calls", "function_call"].contains(&field) {
        let plain = Message::assistant(&answer.content);
        let plain = policy.answered(prompt, &[Answer::Message(&plain)])?;
        if plain.responses.concat() == ids {
            return Err(Encoding::Row(format!(
                "`{name}` has `{field}`, which the model's chat template does not write; the model would learn \
                 another answer"
            )));
        }
    }
    Ok(())
}
