//! Games that are counted: votes for each two actions.

mod beta;
mod bootstrap;
mod counts;
mod error;

use std::collections::{BTreeMap, HashMap};

pub use self::bootstrap::{Bootstrap, BootstrapError};
pub use self::counts::{Interval, PairCounts};
pub use self::error::EmpiricalError;

use self::beta::beta_quantile;
use self::error::check_confidence;
use crate::games::law::{check_actions, check_lengths};
use crate::{MatrixGame, Preference, PreferenceGame};

/// So many votes at most, in all and of a prior: beyond, not every count is an f64.
const MAX_VOTES: u64 = 1 << 53;

/// The prior of an interval where the game has none: Jeffreys'.
const JEFFREYS: f64 = 0.5;

/// A game of recorded votes, a tie counting as half a win for each.
///
/// With w points (wins and half the ties) of n votes for i against j and prior strength a,
///
/// ```text
/// P(i > j) = (w + a) / (n + 2 a)
/// ```
///
/// the mean of the posterior Beta(w + a, n - w + a) of a coin whose prior is Beta(a, a). At a = 0,
/// where a game starts, this is the raw share; a pair without votes is 1/2 at every a. a = 1/2 is
/// the prior of Jeffreys, a = 1 the uniform one. The prior pulls pairs of few votes to 1/2, where
/// raw shares would make certain wins of them, and cycles of noise.
///
/// Only pairs with votes are held, and a product with a strategy costs O(n + pairs with votes).
/// Records are read from files by [`read_records`](crate::read_records).
///
/// ```
/// use inpo_game::{EmpiricalGame, PairCounts, PreferenceGame};
///
/// let mut game = EmpiricalGame::new(vec!["a".into(), "b".into(), "c".into()])?;
/// game.add(0, 1, PairCounts { wins: 5, losses: 2, ties: 1 })?;
/// assert_eq!(game.preference(0, 1).get(), 5.5 / 8.0);
/// assert_eq!(game.preference(0, 2).get(), 0.5);
///
/// let game = game.with_prior(0.5)?;
/// assert_eq!(game.preference(0, 1).get(), 6.0 / 9.0);
/// let interval = game.interval(0, 1, 0.95)?; // of Beta(6, 3)
/// assert!((interval.low - 0.349).abs() < 1e-3 && (interval.high - 0.915).abs() < 1e-3);
/// # Ok::<(), inpo_game::EmpiricalError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EmpiricalGame {
    names: Vec<String>,
    /// The votes of (i, j), i < j, where there are any.
    pairs: BTreeMap<(usize, usize), PairCounts>,
    total: u64,
    prior: f64,
}

impl EmpiricalGame {
    /// A game without votes over the actions of these names, with prior strength 0.
    ///
    /// # Errors
    /// [`EmpiricalError::NoNames`] or [`EmpiricalError::DuplicateName`].
    pub fn new(names: Vec<String>) -> Result<Self, EmpiricalError> {
        if names.is_empty() {
            return Err(EmpiricalError::NoNames);
        }
        check_different(&names)?;
        Ok(Self {
            names,
            pairs: BTreeMap::new(),
            total: 0,
            prior: 0.0,
        })
    }

    /// Adds votes on `first` against `second`.
    ///
    /// # Errors
    /// [`EmpiricalError::Action`], [`EmpiricalError::SameAction`] or
    /// [`EmpiricalError::TooManyVotes`]; the game is then unchanged.
    pub fn add(
        &mut self,
        first: usize,
        second: usize,
        counts: PairCounts,
    ) -> Result<(), EmpiricalError> {
        let actions = self.names.len();
        for action in [first, second] {
            if action >= actions {
                return Err(EmpiricalError::Action { action, actions });
            }
        }
        if first == second {
            return Err(EmpiricalError::SameAction { action: first });
        }
        let total = self.total.saturating_add(counts.total());
        if total > MAX_VOTES {
            return Err(EmpiricalError::TooManyVotes);
        }
        if counts.total() > 0 {
            let (pair, counts) = if first < second {
                ((first, second), counts)
            } else {
                ((second, first), counts.swapped())
            };
            self.pairs.entry(pair).or_default().add(counts);
            self.total = total;
        }
        Ok(())
    }

    /// Sets the prior strength a >= 0, in votes for each side.
    ///
    /// # Errors
    /// [`EmpiricalError::Prior`].
    pub fn with_prior(mut self, prior: f64) -> Result<Self, EmpiricalError> {
        if !(0.0..=MAX_VOTES as f64).contains(&prior) {
            return Err(EmpiricalError::Prior { value: prior });
        }
        self.prior = prior;
        Ok(self)
    }

    /// The game of some of the actions, in the order of `names`, with the votes among them.
    ///
    /// # Errors
    /// [`EmpiricalError::NoNames`], [`EmpiricalError::UnknownName`] or
    /// [`EmpiricalError::DuplicateName`].
    pub fn restricted_to(&self, names: &[String]) -> Result<Self, EmpiricalError> {
        let index: HashMap<&str, usize> =
            self.names().iter().map(String::as_str).zip(0..).collect();
        let mut place = vec![None; self.names.len()];
        for (new, name) in names.iter().enumerate() {
            let old = index
                .get(name.as_str())
                .ok_or_else(|| EmpiricalError::UnknownName {
                    index: new,
                    name: name.clone(),
                    known: listed(&self.names),
                })?;
            place[*old] = Some(new);
        }
        let mut game = Self::new(names.to_vec())?;
        game.prior = self.prior;
        for (first, second, counts) in self.pairs() {
            if let (Some(first), Some(second)) = (place[first], place[second]) {
                game.add(first, second, counts)?;
            }
        }
        Ok(game)
    }

    /// The names of the actions.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The action of that name.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name)
    }

    /// The prior strength a.
    #[must_use]
    pub fn prior(&self) -> f64 {
        self.prior
    }

    /// The votes on `first` against `second`, seen from `first`.
    ///
    /// # Panics
    /// If an index is out of range.
    #[must_use]
    pub fn counts(&self, first: usize, second: usize) -> PairCounts {
        check_actions(self.names.len(), first, second);
        let pair = (first.min(second), first.max(second));
        let counts = self.pairs.get(&pair).copied().unwrap_or_default();
        if first <= second {
            counts
        } else {
            counts.swapped()
        }
    }

    /// The pairs i < j with votes, as (i, j, votes), in row-major order.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (usize, usize, PairCounts)> + '_ {
        self.pairs.iter().map(|(&(i, j), &counts)| (i, j, counts))
    }

    /// All votes.
    #[must_use]
    pub fn total_votes(&self) -> u64 {
        self.total
    }

    /// The votes that each action took part in.
    #[must_use]
    pub fn votes(&self) -> Vec<u64> {
        let mut votes = vec![0; self.names.len()];
        for (i, j, counts) in self.pairs() {
            votes[i] += counts.total();
            votes[j] += counts.total();
        }
        votes
    }

    /// The equal-tailed interval of P(first > second) under its Beta posterior: each tail has
    /// probability (1 - `confidence`) / 2.
    ///
    /// At prior strength 0 the prior of Jeffreys, a = 1/2, takes its place, since a pair that one
    /// side won throughout has no posterior otherwise; the limit on that side is then 0 or 1
    /// itself, as L. D. Brown, T. T. Cai and A. DasGupta recommend (Statistical Science 16, 2001).
    /// The interval of (second, first) is the mirror image.
    ///
    /// A tie counts as half a win and half a loss, as if a coin had decided it. Ties spread less
    /// than coins, so with many of them the interval is on the wide side.
    ///
    /// # Errors
    /// [`EmpiricalError::Confidence`].
    ///
    /// # Panics
    /// If an index is out of range.
    pub fn interval(
        &self,
        first: usize,
        second: usize,
        confidence: f64,
    ) -> Result<Interval, EmpiricalError> {
        check_confidence(confidence)?;
        let counts = self.counts(first, second);
        if first == second {
            return Ok(Interval {
                low: 0.5,
                high: 0.5,
            });
        }
        let (own, other) = (counts.points(), counts.swapped().points());
        let tail = 0.5 * (1.0 - confidence);
        // The lower limit of the side that has `own` points.
        let low = |own: f64, other: f64| match self.prior {
            0.0 if own == 0.0 => 0.0,
            0.0 => beta_quantile(own + JEFFREYS, other + JEFFREYS, tail),
            prior => beta_quantile(own + prior, other + prior, tail),
        };
        Ok(Interval {
            low: low(own, other),
            high: 1.0 - low(other, own),
        })
    }

    /// The whole matrix, with the names.
    #[must_use]
    pub fn to_matrix(&self) -> MatrixGame {
        MatrixGame::from_game(self)
            .with_names(self.names.clone())
            .expect("one name an action, all different")
    }
}

fn check_different(names: &[String]) -> Result<(), EmpiricalError> {
    let mut seen = HashMap::with_capacity(names.len());
    for (second, name) in names.iter().enumerate() {
        if let Some(first) = seen.insert(name, second) {
            let name = name.clone();
            return Err(EmpiricalError::DuplicateName {
                name,
                first,
                second,
            });
        }
    }
    Ok(())
}

/// The first names of a list, for a message.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let quoted: Vec<String> = names.iter().take(SHOWN).map(|n| format!("{n:?}")).collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    quoted.join(", ") + &more
}

impl PreferenceGame for EmpiricalGame {
    fn num_actions(&self) -> usize {
        self.names.len()
    }

    fn win_rates_into(&self, strategy: &[f64], out: &mut [f64]) {
        check_lengths(self.names.len(), strategy, out);
        // All pairs tie, but for those with votes.
        out.fill(0.5 * strategy.iter().sum::<f64>());
        for (i, j, counts) in self.pairs() {
            let margin = counts.share(self.prior) - 0.5;
            out[i] += margin * strategy[j];
            out[j] -= margin * strategy[i];
        }
    }

    fn preference(&self, first: usize, second: usize) -> Preference {
        let p = if first == second {
            0.5
        } else {
            self.counts(first, second).share(self.prior)
        };
        Preference::new(p).expect("a share of votes")
    }
}

#[cfg(test)]
mod tests;
