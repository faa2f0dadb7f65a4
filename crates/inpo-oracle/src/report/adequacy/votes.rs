//! The votes that are tested.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::AdequacyError;
use super::fit::{Duel, Votes};
use crate::Answers;
use crate::report::asked;

/// The votes on one pair of a prompt's responses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairVotes {
    /// A response's number.
    pub first: usize,
    /// Another's.
    pub second: usize,
    /// Votes for the first, from 0 to `count`; a tie is half a vote for each.
    pub wins: f64,
    /// All votes.
    pub count: u32,
}

/// The answers about one prompt as `count` votes on each pair that was asked; P(i beats j) is the share of i.
///
/// `count` is how often a judge was asked about a pair: 1 for a single verdict or probability, 2 for verdicts in both
/// orders, whose mean is P.
#[must_use]
pub fn votes(answers: &Answers, count: u32) -> Vec<PairVotes> {
    let vote = |(first, second, p): (usize, usize, f64)| PairVotes {
        first,
        second,
        wins: p * f64::from(count),
        count,
    };
    asked(answers).map(vote).collect()
}

/// The votes of one prompt, checked, added up and with its responses numbered from 0; none where the compared pairs
/// close no circle, as scores then fit any votes.
pub(super) fn gather(prompt: usize, pairs: &[PairVotes]) -> Result<Option<Votes>, AdequacyError> {
    let mut sums: BTreeMap<(usize, usize), (f64, u32)> = BTreeMap::new();
    for pair in pairs {
        let &PairVotes {
            first,
            second,
            wins,
            count,
        } = pair;
        if first == second {
            return Err(AdequacyError::Itself {
                prompt,
                response: first,
            });
        }
        if !(0.0..=f64::from(count)).contains(&wins) {
            return Err(AdequacyError::Wins {
                prompt,
                first,
                second,
                wins,
                count,
            });
        }
        if count == 0 {
            continue;
        }
        let (key, wins) = if first < second {
            ((first, second), wins)
        } else {
            ((second, first), f64::from(count) - wins)
        };
        let sum = sums.entry(key).or_default();
        *sum = (sum.0 + wins, sum.1 + count);
    }
    let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
    for &(i, j) in sums.keys() {
        for response in [i, j] {
            let next = numbers.len();
            numbers.entry(response).or_insert(next);
        }
    }
    // Joining two groups that were apart closes no circle; a pair within a group does.
    let mut group: Vec<usize> = (0..numbers.len()).collect();
    let mut circle = false;
    let mut duels = Vec::with_capacity(sums.len());
    for ((i, j), (wins, count)) in sums {
        let (i, j) = (numbers[&i], numbers[&j]);
        let (a, b) = (group[i], group[j]);
        circle |= a == b;
        group.iter_mut().filter(|g| **g == b).for_each(|g| *g = a);
        duels.push(Duel { i, j, wins, count });
    }
    Ok(circle.then_some(Votes {
        items: numbers.len(),
        duels,
    }))
}
