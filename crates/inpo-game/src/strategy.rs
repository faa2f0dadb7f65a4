//! A checked point of the simplex: a policy over finitely many actions.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::linalg::log_sum_exp;

/// How far the sum of the given probabilities may be from 1.
pub const SUM_TOLERANCE: f64 = 1e-6;

/// Sums this close to 1 are rounding: dividing by them again would only change bits, and a
/// strategy read back from a checkpoint must be the one that was written.
const ROUNDING: f64 = 1e-12;

/// A mixed strategy: finite non-negative probabilities that add to 1, one for each action.
///
/// It dereferences to a slice of probabilities in the order of the game's actions.
///
/// ```
/// use inpo_game::Strategy;
///
/// let pi = Strategy::new(vec![0.5, 0.3, 0.2])?;
/// assert_eq!(pi[1], 0.3);
/// assert_eq!(Strategy::uniform(4)[0], 0.25);
/// assert_eq!(Strategy::from_logits(&[0.0, 0.0])?, Strategy::uniform(2));
/// assert!(Strategy::new(vec![0.5, 0.6]).is_err());
/// # Ok::<(), inpo_game::StrategyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Strategy(Vec<f64>);

/// Numbers that are not a strategy.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StrategyError {
    /// No action at all.
    #[error("a strategy is empty: it needs a probability for at least one action")]
    Empty,
    /// NaN or infinite.
    #[error("entry {index} of a strategy is {value}: every probability must be finite")]
    NotFinite {
        /// The action.
        index: usize,
        /// What was given.
        value: f64,
    },
    /// Below zero.
    #[error("entry {index} of a strategy is {value}: a probability cannot be negative")]
    Negative {
        /// The action.
        index: usize,
        /// What was given.
        value: f64,
    },
    /// The probabilities do not add to 1.
    #[error("the probabilities of a strategy add to {sum}: they must add to 1 within 1e-6")]
    Sum {
        /// Their sum.
        sum: f64,
    },
    /// A logit is NaN or plus infinity.
    #[error("logit {index} is {value}: it must be finite, or minus infinity for probability 0")]
    Logit {
        /// The action.
        index: usize,
        /// What was given.
        value: f64,
    },
    /// Every logit is minus infinity.
    #[error("every logit is minus infinity: at least one action needs a positive probability")]
    NoSupport,
}

impl Strategy {
    /// Checks that the entries are finite, non-negative and add to 1 within [`SUM_TOLERANCE`],
    /// then divides by their sum.
    ///
    /// # Errors
    /// The [`StrategyError`] that names what is wrong.
    pub fn new(mut probabilities: Vec<f64>) -> Result<Self, StrategyError> {
        if probabilities.is_empty() {
            return Err(StrategyError::Empty);
        }
        for (index, &value) in probabilities.iter().enumerate() {
            if !value.is_finite() {
                return Err(StrategyError::NotFinite { index, value });
            }
            if value < 0.0 {
                return Err(StrategyError::Negative { index, value });
            }
        }
        let sum: f64 = probabilities.iter().sum();
        let off = (sum - 1.0).abs();
        if off > SUM_TOLERANCE + ROUNDING {
            return Err(StrategyError::Sum { sum });
        }
        if off > ROUNDING {
            probabilities.iter_mut().for_each(|p| *p /= sum);
        }
        Ok(Self(probabilities))
    }

    /// The same probability, 1/n, for each of n actions.
    ///
    /// # Panics
    /// If `num_actions` is 0.
    #[must_use]
    pub fn uniform(num_actions: usize) -> Self {
        assert!(num_actions > 0, "a strategy needs at least one action");
        Self(vec![1.0 / num_actions as f64; num_actions])
    }

    /// One action for certain.
    ///
    /// # Panics
    /// If `action >= num_actions`.
    #[must_use]
    pub fn pure(num_actions: usize, action: usize) -> Self {
        assert!(action < num_actions, "action {action} of {num_actions}");
        let mut probabilities = vec![0.0; num_actions];
        probabilities[action] = 1.0;
        Self(probabilities)
    }

    /// The softmax exp(z_y) / sum exp(z), shifted by the largest logit so that nothing overflows.
    /// Minus infinity gives probability 0.
    ///
    /// # Errors
    /// [`StrategyError::Empty`], [`StrategyError::Logit`] for NaN or plus infinity,
    /// [`StrategyError::NoSupport`] if every logit is minus infinity.
    pub fn from_logits(logits: &[f64]) -> Result<Self, StrategyError> {
        let mut strategy = Self(vec![0.0; logits.len()]);
        strategy.set_logits(logits)?;
        Ok(strategy)
    }

    /// [`from_logits`](Self::from_logits) in place, without allocating; returns log sum exp(z), the
    /// logarithm of the normaliser. After an error the strategy is what it was.
    ///
    /// # Errors
    /// As [`from_logits`](Self::from_logits).
    ///
    /// # Panics
    /// If the number of logits is not the number of actions.
    pub fn set_logits(&mut self, logits: &[f64]) -> Result<f64, StrategyError> {
        assert_eq!(self.0.len(), logits.len(), "one logit an action");
        if logits.is_empty() {
            return Err(StrategyError::Empty);
        }
        for (index, &value) in logits.iter().enumerate() {
            if value.is_nan() || value == f64::INFINITY {
                return Err(StrategyError::Logit { index, value });
            }
        }
        let log_sum = log_sum_exp(logits.iter().copied());
        if log_sum == f64::NEG_INFINITY {
            return Err(StrategyError::NoSupport);
        }
        let mut sum = 0.0;
        for (p, z) in self.0.iter_mut().zip(logits) {
            *p = (z - log_sum).exp();
            sum += *p;
        }
        // Large logits lose digits in `z - log_sum`; one division restores the sum.
        if (sum - 1.0).abs() > ROUNDING {
            self.0.iter_mut().for_each(|p| *p /= sum);
        }
        Ok(log_sum)
    }

    /// Becomes weights / sum of weights, without allocating. False, and nothing changed, unless
    /// the weights are finite and not negative and their sum is positive.
    ///
    /// # Panics
    /// If the number of weights is not the number of actions.
    pub fn set_weights(&mut self, weights: &[f64]) -> bool {
        assert_eq!(self.0.len(), weights.len(), "one weight an action");
        let sum: f64 = weights.iter().sum();
        let fits = sum > 0.0 && sum.is_finite() && weights.iter().all(|&w| w >= 0.0);
        if fits {
            for (p, w) in self.0.iter_mut().zip(weights) {
                *p = w / sum;
            }
        }
        fits
    }

    /// Becomes a copy of `other`, without allocating.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn copy_from(&mut self, other: &Self) {
        self.0.copy_from_slice(&other.0);
    }

    /// The probabilities, in the order of the actions.
    #[must_use]
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// The number of actions.
    #[must_use]
    pub fn num_actions(&self) -> usize {
        self.0.len()
    }

    /// Moves towards `other`: `self <- (1 - weight) self + weight other`. With weight 1/n at the
    /// n-th call this is the running mean.
    ///
    /// # Panics
    /// If the lengths differ or `weight` is outside [0, 1].
    pub fn mix_in(&mut self, other: &Self, weight: f64) {
        assert_eq!(self.0.len(), other.0.len(), "strategies of one game");
        assert!((0.0..=1.0).contains(&weight), "weight {weight} in [0, 1]");
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine += weight * (theirs - *mine);
        }
    }
}

impl Deref for Strategy {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.0
    }
}

impl TryFrom<Vec<f64>> for Strategy {
    type Error = StrategyError;

    fn try_from(probabilities: Vec<f64>) -> Result<Self, Self::Error> {
        Self::new(probabilities)
    }
}

impl From<Strategy> for Vec<f64> {
    fn from(strategy: Strategy) -> Self {
        strategy.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(probabilities: Vec<f64>) -> String {
        Strategy::new(probabilities).unwrap_err().to_string()
    }

    #[test]
    fn each_bad_input_has_its_sentence() {
        assert!(message(vec![]).contains("is empty"));
        assert!(message(vec![0.5, f64::NAN]).contains("entry 1 of a strategy is NaN"));
        assert!(message(vec![1.5, -0.5]).contains("entry 1 of a strategy is -0.5"));
        assert!(message(vec![0.5, 0.4]).contains("add to 0.9"));
    }

    #[test]
    fn small_errors_of_the_sum_are_divided_out() {
        let pi = Strategy::new(vec![0.333_333, 0.333_333, 0.333_333]).unwrap();
        assert!((pi.iter().sum::<f64>() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn softmax_is_shift_invariant_and_does_not_overflow() {
        // log 1, log 2, log 5, plus a constant: 1/8, 2/8, 5/8.
        for shift in [0.0, -700.0, 1e4] {
            let logits = [shift, shift + 2f64.ln(), shift + 5f64.ln()];
            let pi = Strategy::from_logits(&logits).unwrap();
            for (got, want) in pi.iter().zip([0.125, 0.25, 0.625]) {
                assert!((got - want).abs() < 1e-11, "{got} {want} at shift {shift}");
            }
        }
    }

    #[test]
    fn logits_outside_the_line_are_errors() {
        assert_eq!(
            Strategy::from_logits(&[0.0, f64::NEG_INFINITY]).unwrap(),
            Strategy::pure(2, 0)
        );
        let nan = Strategy::from_logits(&[0.0, f64::NAN]).unwrap_err();
        assert!(nan.to_string().contains("logit 1 is NaN"));
        assert_eq!(
            Strategy::from_logits(&[f64::NEG_INFINITY]).unwrap_err(),
            StrategyError::NoSupport
        );
        assert_eq!(
            Strategy::from_logits(&[]).unwrap_err(),
            StrategyError::Empty
        );
    }

    #[test]
    fn in_place_changes_are_those_of_the_constructors_and_refuse_the_same() {
        let mut pi = Strategy::uniform(3);
        // log(1 + 2 + 5) = log 8
        let log_sum = pi.set_logits(&[0.0, 2f64.ln(), 5f64.ln()]).unwrap();
        assert!((log_sum - 8f64.ln()).abs() < 1e-15);
        assert!((pi[2] - 0.625).abs() < 1e-15);
        assert!(pi.set_logits(&[0.0, f64::NAN, 0.0]).is_err());
        assert!((pi[2] - 0.625).abs() < 1e-15, "unchanged by an error");
        assert!(pi.set_weights(&[3.0, 0.0, 1.0]));
        assert_eq!(pi.as_slice(), [0.75, 0.0, 0.25]);
        for bad in [
            [0.0; 3],
            [1.0, -0.1, 0.0],
            [1.0, f64::NAN, 0.0],
            [f64::INFINITY, 0.0, 0.0],
        ] {
            assert!(!pi.set_weights(&bad));
        }
        assert_eq!(pi.as_slice(), [0.75, 0.0, 0.25]);
        pi.copy_from(&Strategy::pure(3, 1));
        assert_eq!(pi, Strategy::pure(3, 1));
    }

    #[test]
    fn a_running_mean_is_the_mean() {
        let points = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.25, 0.75]];
        let mut mean = Strategy::uniform(2);
        for (n, p) in points.iter().enumerate() {
            mean.mix_in(&Strategy::new(p.to_vec()).unwrap(), 1.0 / (n + 1) as f64);
        }
        assert!((mean[0] - 0.4375).abs() < 1e-15); // (1 + 0 + 0.5 + 0.25) / 4
    }

    #[test]
    fn serde_round_trip_keeps_every_bit() {
        let pi = Strategy::from_logits(&[0.1, -2.3, 1.7, 0.9, 0.333]).unwrap();
        let text = serde_json::to_string(&pi).unwrap();
        assert_eq!(serde_json::from_str::<Strategy>(&text).unwrap(), pi);
        assert!(serde_json::from_str::<Strategy>("[0.5, 0.6]").is_err());
    }
}
