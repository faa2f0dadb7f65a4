//! From preferences to pairs.

use serde::{Deserialize, Serialize};

/// A pair among one prompt's K responses: indices of the preferred and the other one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selected {
    /// Index of the preferred response.
    pub chosen: usize,
    /// Index of the other one.
    pub rejected: usize,
    /// P(chosen beats rejected).
    pub probability: f64,
}

/// Why a prompt gave no pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// The final match is a tie.
    Tie,
    /// The best of the bracket loses its match against the worst.
    Final,
}

/// Counts of a selection, as in the metrics (`select/*`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectionCounts {
    /// Pairs kept.
    pub pairs: usize,
    /// Dropped: the final match was a tie.
    pub dropped_tie: usize,
    /// Dropped: the final match went the other way.
    pub dropped_final: usize,
    /// Dropped: both responses have the same ids.
    pub dropped_dup: usize,
    /// Dropped: a response without a token but its end.
    pub dropped_empty: usize,
}

/// The paper's tournament over `count` responses (arXiv 2407.00617, section 5).
///
/// Responses meet in pairs; winners go on among winners until one is left, losers among losers; a tie
/// goes to the first of the two. The last winner meets the last loser and the pair is kept only if the
/// winner wins. For a power of two this takes `3 count / 2 - 1` comparisons. When a round has an odd
/// number of players the last one passes without a match (in the first round: into both brackets).
///
/// `beats(matches)` answers P(first beats second) for each match of one round, so that rounds reach
/// the oracle in batches.
///
/// # Errors
///
/// Those of `beats`.
pub fn tournament<E>(
    count: usize,
    mut beats: impl FnMut(&[(usize, usize)]) -> Result<Vec<f64>, E>,
) -> Result<Result<Selected, Dropped>, E> {
    let players: Vec<usize> = (0..count).collect();
    let (mut winners, mut losers) = play(&players, &mut beats)?;
    while winners.len() > 1 {
        winners = play(&winners, &mut beats)?.0;
    }
    while losers.len() > 1 {
        losers = play(&losers, &mut beats)?.1;
    }
    let (chosen, rejected) = (winners[0], losers[0]);
    if chosen == rejected {
        return Ok(Err(Dropped::Tie));
    }
    let probability = beats(&[(chosen, rejected)])?[0];
    Ok(verdict(chosen, rejected, probability))
}

/// The i.i.d. pair of the theory: the first two samples. With a `draw`, uniform on [0, 1), the first wins
/// with the oracle's probability: one Bernoulli draw, as Proposition 6 asks, a tie being a fair coin.
/// Without one the likelier winner is put first, for a loss that reads the probability itself; a tie stays a
/// pair.
///
/// # Errors
///
/// Those of `beats`.
pub fn iid_pair<E>(
    mut beats: impl FnMut(&[(usize, usize)]) -> Result<Vec<f64>, E>,
    draw: Option<f64>,
) -> Result<Selected, E> {
    let probability = beats(&[(0, 1)])?[0];
    let first = match draw {
        Some(uniform) => uniform < probability,
        None => probability >= 0.5,
    };
    let (chosen, rejected, probability) = match first {
        true => (0, 1, probability),
        false => (1, 0, 1.0 - probability),
    };
    Ok(Selected {
        chosen,
        rejected,
        probability,
    })
}

fn verdict(chosen: usize, rejected: usize, probability: f64) -> Result<Selected, Dropped> {
    if probability > 0.5 {
        Ok(Selected {
            chosen,
            rejected,
            probability,
        })
    } else if probability == 0.5 {
        Err(Dropped::Tie)
    } else {
        Err(Dropped::Final)
    }
}

/// One round: winners and losers, in order.
fn play<E>(
    players: &[usize],
    beats: &mut impl FnMut(&[(usize, usize)]) -> Result<Vec<f64>, E>,
) -> Result<(Vec<usize>, Vec<usize>), E> {
    let matches: Vec<(usize, usize)> = players.chunks_exact(2).map(|m| (m[0], m[1])).collect();
    let outcomes = beats(&matches)?;
    let mut winners = Vec::with_capacity(matches.len() + 1);
    let mut losers = Vec::with_capacity(matches.len() + 1);
    for (&(first, second), p) in matches.iter().zip(outcomes) {
        let (winner, loser) = if p >= 0.5 {
            (first, second)
        } else {
            (second, first)
        };
        winners.push(winner);
        losers.push(loser);
    }
    if let [odd] = players.chunks_exact(2).remainder() {
        winners.push(*odd);
        losers.push(*odd);
    }
    Ok((winners, losers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn by_score(scores: &[f64]) -> impl FnMut(&[(usize, usize)]) -> Result<Vec<f64>, Infallible> {
        move |matches| {
            let outcome = |&(i, j): &(usize, usize)| match scores[i].total_cmp(&scores[j]) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
            Ok(matches.iter().map(outcome).collect())
        }
    }

    #[test]
    fn finds_best_and_worst_in_three_halves_k_minus_one() {
        for count in [2_usize, 4, 8, 16] {
            let scores: Vec<f64> = (0..count).map(|i| ((i * 7 + 3) % count) as f64).collect();
            let mut calls = 0;
            let mut beats = by_score(&scores);
            let pair = tournament(count, |matches| {
                calls += matches.len();
                beats(matches)
            });
            let pair = pair.unwrap().unwrap();
            assert_eq!(scores[pair.chosen], (count - 1) as f64);
            assert_eq!(scores[pair.rejected], 0.0);
            assert_eq!(calls, 3 * count / 2 - 1, "K = {count}");
        }
    }

    #[test]
    fn odd_numbers_find_best_and_worst_too() {
        for count in [3_usize, 5, 6, 7] {
            for shift in 0..count {
                let scores: Vec<f64> = (0..count).map(|i| ((i + shift) % count) as f64).collect();
                let pair = tournament(count, by_score(&scores)).unwrap().unwrap();
                assert_eq!(scores[pair.chosen], (count - 1) as f64);
                assert_eq!(scores[pair.rejected], 0.0);
            }
        }
    }

    #[test]
    fn equal_responses_give_no_pair_and_ties_go_to_the_first() {
        let all_equal = tournament(4, by_score(&[1.0; 4])).unwrap();
        assert_eq!(all_equal, Err(Dropped::Tie));
        // 0 ties with 1 and is taken as the winner; 3 loses to 2. Final 0 against 3.
        let pair = tournament(4, by_score(&[2.0, 2.0, 1.0, 0.0]))
            .unwrap()
            .unwrap();
        assert_eq!((pair.chosen, pair.rejected), (0, 3));
    }

    /// 0 beats 1 and 2, 1 and 2 beat 3: best is 0, worst is 3. The preference is cyclic: 3 beats 0.
    #[test]
    fn a_lost_final_drops_the_prompt() {
        let beats = |matches: &[(usize, usize)]| {
            let outcome = |&m: &(usize, usize)| match m {
                (0, 1) | (2, 3) | (0, 2) | (1, 3) => 1.0,
                (0, 3) => 0.0,
                _ => unreachable!("{m:?}"),
            };
            Ok::<_, Infallible>(matches.iter().map(outcome).collect())
        };
        assert_eq!(tournament(4, beats).unwrap(), Err(Dropped::Final));
    }

    #[test]
    fn the_iid_pair_is_the_first_two_in_order() {
        let pair = iid_pair(by_score(&[0.0, 1.0]), None).unwrap();
        assert_eq!((pair.chosen, pair.rejected, pair.probability), (1, 0, 1.0));
        let tie = iid_pair(by_score(&[1.0, 1.0]), None).unwrap();
        assert_eq!((tie.chosen, tie.rejected, tie.probability), (0, 1, 0.5));
        // P(0 beats 1) = 0.3: a draw below it is a win of 0, one above a win of 1.
        let beats = |_: &[(usize, usize)]| Ok::<_, Infallible>(vec![0.3]);
        let of = |draw| iid_pair(beats, Some(draw)).unwrap();
        assert_eq!((of(0.29).chosen, of(0.29).probability), (0, 0.3));
        assert_eq!((of(0.31).chosen, of(0.31).probability), (1, 0.7));
    }
}
