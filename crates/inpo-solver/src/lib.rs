//! Exact play of a preference game: INPO and its relatives, step by step.
//!
//! A language model approximates what this crate does exactly: at every iteration, play against
//! the current policy, look at the win rates, and move towards what wins without going far from
//! the reference. With finitely many actions each step has a closed form, so convergence can be
//! watched to machine precision, methods can be compared on equal terms, and the trained policy of
//! the other crates has something exact to be held against.
//!
//! # Ten lines from a game to its regularised Nash policy
//!
//! ```
//! use inpo_game::{Strategy, games, kl};
//! use inpo_solver::{Executor, Inpo, Problem, State, StepSize};
//!
//! let problem = Problem::new(games::cyclic_three(), Strategy::uniform(3), 0.1)?;
//! let run = Executor::new(&problem, Inpo::new(StepSize::Constant(1.0)))
//!     .iterations(100)
//!     .run()?;
//! let nash = problem.nash()?;
//! assert!(kl(&nash, run.state.strategy()) < 1e-8);
//! assert_eq!(run.state.oracle_calls(), 100);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # 1. The parts
//!
//! * [`Problem`]: the game, its reference and tau, the weight of the KL. It knows its duality gap
//!   and its exact Nash policy. tau = 0 is the plain game.
//! * [`Solver`]: a method's settings and its step. One file each, which states the update, what it
//!   requires, what it guarantees and where that is proved.
//! * [`State`]: what moves. It has the last iterate, the average and the weighted average: theory
//!   and practice use all three, and they differ.
//! * [`Feedback`]: what the solver may ask, counted: exactly, or by comparisons that an oracle answers.
//! * [`Executor`]: the loop, with a history of [`Record`]s, an [`Observer`] who is shown them, and a
//!   [`Reason`] to stop; [`Iterates`]: the same steps as an iterator.
//! * [`Checkpoint`]: (solver, state) as serde. A resumed run is the uninterrupted one to the bit.
//!
//! # 2. The methods
//!
//! Mirror descents, extragradient and optimistic ones, moving references, regret matching, fictitious
//! play, the replicator dynamics. [`Method`] has the table: each one's update, its game and which
//! iterate converges. It is any of them, chosen at run time: by its variant, or by name and settings
//! with a [`Choice`].
//!
//! ```
//! use inpo_game::{Strategy, games};
//! use inpo_solver::{Executor, Iterate, Method, Onpo, Problem, Sppo, StepSize};
//!
//! let problem = Problem::new(games::cyclic_three(), Strategy::uniform(3), 0.0)?;
//! let gap = |method: Method, watch| -> Result<f64, inpo_solver::SolverError> {
//!     let run = Executor::new(&problem, method).iterations(2000).watch(watch).run()?;
//!     Ok(run.history[2000].duality_gap)
//! };
//! let step = StepSize::Constant(2.0);
//! assert!(gap(Sppo::new(step).into(), Iterate::Last)? > 0.1); // it circles
//! assert!(gap(Sppo::new(step).into(), Iterate::Average)? < 0.01);
//! assert!(gap(Onpo::new(step).into(), Iterate::Last)? < 1e-6); // optimism stops the circling
//! # Ok::<(), inpo_solver::SolverError>(())
//! ```
//!
//! # 3. eta and tau
//!
//! **eta is the INVERSE step size for every method here**, whatever its paper calls it: small eta,
//! big step. tau is the weight of the KL, with 0 <= tau <= eta. INPO's last iterate converges with
//! the schedule of Theorem 4, or with a constant eta above the stability threshold; below it, and at
//! tau = 0, it circles. [`Solver::caution`] says so in a sentence once the equilibrium is known:
//!
//! ```
//! use inpo_game::{Strategy, games};
//! use inpo_solver::{Executor, Inpo, Problem, Solver, StepSize};
//!
//! let problem = Problem::new(games::cyclic_three(), Strategy::uniform(3), 0.1)?;
//! let nash = problem.nash()?;
//! let too_small = Inpo::new(StepSize::Constant(0.2));
//! let reason = too_small.caution(&problem, &nash).unwrap();
//! assert!(reason.to_string().contains("not above the stability threshold 0.269359"));
//! let gap = |inpo| -> Result<f64, inpo_solver::SolverError> {
//!     let run = Executor::new(&problem, inpo).iterations(1000).stride(1000).run()?;
//!     Ok(run.history[1].duality_gap)
//! };
//! assert!(gap(too_small)? > 0.01);
//! assert!(gap(Inpo::new(StepSize::Theory))? < 1e-9);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # 4. Comparisons instead of win rates
//!
//! People and judges do not give win rates: they compare two answers and say which is better.
//! [`Executor::sampled`] replaces each exact win-rate vector by an unbiased estimate from m
//! comparisons with Bernoulli labels; oracle calls then count comparisons. They are answered by the
//! game, or with [`Executor::sampled_from`] by any [`PreferenceOracle`](inpo_game::PreferenceOracle)
//! over the actions' indices.
//!
//! ```
//! use inpo_game::{Strategy, games, kl};
//! use inpo_solver::{Executor, Inpo, Problem, State, StepSize};
//!
//! let problem = Problem::new(games::cyclic_three(), Strategy::uniform(3), 0.5)?;
//! let run = Executor::new(&problem, Inpo::new(StepSize::Theory))
//!     .sampled(30, 7) // 30 comparisons an iteration, seed 7
//!     .iterations(1000)
//!     .stride(1000)
//!     .run()?;
//! assert_eq!(run.state.oracle_calls(), 30_000);
//! assert!(kl(&problem.nash()?, run.state.strategy()) < 1e-3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod algorithm;
mod asking;
mod caution;
mod choice;
mod error;
mod executor;
mod feedback;
mod iterates;
mod method;
mod method_settings;
mod methods;
mod mirror;
mod policy;
mod problem;
mod solver;
mod step_size;
mod tally;

pub use algorithm::{Algorithm, Plays, Reads};
pub use asking::Asking;
pub use caution::Caution;
pub use choice::{Choice, FromChoice};
pub use error::SolverError;
pub use executor::{Executor, Iterate, Observer, Reason, Record, Run, Settings};
pub use feedback::{ExactFeedback, Feedback, SampledFeedback};
pub use iterates::Iterates;
pub use method_settings::{MethodSettings, Reference, Schedule};
pub use methods::*;
pub use mirror::{CompanionState, OmdState};
pub use policy::LogPolicy;
pub use problem::{Problem, diameter};
pub use solver::{Checkpoint, Solver, State};
pub use step_size::StepSize;
pub use tally::Tally;
