//! `[selection]`: how a pair is chosen among a prompt's responses, with all settings.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::adaptive::adaptive;
use super::ranked::{Ends, all_pairs, ends, scores};
use super::{Dropped, Players, Selected, SelectionStrategy, Step, final_match};
use crate::judge::Answers;

/// How a pair is chosen among K responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    BestWorst,
    /// Two responses drawn at random, asked once.
    Random,
    /// Best against worst by score, as in a round robin, from `budget` comparisons spent where the two are in doubt.
    Adaptive,
}

impl PairStrategy {
    fn name(self) -> &'static str {
        match self {
            Self::Tournament => "tournament",
            Self::Iid => "iid",
            Self::RoundRobin => "round_robin",
            Self::BestWorst => "best_worst",
            Self::Random => "random",
            Self::Adaptive => "adaptive",
        }
    }

    fn has_scores(self) -> bool {
        matches!(self, Self::RoundRobin | Self::BestWorst | Self::Adaptive)
    }
}

/// What becomes of a pair between whose responses the oracle does not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreKind {
    /// P(this beats the other): the win rate.
    #[default]
    Borda,
    /// 1 for a win (P > 1/2), 1/2 for a tie, 0 for a loss.
    Copeland,
}

/// `[selection]`.
///
/// ```
/// use inpo_oracle::{PairStrategy, SelectionConfig};
///
/// let config: SelectionConfig = toml::from_str("strategy = \"round_robin\"\nlength_penalty = 0.1")?;
/// config.validate()?;
/// assert_eq!(config.comparisons(8), 28);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelectionConfig {
    /// How the pair is chosen.
    pub strategy: PairStrategy,
    /// What becomes of a tie: between best and worst, in their match or, where all scores are equal, in their scores;
    /// with `iid` and `random`, between the two. Absent: `drop`, but `half` with `iid` and `random`, whose theory wants
    /// every pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tie_policy: Option<TiePolicy>,
    /// The score of `round_robin`, `best_worst` and `adaptive`.
    pub score: ScoreKind,
    /// Taken from the score of a response, times its length over that of the longest, with `round_robin`, `best_worst`
    /// and `adaptive`: 0.1 costs the longest response 0.1 of its win rate. In [0, 1].
    pub length_penalty: f64,
    /// The most comparisons a prompt of `adaptive`, 2 or more; absent: 2 K.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<usize>,
    /// Whether responses cut off at the token limit are left out; see [`usable`](super::usable).
    pub drop_truncated: bool,
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

impl From<SelectionStrategy> for PairStrategy {
    fn from(strategy: SelectionStrategy) -> Self {
        match strategy {
            SelectionStrategy::Tournament => Self::Tournament,
            SelectionStrategy::Iid => Self::Iid,
        }
    }
}

impl SelectionConfig {
    /// A strategy with the default settings.
    #[must_use]
    pub fn new(strategy: impl Into<PairStrategy>) -> Self {
        Self {
            strategy: strategy.into(),
            ..Self::default()
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first setting that is out of its range, or that the strategy would not read.
    pub fn validate(&self) -> Result<(), SelectionConfigError> {
        let (penalty, strategy) = (self.length_penalty, self.strategy.name());
        if !(0.0..=1.0).contains(&penalty) {
            return Err(SelectionConfigError::LengthPenalty(penalty));
        }
        if !self.strategy.has_scores() {
            if penalty > 0.0 {
                return Err(SelectionConfigError::NoScores { penalty, strategy });
            }
            if self.score != ScoreKind::default() {
                return Err(SelectionConfigError::UnreadScore { strategy });
            }
        }
        match self.budget {
            Some(budget) if self.strategy != PairStrategy::Adaptive => {
                Err(SelectionConfigError::UnreadBudget { budget, strategy })
            }
            Some(budget) if budget < 2 => Err(SelectionConfigError::Budget(budget)),
            _ => Ok(()),
        }
    }

    /// The policy for ties that holds: the one given, or the strategy's.
    #[must_use]
    pub fn tie_policy(&self) -> TiePolicy {
        self.tie_policy.unwrap_or(match self.strategy {
            PairStrategy::Iid | PairStrategy::Random => TiePolicy::Half,
            _ => TiePolicy::Drop,
        })
    }

    /// What the strategy makes of the answers so far: the matches of its next round, or its pair, by the indices of the
    /// responses. With a `draw`, uniform on [0, 1), the winner of a pair of `iid` or `random` is drawn with the oracle's
    /// probability (see [`iid_pair`](super::iid_pair)); without one the likelier winner is put first.
    ///
    /// The rounds are played again from the first, on answers that are there; so nothing needs to be kept between
    /// rounds, and a selection from the file of answers is the one that asked for them. Answers that the strategy would
    /// not have asked for do not change its pair.
    #[must_use]
    pub fn step(&self, answers: &Answers, players: &Players, draw: Option<f64>) -> Step {
        let index = players.indices();
        let beats = |matches: &[(usize, usize)]| {
            let pair = |&(i, j): &(usize, usize)| (index[i], index[j]);
            let known = matches.iter().map(|m| answers.get(pair(m)));
            known.collect::<Option<Vec<f64>>>().ok_or_else(|| {
                let matches = matches.iter().map(pair);
                matches.filter(|&m| answers.get(m).is_none()).collect()
            })
        };
        match self.play(players, draw, beats) {
            Ok(outcome) => Step::Done(outcome.map(|selected| Selected {
                chosen: index[selected.chosen],
                rejected: index[selected.rejected],
                ..selected
            })),
            Err(matches) => Step::Ask(matches),
        }
    }

    /// The matches that the strategy needs next, given the answers so far; none once it has its pair.
    #[must_use]
    pub fn matches(&self, answers: &Answers, players: &Players) -> Vec<(usize, usize)> {
        match self.step(answers, players, None) {
            Step::Ask(matches) => matches,
            Step::Done(_) => Vec::new(),
        }
    }

    /// The most comparisons that the strategy needs among `count` usable responses; 0 for fewer than two. Every
    /// strategy but `adaptive` needs exactly these where no match of a tournament comes twice, as its final may for 2
    /// and 3 responses.
    #[must_use]
    pub fn comparisons(&self, count: usize) -> usize {
        let pairs = count * count.saturating_sub(1) / 2;
        match self.strategy {
            _ if count < 2 => 0,
            PairStrategy::Iid | PairStrategy::Random => 1,
            PairStrategy::RoundRobin | PairStrategy::BestWorst => pairs,
            PairStrategy::Adaptive => self.budget(count).min(pairs),
            PairStrategy::Tournament => SelectionStrategy::Tournament.comparisons(count).min(pairs),
        }
    }

    fn budget(&self, count: usize) -> usize {
        self.budget.unwrap_or(2 * count).max(1)
    }

    /// Plays the rounds on the answers of `beats`, by the places of the players.
    fn play<E>(
        &self,
        players: &Players,
        draw: Option<f64>,
        mut beats: impl FnMut(&[(usize, usize)]) -> Result<Vec<f64>, E>,
    ) -> Result<Result<Selected, Dropped>, E> {
        let count = players.len();
        let penalties = || {
            let lengths = players.relative_lengths().into_iter();
            lengths.map(|l| self.length_penalty * l).collect::<Vec<_>>()
        };
        Ok(match self.strategy {
            PairStrategy::Tournament => match final_match(count, beats)? {
                Some(selected) => self.final_verdict(selected, players),
                None => Err(Dropped::Tie),
            },
            PairStrategy::Iid => self.two(0, 1, draw, players, beats)?,
            PairStrategy::Random => {
                let mut rng = ChaCha8Rng::seed_from_u64(players.seed());
                let first = rng.random_range(0..count);
                let second = (first + rng.random_range(1..count)) % count;
                let (first, second) = (first.min(second), first.max(second));
                self.two(first, second, draw, players, beats)?
            }
            PairStrategy::RoundRobin | PairStrategy::BestWorst => {
                let pairs = all_pairs(count);
                let outcomes = beats(&pairs)?;
                let mut scores = scores(self.score, count, &outcomes);
                let penalties = penalties();
                scores.iter_mut().zip(penalties).for_each(|(s, c)| *s -= c);
                let found = ends(&scores);
                let pair = (found.best.min(found.worst), found.best.max(found.worst));
                let place = pairs.iter().position(|&p| p == pair).unwrap_or(0);
                let p = outcomes[place];
                let p = if found.best < found.worst { p } else { 1.0 - p };
                self.of_ends(found, p, players)
            }
            PairStrategy::Adaptive => {
                let budget = self.budget(count);
                let (found, p) = adaptive(self.score, penalties(), budget, players.seed(), beats)?;
                self.of_ends(found, p, players)
            }
        })
    }

    /// A pair that is asked whatever it is, ordered by the answer or the draw.
    fn two<E>(
        &self,
        first: usize,
        second: usize,
        draw: Option<f64>,
        players: &Players,
        mut beats: impl FnMut(&[(usize, usize)]) -> Result<Vec<f64>, E>,
    ) -> Result<Result<Selected, Dropped>, E> {
        let p = beats(&[(first, second)])?[0];
        let policy = self.tie_policy();
        if p == 0.5 && policy != TiePolicy::Half {
            return Ok(broken(policy, first, second, players));
        }
        let wins = draw.map_or(p >= 0.5, |uniform| uniform < p);
        let (chosen, rejected, probability) = if wins {
            (first, second, p)
        } else {
            (second, first, 1.0 - p)
        };
        Ok(Ok(Selected {
            chosen,
            rejected,
            probability,
        }))
    }

    /// Best against worst by score.
    fn of_ends(
        &self,
        found: Ends,
        probability: f64,
        players: &Players,
    ) -> Result<Selected, Dropped> {
        let (chosen, rejected) = (found.best, found.worst);
        if found.level {
            return broken(self.tie_policy(), chosen, rejected, players);
        }
        let selected = Selected {
            chosen,
            rejected,
            probability,
        };
        if self.strategy == PairStrategy::BestWorst {
            Ok(selected)
        } else {
            self.final_verdict(selected, players)
        }
    }

    /// A final: kept if the best wins it.
    fn final_verdict(&self, selected: Selected, players: &Players) -> Result<Selected, Dropped> {
        if selected.probability > 0.5 {
            Ok(selected)
        } else if selected.probability == 0.5 {
            broken(
                self.tie_policy(),
                selected.chosen,
                selected.rejected,
                players,
            )
        } else {
            Err(Dropped::Final)
        }
    }
}

/// What a policy makes of a tie.
fn broken(
    policy: TiePolicy,
    first: usize,
    second: usize,
    players: &Players,
) -> Result<Selected, Dropped> {
    let (early, late) = (first.min(second), first.max(second));
    let (chosen, rejected, probability) = match policy {
        TiePolicy::Drop => return Err(Dropped::Tie),
        TiePolicy::Half => (first, second, 0.5),
        TiePolicy::First => (early, late, 1.0),
        TiePolicy::Random => {
            let mut rng = ChaCha8Rng::seed_from_u64(players.seed());
            rng.set_stream(1);
            if rng.random::<bool>() {
                (early, late, 1.0)
            } else {
                (late, early, 1.0)
            }
        }
    };
    Ok(Selected {
        chosen,
        rejected,
        probability,
    })
}

#[cfg(test)]
mod tests;
