//! Step sizes, as the paper's eta: the INVERSE step size.

use serde::{Deserialize, Serialize};

use crate::SolverError;

/// How eta, the INVERSE step size of mirror descent (the learning rate is 1/eta), goes with t.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StepSize {
    /// The same eta in every update.
    Constant(f64),
    /// eta = scale sqrt(T) for a horizon of T updates, or eta_t = scale sqrt(t) without one: the
    /// step 1/eta falls as 1/sqrt(T), which is what averages need. The paper's Lemma 2 is
    /// scale = C / sqrt(D), see [`Inpo::theorem_3`](crate::Inpo::theorem_3).
    Sqrt {
        /// What multiplies the square root, above 0.
        scale: f64,
        /// T, if it is known.
        horizon: Option<u64>,
    },
    /// eta_t = tau (t + 2) / 2 in the t-th update, t = 1, 2, ..: the paper's Theorem 4, whose last
    /// iterate has KL(pi*, pi_T) <= 32 C^2 / (tau^2 (T + 1)). Needs tau > 0. It begins at
    /// eta_1 = 1.5 tau, so tau <= eta_t always holds.
    Theory,
}

impl StepSize {
    /// eta of the `update`-th update, counted from 1, in a problem with this tau.
    #[must_use]
    pub fn eta(self, update: u64, tau: f64) -> f64 {
        match self {
            Self::Constant(eta) => eta,
            Self::Sqrt { scale, horizon } => scale * (horizon.unwrap_or(update) as f64).sqrt(),
            Self::Theory => tau * (update as f64 + 2.0) / 2.0,
        }
    }

    /// Checks eta > 0 and 0 <= tau <= eta in every update.
    ///
    /// # Errors
    /// [`SolverError::Eta`], [`SolverError::Tau`], [`SolverError::TauAboveEta`] or
    /// [`SolverError::TheoryWithoutTau`].
    pub fn validate(self, tau: f64) -> Result<(), SolverError> {
        if !(tau >= 0.0 && tau.is_finite()) {
            return Err(SolverError::Tau { tau });
        }
        if self == Self::Theory {
            return match tau {
                0.0 => Err(SolverError::TheoryWithoutTau),
                _ => Ok(()),
            };
        }
        // Of all updates the first has the smallest eta.
        let eta = self.eta(1, tau);
        if !(eta > 0.0 && eta.is_finite()) {
            Err(SolverError::Eta { eta })
        } else if tau > eta {
            Err(SolverError::TauAboveEta { tau, eta })
        } else {
            Ok(())
        }
    }

    /// The eta of every update, if it is the same in all.
    pub(crate) fn constant(self) -> Option<f64> {
        match self {
            Self::Constant(eta) => Some(eta),
            Self::Sqrt {
                scale,
                horizon: Some(horizon),
            } => Some(scale * (horizon as f64).sqrt()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_begins_above_tau() {
        assert!((StepSize::Theory.eta(1, 0.1) - 0.15).abs() < 1e-15);
        assert!((StepSize::Theory.eta(98, 0.1) - 5.0).abs() < 1e-15);
        assert_eq!(StepSize::Constant(0.3).eta(7, 0.1), 0.3);
    }

    #[test]
    fn the_square_root_of_the_horizon_or_of_the_time() {
        let known = StepSize::Sqrt {
            scale: 0.5,
            horizon: Some(16),
        };
        assert_eq!((known.eta(1, 0.1), known.eta(9, 0.1)), (2.0, 2.0));
        assert_eq!(known.constant(), Some(2.0));
        let open = StepSize::Sqrt {
            scale: 0.5,
            horizon: None,
        };
        assert_eq!((open.eta(1, 0.1), open.eta(9, 0.1)), (0.5, 1.5));
        assert_eq!(open.constant(), None);
        assert!(open.validate(0.6).is_err(), "tau exceeds the first eta");
    }

    #[test]
    fn each_bad_step_has_its_sentence() {
        let says = |step: StepSize, tau, want: &str| {
            let text = step.validate(tau).unwrap_err().to_string();
            assert!(text.contains(want), "{text}");
        };
        for eta in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            says(
                StepSize::Constant(eta),
                0.0,
                "the inverse step size must be a positive",
            );
        }
        says(
            StepSize::Constant(0.1),
            0.2,
            "tau is 0.2 and eta is 0.1: tau must not exceed eta",
        );
        says(StepSize::Constant(0.1), -0.2, "tau is -0.2");
        says(StepSize::Theory, 0.0, "needs tau above 0");
        assert_eq!(StepSize::Constant(0.1).validate(0.1), Ok(()));
        assert_eq!(StepSize::Theory.validate(0.1), Ok(()));
    }
}
