//! Asking the oracle about responses, and keeping pairs.

use inpo_game::{Comparison, Counted, OracleError, Preference, PreferenceOracle};
use inpo_loss::LabelKind;
use inpo_oracle::{Message, Response, RulesOracle};
use inpo_policy::FinishReason;
use inpo_policy::sample::SampleKey;
use rand::RngExt;

use crate::config::{OracleSection, SelectionStrategy};
use crate::error::TrainError;
use crate::records::{PairRecord, PreferenceRecord, ResponseRecord};
use crate::rows::PromptInput;
use crate::select::{Dropped, SelectionCounts, iid_pair, tournament};

/// The number of the stream that draws winners; samples are numbered from 0.
const WINNER: u64 = u64::MAX;

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

/// The share of a prompt's other responses, without the `partner` in the pair, that response `k` beats; 1/2
/// without any.
///
/// Where the pair was drawn without looking at the preferences, it is an unbiased estimate of the win rate
/// against the sampler, and so is the difference of two. With the partner among the comparators the
/// difference would be K/(K - 1) times too large in the minimiser of a pair loss, as the partner is one
/// sample in both; a tournament's winner has a score that is too good.
fn score(preferences: &PreferenceRecord, k: usize, partner: usize) -> f64 {
    let row = preferences.preference[k].iter().enumerate();
    let others = row.filter(|&(j, _)| j != k && j != partner).map(|(_, p)| p);
    match preferences.preference.len() {
        0..=2 => 0.5,
        count => others.sum::<f64>() / (count - 2) as f64,
    }
}

/// How pairs are made of a prompt's responses.
#[derive(Debug, Clone, Copy)]
pub struct Selection {
    /// Which responses meet.
    pub strategy: SelectionStrategy,
    /// What the loss makes of the outcome: only hard labels need a winner.
    pub label: LabelKind,
    /// Whether each pair gets one of the K responses picked without regard to the preferences.
    pub explore: bool,
    /// Keys the draw of a winner, with the prompt's number.
    pub key: (u64, u64),
}

/// Selects at most one pair per prompt, asking the oracle for the matches the strategy needs.
/// `preferences` has a row for each record.
///
/// # Errors
///
/// Those of the oracle.
pub fn select_pairs(
    oracle: &Oracle,
    selection: Selection,
    records: &[ResponseRecord],
    preferences: &[PreferenceRecord],
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
        let draw = (selection.label == LabelKind::Hard).then(|| {
            let (seed, iteration) = selection.key;
            let key = SampleKey {
                seed,
                iteration,
                prompt: record.prompt_id,
                sample: WINNER,
            };
            key.rng().random::<f64>()
        });
        let selected = match selection.strategy {
            SelectionStrategy::Tournament => tournament(responses.len(), beats)?,
            SelectionStrategy::Iid => Ok(iid_pair(beats, draw)?),
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
                    score_chosen: score(preferences, s.chosen, s.rejected),
                    score_rejected: score(preferences, s.rejected, s.chosen),
                    explored_token_ids: selection
                        .explore
                        .then(|| ids[record.prompt_id as usize % ids.len()].clone()),
                });
            }
        }
    }
    Ok((pairs, counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P = (1/2, 0.9, 0.2; 0.1, 1/2, 0.7; 0.8, 0.3, 1/2), sampler (0.5, 0.3, 0.2): win rates against it are
    /// 0.25 + 0.27 + 0.04 = 0.56, 0.05 + 0.15 + 0.14 = 0.34, 0.4 + 0.09 + 0.1 = 0.59. Over the third of three
    /// independent samples, the scores of a given pair have these means, and so has their difference.
    #[test]
    fn scores_are_unbiased_for_a_given_pair() {
        let game = [[0.5, 0.9, 0.2], [0.1, 0.5, 0.7], [0.8, 0.3, 0.5]];
        let (sampler, rates) = ([0.5, 0.3, 0.2], [0.56, 0.34, 0.59]);
        for chosen in 0..3 {
            for rejected in 0..3 {
                let mut means = [0.0; 2];
                for (third, probability) in sampler.iter().enumerate() {
                    let actions = [chosen, rejected, third];
                    let row = |i: usize| actions.map(|j| game[i][j]).to_vec();
                    let preferences = PreferenceRecord {
                        prompt_id: 0,
                        preference: actions.map(row).to_vec(),
                        judge: String::new(),
                    };
                    means[0] += probability * score(&preferences, 0, 1);
                    means[1] += probability * score(&preferences, 1, 0);
                }
                assert!((means[0] - rates[chosen]).abs() < 1e-12);
                assert!((means[1] - rates[rejected]).abs() < 1e-12);
            }
        }
    }
}
