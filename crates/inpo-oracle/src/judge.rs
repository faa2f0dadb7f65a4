//! Asking an oracle about the responses to many prompts: each comparison once, in few batches.

use std::collections::HashSet;

use inpo_data::{Completion, Prompt};
use inpo_game::{Comparison, OracleError, Preference};

use crate::TextOracle;

/// What an oracle said of one prompt's K responses so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    /// P(i beats j), none where it was not asked.
    matrix: Vec<Vec<Option<f64>>>,
}

impl Answers {
    /// No answers about `count` responses.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let mut matrix = vec![vec![None; count]; count];
        for (i, row) in matrix.iter_mut().enumerate() {
            row[i] = Some(0.5);
        }
        Self { matrix }
    }

    /// The answers of a row of `preferences.jsonl`.
    #[must_use]
    pub fn from_matrix(matrix: Vec<Vec<Option<f64>>>) -> Self {
        Self { matrix }
    }

    /// P(response i beats response j), none where it was not asked; 1/2 on the diagonal.
    #[must_use]
    pub fn matrix(&self) -> &[Vec<Option<f64>>] {
        &self.matrix
    }

    /// How many responses there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.matrix.len()
    }

    /// P(response i beats response j), when it was asked in either order.
    #[must_use]
    pub fn get(&self, (i, j): (usize, usize)) -> Option<f64> {
        self.matrix[i][j]
    }

    /// The share of the prompt's other responses, without the `partner` in a pair, that response `k` beats; 1/2
    /// without any, none where not all of these comparisons were asked.
    ///
    /// Where the pair was drawn without looking at the preferences, it is an unbiased estimate of the win rate
    /// against the sampler, and so is the difference of two. With the partner among the comparators the
    /// difference would be K/(K - 1) times too large in the minimiser of a pair loss, as the partner is one
    /// sample in both; the score of a tournament's winner is biased upward.
    #[must_use]
    pub fn score(&self, k: usize, partner: usize) -> Option<f64> {
        let row = self.matrix[k].iter().enumerate();
        let others = row
            .filter(|&(j, _)| j != k && j != partner)
            .map(|(_, p)| *p);
        match self.count() {
            0..=2 => Some(0.5),
            count => Some(others.sum::<Option<f64>>()? / (count - 2) as f64),
        }
    }

    /// The comparisons that were asked, one of each two orders.
    pub fn asked(&self) -> impl Iterator<Item = f64> {
        let upper = self.matrix.iter().enumerate();
        upper.flat_map(|(i, row)| row[i + 1..].iter().copied().flatten())
    }

    /// Every pair of responses that was not asked yet.
    #[must_use]
    pub fn missing(&self) -> Vec<(usize, usize)> {
        let count = self.count();
        let pairs = (0..count).flat_map(|i| (i + 1..count).map(move |j| (i, j)));
        pairs.filter(|&pair| self.get(pair).is_none()).collect()
    }

    fn set(&mut self, (i, j): (usize, usize), answer: Preference) {
        self.matrix[i][j] = Some(answer.get());
        self.matrix[j][i] = Some(answer.complement().get());
    }
}

/// Asks `oracle` about the responses to each of `items`. `plan` states the matches that an item still needs, given
/// its number and the answers so far; those of all items are asked in one batch, until none needs any. A match that
/// was answered, in either order, is not asked again.
///
/// # Errors
///
/// Those of the oracle. One that is about a single comparison names the prompt and the responses.
pub fn judge(
    oracle: &TextOracle<'_>,
    items: &[(Prompt, Vec<Completion>)],
    plan: impl Fn(usize, &Answers) -> Vec<(usize, usize)>,
) -> Result<Vec<Answers>, OracleError> {
    let count = |(_, completions): &(Prompt, Vec<Completion>)| Answers::new(completions.len());
    let mut answers: Vec<Answers> = items.iter().map(count).collect();
    loop {
        let mut asked: Vec<(usize, (usize, usize))> = Vec::new();
        for (item, answers) in answers.iter().enumerate() {
            let mut stated = HashSet::new();
            let mut matches = plan(item, answers);
            matches.retain(|&(i, j)| {
                answers.get((i, j)).is_none() && stated.insert((i.min(j), i.max(j)))
            });
            asked.extend(matches.into_iter().map(|pair| (item, pair)));
        }
        if asked.is_empty() {
            return Ok(answers);
        }
        let comparisons: Vec<Comparison<'_, Prompt, Completion>> = asked
            .iter()
            .map(|&(item, (i, j))| {
                let (prompt, completions) = &items[item];
                Comparison {
                    prompt,
                    first: &completions[i],
                    second: &completions[j],
                }
            })
            .collect();
        let verdicts = oracle.compare(&comparisons).map_err(|error| match error {
            OracleError::Invalid { index, reason } if index < asked.len() => {
                let (item, (i, j)) = asked[index];
                let number = items[item].0.number;
                let reason = format!("prompt {number}, responses {i} and {j}: {reason}");
                OracleError::Invalid { index, reason }
            }
            other => other,
        })?;
        if verdicts.len() != asked.len() {
            return Err(OracleError::WrongCount {
                oracle: oracle.name(),
                expected: asked.len(),
                got: verdicts.len(),
            });
        }
        for ((item, pair), verdict) in asked.into_iter().zip(verdicts) {
            answers[item].set(pair, verdict);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inpo_game::{Counted, PreferenceOracle};
    use std::cell::RefCell;

    /// The longer text wins; remembers the size of each batch.
    #[derive(Default)]
    struct Length(RefCell<Vec<usize>>);

    impl PreferenceOracle<Prompt, Completion> for Length {
        fn compare(
            &self,
            comparisons: &[Comparison<'_, Prompt, Completion>],
        ) -> Result<Vec<Preference>, OracleError> {
            self.0.borrow_mut().push(comparisons.len());
            let answer = |(index, c): (usize, &Comparison<'_, Prompt, Completion>)| {
                if c.first.text == "?" {
                    let reason = "there is no telling".to_owned();
                    return Err(OracleError::Invalid { index, reason });
                }
                let longer = c.first.text.len() > c.second.text.len();
                Ok(if longer {
                    Preference::WIN
                } else {
                    Preference::LOSS
                })
            };
            comparisons.iter().enumerate().map(answer).collect()
        }

        fn name(&self) -> String {
            "length".to_owned()
        }
    }

    fn item(number: u64, texts: &[&str]) -> (Prompt, Vec<Completion>) {
        let completions = texts.iter().map(|&text| Completion::finished(text));
        let prompt = Prompt::user("Say something.").numbered(number);
        (prompt, completions.collect())
    }

    /// Three responses to one prompt and two to another: 3 + 1 comparisons in one batch, and no second one.
    #[test]
    fn all_prompts_share_a_batch_and_nothing_is_asked_twice() {
        let items = [item(0, &["a", "bbb", "cc"]), item(1, &["dd", "d"])];
        let oracle = Counted::new(Length::default());
        let answers = judge(&oracle, &items, |_, answers| answers.missing()).unwrap();
        assert_eq!(*oracle.inner().0.borrow(), [4]);
        assert_eq!(oracle.comparisons(), 4);
        let (half, won, lost) = (Some(0.5), Some(1.0), Some(0.0));
        let expected = [[half, lost, lost], [won, half, won], [won, lost, half]];
        assert_eq!(answers[0].matrix(), expected.map(|row| row.to_vec()));
        assert_eq!(answers[1].get((1, 0)), lost);
        // A plan that states the same match in both orders, round after round, is asked it once.
        let oracle = Length::default();
        judge(&oracle, &items[1..], |_, _| vec![(0, 1), (1, 0)]).unwrap();
        assert_eq!(*oracle.0.borrow(), [1]);
    }

    #[test]
    fn what_was_not_asked_is_not_known() {
        let items = [item(0, &["a", "bbb", "cc"])];
        let answers = judge(&Length::default(), &items, |_, _| vec![(2, 1)]).unwrap();
        assert_eq!(answers[0].get((1, 2)), Some(1.0));
        assert_eq!(answers[0].get((0, 1)), None);
        assert_eq!(answers[0].asked().collect::<Vec<_>>(), [1.0]);
        assert_eq!(answers[0].missing(), [(0, 1), (0, 2)]);
        assert_eq!(answers[0].score(1, 0), Some(1.0));
        assert_eq!(answers[0].score(1, 2), None);
    }

    #[test]
    fn an_answer_that_cannot_be_given_names_prompt_and_responses() {
        let items = [item(0, &["a", "bb"]), item(7, &["?", "dd"])];
        let error = judge(&Length::default(), &items, |_, answers| answers.missing());
        assert_eq!(
            error.unwrap_err().to_string(),
            "comparison 1 of the batch cannot be answered: prompt 7, responses 0 and 1: there is no telling"
        );
    }

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
                    let row = |i: usize| actions.map(|j| Some(game[i][j])).to_vec();
                    let answers = Answers::from_matrix(actions.map(row).to_vec());
                    means[0] += probability * answers.score(0, 1).unwrap();
                    means[1] += probability * answers.score(1, 0).unwrap();
                }
                assert!((means[0] - rates[chosen]).abs() < 1e-12);
                assert!((means[1] - rates[rejected]).abs() < 1e-12);
            }
        }
    }
}
