//! What can be wrong with a problem, a solver or a run.

use inpo_game::OracleError;
use inpo_game::bradley_terry::FitError;

/// Why a run did not start or stopped early.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SolverError {
    /// tau is negative, infinite, NaN or too near 0.
    #[error("tau is {tau}: the weight of the KL must be a finite number, 0 or at least 1e-300")]
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
    /// A constant eta was not given.
    #[error("eta is missing: the constant schedule needs an inverse step size")]
    EtaMissing,
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
    /// The method solves the plain game, and the problem has a KL.
    #[error("tau is {tau}: {algorithm} plays the plain game, which has no KL, so tau must be 0")]
    PlainGameOnly {
        /// The method.
        algorithm: &'static str,
        /// What was given.
        tau: f64,
    },
    /// The method solves the regularised game, and the problem has no KL.
    #[error("tau is 0: {algorithm} plays the KL-regularised game and needs tau above 0")]
    NeedsTau {
        /// The method.
        algorithm: &'static str,
    },
    /// No theorem names a step size for the method.
    #[error("{algorithm} has no theory schedule: give a constant eta instead")]
    NoTheory {
        /// The method.
        algorithm: &'static str,
    },
    /// A setting of one method is outside its range.
    #[error("{setting} is {value}: it must be {allowed}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What was given.
        value: f64,
        /// What it may be.
        allowed: &'static str,
    },
    /// History weights that are not a distribution.
    #[error(
        "the history weights add to {sum}: they must be non-negative, the first (the newest policy's) positive, and add to 1 within 1e-9"
    )]
    Weights {
        /// Their sum.
        sum: f64,
    },
    /// A sampled query without comparisons.
    #[error("comparisons is 0: sampled feedback needs at least one comparison a query")]
    Comparisons,
    /// The method needs exact win rates.
    #[error(
        "{algorithm} needs win rates strictly between 0 and 1: it runs with exact feedback only"
    )]
    ExactOnly {
        /// The method.
        algorithm: &'static str,
    },
    /// The oracle of a sampled run did not answer.
    #[error("sampled play stopped: {0}")]
    Oracle(#[from] OracleError),
    /// The state of a [`Method`](crate::Method) was asked for without one.
    #[error("a state of any method is made by its method: call `start` of the method instead")]
    NoMethod,
    /// A name that no method has.
    #[error("there is no method {name:?}")]
    UnknownMethod {
        /// The name.
        name: &'static str,
    },
    /// A state of another method.
    #[error("the state is one of {found}, but the solver is {algorithm}")]
    OtherMethod {
        /// The solver.
        algorithm: &'static str,
        /// The method whose state it is.
        found: &'static str,
    },
    /// A state that was made with another reference.
    #[error(
        "the state does not fit the problem's reference (action {action}): it was made with another one"
    )]
    OtherReference {
        /// The first action whose probability is not the reference times its ratio.
        action: usize,
    },
    /// The tolerance is negative, infinite or NaN.
    #[error(
        "the tolerance is {tolerance}: a duality gap to stop at must be a finite number, 0 or more"
    )]
    Tolerance {
        /// What was given.
        tolerance: f64,
    },
    /// [`Settings::max_records`](crate::Settings::max_records) is below 3.
    #[error(
        "max_records is below 3: the history keeps the first and the last record, and one to thin"
    )]
    MaxRecords,
    /// The stride is 0.
    #[error("the history stride is 0: it must be 1 or more")]
    Stride,
    /// A step left the numbers.
    #[error(
        "the step of iteration {iteration} is not finite (the log-ratio of action {action} is {value}): eta is too small for this game"
    )]
    NotFinite {
        /// The iteration that failed, from 1.
        iteration: u64,
        /// The action.
        action: usize,
        /// What came out.
        value: f64,
    },
    /// A best response left the numbers.
    #[error("the best response of iteration {iteration} is not finite: tau = {tau} is too small")]
    Overflow {
        /// The iteration that failed, from 1.
        iteration: u64,
        /// The KL weight.
        tau: f64,
    },
    /// Iterative DPO's fit has no solution.
    #[error("no Bradley-Terry scores explain the win rates of iteration {iteration}: {reason}")]
    NoFit {
        /// The iteration that failed, from 1.
        iteration: u64,
        /// What the fit said.
        reason: FitError,
    },
}
