//! Preference oracles over text.
//!
//! An oracle says how likely one completion of a prompt is to be preferred to another: it is a
//! [`PreferenceOracle`](inpo_game::PreferenceOracle) over [`Prompt`](inpo_data::Prompt)s, whose metadata holds whatever a
//! judge needs beside the conversation, and [`Completion`](inpo_data::Completion)s.
//!
//! ```
//! use inpo_data::{Completion, Prompt};
//! use inpo_game::{Comparison, PreferenceOracle};
//! use inpo_oracle::RulesOracleConfig;
//!
//! let oracle = RulesOracleConfig::default().init()?;
//! let prompt = Prompt::user("What is the capital of France?");
//! let good = Completion::finished("The capital of France is Paris.");
//! let bad = Completion::finished("Yes.");
//! let verdicts = oracle.compare(&[Comparison { prompt: &prompt, first: &good, second: &bad }])?;
//! assert_eq!(verdicts[0].get(), 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`OracleConfig`]: `[oracle]` of a configuration, one of the shipped kinds. [`RulesOracle`]: [`criteria`] over the
//!   text that vote. No model, no network, and not Bradley-Terry.
//! - With feature `models`, judges that are models: `PairLm`, a language model that reads both answers; `RewardModelJudge`
//!   and `GeneralPreference`, which read each by itself.
//! - [`judge`]: asks an oracle about the responses to many prompts, each comparison once, in few batches;
//!   [`SelectionStrategy`]: which responses meet, and which pair is kept.
//! - [`cycle_report`]: how often sampled responses beat each other in a circle.

pub mod criteria;
mod cycles;
#[cfg(feature = "models")]
mod general_preference;
mod judge;
mod judged;
mod kind;
mod kinds;
#[cfg(feature = "models")]
mod model_judge;
#[cfg(feature = "models")]
mod pair_lm;
#[cfg(feature = "models")]
mod read_apart;
#[cfg(feature = "models")]
mod reward_model;
mod rules;
mod select;
mod surroundings;
mod text;
mod verdict;

pub use criteria::Criterion;
pub use cycles::{CycleError, CycleReport, cycle_report};
#[cfg(feature = "models")]
pub use general_preference::{Bos, GeneralPreference, GeneralPreferenceConfig};
pub use judge::{Answers, judge};
pub use judged::Judged;
pub use kind::{BoxedOracle, OracleConfigError, TextOracle};
pub use kinds::{OracleConfig, OracleKind};
#[cfg(feature = "models")]
pub use model_judge::TooLong;
#[cfg(feature = "models")]
pub use pair_lm::{PairLm, PairLmConfig};
#[cfg(feature = "models")]
pub use reward_model::{RewardModelConfig, RewardModelJudge};
pub use rules::{Ballot, RulesConfigError, RulesOracle, RulesOracleConfig, Vote};
pub use select::{Dropped, Selected, SelectionStrategy, Step, iid_pair, tournament};
pub use surroundings::{FindModel, Surroundings};
pub use verdict::{Heard, Judge, Question, Usage, Verdict};
