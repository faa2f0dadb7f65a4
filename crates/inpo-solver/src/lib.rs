//! Exact play of a preference game.
//!
//! A language model approximates what this crate does exactly: at every iteration, play against
//! the current policy, look at the win rates, and move towards what wins without going far from
//! the reference. With finitely many actions each step has a closed form, so convergence can be
//! watched to machine precision, and the trained policy of the other crates has something exact
//! to be compared with.
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
//! # The parts
//!
//! * [`Problem`]: the game, its reference and tau, the weight of the KL. It knows its duality gap
//!   and its exact Nash policy.
//! * [`Solver`]: a method's settings and its step; [`Inpo`] is the one there is. One file each,
//!   which states the update, what it requires, what it guarantees and where that is proved.
//! * [`State`]: what moves; serde, so that (solver, state) is a checkpoint. It has the last iterate
//!   and the average one: theory and practice use both, and they differ.
//! * [`Feedback`]: what the solver may ask, counted. With [`ExactFeedback`] one call is one win-rate
//!   vector.
//! * [`Executor`]: the loop, with a history of [`Record`]s and a [`Reason`] to stop;
//!   [`Iterates`]: the same steps as an iterator.
//!
//! # eta and tau
//!
//! eta is the INVERSE step size: small eta, big step. tau is the weight of the KL, with
//! 0 <= tau <= eta. The last iterate converges with the schedule of Theorem 4, or with a constant
//! eta above the stability threshold; below it, and at tau = 0, it circles:
//!
//! ```
//! use inpo_game::{Strategy, games};
//! use inpo_solver::{Executor, Inpo, Problem, Solver, StepSize};
//!
//! let problem = Problem::new(games::cyclic_three(), Strategy::uniform(3), 0.1)?;
//! let nash = problem.nash()?;
//! let too_small = Inpo::new(StepSize::Constant(0.2));
//! assert!(too_small.instability(&problem, &nash).is_some()); // the threshold is 0.269
//! let gap = |inpo| -> Result<f64, inpo_solver::SolverError> {
//!     let run = Executor::new(&problem, inpo).iterations(1000).stride(1000).run()?;
//!     Ok(run.history[1].duality_gap)
//! };
//! assert!(gap(too_small)? > 0.01);
//! assert!(gap(Inpo::new(StepSize::Theory))? < 1e-9);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod executor;
mod feedback;
mod iterates;
mod method;
mod methods;
mod mirror;
mod policy;
mod problem;
mod solver;
mod step_size;
mod tally;

pub use error::SolverError;
pub use executor::{Executor, Iterate, Observer, Reason, Record, Run, Settings};
pub use feedback::{Asking, ExactFeedback, Feedback, SampledFeedback};
pub use iterates::Iterates;
pub use method::{Method, MethodState};
pub use methods::{
    Comal, DpoState, Egpo, FictitiousPlay, FictitiousPlayState, Inpo, IterativeDpo, IterativeIpo,
    Mnpo, MnpoState, Mpo, NashEma, NashMd, Onpo, Opponents, Reference, RegretMatching, RegretState,
    Replicator, Sppo,
};
pub use mirror::{CompanionState, OmdState};
pub use policy::LogPolicy;
pub use problem::Problem;
pub use solver::{Checkpoint, Instability, Solver, State};
pub use step_size::StepSize;
pub use tally::Tally;
