//! Reading a file of pairs: text, messages or ids, with whatever labels and log-probs come along.

use std::path::Path;

use inpo_data::rows::{column, read_lines};
use inpo_data::{DataError, Message, PairRecord, Prompt, PromptInput};
use inpo_loss::LabelKind;
use inpo_policy::tokenizer::Answer;
use inpo_policy::{Policy, Sequence};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::token_limit;
use crate::error::TrainError;

mod given;

pub use given::GivenLogps;

/// The pairs of a file, as token ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    /// The rows that can be trained on.
    pub records: Vec<PairRecord>,
    /// Their lines in the file, from 1.
    pub lines: Vec<usize>,
    /// Log-probs that the file brings.
    pub logps: GivenLogps,
    /// What was done to rows.
    pub counts: PairCounts,
    labels: Vec<Labels>,
}

/// What reading did to the rows, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct PairCounts {
    /// Pairs kept.
    pub pairs: usize,
    /// Prompts cut on the left, to leave room for the longer response.
    pub truncated_prompts: usize,
    /// Responses cut on the right, being longer than `max_length` by themselves.
    pub truncated_responses: usize,
    /// Rows dropped because a response has no token.
    pub dropped_empty: usize,
}

/// Which labels a row has beside its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Labels {
    soft: bool,
    scores: bool,
}

/// A response as it stands in a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum ResponseInput {
    Text(String),
    Messages(Vec<Message>),
}

/// A row before its text is encoded.
struct RawPair {
    line: usize,
    columns: Map<String, Value>,
    prompt: Option<PromptInput>,
    prompt_token_ids: Option<Vec<u32>>,
    sides: [RawSide; 2],
    /// Whether `logp_reduction` says that log-probs are sums.
    sums: bool,
    /// Whether the pair was cut to the limit.
    cut: bool,
}

struct RawSide {
    response: Option<ResponseInput>,
    token_ids: Option<Vec<u32>>,
}

const SIDES: [&str; 2] = ["chosen", "rejected"];

/// Reads the pairs of `path` for `policy`. Rows have `prompt` (text or messages) or `prompt_token_ids`,
/// and for both `chosen` and `rejected` text, messages or `*_token_ids`; ids win over text. Where there is no
/// prompt, the messages that `chosen` and `rejected` have in common at the front are the prompt. Text goes
/// through the chat template, whole, and a text response ends with the token that ends a turn.
///
/// Optional: `probability` (or `chosen_probs`), P(chosen beats rejected); `score_chosen` and
/// `score_rejected`; log-prob sums `ref_*_logps` (or `reference_*_logps`), `prev_*_logps`, `history{j}_*_logps`,
/// and `logp_reduction`, which says that they are sums. Other columns are ignored silently, except columns whose names look
/// like log-probs (`*_logp`, `*_logps`): an unknown one is refused.
///
/// A pair longer than `max_length` tokens (default, and the most: the model's context) has its prompt cut on the
/// left, and a response only where it leaves no room for one token of the prompt; all cuts are counted. Of a key
/// that a row has twice the last one counts, as in Python.
///
/// # Errors
///
/// A file that cannot be read or holds no usable pair; a row that does not fit, with its line and column; a
/// limit that leaves no room for one token of prompt and response each, or beyond the model's context.
pub fn read_pairs(
    path: &Path,
    policy: &Policy,
    max_length: Option<usize>,
) -> Result<Pairs, TrainError> {
    let context = policy.config().max_position_embeddings;
    let limit = token_limit(max_length, context)?;
    if limit < 2 {
        let allowed = "at least 2: one token of the prompt and one of a response";
        return Err(TrainError::setting("policy.max_length", limit, allowed));
    }
    let raw = read_lines(path, parse)?;
    let rows = raw.len();
    let mut pairs = Pairs {
        records: Vec::with_capacity(raw.len()),
        lines: Vec::new(),
        logps: GivenLogps::default(),
        counts: PairCounts::default(),
        labels: Vec::new(),
    };
    let mut kept = Vec::with_capacity(raw.len());
    for mut row in raw {
        let line = row.line;
        let fail = |reason: String| TrainError::Data(DataError::row(path, line)(reason));
        let (prompt, sides) = row.encode(policy).map_err(|error| match error {
            Encoding::Row(reason) => fail(reason),
            Encoding::Policy(error) => TrainError::Policy(error),
        })?;
        if sides.iter().any(Vec::is_empty) {
            pairs.counts.dropped_empty += 1;
            continue;
        }
        let before = pairs.counts;
        let (prompt, sides) = cut(prompt, sides, limit, &mut pairs.counts);
        row.cut = pairs.counts != before;
        for side in &sides {
            let sequence = Sequence::new(&prompt, side);
            let checked = policy.check(line as u64, &sequence);
            checked.map_err(|error| fail(error.to_string()))?;
        }
        let (record, labels) = row.record(prompt, sides).map_err(fail)?;
        pairs.records.push(record);
        pairs.labels.push(labels);
        kept.push(row);
    }
    if pairs.records.is_empty() {
        let path = path.to_owned();
        return Err(match pairs.counts.dropped_empty {
            0 => DataError::NoRows(path).into(),
            dropped => TrainError::NoRowsLeft {
                path,
                rows,
                dropped,
            },
        });
    }
    pairs.counts.pairs = pairs.records.len();
    pairs.lines = kept.iter().map(|row| row.line).collect();
    pairs.logps = GivenLogps::read(path, &kept)?;
    Ok(pairs)
}

impl Pairs {
    /// Checks that every row has this kind of label.
    ///
    /// # Errors
    ///
    /// The first row without it; `path` names the file.
    pub fn require(&self, label: LabelKind, path: &Path) -> Result<(), TrainError> {
        let (has, reason): (fn(&Labels) -> bool, &str) = match label {
            LabelKind::Hard => return Ok(()),
            LabelKind::Soft => (
                |labels| labels.soft,
                "labels are soft, but there is neither `probability` nor `chosen_probs`",
            ),
            LabelKind::Scores => (
                |labels| labels.scores,
                "labels are scores, but `score_chosen` or `score_rejected` is missing",
            ),
        };
        match self.labels.iter().position(|labels| !has(labels)) {
            None => Ok(()),
            Some(i) => Err(DataError::row(path, self.lines[i])(reason.to_owned()).into()),
        }
    }
}

fn parse(line: usize, columns: Map<String, Value>) -> Result<RawPair, String> {
    let prompt = column(&columns, "prompt", "text or a list of messages")?;
    let prompt_token_ids: Option<Vec<u32>> = column(&columns, "prompt_token_ids", "a list of ids")?;
    if prompt_token_ids.as_ref().is_some_and(Vec::is_empty) {
        return Err("`prompt_token_ids` is empty".to_owned());
    }
    let side = |name: &str| {
        let ids = format!("{name}_token_ids");
        let side = RawSide {
            response: column(&columns, name, "text or a list of messages")?,
            token_ids: column(&columns, &ids, "a list of ids")?,
        };
        match (&side.response, &side.token_ids) {
            (None, None) => Err(format!("there is neither `{name}` nor `{ids}`")),
            _ => Ok(side),
        }
    };
    given::check_names(&columns)?;
    let reduction: Option<Value> = column(&columns, "logp_reduction", "a word")?;
    if reduction.as_ref().is_some_and(|word| word != "sum") {
        return Err(
            "`logp_reduction` is not \"sum\": log-probs must be sums over the response's tokens"
                .to_owned(),
        );
    }
    Ok(RawPair {
        line,
        prompt,
        prompt_token_ids,
        sides: [side("chosen")?, side("rejected")?],
        sums: reduction.is_some(),
        cut: false,
        columns,
    })
}

/// Why a row cannot be encoded: the row's fault, or the model's, which has no tokenizer.
enum Encoding {
    Row(String),
    Policy(inpo_policy::PolicyError),
}

impl From<String> for Encoding {
    fn from(reason: String) -> Self {
        Self::Row(reason)
    }
}

impl RawPair {
    /// Token ids of the prompt and of both responses, of which an empty one has none.
    fn encode(&self, policy: &Policy) -> Result<(Vec<u32>, [Vec<u32>; 2]), Encoding> {
        let messages = self.prompt_messages();
        if self.prompt_token_ids.is_none() {
            check_prompt(messages.as_deref())?;
            policy.codec().map_err(Encoding::Policy)?;
        }
        let mut answers = Vec::with_capacity(2);
        for (side, name) in self.sides.iter().zip(SIDES) {
            answers.push(match (&side.token_ids, &side.response) {
                (Some(ids), _) => Answer::Ids(ids),
                (None, Some(response)) => match answer(response, messages.as_deref(), name)? {
                    "" => Answer::Ids(&[]),
                    text => {
                        policy.codec().map_err(Encoding::Policy)?;
                        Answer::Text(text)
                    }
                },
                (None, None) => unreachable!("refused when the row was parsed"),
            });
        }
        let prompt = Prompt {
            token_ids: self.prompt_token_ids.clone(),
            ..Prompt::new(messages.clone().unwrap_or_default())
        };
        let answered = policy.answered(&prompt, &answers);
        let answered = answered.map_err(|error| error.to_string())?;
        let mut responses = answered.responses.into_iter();
        let mut side = |answer: &Answer<'_>| {
            let ids: Vec<u32> = responses.next().unwrap_or_default();
            let ends = policy.end_ids();
            // A text of which no token is left but the end's is as empty as no text.
            let blank = match answer {
                Answer::Ids(given) => given.is_empty(),
                Answer::Text(_) => ids.iter().all(|id| ends.contains(id)),
            };
            if blank { Vec::new() } else { ids }
        };
        let sides = [side(&answers[0]), side(&answers[1])];
        Ok((answered.prompt, sides))
    }

    /// The prompt's messages: those given, or what both responses' messages begin with.
    fn prompt_messages(&self) -> Option<Vec<Message>> {
        if let Some(prompt) = &self.prompt {
            return Some(prompt.messages());
        }
        let [chosen, rejected] = &self.sides;
        match (&chosen.response, &rejected.response) {
            (Some(ResponseInput::Messages(a)), Some(ResponseInput::Messages(b))) => {
                let common = a.iter().zip(b).take_while(|(x, y)| x == y).count();
                // The same answer twice: the last message is the answer all the same.
                let common = common.min(a.len().min(b.len()).saturating_sub(1));
                (common > 0).then(|| a[..common].to_vec())
            }
            _ => None,
        }
    }

    fn record(
        &self,
        prompt: Vec<u32>,
        sides: [Vec<u32>; 2],
    ) -> Result<(PairRecord, Labels), String> {
        let probability: Option<f64> = number(&self.columns, "probability")?;
        let probability = match probability {
            Some(p) => Some(p),
            None => number(&self.columns, "chosen_probs")?,
        };
        if let Some(p) = probability
            && !(0.0..=1.0).contains(&p)
        {
            return Err(format!("the probability is {p}; allowed: from 0 to 1"));
        }
        let scores = [
            number(&self.columns, "score_chosen")?,
            number(&self.columns, "score_rejected")?,
        ];
        let labels = Labels {
            soft: probability.is_some(),
            scores: scores.iter().all(Option::is_some),
        };
        let text = |side: &RawSide| match &side.response {
            Some(ResponseInput::Text(text)) => text.clone(),
            _ => String::new(),
        };
        let [chosen_token_ids, rejected_token_ids] = sides;
        let record = PairRecord {
            prompt_id: self.line as u64,
            prompt_token_ids: prompt,
            chosen: text(&self.sides[0]),
            chosen_token_ids,
            rejected: text(&self.sides[1]),
            rejected_token_ids,
            probability: probability.unwrap_or(1.0),
            score_chosen: scores[0],
            score_rejected: scores[1],
            explored_token_ids: None,
            weight: 1.0,
        };
        Ok((record, labels))
    }
}

/// Checks that there is a prompt that can be answered.
fn check_prompt(messages: Option<&[Message]>) -> Result<(), Encoding> {
    let Some(messages) = messages else {
        let reason = "there is neither `prompt` nor `prompt_token_ids`, and `chosen` and \
                      `rejected` are not messages with a common beginning";
        return Err(Encoding::Row(reason.to_owned()));
    };
    if messages.iter().all(|m| m.content.trim().is_empty()) {
        return Err(Encoding::Row("`prompt` is empty".to_owned()));
    }
    if messages.last().is_some_and(|m| m.role == "assistant") {
        let reason = "the prompt ends with an assistant's message, which nothing answers";
        return Err(Encoding::Row(reason.to_owned()));
    }
    Ok(())
}

/// The answer of a side: its text, or the one assistant message that follows the prompt's.
fn answer<'a>(
    response: &'a ResponseInput,
    prompt: Option<&[Message]>,
    name: &str,
) -> Result<&'a str, String> {
    let messages = match response {
        ResponseInput::Text(text) => return Ok(text),
        ResponseInput::Messages(messages) => messages,
    };
    let prompt = prompt.unwrap_or_default();
    let rest = if messages.starts_with(prompt) {
        &messages[prompt.len()..]
    } else {
        messages
    };
    match rest {
        [only] if only.role == "assistant" => Ok(&only.content),
        _ => Err(format!(
            "`{name}` must be the prompt's messages, or none of them, and one assistant message"
        )),
    }
}

/// Cuts a pair to `limit` tokens: the prompt on the left, a response only where it alone is too long.
fn cut(
    mut prompt: Vec<u32>,
    mut sides: [Vec<u32>; 2],
    limit: usize,
    counts: &mut PairCounts,
) -> (Vec<u32>, [Vec<u32>; 2]) {
    for side in &mut sides {
        if side.len() + 1 > limit {
            side.truncate(limit.saturating_sub(1).max(1));
            counts.truncated_responses += 1;
        }
    }
    let longest = sides.iter().map(Vec::len).max().unwrap_or(0);
    let room = limit.saturating_sub(longest).max(1);
    if prompt.len() > room {
        prompt.drain(..prompt.len() - room);
        counts.truncated_prompts += 1;
    }
    (prompt, sides)
}

fn number(columns: &Map<String, Value>, key: &str) -> Result<Option<f64>, String> {
    column(columns, key, "a number")
}
