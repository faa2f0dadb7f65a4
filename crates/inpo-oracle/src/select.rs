//! Which responses to a prompt meet, and which pair is kept.

mod adaptive;
mod config;
mod players;
mod ranked;
mod rounds;

pub use config::{PairStrategy, ScoreKind, SelectionConfig, SelectionConfigError, TiePolicy};
pub use players::{Players, Usable, usable};

use std::convert::Infallible;

use serde::{Deserialize, Serialize};

use crate::judge::Answers;

/// How a pair is chosen among K responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelectionStrategy {
    /// The paper's tournament: best against worst, kept if the best wins their final.
    Tournament,
    /// The first two samples: the i.i.d. pair of the theory.
    Iid,
}

/// How a strategy goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It needs these matches, in any order, before it can go on.
    Ask(Vec<(usize, usize)>),
    /// It has its pair, or none.
    Done(Result<Selected, Dropped>),
}

impl SelectionStrategy {
    /// What the strategy makes of the answers so far: the matches of its next round, or its pair. With a `draw`,
    /// uniform on [0, 1), the winner of an i.i.d. pair is drawn (see [`iid_pair`]).
    ///
    /// The rounds are played again from the first, on answers that are there; so nothing needs to be kept between
    /// rounds, and a selection from the file of answers is the one that asked for them.
    #[must_use]
    pub fn step(self, answers: &Answers, draw: Option<f64>) -> Step {
        let beats = |matches: &[(usize, usize)]| {
            let known: Option<Vec<f64>> = matches.iter().map(|&pair| answers.get(pair)).collect();
            known.ok_or_else(|| {
                let unknown = |pair: &&(usize, usize)| answers.get(**pair).is_none();
                matches.iter().filter(unknown).copied().collect()
            })
        };
        let outcome = match self {
            Self::Tournament => tournament(answers.count(), beats),
            Self::Iid => iid_pair(beats, draw).map(Ok),
        };
        match outcome {
            Ok(outcome) => Step::Done(outcome),
            Err(matches) => Step::Ask(matches),
        }
    }

    /// The matches that the strategy needs next, given the answers so far; none once it has its pair.
    #[must_use]
    pub fn matches(self, answers: &Answers) -> Vec<(usize, usize)> {
        match self.step(answers, None) {
            Step::Ask(matches) => matches,
            Step::Done(_) => Vec::new(),
        }
    }

    /// The most comparisons that the strategy needs among `count` responses.
    #[must_use]
    pub fn comparisons(self, count: usize) -> usize {
        match self {
            Self::Tournament => {
                let mut asked = 0;
                let all_won = |matches: &[(usize, usize)]| {
                    asked += matches.len();
                    Ok::<_, Infallible>(vec![1.0; matches.len()])
                };
                let Ok(_) = tournament(count, all_won);
                asked
            }
            Self::Iid => 1,
        }
    }
}

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

/// The paper's tournament over `count` responses (arXiv 2407.00617, section 5).
///
/// Responses meet in pairs; winners go on among winners until one is left, losers among losers; a tie
/// goes to the first of the two. The last winner meets the last loser and the pair is kept only if the
/// winner wins. For a power of two this takes `3 count / 2 - 1` comparisons. When a round has an odd
/// number of players the last one passes without a match (in the first round: into both brackets).
///
/// `beats(matches)` answers P(first beats second) for each match of one round, those among winners and those among
/// losers together, so that rounds reach the oracle in batches.
///
/// # Errors
///
/// Those of `beats`.
pub fn tournament<E>(
    count: usize,
    beats: impl FnMut(&[(usize, usize)]) -> Result<Vec<f64>, E>,
) -> Result<Result<Selected, Dropped>, E> {
    Ok(match final_match(count, beats)? {
        Some(Selected {
            chosen,
            rejected,
            probability,
        }) => verdict(chosen, rejected, probability),
        None => Err(Dropped::Tie),
    })
}

/// The last winner against the last loser of a tournament, and P(winner beats loser), whatever it is; none where both
/// are the same response, as one who passed the first round may be.
fn final_match<E>(
    count: usize,
    mut beats: impl FnMut(&[(usize, usize)]) -> Result<Vec<f64>, E>,
) -> Result<Option<Selected>, E> {
    let players: Vec<usize> = (0..count).collect();
    let first = pair_up(&players);
    let (mut winners, mut losers) = split(&players, &beats(&first)?);
    while winners.len() > 1 || losers.len() > 1 {
        let round = [pair_up(&winners), pair_up(&losers)];
        let outcomes = beats(&round.concat())?;
        let (of_winners, of_losers) = outcomes.split_at(round[0].len());
        winners = split(&winners, of_winners).0;
        losers = split(&losers, of_losers).1;
    }
    let (chosen, rejected) = (winners[0], losers[0]);
    if chosen == rejected {
        return Ok(None);
    }
    let probability = beats(&[(chosen, rejected)])?[0];
    Ok(Some(Selected {
        chosen,
        rejected,
        probability,
    }))
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
    let (chosen, rejected, probability) = if first {
        (0, 1, probability)
    } else {
        (1, 0, 1.0 - probability)
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

/// The matches of a round: neighbours meet; without a neighbour the last one passes.
fn pair_up(players: &[usize]) -> Vec<(usize, usize)> {
    players.chunks_exact(2).map(|m| (m[0], m[1])).collect()
}

/// Winners and losers of a round, in order; one who passes is both.
fn split(players: &[usize], outcomes: &[f64]) -> (Vec<usize>, Vec<usize>) {
    let mut winners = Vec::with_capacity(outcomes.len() + 1);
    let mut losers = Vec::with_capacity(outcomes.len() + 1);
    for ((first, second), p) in pair_up(players).into_iter().zip(outcomes) {
        let (winner, loser) = if *p >= 0.5 {
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
    (winners, losers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::judge;
    use inpo_data::{Completion, Prompt};
    use inpo_game::{Comparison, Counted, OracleError, Preference, PreferenceOracle};

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

    /// The alphabetically later text wins.
    struct Alphabet;

    impl PreferenceOracle<Prompt, Completion> for Alphabet {
        fn compare(
            &self,
            comparisons: &[Comparison<'_, Prompt, Completion>],
        ) -> Result<Vec<Preference>, OracleError> {
            let answer = |c: &Comparison<'_, Prompt, Completion>| {
                if c.first.text > c.second.text {
                    Preference::WIN
                } else {
                    Preference::LOSS
                }
            };
            Ok(comparisons.iter().map(answer).collect())
        }

        fn name(&self) -> String {
            "alphabet".to_owned()
        }
    }

    /// Eight responses take 4 + (2 + 2) + (1 + 1) + 1 = 11 comparisons in four batches, whatever the number of
    /// prompts; the pair read from the answers is best and worst.
    #[test]
    fn a_tournament_asks_one_batch_a_round_for_all_prompts() {
        let orders = ["cdhgbafe", "abcdefgh", "hgfedcba"];
        let item = |order: &str| {
            let texts = order.chars().map(|c| Completion::finished(c.to_string()));
            (Prompt::user("Say a letter."), texts.collect::<Vec<_>>())
        };
        let items = orders.map(item);
        let oracle = Counted::new(Alphabet);
        let strategy = SelectionStrategy::Tournament;
        let batches = std::cell::Cell::new(0);
        let answers = judge(&oracle, &items, |item, answers| {
            batches.set(batches.get() + usize::from(item == 0));
            strategy.matches(answers)
        });
        let answers = answers.unwrap();
        assert_eq!(oracle.comparisons(), 3 * 11);
        assert_eq!(
            batches.get(),
            5,
            "four rounds, and a last look that asks nothing"
        );
        for (order, answers) in orders.iter().zip(&answers) {
            assert_eq!(answers.asked().count(), 11);
            let Step::Done(Ok(pair)) = strategy.step(answers, None) else {
                panic!("the tournament is over");
            };
            let at = |k: usize| order.chars().nth(k).unwrap();
            assert_eq!((at(pair.chosen), at(pair.rejected)), ('h', 'a'));
        }
        assert_eq!(strategy.comparisons(8), 11);
        assert_eq!(SelectionStrategy::Iid.comparisons(8), 1);
    }

    /// Two responses meet in the first round; their final is the same match and is not asked again.
    #[test]
    fn a_final_that_was_played_before_is_not_asked_again() {
        let texts = ["a", "b"].map(Completion::finished).to_vec();
        let items = [(Prompt::user("Say a letter."), texts)];
        let oracle = Counted::new(Alphabet);
        let strategy = SelectionStrategy::Tournament;
        let answers = judge(&oracle, &items, |_, answers| strategy.matches(answers)).unwrap();
        assert_eq!(oracle.comparisons(), 1);
        let pair = Selected {
            chosen: 1,
            rejected: 0,
            probability: 1.0,
        };
        assert_eq!(strategy.step(&answers[0], None), Step::Done(Ok(pair)));
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
