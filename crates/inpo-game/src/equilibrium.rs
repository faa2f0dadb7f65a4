//! Exact solutions: the Nash policy of the plain game and of the regularised one, and when
//! mirror descent with a constant step finds the latter.

mod exact;
mod interior;
mod plain;
mod polish;
mod regularised;
mod stability;

pub use plain::{NashReport, nash, nash_report, nash_residual};
pub use regularised::{regularised_nash, regularised_nash_residual};
pub use stability::{rotation_squared, stability_threshold};

use crate::{PreferenceGame, Strategy};

/// The actions that `strategy` plays with a probability above `threshold`, in rising order.
///
/// ```
/// use inpo_game::{Strategy, support};
///
/// let pi = Strategy::new(vec![0.6, 0.0, 0.3995, 0.0005])?;
/// assert_eq!(support(&pi, 0.0), [0, 2, 3]);
/// assert_eq!(support(&pi, 0.001), [0, 2]);
/// # Ok::<(), inpo_game::StrategyError>(())
/// ```
#[must_use]
pub fn support(strategy: &Strategy, threshold: f64) -> Vec<usize> {
    let plays = |&y: &usize| strategy[y] > threshold;
    (0..strategy.num_actions()).filter(plays).collect()
}

/// A = P - 1/2 among some actions, skew-symmetric to the bit, in row-major order.
fn skew<G: PreferenceGame + ?Sized>(game: &G, actions: &[usize]) -> Vec<f64> {
    let k = actions.len();
    let mut skew = vec![0.0; k * k];
    for i in 0..k {
        for j in i + 1..k {
            let a = game.preference(actions[i], actions[j]).get() - 0.5;
            (skew[i * k + j], skew[j * k + i]) = (a, -a);
        }
    }
    skew
}

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
    /// tau is so small that f64 cannot tell the equilibrium.
    #[error(
        "tau is {tau:e}: rounding leaves a residual of {residual:e}, above {allowed:e}; use a larger tau, or the Nash policy of the plain game, to which small ones tend"
    )]
    TauTooSmall {
        /// What was given.
        tau: f64,
        /// The residual reached; infinite if it could not be computed.
        residual: f64,
        /// The residual required.
        allowed: f64,
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
