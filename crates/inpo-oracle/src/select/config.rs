//! `[selection]`: how a pair is chosen among a prompt's responses, with all settings.

use serde::{Deserialize, Serialize};

use super::tournament_matches;

/// How a pair is chosen among K responses.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PairStrategy {
    /// The paper's tournament (arXiv 2407.00617, section 5): best against worst, kept if the best wins their final.
    #[default]
    Tournament,
    /// The first two responses: the i.i.d. pair of the theory.
    Iid,
    /// Every two responses are compared: best against worst by score, kept if the best also wins their own match.
    RoundRobin,
    /// Every two responses are compared: best against worst by score, whatever their own match says (`max_min` of
    /// Online-RLHF, arXiv 2405.07863). In a circle P(chosen beats rejected) may be below 1/2.
    #[serde(alias = "max_min")]
    #[schemars(extend("x-aliases" = ["max_min"]))]
    BestWorst,
    /// Two responses drawn at random, asked once.
    Random,
    /// Best against worst by score, as in a round robin, from `budget` comparisons spent where the two are in doubt.
    /// With 11 comparisons of 8 responses it finds as good a pair as the tournament does, with more a better one.
    Adaptive,
}

impl PairStrategy {
    /// Its name in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tournament => "tournament",
            Self::Iid => "iid",
            Self::RoundRobin => "round_robin",
            Self::BestWorst => "best_worst",
            Self::Random => "random",
            Self::Adaptive => "adaptive",
        }
    }

    /// Whether the pair is two responses whatever the oracle says of them, as the theory's is.
    #[must_use]
    pub fn is_blind(self) -> bool {
        matches!(self, Self::Iid | Self::Random)
    }

    fn has_scores(self) -> bool {
        matches!(self, Self::RoundRobin | Self::BestWorst | Self::Adaptive)
    }
}

/// What becomes of a pair between whose responses the oracle does not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TiePolicy {
    /// No pair.
    Drop,
    /// A pair with probability 1/2, for losses that read the probability.
    Half,
    /// A win of the earlier response, with probability 1.
    First,
    /// A win of either, by a fair coin, with probability 1.
    Random,
}

/// The score by which best and worst are found: a mean over the other responses.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ScoreKind {
    /// P(this beats the other): the win rate.
    #[default]
    Borda,
    /// 1 for a win (P > 1/2), 1/2 for a tie, 0 for a loss.
    Copeland,
}

/// `[selection]`. Settings that have their default are not written.
///
/// ```
/// use inpo_oracle::{PairStrategy, SelectionConfig};
///
/// let config: SelectionConfig = toml::from_str("strategy = \"round_robin\"\nlength_penalty = 0.1")?;
/// config.validate()?;
/// assert_eq!(config.comparisons(8), 28);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SelectionConfig {
    /// How the pair is chosen. Absent: `tournament`, but `iid` where labels are scores, as the score of a tournament's winner
    /// is biased upward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<PairStrategy>,
    /// What becomes of a tie: between best and worst, in their match or, where all scores are equal, in their scores;
    /// with `iid` and `random`, between the two. Absent: `drop`, but `half` with `iid` and `random`, whose theory wants
    /// every pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tie_policy: Option<TiePolicy>,
    /// The score of a response with `round_robin`, `best_worst` and `adaptive`.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(!skip_serializing_if)]
    pub score: ScoreKind,
    /// Taken from the score of a response, times its length over that of the longest, with `round_robin`, `best_worst`
    /// and `adaptive`, from 0 to 1: 0.1 costs the longest response (in characters) 0.1 of its win rate.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(!skip_serializing_if)]
    pub length_penalty: f64,
    /// The most comparisons a prompt of `adaptive`, at least 2. Absent: 2 K.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<usize>,
    /// Whether responses cut off at the token limit are left out before anything is asked, and those that are empty or
    /// equal to an earlier one with them.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(!skip_serializing_if)]
    pub drop_truncated: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A setting of `[selection]` out of its range.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum SelectionConfigError {
    /// A penalty that is none.
    #[error(
        "selection.length_penalty is {0}: it is taken from win rates and must lie between 0 and 1"
    )]
    LengthPenalty(f64),
    /// A penalty without scores.
    #[error(
        "selection.length_penalty is {penalty}, but strategy \"{strategy}\" has no scores to take it from: use \"round_robin\", \"best_worst\" or \"adaptive\", or leave the penalty out"
    )]
    NoScores {
        /// The penalty.
        penalty: f64,
        /// The strategy.
        strategy: &'static str,
    },
    /// A score that is not read.
    #[error(
        "selection.score is \"copeland\", but strategy \"{strategy}\" has no scores: use \"round_robin\", \"best_worst\" or \"adaptive\", or leave the score out"
    )]
    UnreadScore {
        /// The strategy.
        strategy: &'static str,
    },
    /// A budget too small.
    #[error(
        "selection.budget is {0}: it must be at least 2, one comparison to find out and one of the best with the worst"
    )]
    Budget(usize),
    /// A budget that is not read.
    #[error(
        "selection.budget is {budget}, but strategy \"{strategy}\" asks what it asks: use \"adaptive\", or leave the budget out"
    )]
    UnreadBudget {
        /// The budget.
        budget: usize,
        /// The strategy.
        strategy: &'static str,
    },
}

impl SelectionConfig {
    /// The most responses to one prompt that are compared: every two of them are half a million comparisons.
    pub const MOST_RESPONSES: usize = 1024;

    /// A strategy with the default settings.
    #[must_use]
    pub fn new(strategy: PairStrategy) -> Self {
        Self {
            strategy: Some(strategy),
            ..Self::default()
        }
    }

    /// The same settings with a strategy where none is given: what is best depends on the loss.
    #[must_use]
    pub fn with_default(self, strategy: PairStrategy) -> Self {
        Self {
            strategy: self.strategy.or(Some(strategy)),
            ..self
        }
    }

    /// The strategy that holds: the one given, or the tournament.
    #[must_use]
    pub fn strategy(&self) -> PairStrategy {
        self.strategy.unwrap_or_default()
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first setting that is out of its range, or that the strategy would not read.
    pub fn validate(&self) -> Result<(), SelectionConfigError> {
        let (penalty, strategy) = (self.length_penalty, self.strategy().name());
        if !(0.0..=1.0).contains(&penalty) {
            return Err(SelectionConfigError::LengthPenalty(penalty));
        }
        if !self.strategy().has_scores() {
            if penalty > 0.0 {
                return Err(SelectionConfigError::NoScores { penalty, strategy });
            }
            if self.score != ScoreKind::default() {
                return Err(SelectionConfigError::UnreadScore { strategy });
            }
        }
        match self.budget {
            Some(budget) if self.strategy() != PairStrategy::Adaptive => {
                Err(SelectionConfigError::UnreadBudget { budget, strategy })
            }
            Some(budget) if budget < 2 => Err(SelectionConfigError::Budget(budget)),
            _ => Ok(()),
        }
    }

    /// The policy for ties that holds: the one given, or the strategy's.
    #[must_use]
    pub fn tie_policy(&self) -> TiePolicy {
        self.tie_policy.unwrap_or(match self.strategy() {
            strategy if strategy.is_blind() => TiePolicy::Half,
            _ => TiePolicy::Drop,
        })
    }

    /// The most comparisons that the strategy needs among `count` usable responses; 0 for fewer than two. Every
    /// strategy but `adaptive` needs exactly these where no match of a tournament comes twice, as its final may for 2
    /// and 3 responses.
    #[must_use]
    pub fn comparisons(&self, count: usize) -> usize {
        let pairs = count.saturating_mul(count.saturating_sub(1)) / 2;
        match self.strategy() {
            _ if count < 2 => 0,
            PairStrategy::Iid | PairStrategy::Random => 1,
            PairStrategy::RoundRobin | PairStrategy::BestWorst => pairs,
            PairStrategy::Adaptive => self.budget(count).min(pairs),
            PairStrategy::Tournament => tournament_matches(count).min(pairs),
        }
    }

    pub(super) fn budget(&self, count: usize) -> usize {
        self.budget.unwrap_or(count.saturating_mul(2)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_checked() {
        let read = |text: &str| toml::from_str::<SelectionConfig>(text);
        let config =
            read("strategy = \"max_min\"\ntie_policy = \"first\"\nscore = \"copeland\"").unwrap();
        assert_eq!(config.strategy(), PairStrategy::BestWorst);
        assert_eq!(config.with_default(PairStrategy::Iid), config);
        let iid = SelectionConfig::default().with_default(PairStrategy::Iid);
        assert_eq!(iid, SelectionConfig::new(PairStrategy::Iid));
        assert_eq!(config.tie_policy(), TiePolicy::First);
        assert_eq!(read("").unwrap(), SelectionConfig::default());
        let written = toml::to_string(&SelectionConfig::default()).unwrap();
        assert_eq!(
            written, "",
            "run.toml of a run with defaults stays as it was"
        );
        assert_eq!(SelectionConfig::default().tie_policy(), TiePolicy::Drop);
        assert_eq!(
            SelectionConfig::new(PairStrategy::Iid).tie_policy(),
            TiePolicy::Half
        );
        assert!(
            read("strategies = \"iid\"")
                .unwrap_err()
                .to_string()
                .contains("unknown field")
        );
        let says = |text: &str, sentence: &str| {
            let error = read(text).unwrap().validate().unwrap_err();
            assert_eq!(error.to_string(), sentence);
        };
        says(
            "strategy = \"round_robin\"\nlength_penalty = 2",
            "selection.length_penalty is 2: it is taken from win rates and must lie between 0 and 1",
        );
        says(
            "length_penalty = 0.1",
            "selection.length_penalty is 0.1, but strategy \"tournament\" has no scores to take it from: use \"round_robin\", \"best_worst\" or \"adaptive\", or leave the penalty out",
        );
        says(
            "strategy = \"random\"\nscore = \"copeland\"",
            "selection.score is \"copeland\", but strategy \"random\" has no scores: use \"round_robin\", \"best_worst\" or \"adaptive\", or leave the score out",
        );
        says(
            "strategy = \"adaptive\"\nbudget = 1",
            "selection.budget is 1: it must be at least 2, one comparison to find out and one of the best with the worst",
        );
        says(
            "strategy = \"iid\"\nbudget = 9",
            "selection.budget is 9, but strategy \"iid\" asks what it asks: use \"adaptive\", or leave the budget out",
        );
    }
}
