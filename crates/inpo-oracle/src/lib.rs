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
//!   text that vote. No model, no network, and not Bradley-Terry. [`InstructionsOracle`]: IFEval's [`Instruction`]s, which
//!   a program can check. [`RecordedOracle`]: votes of a file. [`GameOracle`]: a table. [`Ensemble`]: several of them.
//! - With feature `models`, judges that are models: `PairLm`, a language model that reads both answers; `RewardModelJudge`
//!   and `GeneralPreference`, which read each by itself. With feature `server`, `ServerJudge`, behind an API.
//! - [`Judged`]: any [`Judge`] in both orders, with a [`Journal`] of what it answered.
//! - [`judge`]: asks an oracle about the responses to many prompts, each comparison once, in few batches;
//!   [`SelectionConfig`]: which responses meet, and which pair is kept; [`Candidates`]: the selection among one prompt's.
//! - [`cycle_report`]: how often sampled responses beat each other in a circle; [`report`]: what the answers say about
//!   the judge.

mod config;
pub mod criteria;
mod cycles;
mod ensemble;
#[cfg(feature = "models")]
mod general_preference;
mod instructions;
mod journal;
mod judge;
mod judged;
mod kind;
mod kinds;
#[cfg(feature = "models")]
mod model_judge;
#[cfg(feature = "models")]
mod pair_lm;
#[cfg(any(feature = "models", feature = "server"))]
mod pair_template;
#[cfg(feature = "models")]
mod read_apart;
mod recorded;
pub mod report;
#[cfg(feature = "models")]
mod reward_model;
mod rules;
mod select;
#[cfg(feature = "server")]
mod server;
mod surroundings;
mod tabular;
mod text;
mod verdict;
mod votes;
mod wrappers;

pub use config::{Oracle, OracleConfig, SharedKeys};
pub use criteria::Criterion;
pub use cycles::{CycleError, CycleReport, cycle_report};
pub use ensemble::{Combine, Ensemble, EnsembleConfig};
#[cfg(feature = "models")]
pub use general_preference::{Bos, GeneralPreference, GeneralPreferenceConfig, Reading};
pub use instructions::{
    Instruction, InstructionError, InstructionMode, Instructions, InstructionsOracle,
    InstructionsOracleConfig, loose_variants,
};
pub use journal::Journal;
pub use judge::{Answers, judge};
pub use judged::{Judged, Progress};
pub use kind::{BoxedOracle, OracleConfigError, TextOracle};
pub use kinds::OracleKind;
#[cfg(feature = "models")]
pub use model_judge::TooLong;
#[cfg(feature = "models")]
pub use pair_lm::{PairLm, PairLmConfig, PairPrompt, a_and_b, label_ids, pair_ids};
#[cfg(any(feature = "models", feature = "server"))]
pub use pair_template::{PairTemplate, PairTemplateError};
pub use recorded::{MissingVote, RecordedOracle, RecordedOracleConfig};
pub use report::summary::JudgeReport;
#[cfg(feature = "models")]
pub use reward_model::{RewardModelConfig, RewardModelJudge};
pub use rules::{Ballot, RulesConfigError, RulesOracle, RulesOracleConfig, Vote};
pub use select::{
    Candidates, Dropped, LeftOut, PairStrategy, Players, ScoreKind, Selected, SelectionConfig,
    SelectionConfigError, SelectionCounts, Step, TiePolicy, Usable, usable,
};
#[cfg(feature = "server")]
pub use server::{
    JudgeEndpoint, JudgeTemperature, MaxTokensName, ServerJudge, ServerJudgeConfig,
    StructuredOutput, VerdictMode,
};
pub use surroundings::{BuildMember, FindModel, Surroundings};
pub use tabular::{GameOracle, GameOracleConfig};
pub use verdict::{Heard, Judge, Question, Usage, Verdict};
pub use votes::{PairVote, read_votes};
pub use wrappers::{Budget, LabelNoise, TieBand};
