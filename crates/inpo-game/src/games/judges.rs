//! Several judges over the same actions.

use crate::games::law::{complementary, pairwise_win_rates, settle};
use crate::games::weights::{WeightError, normalise, weighted_preference, weighted_win_rates};
use crate::{Preference, PreferenceGame};

/// Judges that decide together, each a game P_k over the same actions.
///
/// * [`average`](Self::average): one judge is drawn with the weights w and decides,
///   P(i > j) = sum_k w_k P_k(i > j).
/// * [`majority`](Self::majority): every judge votes, independently and with its own probability,
///   and more than half of the votes decide; an even split is a tie, half a win for each.
///   P(i > j) = P(V > m/2) + P(V = m/2) / 2, where the number V of votes for i follows the
///   Poisson-binomial law of P_1(i > j), ..., P_m(i > j), computed by dynamic programming.
///
/// Both keep the complement law; neither keeps transitivity. Three judges, each with a ranking of
/// its own, can decide in a circle: the paradox of Condorcet (1785).
///
/// ```
/// use inpo_game::{JudgeMixture, PreferenceGame, ScoreGame, analysis};
///
/// // a > b > c, b > c > a, c > a > b, each by scores so far apart that no vote goes astray.
/// let judge = |a: f64, b: f64, c: f64| ScoreGame::bradley_terry(vec![a, b, c]);
/// let judges = vec![judge(2e3, 1e3, 0.0)?, judge(0.0, 2e3, 1e3)?, judge(1e3, 0.0, 2e3)?];
/// let game = JudgeMixture::majority(judges)?;
/// assert_eq!(game.preference(0, 1).get(), 1.0);
/// assert_eq!(game.preference(1, 2).get(), 1.0);
/// assert_eq!(game.preference(2, 0).get(), 1.0);
/// assert_eq!(analysis::condorcet_winner(&game), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeMixture<G> {
    judges: Vec<G>,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq)]
enum Rule {
    /// The weights, which add to 1.
    Average(Vec<f64>),
    Majority,
}

/// Why judges cannot decide together.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum JudgeError {
    /// No judges.
    #[error("judges is empty: give at least one")]
    Empty,
    /// The weights are no distribution over the judges.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// Judges of different actions.
    #[error(
        "judge {judge} compares {got} actions, but judge 0 compares {expected}: all must compare the same"
    )]
    ActionCount {
        /// The judge.
        judge: usize,
        /// Its number of actions.
        got: usize,
        /// That of judge 0.
        expected: usize,
    },
}

impl<G: PreferenceGame> JudgeMixture<G> {
    /// The weighted mean of the judges. The weights are positive and are divided by their sum.
    ///
    /// # Errors
    /// A [`JudgeError`] that names what does not fit.
    pub fn average(judges: Vec<G>, weights: Vec<f64>) -> Result<Self, JudgeError> {
        check_judges(&judges)?;
        let rule = Rule::Average(normalise(weights, judges.len(), "judges")?);
        Ok(Self { judges, rule })
    }

    /// The majority vote of the judges. A preference costs O(m^2) for m judges, and a product with
    /// a strategy O(n^2 m^2): a solver is faster on
    /// [`MatrixGame::from_game`](crate::MatrixGame::from_game).
    ///
    /// # Errors
    /// [`JudgeError::Empty`] or [`JudgeError::ActionCount`].
    pub fn majority(judges: Vec<G>) -> Result<Self, JudgeError> {
        check_judges(&judges)?;
        let rule = Rule::Majority;
        Ok(Self { judges, rule })
    }

    /// The judges.
    #[must_use]
    pub fn judges(&self) -> &[G] {
        &self.judges
    }

    /// P(i > j) by majority, i < j, off by rounding only.
    fn majority_of(&self, i: usize, j: usize) -> f64 {
        let votes = poisson_binomial(self.judges.iter().map(|judge| judge.preference(i, j).get()));
        let judges = self.judges.len();
        let won: f64 = votes[judges / 2 + 1..].iter().sum();
        match judges % 2 {
            0 => won + 0.5 * votes[judges / 2],
            _ => won,
        }
    }
}

fn check_judges<G: PreferenceGame>(judges: &[G]) -> Result<(), JudgeError> {
    let expected = judges.first().ok_or(JudgeError::Empty)?.num_actions();
    for (judge, game) in judges.iter().enumerate() {
        let got = game.num_actions();
        if got != expected {
            return Err(JudgeError::ActionCount {
                judge,
                got,
                expected,
            });
        }
    }
    Ok(())
}

/// The law of a sum of independent coins: entry v is the probability of v heads.
fn poisson_binomial(coins: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut law = vec![1.0];
    for p in coins {
        law.push(0.0);
        for v in (1..law.len()).rev() {
            law[v] = law[v] * (1.0 - p) + law[v - 1] * p;
        }
        law[0] *= 1.0 - p;
    }
    law
}

impl<G: PreferenceGame> PreferenceGame for JudgeMixture<G> {
    fn num_actions(&self) -> usize {
        self.judges[0].num_actions()
    }

    fn win_rates_into(&self, strategy: &[f64], out: &mut [f64]) {
        match &self.rule {
            Rule::Average(weights) => weighted_win_rates(&self.judges, weights, strategy, out),
            Rule::Majority => pairwise_win_rates(self.num_actions(), strategy, out, |i, j| {
                settle(self.majority_of(i, j))
            }),
        }
    }

    fn preference(&self, first: usize, second: usize) -> Preference {
        match &self.rule {
            Rule::Average(weights) => weighted_preference(&self.judges, weights, first, second),
            Rule::Majority => complementary(self.num_actions(), first, second, |i, j| {
                self.majority_of(i, j)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MatrixGame;
    use crate::games::cyclic_three;

    fn duel(p: f64) -> MatrixGame {
        MatrixGame::from_fn(2, |_, _| p).unwrap()
    }

    #[track_caller]
    fn majority(judges: &[f64], want: f64) {
        let game = JudgeMixture::majority(judges.iter().map(|&p| duel(p)).collect()).unwrap();
        let got = game.preference(0, 1).get();
        assert!((got - want).abs() < 1e-15, "{got} is not {want}");
        assert_eq!(game.preference(1, 0).get(), 1.0 - got);
    }

    #[test]
    fn majorities_by_hand() {
        majority(&[0.3], 0.3);
        // 0.6 * 0.7 + (0.6 * 0.3 + 0.4 * 0.7) / 2 = 0.42 + 0.23
        majority(&[0.6, 0.7], 0.65);
        // All: 0.336; all but one: 0.6 * 0.7 * 0.2 + 0.6 * 0.3 * 0.8 + 0.4 * 0.7 * 0.8 = 0.452.
        majority(&[0.6, 0.7, 0.8], 0.788);
        // Four fair coins are a draw; five of 0.6: 10 * .6^3 .4^2 + 5 * .6^4 .4 + .6^5 = .68256.
        majority(&[0.5; 4], 0.5);
        majority(&[0.6; 5], 0.68256);
        // One sure judge of two: half.
        majority(&[1.0, 0.0], 0.5);
    }

    #[test]
    fn three_rankings_make_the_cycle_of_condorcet() {
        // a > b > c, b > c > a, c > a > b. Two of three prefer a to b, b to c, and c to a.
        let ranking = |order: [usize; 3]| {
            let place = move |y| order.iter().position(|&z| z == y).unwrap();
            MatrixGame::from_fn(3, |i, j| if place(i) < place(j) { 1.0 } else { 0.0 }).unwrap()
        };
        let judges = vec![ranking([0, 1, 2]), ranking([1, 2, 0]), ranking([2, 0, 1])];
        let game = JudgeMixture::majority(judges.clone()).unwrap();
        for (i, j) in [(0, 1), (1, 2), (2, 0)] {
            assert_eq!(game.preference(i, j), Preference::WIN);
            assert_eq!(game.preference(j, i), Preference::LOSS);
        }
        // 1/2 * 0.2 + 1 * 0.3 + 0 * 0.5, and so on round.
        let rates = game.win_rates(&[0.2, 0.3, 0.5]);
        for (got, want) in rates.iter().zip([0.4, 0.65, 0.45]) {
            assert!((got - want).abs() < 1e-15);
        }
        // On average each beats the next with 2/3 only.
        let average = JudgeMixture::average(judges, vec![1.0; 3]).unwrap();
        assert!((average.preference(2, 0).get() - 2.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn averages_by_hand() {
        let game = JudgeMixture::average(vec![duel(0.9), duel(0.4)], vec![1.0, 4.0]).unwrap();
        assert!((game.preference(0, 1).get() - 0.5).abs() < 1e-15); // 0.18 + 0.32
        let rates = game.win_rates(&[0.0, 1.0]);
        assert!((rates[0] - 0.5).abs() < 1e-15);
        assert_eq!(game.judges().len(), 2);
    }

    #[test]
    fn each_misfit_has_its_sentence() {
        let none: Vec<MatrixGame> = vec![];
        let text = JudgeMixture::majority(none).unwrap_err().to_string();
        assert!(text.contains("judges is empty"), "{text}");
        let text = JudgeMixture::majority(vec![duel(0.5), cyclic_three()])
            .unwrap_err()
            .to_string();
        assert!(text.contains("judge 1 compares 3 actions"), "{text}");
        let text = JudgeMixture::average(vec![duel(0.5)], vec![1.0, 1.0])
            .unwrap_err()
            .to_string();
        assert!(text.contains("2 weights for 1 judges"), "{text}");
        let text = JudgeMixture::average(vec![duel(0.5)], vec![f64::NAN])
            .unwrap_err()
            .to_string();
        assert!(text.contains("weights[0] is NaN"), "{text}");
    }
}
