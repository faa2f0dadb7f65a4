//! The loop: steps a solver, measures, records and stops for a reason.

mod history;

use std::time::{Duration, Instant};

use inpo_game::{PreferenceGame, PreferenceOracle, Strategy, exploitability_of_rates, kl};
use serde::{Deserialize, Serialize};

use self::history::History;
use crate::asking::{Oracle, RunFeedback};
use crate::problem::check_length;
use crate::{Asking, Feedback, Problem, Solver, SolverError, State};

/// One row of the history: the quality of the watched iterate after `iteration` updates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Updates made. 0 is the start.
    pub iteration: u64,
    /// What they cost; see [`Feedback::calls`] for the unit.
    pub oracle_calls: u64,
    /// The paper's DualGap of the game being solved, KL included if tau > 0.
    pub duality_gap: f64,
    /// max_y P(y > pi) - 1/2 in the plain game: half of its DualGap.
    pub exploitability: f64,
    /// KL(pi* || pi), in nats, if an equilibrium was given. Infinite where pi has lost an action
    /// of pi*; JSON has no infinity, so there null means either.
    pub kl_to_nash: Option<f64>,
}

/// Which iterate the history and the tolerance look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Iterate {
    /// pi_{n+1}.
    #[default]
    Last,
    /// The mean of pi_1 .. pi_n.
    Average,
    /// Their mean with weights 1 .. n.
    WeightedAverage,
}

impl Iterate {
    /// That iterate of a state.
    pub fn of(self, state: &impl State) -> &Strategy {
        match self {
            Self::Last => state.strategy(),
            Self::Average => state.average(),
            Self::WeightedAverage => state.weighted_average(),
        }
    }
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// All iterations were made.
    Iterations,
    /// The watched iterate's duality gap reached the tolerance.
    Tolerance,
    /// The time was up.
    Time,
}

/// Watches a run: sees every record with its state.
///
/// Closures of the form `|state: &T, record: &Record| ..` are observers.
pub trait Observer<T> {
    /// Called once for each recorded iteration, in order.
    fn observe(&mut self, state: &T, record: &Record);
}

impl<T, F: FnMut(&T, &Record)> Observer<T> for F {
    fn observe(&mut self, state: &T, record: &Record) {
        self(state, record);
    }
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run<T> {
    /// The solver's name.
    pub algorithm: String,
    /// The state at the end. With the solver it is a [`Checkpoint`](crate::Checkpoint).
    pub state: T,
    /// The recorded iterations, the first and the last among them.
    pub history: Vec<Record>,
    /// Why the run ended.
    pub reason: Reason,
}

/// Runs a solver on a problem.
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
    state: Option<S::State>,
    oracle: Option<&'a Oracle<'a>>,
    settings: Settings,
}

/// The settings of an [`Executor`]. They fit every solver, so that one set can serve many; the
/// [`Default`] is 100 iterations from the reference with
/// exact feedback and every last iterate recorded, in at most 100,000 records.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// pi_1. The paper's, and the default, is the reference.
    pub start: Option<Strategy>,
    /// The exact equilibrium pi*, for `kl_to_nash` in the history.
    pub equilibrium: Option<Strategy>,
    /// How the solver asks.
    pub asking: Asking,
    /// Stop after this many updates in all, those of a resumed state included.
    pub iterations: u64,
    /// Stop as soon as the watched iterate's duality gap is at most this. It costs a measure an
    /// iteration.
    pub tolerance: Option<f64>,
    /// Stop after the update that ends later than this. The clock starts with
    /// [`run`](Executor::run).
    pub time_limit: Option<Duration>,
    /// Record every so many iterations, and always the first and the last.
    pub stride: u64,
    /// How many records the history keeps, at least 3. When it is full, every second one is dropped and the
    /// stride doubles, for the observer too: a run of any length takes bounded memory.
    pub max_records: usize,
    /// The iterate that is recorded and compared with the tolerance.
    pub watch: Iterate,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            start: None,
            equilibrium: None,
            asking: Asking::Exact,
            iterations: 100,
            tolerance: None,
            time_limit: None,
            stride: 1,
            max_records: 100_000,
            watch: Iterate::Last,
        }
    }
}

impl<'a, G: PreferenceGame, S: Solver> Executor<'a, G, S> {
    /// With the default [`Settings`].
    pub fn new(problem: &'a Problem<G>, solver: S) -> Self {
        Self::with_settings(problem, solver, Settings::default())
    }

    /// With these settings.
    pub fn with_settings(problem: &'a Problem<G>, solver: S, settings: Settings) -> Self {
        Self {
            problem,
            solver,
            state: None,
            oracle: None,
            settings,
        }
    }

    /// Sets [`Settings::start`].
    #[must_use]
    pub fn start(mut self, start: Strategy) -> Self {
        self.settings.start = Some(start);
        self
    }

    /// Resumes from a state, whose iterations and oracle calls count. It overrides
    /// [`start`](Self::start).
    #[must_use]
    pub fn resume(mut self, state: S::State) -> Self {
        self.state = Some(state);
        self
    }

    /// Sets [`Settings::iterations`].
    #[must_use]
    pub fn iterations(mut self, iterations: u64) -> Self {
        self.settings.iterations = iterations;
        self
    }

    /// Sets [`Settings::tolerance`].
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.settings.tolerance = Some(tolerance);
        self
    }

    /// Sets [`Settings::time_limit`].
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.settings.time_limit = Some(limit);
        self
    }

    /// Sets [`Settings::stride`].
    #[must_use]
    pub fn stride(mut self, stride: u64) -> Self {
        self.settings.stride = stride;
        self
    }

    /// Sets [`Settings::watch`].
    #[must_use]
    pub fn watch(mut self, iterate: Iterate) -> Self {
        self.settings.watch = iterate;
        self
    }

    /// Sets [`Settings::equilibrium`].
    #[must_use]
    pub fn equilibrium(mut self, equilibrium: Strategy) -> Self {
        self.settings.equilibrium = Some(equilibrium);
        self
    }

    /// Asks by comparisons with Bernoulli labels, so many a query, instead of exactly; see
    /// [`SampledFeedback`](crate::SampledFeedback). The game itself answers them.
    #[must_use]
    pub fn sampled(mut self, comparisons: u64, seed: u64) -> Self {
        self.settings.asking = Asking::Sampled { comparisons, seed };
        self.oracle = None;
        self
    }

    /// As [`sampled`](Self::sampled), but `oracle` answers the comparisons: a judge, a closure. The
    /// solver learns of the game through it alone; the history's measures are the problem's own.
    ///
    /// ```
    /// use inpo_game::{FnOracle, PreferenceGame, Strategy, games, kl};
    /// use inpo_solver::{Executor, Inpo, Problem, State, StepSize};
    ///
    /// let problem = Problem::new(games::cyclic_three(), Strategy::uniform(3), 0.5)?;
    /// let judge = FnOracle::new("judge", |_: &(), first: &usize, second: &usize| {
    ///     games::cyclic_three().preference(*first, *second).get()
    /// });
    /// let run = Executor::new(&problem, Inpo::new(StepSize::Theory))
    ///     .sampled_from(&judge, 30, 7)
    ///     .iterations(1000)
    ///     .run()?;
    /// assert!(kl(&problem.nash()?, run.state.strategy()) < 1e-3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn sampled_from(
        mut self,
        oracle: &'a dyn PreferenceOracle<(), usize>,
        comparisons: u64,
        seed: u64,
    ) -> Self {
        self.settings.asking = Asking::Sampled { comparisons, seed };
        self.oracle = Some(oracle);
        self
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// A [`SolverError`] in one sentence: a setting, the start or the state does not fit the
    /// problem, a step left the numbers, or the oracle did not answer.
    pub fn run(self) -> Result<Run<S::State>, SolverError> {
        self.run_with(|_: &S::State, _: &Record| {})
    }

    /// [`run`](Self::run), showing every record to `observer` as it is made.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with(
        self,
        mut observer: impl Observer<S::State>,
    ) -> Result<Run<S::State>, SolverError> {
        self.settings.check(self.problem)?;
        self.settings.asking.check(&self.solver)?;
        let began = Instant::now();
        let mut state = match &self.state {
            Some(state) => {
                self.solver.resume(self.problem, state)?;
                state.clone()
            }
            None => {
                let start = self.settings.start.as_ref();
                let start = start.unwrap_or(self.problem.reference());
                self.solver.init(self.problem, start)?
            }
        };
        let mut feedback = RunFeedback::new(
            self.problem.game(),
            self.settings.asking,
            self.oracle,
            state.oracle_calls(),
        );
        let mut history = History::new(&self.settings, state.iteration());
        let reason = loop {
            let stop = self.stop_reason(&state, &mut feedback, began);
            let iteration = state.iteration();
            if stop.is_some() || history.is_due(iteration) {
                let record = self.record(&state, &mut feedback);
                observer.observe(&state, &record);
                history.push(record);
            }
            if let Some(reason) = stop {
                break reason;
            }
            self.solver.step(self.problem, &mut feedback, &mut state)?;
        };
        Ok(Run {
            algorithm: self.solver.name().to_owned(),
            state,
            history: history.records,
            reason,
        })
    }

    fn stop_reason(
        &self,
        state: &S::State,
        feedback: &mut RunFeedback<'_, G>,
        began: Instant,
    ) -> Option<Reason> {
        let Settings {
            iterations,
            tolerance,
            time_limit,
            watch,
            ..
        } = self.settings;
        let mut close = |tolerance| {
            let strategy = watch.of(state);
            let rates = feedback.measure(strategy);
            self.problem.duality_gap_of_rates(rates, strategy) <= tolerance
        };
        if tolerance.is_some_and(&mut close) {
            Some(Reason::Tolerance)
        } else if state.iteration() >= iterations {
            Some(Reason::Iterations)
        } else if time_limit.is_some_and(|limit| began.elapsed() >= limit) {
            Some(Reason::Time)
        } else {
            None
        }
    }

    fn record(&self, state: &S::State, feedback: &mut RunFeedback<'_, G>) -> Record {
        let strategy = self.settings.watch.of(state);
        let equilibrium = self.settings.equilibrium.as_ref();
        let rates = feedback.measure(strategy);
        Record {
            iteration: state.iteration(),
            duality_gap: self.problem.duality_gap_of_rates(rates, strategy),
            exploitability: exploitability_of_rates(rates),
            kl_to_nash: equilibrium.map(|nash| kl(nash, strategy)),
            oracle_calls: feedback.calls(),
        }
    }
}

impl Settings {
    fn check<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError> {
        if let Some(tolerance) = self.tolerance
            && !(tolerance >= 0.0 && tolerance.is_finite())
        {
            return Err(SolverError::Tolerance { tolerance });
        }
        if self.stride == 0 {
            return Err(SolverError::Stride);
        }
        if self.max_records < 3 {
            return Err(SolverError::MaxRecords);
        }
        match &self.equilibrium {
            Some(equilibrium) => check_length("equilibrium", equilibrium, problem.game()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
