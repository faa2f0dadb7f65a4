//! The parts of an iterative method: its settings and step ([`Solver`]) and what moves ([`State`]).

use inpo_game::{PreferenceGame, Strategy};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Algorithm, Caution, Feedback, Problem, SolverError, StepSize, Tally};

/// The moving part of a method. It is serde, so (solver, state) is a [`Checkpoint`].
pub trait State: Clone + Serialize + DeserializeOwned {
    /// The state at `start`, which is pi_1.
    ///
    /// # Errors
    /// [`SolverError::Length`] or [`SolverError::StartSupport`].
    fn at<G: PreferenceGame>(problem: &Problem<G>, start: &Strategy) -> Result<Self, SolverError>;

    /// The last iterate: pi_{n+1} after n updates.
    fn strategy(&self) -> &Strategy;

    /// Counts and averages.
    fn tally(&self) -> &Tally;

    /// Checks that a state read from outside is of the problem's size.
    ///
    /// # Errors
    /// [`SolverError::Length`].
    fn check<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError>;

    /// How many updates have been made. 0 at the start.
    fn iteration(&self) -> u64 {
        self.tally().iteration()
    }

    /// The average iterate: the mean of pi_1 .. pi_n after n updates, the policies that were asked
    /// about; pi_1 before the first. This is the pibar of the paper's Theorem 3 with T = n.
    fn average(&self) -> &Strategy {
        self.tally().average()
    }

    /// The weighted average of pi_1 .. pi_n, with weights 1 .. n: it forgets the start faster.
    fn weighted_average(&self) -> &Strategy {
        self.tally().weighted_average()
    }

    /// Calls paid so far; see [`Feedback::calls`] for the unit.
    fn oracle_calls(&self) -> u64 {
        self.tally().oracle_calls()
    }
}

/// A method: settings, a start and one step. A new one says what it is called and makes a step; the
/// rest has defaults.
pub trait Solver {
    /// What the step moves.
    type State: State;

    /// What it is called, which game it plays and what it reads: an entry for each of its names, and
    /// at least one.
    const ALGORITHMS: &'static [Algorithm];

    /// Its own entry of [`ALGORITHMS`](Self::ALGORITHMS): by default the first.
    fn algorithm(&self) -> &'static Algorithm {
        &Self::ALGORITHMS[0]
    }

    /// The paper's name, in lower case, as the command spells it.
    fn name(&self) -> &'static str {
        self.algorithm().name
    }

    /// Its step size, if it has one.
    fn step_size(&self) -> Option<StepSize> {
        None
    }

    /// Checks the settings against the problem: by default, that the method plays this game with this
    /// step size ([`Algorithm::check`]).
    ///
    /// # Errors
    /// A [`SolverError`] in one sentence.
    fn validate<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError> {
        self.algorithm().check(problem.tau(), self.step_size())
    }

    /// The state at `start`, which is pi_1: by default [`State::at`].
    ///
    /// # Errors
    /// [`SolverError::Length`] or [`SolverError::StartSupport`].
    fn start<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        start: &Strategy,
    ) -> Result<Self::State, SolverError> {
        Self::State::at(problem, start)
    }

    /// [`validate`](Self::validate), then [`start`](Self::start).
    ///
    /// # Errors
    /// Those of the two methods.
    fn init<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        start: &Strategy,
    ) -> Result<Self::State, SolverError> {
        self.validate(problem)?;
        self.start(problem, start)
    }

    /// Checks that the settings and a state read from outside belong to the problem.
    ///
    /// # Errors
    /// A [`SolverError`] in one sentence.
    fn resume<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        state: &Self::State,
    ) -> Result<(), SolverError> {
        self.validate(problem)?;
        state.check(problem)
    }

    /// One update, in place.
    ///
    /// # Errors
    /// A [`SolverError`]; the last iterate and the tally are then those before the step.
    fn step<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        feedback: &mut impl Feedback,
        state: &mut Self::State,
    ) -> Result<(), SolverError>;

    /// Whether it can play an action that the reference never does. A multiplicative update cannot.
    fn leaves_support(&self) -> bool {
        false
    }

    /// Whether the method fails on estimates outside (0, 1), which sampled feedback may give.
    fn exact_only(&self) -> bool {
        false
    }

    /// Why the last iterate will not end at `nash`, the exact solution of `problem`, as far as the
    /// method's linearisation at its fixed point tells. `None` says only that no reason is known:
    /// local stability is not convergence.
    fn caution<G: PreferenceGame>(&self, problem: &Problem<G>, nash: &Strategy) -> Option<Caution> {
        let _ = (problem, nash);
        None
    }
}

/// A solver with the state it reached: enough to resume, in another process too.
///
/// ```
/// use inpo_game::{Strategy, games};
/// use inpo_solver::{Checkpoint, Executor, Inpo, Problem, StepSize};
///
/// let problem = Problem::new(games::cyclic_three(), Strategy::uniform(3), 0.1)?;
/// let solver = Inpo::new(StepSize::Constant(1.0));
/// let half = Executor::new(&problem, solver).iterations(50).run()?;
/// let text = serde_json::to_string(&Checkpoint { solver, state: half.state })?;
///
/// let Checkpoint { solver, state } = serde_json::from_str::<Checkpoint<Inpo>>(&text)?;
/// let rest = Executor::new(&problem, solver).resume(state).iterations(100).run()?;
/// let whole = Executor::new(&problem, solver).iterations(100).run()?;
/// assert_eq!(rest.state, whole.state); // to the bit
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "S: Serialize + DeserializeOwned")]
pub struct Checkpoint<S: Solver> {
    /// The settings.
    pub solver: S,
    /// Where it is.
    pub state: S::State,
}
