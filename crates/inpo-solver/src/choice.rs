//! From a name and settings to a solver.

use inpo_game::Strategy;

use crate::problem::diameter;
use crate::{Algorithm, MethodSettings, Reference, Schedule, Solver, SolverError, StepSize};

/// A method chosen by name, with its settings and the run that it is for.
///
/// ```
/// use inpo_game::{Strategy, games};
/// use inpo_solver::{Choice, Executor, FromChoice, Method, MethodSettings, Problem};
///
/// let start = Strategy::uniform(3);
/// let settings = MethodSettings { tau: Some(0.1), eta: Some(1.0), ..MethodSettings::default() };
/// let choice = Choice {
///     algorithm: Method::named("inpo").unwrap(),
///     settings: &settings,
///     start: &start,
///     iterations: 100,
/// };
/// let problem = Problem::new(games::cyclic_three(), start.clone(), choice.game_tau())?;
/// let run = Executor::new(&problem, Method::from_choice(&choice)?).run()?;
/// assert!(run.history[100].duality_gap < 1e-8);
/// # Ok::<(), inpo_solver::SolverError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// The method.
    pub algorithm: &'static Algorithm,
    /// What is given; the rest has the method's defaults.
    pub settings: &'a MethodSettings,
    /// pi_1, for step sizes that depend on it.
    pub start: &'a Strategy,
    /// The length of the run, for step sizes that depend on it.
    pub iterations: u64,
}

impl Choice<'_> {
    /// tau, 0 if it is not given.
    #[must_use]
    pub fn tau(&self) -> f64 {
        self.settings.tau.unwrap_or(0.0)
    }

    /// The tau of the game that is solved: 0 for a method that takes tau for itself.
    #[must_use]
    pub fn game_tau(&self) -> f64 {
        if self.algorithm.reads.own_tau {
            0.0
        } else {
            self.tau()
        }
    }

    /// Whether the theory schedule is asked for.
    #[must_use]
    pub fn is_theory(&self) -> bool {
        self.settings.schedule == Some(Schedule::Theory)
    }

    /// The step size of eta and the schedule.
    ///
    /// # Errors
    /// [`SolverError::EtaMissing`] if the schedule is constant and eta is not given.
    pub fn step_size(&self) -> Result<StepSize, SolverError> {
        let eta = self.settings.eta;
        match self.settings.schedule.unwrap_or_default() {
            Schedule::Constant => eta.map(StepSize::Constant).ok_or(SolverError::EtaMissing),
            Schedule::Sqrt => Ok(StepSize::Sqrt {
                scale: eta.unwrap_or_else(|| diameter(self.start).max(f64::EPSILON).sqrt().recip()),
                horizon: Some(self.iterations.max(1)),
            }),
            Schedule::Theory => Ok(StepSize::Theory),
        }
    }

    /// The period, for a method that reads it; so are the following.
    #[must_use]
    pub fn period(&self) -> u64 {
        let default = self.algorithm.reads.period;
        self.settings.period.or(default).unwrap_or_default()
    }

    /// The decay.
    #[must_use]
    pub fn decay(&self) -> f64 {
        let default = self.algorithm.reads.decay;
        self.settings.decay.or(default).unwrap_or_default()
    }

    /// The history weights.
    #[must_use]
    pub fn history_weights(&self) -> Vec<f64> {
        let default = self.algorithm.reads.history_weights.unwrap_or_default();
        let given = self.settings.history_weights.clone();
        given.unwrap_or_else(|| default.to_vec())
    }

    /// The base.
    #[must_use]
    pub fn base(&self) -> Reference {
        let default = self.algorithm.reads.base;
        self.settings.base.or(default).unwrap_or_default()
    }

    /// The time step.
    #[must_use]
    pub fn step(&self) -> f64 {
        let default = self.algorithm.reads.step;
        self.settings.step.or(default).unwrap_or_default()
    }
}

/// A solver that can be built of a name and settings.
pub trait FromChoice: Solver + Sized {
    /// The solver of this choice, whose algorithm is one of [`Solver::ALGORITHMS`]. Its settings are
    /// checked by [`Solver::validate`], not here.
    ///
    /// # Errors
    /// [`SolverError::EtaMissing`].
    fn from_choice(choice: &Choice<'_>) -> Result<Self, SolverError>;
}
