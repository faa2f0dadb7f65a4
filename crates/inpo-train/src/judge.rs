//! Asking the oracle about responses, and keeping pairs.

use inpo_game::{Comparison, Counted, OracleError, Preference, PreferenceOracle};
use inpo_oracle::{Message, Response, RulesOracle};
use inpo_policy::FinishReason;

use crate::config::{OracleSection, SelectionStrategy};
use crate::error::TrainError;
use crate::records::{PairRecord, PreferenceRecord, ResponseRecord};
use crate::rows::PromptInput;
use crate::select::{Dropped, SelectionCounts, iid_pair, tournament};

/// The run's oracle over text, with its calls counted.
#[derive(Debug)]
pub struct Oracle(Counted<RulesOracle>);

impl Oracle {
    /// The oracle of `[oracle]`.
    ///
    /// # Errors
    ///
    /// Settings outside their range.
    pub fn new(config: &OracleSection) -> Result<Self, TrainError> {
        let OracleSection::Rules(rules) = config;
        let oracle = rules.clone().init().map_err(|error| TrainError::Config {
            origin: "[oracle]".to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self(Counted::new(oracle)))
    }

    /// Comparisons answered so far.
    pub fn calls(&self) -> u64 {
        self.0.comparisons()
    }
}

impl PreferenceOracle<[Message], Response> for Oracle {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, [Message], Response>],
    ) -> Result<Vec<Preference>, OracleError> {
        self.0.compare(comparisons)
    }

    fn name(&self) -> String {
        PreferenceOracle::<[Message], Response>::name(&self.0)
    }
}

/// The conversation of a record, for the judge.
pub(crate) fn messages(record: &ResponseRecord) -> Vec<Message> {
    let messages = record.prompt.as_ref().map(PromptInput::messages);
    let messages = messages.unwrap_or_default();
    messages
        .into_iter()
        .map(|m| Message::new(m.role, m.content))
        .collect()
}

/// The responses of a record, for the judge.
pub(crate) fn responses(record: &ResponseRecord) -> Vec<Response> {
    let finished = record
        .finish_reason
        .iter()
        .map(|&r| r == FinishReason::Stop);
    record
        .responses
        .iter()
        .zip(finished)
        .map(|(text, finished)| Response {
            text: text.clone(),
            finished,
        })
        .collect()
}

/// Whether a response has no token but its end.
fn blank(record: &ResponseRecord, k: usize) -> bool {
    let end = usize::from(record.finish_reason[k] == FinishReason::Stop);
    record.response_token_ids[k].len() <= end
}

/// The share of a prompt's other responses that response `k` beats: an unbiased estimate of its win rate
/// against their sampler.
fn score(preferences: &PreferenceRecord, k: usize) -> f64 {
    let row = preferences.preference[k].iter().enumerate();
    let others = row.filter(|&(j, _)| j != k).map(|(_, p)| p);
    others.sum::<f64>() / (preferences.preference.len() - 1).max(1) as f64
}

/// Selects at most one pair per prompt, asking the oracle for the matches the strategy needs.
/// `preferences` has a row for each record. With `explore` each pair also gets one of the K responses that is picked
/// without regard to the preferences.
///
/// # Errors
///
/// Those of the oracle.
pub fn select_pairs(
    oracle: &Oracle,
    strategy: SelectionStrategy,
    records: &[ResponseRecord],
    preferences: &[PreferenceRecord],
    explore: bool,
) -> Result<(Vec<PairRecord>, SelectionCounts), TrainError> {
    let mut pairs = Vec::with_capacity(records.len());
    let mut counts = SelectionCounts::default();
    for (record, preferences) in records.iter().zip(preferences) {
        let prompt = messages(record);
        let responses = responses(record);
        let beats = |matches: &[(usize, usize)]| {
            let comparisons: Vec<Comparison<'_, [Message], Response>> = matches
                .iter()
                .map(|&(i, j)| Comparison {
                    prompt: prompt.as_slice(),
                    first: &responses[i],
                    second: &responses[j],
                })
                .collect();
            let verdicts = oracle.compare(&comparisons)?;
            Ok::<_, OracleError>(verdicts.iter().map(|p| p.get()).collect())
        };
        let selected = match strategy {
            SelectionStrategy::Tournament => tournament(responses.len(), beats)?,
            SelectionStrategy::Iid => iid_pair(beats)?,
        };
        let ids = &record.response_token_ids;
        match selected {
            Err(Dropped::Tie) => counts.dropped_tie += 1,
            Err(Dropped::Final) => counts.dropped_final += 1,
            Ok(s) if ids[s.chosen] == ids[s.rejected] => counts.dropped_dup += 1,
            Ok(s) if blank(record, s.chosen) || blank(record, s.rejected) => {
                counts.dropped_empty += 1;
            }
            Ok(s) => {
                counts.pairs += 1;
                pairs.push(PairRecord {
                    prompt_id: record.prompt_id,
                    prompt_token_ids: record.prompt_token_ids.clone(),
                    chosen: record.responses[s.chosen].clone(),
                    chosen_token_ids: ids[s.chosen].clone(),
                    rejected: record.responses[s.rejected].clone(),
                    rejected_token_ids: ids[s.rejected].clone(),
                    probability: s.probability,
                    score_chosen: score(preferences, s.chosen),
                    score_rejected: score(preferences, s.rejected),
                    explored_token_ids: explore
                        .then(|| ids[record.prompt_id as usize % ids.len()].clone()),
                });
            }
        }
    }
    Ok((pairs, counts))
}
