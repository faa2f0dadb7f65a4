//! Preference oracles over text.
//!
//! An oracle says how likely one response to a prompt is to be preferred to another. Prompts are slices of
//! [`Message`]s, so that a judge sees roles; a [`Response`] is a text and whether the model ended it itself.
//!
//! ```
//! use inpo_game::{Comparison, PreferenceOracle};
//! use inpo_oracle::{Message, Response, RulesOracleConfig};
//!
//! let oracle = RulesOracleConfig::default().init()?;
//! let prompt = [Message::user("What is the capital of France?")];
//! let (good, bad) = (Response::finished("The capital of France is Paris."), Response::finished("Yes."));
//! let verdicts = oracle.compare(&[Comparison { prompt: &prompt[..], first: &good, second: &bad }])?;
//! assert_eq!(verdicts[0].get(), 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`RulesOracle`]: [`criteria`] over the text that vote. No model, no network, and not Bradley-Terry.
//! - [`cycle_report`], [`preference_matrix`]: how often sampled responses beat each other in a circle.
//! - [`JudgeStats`]: calls, ties and margins of a judge.

pub mod criteria;
mod cycles;
mod message;
mod rules;
mod stats;
mod text;

pub use criteria::Criterion;
pub use cycles::{CycleError, CycleReport, cycle_report, preference_matrix};
pub use message::{Message, Response, instruction};
pub use rules::{Ballot, RulesConfigError, RulesOracle, RulesOracleConfig, Vote};
pub use stats::JudgeStats;
