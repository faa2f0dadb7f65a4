//! The loop: steps a solver, measures, records and stops for a reason.

use inpo_game::{PreferenceGame, Strategy, kl};
use serde::{Deserialize, Serialize};

use crate::problem::check_length;
use crate::{ExactFeedback, Problem, Solver, SolverError, State};

/// One row of the history: the quality of the last iterate after `iteration` updates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Updates made. 0 is the start.
    pub iteration: u64,
    /// The paper's DualGap of the game being solved, KL included if tau > 0.
    pub duality_gap: f64,
    /// max_y P(y > pi) - 1/2 in the plain game: half of its DualGap.
    pub exploitability: f64,
    /// KL(pi* || pi), in nats, if an equilibrium was given. Infinite where pi has lost an action
    /// of pi*.
    pub kl_to_nash: Option<f64>,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// All iterations were made.
    Iterations,
    /// The last iterate's duality gap reached the tolerance.
    Tolerance,
}

/// What a run leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run<T> {
    /// The solver's name.
    pub algorithm: String,
    /// Where it ended. With the solver it is a checkpoint.
    pub state: T,
    /// The recorded iterations, the first and the last among them.
    pub history: Vec<Record>,
    /// Why it ended.
    pub reason: Reason,
}

/// Runs a solver on a problem with exact feedback.
///
/// ```
/// use inpo_game::{Strategy, games};
/// use inpo_solver::{Executor, Inpo, Problem, Reason, State, StepSize};
///
/// let problem = Problem::new(games::cyclic_three(), Strategy::uniform(3), 0.1)?;
/// let run = Executor::new(&problem, Inpo::new(StepSize::Constant(1.0)))
///     .iterations(1000)
///     .tolerance(1e-8)
///     .run()?;
/// assert_eq!(run.reason, Reason::Tolerance);
/// assert_eq!(run.state.oracle_calls(), run.state.iteration());
/// assert!(problem.duality_gap(run.state.strategy()) <= 1e-8);
/// # Ok::<(), inpo_solver::SolverError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Executor<'a, G, S: Solver> {
    problem: &'a Problem<G>,
    solver: S,
    start: Option<Strategy>,
    state: Option<S::State>,
    equilibrium: Option<Strategy>,
    iterations: u64,
    tolerance: Option<f64>,
    stride: u64,
}

impl<'a, G: PreferenceGame, S: Solver> Executor<'a, G, S> {
    /// 100 iterations from the reference, no tolerance, every iteration recorded.
    pub fn new(problem: &'a Problem<G>, solver: S) -> Self {
        Self {
            problem,
            solver,
            start: None,
            state: None,
            equilibrium: None,
            iterations: 100,
            tolerance: None,
            stride: 1,
        }
    }

    /// pi_1. The paper's, and the default, is the reference.
    #[must_use]
    pub fn start(mut self, start: Strategy) -> Self {
        self.start = Some(start);
        self
    }

    /// Goes on from a state, whose iterations and oracle calls count. It wins over
    /// [`start`](Self::start).
    #[must_use]
    pub fn resume(mut self, state: S::State) -> Self {
        self.state = Some(state);
        self
    }

    /// Stops after this many updates in all, those of a resumed state included.
    #[must_use]
    pub fn iterations(mut self, iterations: u64) -> Self {
        self.iterations = iterations;
        self
    }

    /// Stops as soon as the last iterate's duality gap is at most this.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = Some(tolerance);
        self
    }

    /// Records every `stride`-th iteration, and always the first and the last.
    #[must_use]
    pub fn stride(mut self, stride: u64) -> Self {
        self.stride = stride;
        self
    }

    /// The exact equilibrium pi*, for `kl_to_nash` in the history.
    #[must_use]
    pub fn equilibrium(mut self, equilibrium: Strategy) -> Self {
        self.equilibrium = Some(equilibrium);
        self
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// A [`SolverError`] in one sentence: a setting, the start or the state does not fit the
    /// problem, or a step left the numbers.
    pub fn run(self) -> Result<Run<S::State>, SolverError> {
        if let Some(tolerance) = self.tolerance
            && (tolerance.is_nan() || tolerance < 0.0)
        {
            return Err(SolverError::Tolerance { tolerance });
        }
        if self.stride == 0 {
            return Err(SolverError::Stride);
        }
        if let Some(equilibrium) = &self.equilibrium {
            check_length("equilibrium", equilibrium, self.problem.game())?;
        }
        let mut state = match &self.state {
            Some(state) => {
                self.solver.resume(self.problem, state)?;
                state.clone()
            }
            None => {
                let start = self.start.as_ref().unwrap_or(self.problem.reference());
                self.solver.init(self.problem, start)?
            }
        };
        let mut feedback = ExactFeedback::new(self.problem.game(), state.oracle_calls());
        let mut history = Vec::new();
        let first = state.iteration();
        let reason = loop {
            let stop = self.stop_reason(&state);
            let iteration = state.iteration();
            if stop.is_some() || iteration == first || iteration.is_multiple_of(self.stride) {
                history.push(self.record(&state));
            }
            if let Some(reason) = stop {
                break reason;
            }
            self.solver.step(self.problem, &mut feedback, &mut state)?;
        };
        Ok(Run {
            algorithm: self.solver.name().to_owned(),
            state,
            history,
            reason,
        })
    }

    fn stop_reason(&self, state: &S::State) -> Option<Reason> {
        let close = |tolerance| self.problem.duality_gap(state.strategy()) <= tolerance;
        if self.tolerance.is_some_and(close) {
            Some(Reason::Tolerance)
        } else if state.iteration() >= self.iterations {
            Some(Reason::Iterations)
        } else {
            None
        }
    }

    fn record(&self, state: &S::State) -> Record {
        let strategy = state.strategy();
        Record {
            iteration: state.iteration(),
            duality_gap: self.problem.duality_gap(strategy),
            exploitability: self.problem.exploitability(strategy),
            kl_to_nash: self.equilibrium.as_ref().map(|nash| kl(nash, strategy)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Inpo, StepSize};
    use inpo_game::games::cyclic_three;

    fn problem() -> Problem<inpo_game::MatrixGame> {
        Problem::new(cyclic_three(), Strategy::uniform(3), 0.1).unwrap()
    }

    fn inpo() -> Inpo {
        Inpo::new(StepSize::Constant(1.0))
    }

    #[test]
    fn the_history_has_the_first_the_last_and_every_stride() {
        let problem = problem();
        let run = Executor::new(&problem, inpo())
            .iterations(10)
            .stride(4)
            .run()
            .unwrap();
        let recorded: Vec<u64> = run.history.iter().map(|r| r.iteration).collect();
        assert_eq!(recorded, [0, 4, 8, 10]);
        assert_eq!(run.reason, Reason::Iterations);
        assert_eq!(run.algorithm, "inpo");
        assert_eq!(run.state.oracle_calls(), 10);
        assert_eq!(run.history[0].kl_to_nash, None);
    }

    #[test]
    fn no_iterations_is_the_start() {
        let problem = problem();
        let run = Executor::new(&problem, inpo()).iterations(0).run().unwrap();
        assert_eq!(run.state.strategy(), problem.reference());
        assert_eq!(run.state.average(), problem.reference());
        assert_eq!((run.history.len(), run.state.oracle_calls()), (1, 0));
    }

    #[test]
    fn a_tolerance_stops_at_the_first_iterate_that_meets_it() {
        let problem = problem();
        let run = Executor::new(&problem, inpo())
            .tolerance(2e-3)
            .run()
            .unwrap();
        assert_eq!(run.reason, Reason::Tolerance);
        let n = run.history.len();
        assert!(run.history[n - 1].duality_gap <= 2e-3);
        assert!(run.history[n - 2].duality_gap > 2e-3);
    }

    #[test]
    fn a_resumed_run_is_the_uninterrupted_one_to_the_bit() {
        let problem = problem();
        let whole = Executor::new(&problem, inpo())
            .iterations(50)
            .run()
            .unwrap();
        let half = Executor::new(&problem, inpo())
            .iterations(21)
            .run()
            .unwrap();
        let text = serde_json::to_string(&half.state).unwrap();
        let state = serde_json::from_str(&text).unwrap();
        let rest = Executor::new(&problem, inpo())
            .resume(state)
            .iterations(50)
            .run()
            .unwrap();
        assert_eq!(rest.state, whole.state);
        assert_eq!(rest.history, whole.history[21..]);
    }

    #[test]
    fn bad_settings_have_sentences() {
        let problem = problem();
        let executor = || Executor::new(&problem, inpo());
        let says = |run: Executor<'_, _, Inpo>, want: &str| {
            let text = run.run().unwrap_err().to_string();
            assert!(text.contains(want), "{text}");
        };
        says(executor().tolerance(-1.0), "the tolerance is -1");
        says(executor().tolerance(f64::NAN), "the tolerance is NaN");
        says(executor().stride(0), "the history stride is 0");
        says(
            executor().equilibrium(Strategy::uniform(2)),
            "the equilibrium has 2 entries",
        );
        says(
            Executor::new(&problem, Inpo::new(StepSize::Constant(0.05))),
            "tau must not exceed eta",
        );
    }
}
