//! A judge as an oracle: each comparison in both orders, what was answered kept, everything counted.

use std::sync::{Mutex, PoisonError};

use inpo_data::{Completion, Prompt};
use inpo_game::{Comparison, OracleError, Preference, PreferenceOracle};

use crate::verdict::{Judge, Question, Verdict};

/// The oracle of a [`Judge`].
pub struct Judged {
    judge: Box<dyn Judge>,
    both_orders: bool,
    counts: Mutex<u64>,
}

impl Judged {
    /// `judge`, asked in both orders.
    #[must_use]
    pub fn new(judge: Box<dyn Judge>) -> Self {
        Self {
            judge,
            both_orders: true,
            counts: Mutex::default(),
        }
    }
}

impl PreferenceOracle<Prompt, Completion> for Judged {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, Prompt, Completion>],
    ) -> Result<Vec<Preference>, OracleError> {
        let swap = self.both_orders && !self.judge.is_symmetric();
        let questions: Vec<Question<'_>> = comparisons
            .iter()
            .flat_map(|c| [Some(*c), swap.then(|| c.swapped())])
            .flatten()
            .collect();
        let mut verdicts: Vec<Option<Verdict>> = vec![None; questions.len()];
        self.judge.judge(&questions, &mut |place, verdict| {
            *self.counts.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            verdicts[place] = Some(verdict);
            Ok(())
        })?;
        let half = |verdict: &Option<Verdict>| match verdict {
            Some(Verdict { outcome: Ok(p), .. }) => *p,
            _ => Preference::HALF,
        };
        let orders = if swap { 2 } else { 1 };
        Ok(verdicts
            .chunks(orders)
            .map(|verdicts| match verdicts {
                [first, second] => {
                    let p = (half(first).get() + 1.0 - half(second).get()) / 2.0;
                    Preference::new(p).unwrap_or(Preference::HALF)
                }
                verdicts => half(&verdicts[0]),
            })
            .collect())
    }

    fn name(&self) -> String {
        self.judge.name()
    }
}
