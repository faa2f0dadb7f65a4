//! What is measured of a policy: win rates with bootstrap intervals, how far it can be exploited, the game among several
//! policies, the divergence from a reference, lengths, and how cyclic the judge is on its samples.
//!
//! Measures are free functions over the records of sampled responses ([`inpo_data::ResponseRecord`]), an oracle, or the tables
//! of what it answered ([`Table`]). An [`Arena`] keeps the tables of several players, so that nothing is asked twice;
//! [`Evaluation`] is what a training loop writes of each iteration, [`RunEvaluation`] what it writes at its end,
//! [`SeedSpread`] what several runs that differ in their seed say.

mod arena;
#[cfg(feature = "benchmarks")]
pub mod benchmarks;
mod calibration;
mod empirical;
mod evaluation;
mod interval;
mod length_control;
mod lineup;
mod logistic;
mod measures;
#[cfg(feature = "page")]
pub mod page;
mod probe;
mod report;
mod seeds;
mod table;

pub use arena::{Arena, By, MatchRecord};
pub use calibration::{JudgeQuality, ReliabilityBin, Scored, fit_temperature};
pub use empirical::{EmpiricalGameReport, EmpiricalPlayer, empirical_game};
pub use evaluation::{Evaluation, OpponentRate, PerPrompt, evaluate};
pub use interval::{Interval, Resamples, bootstrap};
pub use length_control::{LengthControlled, LengthPair, length_controlled};
pub use lineup::Lineup;
#[cfg(feature = "models")]
pub use measures::kl_to_reference;
pub use measures::{among, cross, cycles, lengths, win_rates};
pub use probe::{best_against, best_of_others};
pub use report::{Recommendation, RunEvaluation, evaluate_run, iteration_name};
pub use seeds::{SeedIteration, SeedSpread, Spread, seed_spread};
pub use table::Table;
