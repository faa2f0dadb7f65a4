//! The parts of an iterative method: its settings and step ([`Solver`]) and what moves ([`State`]).

use inpo_game::{PreferenceGame, Strategy};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Feedback, Problem, SolverError};

/// The moving part of a method. It is serde, so (solver, state) is a checkpoint.
pub trait State: Clone + Serialize + DeserializeOwned {
    /// How many updates have been made. 0 at the start.
    fn iteration(&self) -> u64;

    /// The last iterate: pi_{n+1} after n updates.
    fn strategy(&self) -> &Strategy;

    /// The average iterate: the mean of pi_1 .. pi_n after n updates, the policies that were asked
    /// about; pi_1 before the first. This is the pibar of the paper's Theorem 3 with T = n.
    fn average(&self) -> &Strategy;

    /// How many win-rate vectors were asked for so far.
    fn oracle_calls(&self) -> u64;
}

/// A method: settings, a start and one step.
pub trait Solver {
    /// What the step moves.
    type State: State;

    /// The paper's name, in lower case, as the command spells it.
    fn name(&self) -> &'static str;

    /// Checks the settings against the problem and makes the state at `start`, which is pi_1.
    ///
    /// # Errors
    /// A [`SolverError`] in one sentence.
    fn init<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        start: &Strategy,
    ) -> Result<Self::State, SolverError>;

    /// Checks that a state read from outside belongs to the problem and the settings.
    ///
    /// # Errors
    /// A [`SolverError`] in one sentence.
    fn resume<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        state: &Self::State,
    ) -> Result<(), SolverError>;

    /// One update, in place.
    ///
    /// # Errors
    /// [`SolverError::NotFinite`]; the state is then that before the step, except for its count
    /// of oracle calls.
    fn step<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        feedback: &mut impl Feedback,
        state: &mut Self::State,
    ) -> Result<(), SolverError>;
}
