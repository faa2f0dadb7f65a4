//! Wrappers of any oracle: a tie band, label noise, a budget. Each is a key of every `[oracle]` kind.

use std::sync::atomic::{AtomicU64, Ordering};

use inpo_data::{Completion, Prompt, sha256};
use inpo_game::{Comparison, OracleCounts, OracleError, Preference, PreferenceOracle};
use serde_json::json;

/// Answers within `band` of 1/2 are ties: `P = 1/2` where `|p - 1/2| <= band`.
#[derive(Debug)]
pub struct TieBand<O> {
    oracle: O,
    band: f64,
}

impl<O> TieBand<O> {
    /// `oracle` with ties up to `band` from 1/2, at least 0 and less than 1/2.
    pub fn new(oracle: O, band: f64) -> Self {
        Self { oracle, band }
    }

    /// The wrapped oracle.
    pub fn inner(&self) -> &O {
        &self.oracle
    }
}

impl<X: ?Sized, Y: ?Sized, O: PreferenceOracle<X, Y>> PreferenceOracle<X, Y> for TieBand<O> {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, X, Y>],
    ) -> Result<Vec<Preference>, OracleError> {
        let mut answers = self.oracle.compare(comparisons)?;
        for answer in &mut answers {
            if (answer.get() - 0.5).abs() <= self.band {
                *answer = Preference::HALF;
            }
        }
        Ok(answers)
    }

    fn name(&self) -> String {
        format!("{} tie_band={}", self.oracle.name(), self.band)
    }

    fn counts(&self) -> OracleCounts {
        self.oracle.counts()
    }
}

/// Turns an answer round with probability `rate`: P becomes 1 - P.
///
/// The draw depends on the seed, the prompt and the two responses alone, and not on their order or on when they are
/// asked: the same question has the same answer, and P(a > b) + P(b > a) stays 1.
#[derive(Debug)]
pub struct LabelNoise<O> {
    oracle: O,
    rate: f64,
    seed: u64,
}

impl<O> LabelNoise<O> {
    /// `oracle` with this share of its answers turned round, in [0, 1].
    pub fn new(oracle: O, rate: f64, seed: u64) -> Self {
        Self { oracle, rate, seed }
    }

    /// The wrapped oracle.
    pub fn inner(&self) -> &O {
        &self.oracle
    }

    fn turns(&self, comparison: &Comparison<'_, Prompt, Completion>) -> bool {
        let text = |c: &Completion| json!([c.text, c.token_ids]).to_string();
        let mut texts = [text(comparison.first), text(comparison.second)];
        texts.sort();
        let prompt = comparison.prompt;
        let key = json!([self.seed, prompt.messages, prompt.token_ids, texts]);
        let digest = sha256(key.to_string().as_bytes());
        // 13 hexadecimal digits are 52 bits, which a f64 holds.
        let draw = u64::from_str_radix(&digest[..13], 16).unwrap_or(u64::MAX);
        (draw as f64) < self.rate * (1_u64 << 52) as f64
    }
}

impl<O> PreferenceOracle<Prompt, Completion> for LabelNoise<O>
where
    O: PreferenceOracle<Prompt, Completion>,
{
    fn compare(
        &self,
        comparisons: &[Comparison<'_, Prompt, Completion>],
    ) -> Result<Vec<Preference>, OracleError> {
        let mut answers = self.oracle.compare(comparisons)?;
        if self.rate == 0.0 {
            // No digest of every text for nothing.
            return Ok(answers);
        }
        for (answer, comparison) in answers.iter_mut().zip(comparisons) {
            if self.turns(comparison) {
                *answer = answer.complement();
            }
        }
        Ok(answers)
    }

    fn name(&self) -> String {
        let Self { rate, seed, .. } = self;
        format!(
            "{} label_noise={rate} noise_seed={seed}",
            self.oracle.name()
        )
    }

    fn counts(&self) -> OracleCounts {
        self.oracle.counts()
    }
}

/// Refuses a batch of comparisons that would exceed the budget, before anything of it is asked.
#[derive(Debug)]
pub struct Budget<O> {
    oracle: O,
    max_comparisons: u64,
    spent: AtomicU64,
}

impl<O> Budget<O> {
    /// `oracle` with at most so many comparisons in its life; those that it knows already count too.
    pub fn new(oracle: O, max_comparisons: u64) -> Self {
        Self {
            oracle,
            max_comparisons,
            spent: AtomicU64::new(0),
        }
    }

    /// The wrapped oracle.
    pub fn inner(&self) -> &O {
        &self.oracle
    }

    /// The budget.
    pub fn max_comparisons(&self) -> u64 {
        self.max_comparisons
    }
}

impl<X: ?Sized, Y: ?Sized, O: PreferenceOracle<X, Y>> PreferenceOracle<X, Y> for Budget<O> {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, X, Y>],
    ) -> Result<Vec<Preference>, OracleError> {
        let count = comparisons.len() as u64;
        let max = self.max_comparisons;
        let spend = |spent: u64| spent.checked_add(count).filter(|&sum| sum <= max);
        let spent = self
            .spent
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
        if let Err(spent) = spent {
            return Err(OracleError::Unavailable {
                oracle: self.oracle.name(),
                reason: format!(
                    "{count} more comparisons after {spent} exceed max_comparisons = {max}; raise it, or ask for fewer"
                ),
            });
        }
        self.oracle.compare(comparisons)
    }

    fn name(&self) -> String {
        self.oracle.name()
    }

    fn counts(&self) -> OracleCounts {
        self.oracle.counts()
    }
}

#[cfg(test)]
mod tests {
    use inpo_game::FnOracle;
    use proptest::prelude::*;

    use super::*;

    fn ask(
        oracle: &dyn PreferenceOracle<Prompt, Completion>,
        first: &str,
        second: &str,
    ) -> Result<f64, OracleError> {
        let prompt = Prompt::user("Say something.");
        let [first, second] = [first, second].map(Completion::finished);
        let comparison = Comparison {
            prompt: &prompt,
            first: &first,
            second: &second,
        };
        Ok(oracle.compare(&[comparison])?[0].get())
    }

    /// P = 1/2 + (difference of lengths) / 16.
    fn length() -> impl PreferenceOracle<Prompt, Completion> {
        FnOracle::new("length", |_: &Prompt, a: &Completion, b: &Completion| {
            0.5 + (a.text.len() as f64 - b.text.len() as f64) / 16.0
        })
    }

    #[test]
    fn answers_inside_the_band_are_ties() {
        let oracle = TieBand::new(length(), 0.125);
        assert_eq!(ask(&oracle, "abc", "a"), Ok(0.5));
        assert_eq!(ask(&oracle, "a", "abc"), Ok(0.5));
        assert_eq!(ask(&oracle, "abcd", "a"), Ok(0.6875));
        assert_eq!(ask(&TieBand::new(length(), 0.0), "ab", "a"), Ok(0.5625));
    }

    /// Of 2000 different questions 30 % are turned: 600, with a standard deviation of sqrt(2000 * 0.3 * 0.7) = 20.5.
    #[test]
    fn the_stated_share_of_answers_is_turned_round() {
        let oracle = LabelNoise::new(length(), 0.3, 7);
        let turned = |i: usize| ask(&oracle, &format!("{i:04}x"), "abcd").unwrap() < 0.5;
        let count = (0..2000).filter(|&i| turned(i)).count();
        assert!((520..=680).contains(&count), "{count}");
        let all = LabelNoise::new(length(), 1.0, 7);
        assert_eq!(ask(&all, "abc", "a"), Ok(0.375));
        let other = LabelNoise::new(length(), 0.3, 8);
        let differs = |i: usize| {
            let text = format!("{i:04}x");
            ask(&oracle, &text, "abcd") != ask(&other, &text, "abcd")
        };
        assert!((0..100).any(differs), "the seed decides");
    }

    proptest! {
        #[test]
        fn noise_keeps_the_complement(a in "[a-h]{0,8}", b in "[a-h]{0,8}", seed: u64) {
            let oracle = LabelNoise::new(length(), 0.5, seed);
            let sum = ask(&oracle, &a, &b).unwrap() + ask(&oracle, &b, &a).unwrap();
            prop_assert!((sum - 1.0).abs() < 1e-15);
        }
    }

    #[test]
    fn a_batch_beyond_the_budget_is_refused_whole() {
        let oracle = Budget::new(length(), 2);
        ask(&oracle, "a", "b").unwrap();
        let prompt = Prompt::user("?");
        let text = Completion::finished("a");
        let question = Comparison {
            prompt: &prompt,
            first: &text,
            second: &text,
        };
        let error = oracle.compare(&[question; 2]).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "2 more comparisons after 1 exceed max_comparisons = 2; raise it, or ask for fewer"
            ),
            "{error}"
        );
        // Nothing of the refused batch was spent.
        ask(&oracle, "a", "b").unwrap();
        assert!(ask(&oracle, "a", "b").is_err());
    }
}
