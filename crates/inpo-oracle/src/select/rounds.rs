//! The rounds of every strategy, and what their last match comes to.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::adaptive::adaptive;
use super::ranked::{Ends, all_pairs, ends, scores};
use super::{
    Dropped, PairStrategy, Players, Selected, SelectionConfig, Step, TiePolicy, final_match,
};
use crate::judge::Answers;

impl SelectionConfig {
    /// What the strategy makes of the answers so far: the matches of its next round, or its pair, by the indices of the
    /// responses. With a `draw`, uniform on [0, 1), the winner of a pair of `iid` or `random` is drawn with the oracle's
    /// probability: one Bernoulli draw, as Proposition 6 asks, a tie being a fair coin. Without one the likelier winner is
    /// put first, for a loss that reads the probability itself.
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
        Ok(match self.strategy() {
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
        if self.strategy() == PairStrategy::BestWorst {
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
