//! Reading a file of pairs: text, messages or ids, with whatever labels and log-probs come along.

use std::path::Path;

use inpo_loss::{LabelKind, Role};
use inpo_policy::{Message, Policy, Sequence};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::anchors::{Anchors, Source};
use crate::error::TrainError;
use crate::files::read_lines;
use crate::records::PairRecord;
use crate::rows::{PromptInput, column};

/// The pairs of a file, as token ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    /// The rows that can be trained on.
    pub records: Vec<PairRecord>,
    /// Their lines in the file, from 1.
    pub lines: Vec<usize>,
    /// Log-probs that the file brings: those of a source that every row has.
    pub logps: Anchors,
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
}

struct RawSide {
    response: Option<ResponseInput>,
    token_ids: Option<Vec<u32>>,
}

const SIDES: [&str; 2] = ["chosen", "rejected"];

/// The policies whose log-probs a file may bring.
const ROLES: [Role; 2] = [Role::Reference, Role::Previous];

/// How far back a file's history is read.
const HISTORY: usize = 16;

/// Reads the pairs of `path` for `policy`. Rows have `prompt` (text or messages) or `prompt_token_ids`,
/// and for both `chosen` and `rejected` text, messages or `*_token_ids`; ids win over text. Where there is no
/// prompt, the messages that `chosen` and `rejected` have in common at the front are the prompt. Text goes
/// through the chat template, and a text response gets the turn-end token.
///
/// Optional: `probability` (or `chosen_probs`), P(chosen beats rejected); `score_chosen` and
/// `score_rejected`; log-prob sums `ref_*_logps` (or `reference_*_logps`), `prev_*_logps`, `history{j}_*_logps`.
///
/// A pair longer than `max_length` tokens (default: the model's context) has its prompt cut on the left, and
/// a response only where it alone is too long; all cuts are counted.
///
/// # Errors
///
/// A file that cannot be read or holds no usable pair; a row that does not fit, with its line and column.
pub fn read_pairs(
    path: &Path,
    policy: &Policy,
    max_length: Option<usize>,
) -> Result<Pairs, TrainError> {
    let context = policy.config().max_position_embeddings;
    let limit = max_length.unwrap_or(context).min(context);
    let raw = read_lines(path, parse)?;
    let mut pairs = Pairs {
        records: Vec::with_capacity(raw.len()),
        lines: Vec::new(),
        logps: Anchors::default(),
        counts: PairCounts::default(),
        labels: Vec::new(),
    };
    let mut kept = Vec::with_capacity(raw.len());
    for row in raw {
        let fail = |reason: String| TrainError::Row {
            path: path.to_owned(),
            line: row.line,
            reason,
        };
        let (prompt, sides) = row.encode(policy).map_err(|error| match error {
            Encoding::Row(reason) => fail(reason),
            Encoding::Policy(error) => TrainError::Policy(error),
        })?;
        if sides.iter().any(Vec::is_empty) {
            pairs.counts.dropped_empty += 1;
            continue;
        }
        let (prompt, sides) = cut(prompt, sides, limit, &mut pairs.counts);
        for side in &sides {
            let sequence = Sequence::new(&prompt, side);
            let checked = policy.check(row.line as u64, &sequence);
            checked.map_err(|error| fail(error.to_string()))?;
        }
        let (record, labels) = row.record(prompt, sides).map_err(fail)?;
        pairs.records.push(record);
        pairs.labels.push(labels);
        kept.push(row);
    }
    if pairs.records.is_empty() {
        return Err(TrainError::NoRows(path.to_owned()));
    }
    pairs.counts.pairs = pairs.records.len();
    pairs.lines = kept.iter().map(|row| row.line).collect();
    pairs.logps = given_logps(path, &kept)?;
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
            Some(i) => Err(TrainError::Row {
                path: path.to_owned(),
                line: self.lines[i],
                reason: reason.to_owned(),
            }),
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
    if column::<Value>(&columns, "logp_reduction", "a word")?.is_some_and(|word| word != "sum") {
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
    /// Token ids of the prompt and of both responses.
    fn encode(&self, policy: &Policy) -> Result<(Vec<u32>, [Vec<u32>; 2]), Encoding> {
        let prompt = self.prompt_messages();
        let ids = match (&self.prompt_token_ids, &prompt) {
            (Some(ids), _) => ids.clone(),
            (None, None) => {
                let reason = "there is neither `prompt` nor `prompt_token_ids`, and `chosen` and \
                              `rejected` are not messages with a common beginning";
                return Err(Encoding::Row(reason.to_owned()));
            }
            (None, Some(messages)) => {
                if messages.iter().all(|m| m.content.trim().is_empty()) {
                    return Err(Encoding::Row("`prompt` is empty".to_owned()));
                }
                let codec = policy.codec().map_err(Encoding::Policy)?;
                let ids = codec.encode_prompt(messages);
                ids.map_err(|error| error.to_string())?
            }
        };
        let mut sides = [Vec::new(), Vec::new()];
        for ((side, name), into) in self.sides.iter().zip(SIDES).zip(&mut sides) {
            *into = match (&side.token_ids, &side.response) {
                (Some(ids), _) => ids.clone(),
                (None, Some(response)) => {
                    let text = answer(response, prompt.as_deref(), name)?;
                    if text.is_empty() {
                        continue;
                    }
                    let codec = policy.codec().map_err(Encoding::Policy)?;
                    let mut ids = codec.encode(text).map_err(|error| error.to_string())?;
                    ids.extend(codec.end_of_turn());
                    ids
                }
                (None, None) => unreachable!("refused when the row was parsed"),
            };
        }
        Ok((ids, sides))
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
            score_chosen: scores[0].unwrap_or(1.0),
            score_rejected: scores[1].unwrap_or(0.0),
            explored_token_ids: None,
        };
        Ok((record, labels))
    }
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
    let rest = match messages.starts_with(prompt) {
        true => &messages[prompt.len()..],
        false => messages,
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

/// The log-probs that the rows bring. A source of which some rows have a column and some do not is an
/// error: it is a cache that was not filled.
fn given_logps(path: &Path, rows: &[RawPair]) -> Result<Anchors, TrainError> {
    let mut given = Anchors::default();
    let history = (0..HISTORY).map(Role::History);
    for role in ROLES.into_iter().chain(history) {
        let names = role.columns();
        let older = names.clone().map(|name| match role {
            Role::Reference => name.replacen("ref", "reference", 1),
            _ => name,
        });
        let mut columns = [Vec::new(), Vec::new()];
        for row in rows {
            let fail = |reason: String| TrainError::Row {
                path: path.to_owned(),
                line: row.line,
                reason,
            };
            for k in [0, 1] {
                let value = number(&row.columns, &names[k]).map_err(fail)?;
                let value = match value {
                    Some(value) => Some(value),
                    None => number(&row.columns, &older[k]).map_err(fail)?,
                };
                match value {
                    None => {}
                    Some(value) if value <= 0.0 => columns[k].push(value),
                    Some(value) => {
                        let name = &names[k];
                        let reason = format!("`{name}` is {value}; a log-prob is at most 0");
                        return Err(fail(reason));
                    }
                }
            }
        }
        let filled = columns.iter().filter(|c| c.len() == rows.len()).count();
        if filled == 2 {
            given.insert(Source::Role(role), columns);
        } else if columns.iter().any(|column| !column.is_empty()) {
            let has = |row: &&RawPair| {
                let there = |k: usize| {
                    let place = |name: &String| row.columns.get(name).is_some_and(|v| !v.is_null());
                    place(&names[k]) || place(&older[k])
                };
                there(0) && there(1)
            };
            let line = rows.iter().find(|row| !has(row)).map_or(1, |row| row.line);
            let [chosen, rejected] = &names;
            return Err(TrainError::Row {
                path: path.to_owned(),
                line,
                reason: format!("`{chosen}` or `{rejected}` is missing, which other rows have"),
            });
        }
    }
    Ok(given)
}
