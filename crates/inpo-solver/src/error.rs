//! What can be wrong with a problem, a solver or a run.

use inpo_game::StrategyError;

/// Why a run could not start or go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SolverError {
    /// tau is negative, infinite or NaN.
    #[error("tau is {tau}: the weight of the KL must be a finite number, 0 or more")]
    Tau {
        /// What was given.
        tau: f64,
    },
    /// eta is not a positive number.
    #[error("eta is {eta}: the inverse step size must be a positive finite number")]
    Eta {
        /// What was given.
        eta: f64,
    },
    /// tau exceeds eta.
    #[error(
        "tau is {tau} and eta is {eta}: tau must not exceed eta, or the previous policy gets a negative weight"
    )]
    TauAboveEta {
        /// The KL weight.
        tau: f64,
        /// The inverse step size.
        eta: f64,
    },
    /// The theory schedule is proportional to tau, and tau is 0.
    #[error(
        "the theory schedule eta_t = tau (t + 2) / 2 needs tau above 0: give a constant eta instead"
    )]
    TheoryWithoutTau,
    /// A strategy of another game.
    #[error("the {what} has {got} entries, but the game has {expected} actions")]
    Length {
        /// Which strategy.
        what: &'static str,
        /// Its entries.
        got: usize,
        /// Actions of the game.
        expected: usize,
    },
    /// The start plays what the reference never does, or the other way round.
    #[error(
        "action {action} has probability {start} in the start but {reference} in the reference: the two must have the same zeros"
    )]
    StartSupport {
        /// The action.
        action: usize,
        /// Its probability in the start.
        start: f64,
        /// Its probability in the reference.
        reference: f64,
    },
    /// The tolerance is negative or NaN.
    #[error("the tolerance is {tolerance}: a duality gap to stop at must be 0 or more")]
    Tolerance {
        /// What was given.
        tolerance: f64,
    },
    /// The stride is 0.
    #[error("the history stride is 0: it must be 1 or more")]
    Stride,
    /// A step left the numbers.
    #[error(
        "the step of iteration {iteration} is not finite ({reason}): eta is too small for this game"
    )]
    NotFinite {
        /// The iteration that failed, from 1.
        iteration: u64,
        /// What came out.
        reason: StrategyError,
    },
}
