//! An oracle of rules: several criteria over the text that vote.

use inpo_data::{Completion, Prompt};
use inpo_game::{Comparison, OracleError, Preference, PreferenceOracle};
use serde::{Deserialize, Serialize};

use crate::criteria::{Criterion, is_void};

/// How the votes of the criteria become a preference.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Vote {
    /// 1 for the response that wins more criteria than it loses, 0 for the other, 1/2 if they win equally many.
    #[default]
    Majority,
    /// The share of the criteria won, ties counted half.
    Share,
}

impl Vote {
    fn name(self) -> &'static str {
        match self {
            Self::Majority => "majority",
            Self::Share => "share",
        }
    }
}

/// Configuration of [`RulesOracle`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RulesOracleConfig {
    /// The criteria that vote, one vote each; all five are an odd number, so that ties are rare.
    pub criteria: Vec<Criterion>,
    /// How votes become a preference.
    pub vote: Vote,
    /// The wanted length of a response in words, at least 1; 30 fits into 64 tokens with room to end.
    pub target_words: usize,
    /// Scores nearer than this are a tie of their criterion, from 0 to below 1.
    pub tie_band: f64,
    /// Fewer words than this are no answer.
    pub min_words: usize,
}

impl Default for RulesOracleConfig {
    fn default() -> Self {
        Self {
            criteria: Criterion::ALL.to_vec(),
            vote: Vote::Majority,
            target_words: 30,
            tie_band: 0.05,
            min_words: 4,
        }
    }
}

/// What is wrong with a [`RulesOracleConfig`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RulesConfigError {
    /// No criterion votes.
    #[error(
        "oracle.criteria is empty: name at least one of relevance, brevity, variety, plainness, form"
    )]
    NoCriteria,
    /// A criterion votes twice.
    #[error("oracle.criteria names `{0}` twice: each criterion has one vote")]
    RepeatedCriterion(&'static str),
    /// The target length is zero.
    #[error(
        "oracle.target_words is 0: give the wanted length of a response in words, for instance 30"
    )]
    ZeroTarget,
    /// The tie band is no number in [0, 1).
    #[error(
        "oracle.tie_band is {0}: scores lie in [0, 1], so the band must be at least 0 and less than 1"
    )]
    TieBand(f64),
}

impl RulesOracleConfig {
    /// Checks the configuration and builds the oracle.
    pub fn init(self) -> Result<RulesOracle, RulesConfigError> {
        if self.criteria.is_empty() {
            return Err(RulesConfigError::NoCriteria);
        }
        for (index, criterion) in self.criteria.iter().enumerate() {
            if self.criteria[..index].contains(criterion) {
                return Err(RulesConfigError::RepeatedCriterion(criterion.name()));
            }
        }
        if self.target_words == 0 {
            return Err(RulesConfigError::ZeroTarget);
        }
        if !(0.0..1.0).contains(&self.tie_band) {
            return Err(RulesConfigError::TieBand(self.tie_band));
        }
        Ok(RulesOracle { config: self })
    }
}

/// The votes of the criteria on one pair of responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ballot {
    /// Criteria for the first response.
    pub first: Vec<Criterion>,
    /// Criteria for the second response.
    pub second: Vec<Criterion>,
    /// Criteria on which the two are nearer than the tie band.
    pub ties: Vec<Criterion>,
}

impl Ballot {
    /// The probability that the first response is preferred. Swapping the responses gives exactly one minus it.
    pub fn probability(&self, vote: Vote) -> f64 {
        let (won, lost, tied) = (self.first.len(), self.second.len(), self.ties.len());
        match (vote, won.cmp(&lost)) {
            (_, std::cmp::Ordering::Equal) => 0.5,
            (Vote::Majority, std::cmp::Ordering::Greater) => 1.0,
            (Vote::Majority, std::cmp::Ordering::Less) => 0.0,
            (Vote::Share, std::cmp::Ordering::Less) => share(won, lost, tied),
            (Vote::Share, std::cmp::Ordering::Greater) => 1.0 - share(lost, won, tied),
        }
    }
}

fn share(won: usize, lost: usize, tied: usize) -> f64 {
    (2 * won + tied) as f64 / (2 * (won + lost + tied)) as f64
}

/// A preference oracle that needs no model and no network: criteria over the text vote, one vote each.
///
/// ```text
/// P(a > b | x) = 1, 1/2 or 0     as  #{i : s_i(x, a) > s_i(x, b) + band} exceeds, equals, is below
///                                    #{i : s_i(x, b) > s_i(x, a) + band}
/// ```
///
/// with `s_i` the scores of [`criteria`](crate::criteria). A response that is no answer ([`is_void`]) loses every
/// criterion to one that is; two such tie. P(a > b) + P(b > a) = 1 and P(a > a) = 1/2 hold exactly.
///
/// The criteria pull in different directions: more words cover more of the topic, fewer are briefer, a text that stops
/// early repeats less, short sentences are plainer. A majority of such orders need not be an order (Condorcet), so **no
/// scores r with P(a > b) = sigmoid(r(a) - r(b)) exist in general**: this is a general preference and not a
/// Bradley-Terry one. [`cycle_report`](crate::cycle_report) says how often responses cycle. With a positive tie band,
/// ties are not transitive either.
///
/// It knows form and word overlap, not truth: a fluent, well-formed text of the target length that names one topic word
/// and says nothing right about it loses relevance at most. It serves to train and test with a real, cheap and honest
/// preference, not as a judge of quality.
#[derive(Clone, Debug, PartialEq)]
pub struct RulesOracle {
    config: RulesOracleConfig,
}

impl RulesOracle {
    /// The configuration, for the run's record and its hash.
    pub fn config(&self) -> &RulesOracleConfig {
        &self.config
    }

    /// The scores of a response in the order of the configured criteria, or `None` if it is no answer ([`is_void`]).
    pub fn scores(&self, instruction: &str, response: &Completion) -> Option<Vec<f64>> {
        if is_void(instruction, &response.text, self.config.min_words) {
            return None;
        }
        let target = self.config.target_words;
        Some(
            self.config
                .criteria
                .iter()
                .map(|criterion| criterion.score(instruction, response, target))
                .collect(),
        )
    }

    /// How each criterion votes on two responses.
    pub fn ballot(&self, instruction: &str, first: &Completion, second: &Completion) -> Ballot {
        let criteria = &self.config.criteria;
        match (
            self.scores(instruction, first),
            self.scores(instruction, second),
        ) {
            (None, None) => Ballot {
                ties: criteria.clone(),
                ..Ballot::default()
            },
            (Some(_), None) => Ballot {
                first: criteria.clone(),
                ..Ballot::default()
            },
            (None, Some(_)) => Ballot {
                second: criteria.clone(),
                ..Ballot::default()
            },
            (Some(a), Some(b)) => {
                let mut ballot = Ballot::default();
                for ((&criterion, a), b) in criteria.iter().zip(a).zip(b) {
                    // |a - b| is the same in both orders, so that swapping the responses swaps the ballot.
                    let side = if (a - b).abs() <= self.config.tie_band {
                        &mut ballot.ties
                    } else if a > b {
                        &mut ballot.first
                    } else {
                        &mut ballot.second
                    };
                    side.push(criterion);
                }
                ballot
            }
        }
    }
}

impl PreferenceOracle<Prompt, Completion> for RulesOracle {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, Prompt, Completion>],
    ) -> Result<Vec<Preference>, OracleError> {
        let answer = |(index, comparison): (usize, &Comparison<'_, Prompt, Completion>)| {
            // A prompt without a user message has no instruction: relevance then ties, the rest can be told.
            let instruction = comparison.prompt.instruction().unwrap_or_default();
            let ballot = self.ballot(instruction, comparison.first, comparison.second);
            Preference::new(ballot.probability(self.config.vote)).map_err(|error| {
                OracleError::Invalid {
                    index,
                    reason: error.to_string(),
                }
            })
        };
        comparisons.iter().enumerate().map(answer).collect()
    }

    fn name(&self) -> String {
        let RulesOracleConfig {
            criteria,
            vote,
            target_words,
            tie_band,
            min_words,
        } = &self.config;
        let criteria: Vec<&str> = criteria.iter().map(|criterion| criterion.name()).collect();
        format!(
            "rules(criteria={}, vote={}, target_words={target_words}, tie_band={tie_band}, min_words={min_words})",
            criteria.join("+"),
            vote.name(),
        )
    }
}

#[cfg(test)]
mod tests;
