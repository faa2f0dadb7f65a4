//! The settings of all methods, as a user gives them.

use serde::{Deserialize, Serialize};

/// The settings of all methods; each reads its own. `None` is the method's own default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MethodSettings {
    /// The weight of the KL: of the game's, or of the method's own. 0 if it is not given.
    pub tau: Option<f64>,
    /// The INVERSE step size, or what multiplies the square root of [`Schedule::Sqrt`].
    pub eta: Option<f64>,
    /// How eta goes with the iteration.
    pub schedule: Option<Schedule>,
    /// Updates between two moves of the reference.
    pub period: Option<u64>,
    /// The weight of the old average, in [0, 1).
    pub decay: Option<f64>,
    /// The weights of the past policies, the newest first.
    pub history_weights: Option<Vec<f64>>,
    /// What the method's own KL is taken to.
    pub base: Option<Reference>,
    /// The time of one iteration.
    pub step: Option<f64>,
}

/// How eta, the INVERSE step size, goes with the iteration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// The same eta in every update.
    #[default]
    Constant,
    /// eta times the square root of the number of updates; eta defaults to INPO's 1/sqrt(D), with the
    /// [`diameter`](crate::diameter) D.
    Sqrt,
    /// What the method's own theorem says.
    Theory,
}

/// Which policy the KL of an iterative offline method is taken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The policy that sampled, pi_t.
    #[default]
    Previous,
    /// The problem's reference, always.
    Fixed,
}
