//! Exact solutions: the Nash policy of the plain game and of the regularised one, and when
//! mirror descent with a constant step finds the latter.

mod plain;
mod regularised;
mod stability;

pub use plain::{nash, nash_residual};
pub use regularised::{regularised_nash, regularised_nash_residual};
pub use stability::{rotation_squared, stability_threshold};

/// Why no equilibrium was returned.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EquilibriumError {
    /// tau is not a positive number.
    #[error("tau is {tau}: the regularised game needs a positive finite tau")]
    Tau {
        /// What was given.
        tau: f64,
    },
    /// The reference is of another game.
    #[error("the reference has {got} entries, but the game has {expected} actions")]
    ReferenceLength {
        /// Entries of the reference.
        got: usize,
        /// Actions of the game.
        expected: usize,
    },
    /// The linear program could not be solved.
    #[error("the linear program of the Nash policy failed: {reason}")]
    LinearProgram {
        /// What the solver said.
        reason: String,
    },
    /// The answer is not accurate enough to be called an equilibrium.
    #[error(
        "the search for the Nash policy stopped at a residual of {residual:e}, above {allowed:e}"
    )]
    NotConverged {
        /// The residual reached.
        residual: f64,
        /// The residual required.
        allowed: f64,
    },
}
