//! Step sizes, as the paper's eta: the INVERSE step size.

use serde::{Deserialize, Serialize};

use crate::SolverError;

/// How eta, the INVERSE step size of mirror descent (the learning rate is 1/eta), goes with t.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepSize {
    /// The same eta in every update. The paper's Lemma 2 takes C sqrt(T / D).
    Constant(f64),
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
        match self {
            Self::Constant(eta) if !(eta > 0.0 && eta.is_finite()) => Err(SolverError::Eta { eta }),
            Self::Constant(eta) if tau > eta => Err(SolverError::TauAboveEta { tau, eta }),
            Self::Theory if tau == 0.0 => Err(SolverError::TheoryWithoutTau),
            _ => Ok(()),
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
