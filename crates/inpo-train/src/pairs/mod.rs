//! Reading a file of pairs: text, messages or ids, with whatever labels and log-probs come along.

use std::path::Path;

use inpo_data::rows::read_each;
use inpo_data::{DataError, PairRecord, Place, TemplateInput};
use inpo_loss::LabelKind;
use inpo_policy::{Policy, Sequence};

use crate::config::token_limit;
use crate::error::TrainError;

mod given;
mod names;
mod row;
mod spoken;

pub use given::GivenLogps;
use row::{Encoding, RawPair};

/// The pairs of a file, as token ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    /// The rows that can be trained on.
    pub records: Vec<PairRecord>,
    /// Where they stand in the file.
    pub places: Vec<Place>,
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

/// How a file of pairs is read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PairOptions {
    /// Longest prompt and response together, in tokens; default, and the most: the model's context.
    pub max_length: Option<usize>,
    /// What the chat template is given where a row says nothing.
    pub template: TemplateInput,
}

/// Reads the pairs of `path` for `policy`: JSON lines, a JSON array, either of them gzipped, or Parquet. Rows have
/// `prompt` (text or messages) or `prompt_token_ids`, and for both `chosen` and `rejected` text, messages or
/// `*_token_ids`; ids win over text. Where there is no prompt, the messages that `chosen` and `rejected` have in common
/// at the front are the prompt, or the turns that two texts of the form `\n\nHuman: ..\n\nAssistant: ..` share. Text
/// goes through the chat template, whole, with `tools`, `documents` and `chat_template_kwargs`, and a text response ends
/// with the token that ends a turn.
///
/// Optional: `probability` (or `chosen_probs`), P(chosen beats rejected); `score_chosen` and
/// `score_rejected`; `weight` and `explored_token_ids` as `inpo run` writes them; log-prob sums `ref_*_logps` (or
/// `reference_*_logps`), `prev_*_logps`, `history{j}_*_logps`, and `logp_reduction`, which says that they are sums. Other
/// columns are ignored silently, except columns whose names look like log-probs (`*_logp`, `*_logps`): an unknown one is
/// refused.
///
/// A pair longer than `max_length` tokens (default, and the most: the model's context) has its prompt cut on the
/// left, and a response only where it leaves no room for one token of the prompt; all cuts are counted. A key that a row
/// has twice is an error.
///
/// # Errors
///
/// A file that cannot be read or holds no usable pair; a row that does not fit, with its line and column; a
/// limit that leaves no room for one token of prompt and response each, or beyond the model's context.
pub fn read_pairs(
    path: &Path,
    policy: &Policy,
    options: &PairOptions,
) -> Result<Pairs, TrainError> {
    let context = policy.config().max_position_embeddings;
    let limit = token_limit(options.max_length, context)?;
    if limit < 2 {
        let allowed = "at least 2: one token of the prompt and one of a response";
        return Err(TrainError::setting("policy.max_length", limit, allowed));
    }
    let raw = read_each(path, |place, columns| {
        RawPair::parse(place, columns, &options.template)
    })?;
    let rows = raw.len();
    let mut pairs = Pairs {
        records: Vec::with_capacity(raw.len()),
        places: Vec::new(),
        logps: GivenLogps::default(),
        counts: PairCounts::default(),
        labels: Vec::new(),
    };
    let mut kept = Vec::with_capacity(raw.len());
    for mut row in raw {
        let place = row.place;
        let fail = |reason: String| TrainError::Data(DataError::row(path, place)(reason));
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
        let explored = row.explored().map_err(fail)?;
        for response in sides.iter().chain(&explored) {
            let sequence = Sequence::new(&prompt, response);
            let checked = policy.check(place.number() as u64, &sequence);
            checked.map_err(|error| fail(error.to_string()))?;
        }
        let (record, labels) = row.record(prompt, sides, explored).map_err(fail)?;
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
    pairs.places = kept.iter().map(|row| row.place).collect();
    pairs.logps = GivenLogps::read(path, &kept)?;
    Ok(pairs)
}

impl Pairs {
    /// What a user should know of the pairs, a sentence each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let records = self.records.iter();
        let equal = records.filter(|r| r.chosen_token_ids == r.rejected_token_ids);
        let (equal, pairs) = (equal.count(), self.records.len());
        let sentence = || {
            format!(
                "in {equal} of {pairs} pairs `chosen` and `rejected` are the same tokens, which teaches nothing; leave \
                 them out"
            )
        };
        Vec::from_iter((equal > 0).then(sentence))
    }

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
            Some(i) => Err(DataError::row(path, self.places[i])(reason.to_owned()).into()),
        }
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
