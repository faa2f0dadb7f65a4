//! Which responses to a prompt meet, and which pair is kept.

mod adaptive;
mod candidates;
mod config;
mod counts;
mod players;
mod ranked;
mod rounds;

pub use candidates::Candidates;
pub use config::{PairStrategy, ScoreKind, SelectionConfig, SelectionConfigError, TiePolicy};
pub use counts::{LeftOut, SelectionCounts};
pub use players::{Players, Usable, usable};

use std::convert::Infallible;

/// How a strategy goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It needs these matches, in any order, before it can go on.
    Ask(Vec<(usize, usize)>),
    /// It has its pair, or none.
    Done(Result<Selected, Dropped>),
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
    /// Fewer than two responses may be in a pair.
    Few,
    /// Both responses are the same.
    Duplicate,
    /// One of the two has no token but its end.
    Empty,
}

/// The paper's tournament over `count` responses (arXiv 2407.00617, section 5), up to its final.
///
/// Responses meet in pairs; winners go on among winners until one is left, losers among losers; a tie
/// goes to the first of the two. The last winner meets the last loser. For a power of two this takes
/// `3 count / 2 - 1` comparisons. When a round has an odd number of players the last one passes without a match (in the
/// first round: into both brackets).
///
/// `beats(matches)` answers P(first beats second) for each match of one round, those among winners and those among
/// losers together, so that rounds reach the oracle in batches. Returns the last winner, the last loser, and P(winner
/// beats loser), whatever it is; none where both are the same response, as one who passed the first round may be.
///
/// # Errors
///
/// Those of `beats`.
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

/// The matches of a tournament of `count` responses, each as often as it is played.
fn tournament_matches(count: usize) -> usize {
    let mut played = 0;
    let Ok(_) = final_match(count, |matches| {
        played += matches.len();
        Ok::<_, Infallible>(vec![1.0; matches.len()])
    });
    played
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
    use crate::judge::{Answers, judge};
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
            let pair = final_match(count, |matches| {
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
                let pair = final_match(count, by_score(&scores)).unwrap().unwrap();
                assert_eq!(scores[pair.chosen], (count - 1) as f64);
                assert_eq!(scores[pair.rejected], 0.0);
            }
        }
    }

    /// All are equal: the first of all wins, the last of all loses, and their final is a tie.
    #[test]
    fn ties_go_to_the_first() {
        let pair = final_match(4, by_score(&[1.0; 4])).unwrap().unwrap();
        assert_eq!((pair.chosen, pair.rejected, pair.probability), (0, 3, 0.5));
        // 0 ties with 1 and is taken as the winner; 3 loses to 2. Final 0 against 3.
        let pair = final_match(4, by_score(&[2.0, 2.0, 1.0, 0.0])).unwrap();
        let pair = pair.unwrap();
        assert_eq!((pair.chosen, pair.rejected), (0, 3));
    }

    /// 0 beats 1 and 2, 1 and 2 beat 3: best is 0, worst is 3. The preference is cyclic: 3 beats 0.
    #[test]
    fn a_lost_final_drops_the_prompt() {
        let mut matrix = vec![vec![None; 4]; 4];
        for (i, j) in [(0, 1), (2, 3), (0, 2), (1, 3), (3, 0)] {
            matrix[i][j] = Some(1.0);
            matrix[j][i] = Some(0.0);
        }
        let players = Players::all(4, 0).unwrap();
        let step = SelectionConfig::default().step(&Answers::from_matrix(matrix), &players, None);
        assert_eq!(step, Step::Done(Err(Dropped::Final)));
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
        let config = SelectionConfig::default();
        let players = Players::all(8, 0).unwrap();
        let batches = std::cell::Cell::new(0);
        let answers = judge(&oracle, &items, |item, answers| {
            batches.set(batches.get() + usize::from(item == 0));
            config.matches(answers, &players)
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
            let Step::Done(Ok(pair)) = config.step(answers, &players, None) else {
                panic!("the tournament is over");
            };
            let at = |k: usize| order.chars().nth(k).unwrap();
            assert_eq!((at(pair.chosen), at(pair.rejected)), ('h', 'a'));
        }
        assert_eq!(config.comparisons(8), 11);
    }

    /// Two responses meet in the first round; their final is the same match and is not asked again.
    #[test]
    fn a_final_that_was_played_before_is_not_asked_again() {
        let texts = ["a", "b"].map(Completion::finished).to_vec();
        let items = [(Prompt::user("Say a letter."), texts)];
        let oracle = Counted::new(Alphabet);
        let config = SelectionConfig::default();
        let players = Players::all(2, 0).unwrap();
        let answers = judge(&oracle, &items, |_, answers| {
            config.matches(answers, &players)
        });
        let answers = answers.unwrap();
        assert_eq!((oracle.comparisons(), config.comparisons(2)), (1, 1));
        let pair = Selected {
            chosen: 1,
            rejected: 0,
            probability: 1.0,
        };
        let step = config.step(&answers[0], &players, None);
        assert_eq!(step, Step::Done(Ok(pair)));
    }
}
