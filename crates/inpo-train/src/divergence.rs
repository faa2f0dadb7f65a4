//! Watching for a training that goes nowhere: a loss far above the first one, a gradient that stays 0.

use serde::{Deserialize, Serialize};

use crate::config::TrainSection;
use crate::error::TrainError;

/// A loss so many times the first one is warned about, where `train.max_loss_ratio` is not set.
const FAR: f64 = 10.0;

/// So many steps in a row without a gradient are warned about; all steps where there are fewer.
const STUCK: usize = 10;

/// What was seen of the steps of one optimisation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Divergence {
    /// `train.max_loss_ratio`.
    limit: Option<f64>,
    /// The loss of the first step.
    first: Option<f64>,
    /// Steps in a row whose gradient norm was exactly 0.
    without_gradient: usize,
    warned: [bool; 2],
}

impl Divergence {
    pub(crate) fn new(config: &TrainSection) -> Self {
        Self {
            limit: config.max_loss_ratio,
            first: None,
            without_gradient: 0,
            warned: [false; 2],
        }
    }

    /// Looks at `step`, from 1, of `steps`. Returns what its user should know, each sentence once.
    ///
    /// # Errors
    ///
    /// A training that goes nowhere, where `train.max_loss_ratio` is set.
    pub(crate) fn look(
        &mut self,
        [step, steps]: [usize; 2],
        loss: f64,
        grad_norm: f64,
    ) -> Result<Vec<String>, TrainError> {
        let first = *self.first.get_or_insert(loss);
        self.without_gradient = if grad_norm == 0.0 {
            self.without_gradient + 1
        } else {
            0
        };
        let ratio = loss / first;
        let is_far = first > 0.0 && ratio > self.limit.unwrap_or(FAR);
        let is_stuck = self.without_gradient >= STUCK.min(steps);
        let far = || {
            format!(
                "step {step}: the loss is {loss:.4}, {ratio:.1} times that of the first step, {first:.4}; lower \
                 train.learning_rate, or look at the pairs"
            )
        };
        let stuck = || {
            format!(
                "step {step}: the gradient norm was exactly 0 in {} steps in a row, so that nothing is learned; look at \
                 the pairs and at the objective",
                self.without_gradient
            )
        };
        let mut sentences = Vec::new();
        let found: [(bool, &dyn Fn() -> String); 2] = [(is_far, &far), (is_stuck, &stuck)];
        for ((is_found, sentence), warned) in found.into_iter().zip(&mut self.warned) {
            if !is_found {
                continue;
            }
            if let Some(limit) = self.limit {
                let reason = sentence();
                return Err(TrainError::Diverged { reason, limit });
            }
            if !std::mem::replace(warned, true) {
                sentences.push(sentence());
            }
        }
        Ok(sentences)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(limit: Option<f64>) -> Divergence {
        Divergence::new(&TrainSection {
            max_loss_ratio: limit,
            ..TrainSection::default()
        })
    }

    #[test]
    fn a_loss_far_above_the_first_is_told_once() {
        let mut divergence = watch(None);
        let mut look = |step, loss| divergence.look([step, 50], loss, 1.0).unwrap();
        for (step, loss) in [(1, 0.7), (2, 6.9), (3, 0.1)] {
            assert!(look(step, loss).is_empty(), "step {step}");
        }
        let told = look(4, 7.7);
        let expected =
            "step 4: the loss is 7.7000, 11.0 times that of the first step, 0.7000; lower";
        assert!(told[0].starts_with(expected), "{told:?}");
        assert!(look(5, 99.0).is_empty());
        // Nothing is a multiple of a first loss that is not positive.
        let mut other = watch(None);
        for loss in [0.0, 3.0, -2.0] {
            assert!(other.look([1, 3], loss, 1.0).unwrap().is_empty());
        }
    }

    #[test]
    fn a_gradient_that_stays_0_is_told_once() {
        let mut divergence = watch(None);
        let mut look = |step, norm| divergence.look([step, 50], 1.0, norm).unwrap();
        for step in 1..=9 {
            assert!(look(step, 0.0).is_empty(), "step {step}");
        }
        assert!(look(10, 1e-30).is_empty(), "small is not 0");
        let told: Vec<String> = (11..=30).flat_map(|step| look(step, 0.0)).collect();
        assert_eq!(told.len(), 1);
        let expected = "step 20: the gradient norm was exactly 0 in 10 steps in a row";
        assert!(told[0].starts_with(expected), "{told:?}");
        // A training of fewer steps, none of which had a gradient.
        let mut short = watch(None);
        assert!(short.look([1, 2], 1.0, 0.0).unwrap().is_empty());
        assert_eq!(short.look([2, 2], 1.0, 0.0).unwrap().len(), 1);
    }

    #[test]
    fn a_limit_stops() {
        let mut divergence = watch(Some(3.0));
        for (step, loss) in [(1, 2.0), (2, 6.0)] {
            assert!(divergence.look([step, 9], loss, 1.0).unwrap().is_empty());
        }
        let error = divergence.look([3, 9], 6.5, 1.0).unwrap_err();
        assert!(!error.is_input());
        let error = error.to_string();
        assert!(
            error.starts_with("step 3: the loss is 6.5000, 3.2 times"),
            "{error}"
        );
        assert!(error.ends_with("(train.max_loss_ratio is 3)"), "{error}");
        let mut stuck = watch(Some(3.0));
        assert!(stuck.look([1, 1], 2.0, 0.0).is_err());
    }
}
