//! What most programs need: `use inpo_core::prelude::*;`.

pub use inpo_game::{
    Comparison, Counted, FnOracle, MatrixGame, MatrixOracle, OracleError, Preference,
    PreferenceGame, PreferenceOracle, Strategy,
};
pub use inpo_solver::{Executor, Method, Problem, Solver, State, StepSize};

#[cfg(feature = "data")]
pub use inpo_data::{Completion, FinishReason, Message, Prompt};
#[cfg(feature = "oracle")]
pub use inpo_oracle::{OracleConfig, TextOracle};
#[cfg(feature = "policy")]
pub use inpo_policy::{GenerationConfig, LoraConfig, Policy, Sampler, Sequence};
#[cfg(feature = "train")]
pub use inpo_train::{
    Algorithm, Models, Observer, Players, RunConfig, Silent, TrainConfig, run, train,
};

#[cfg(any(feature = "loss", feature = "policy"))]
pub use crate::device;
#[cfg(feature = "policy")]
pub use crate::find_model;
