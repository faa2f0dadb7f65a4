//! The loop of INPO and its relatives: generate, judge, select, anchor, optimise, evaluate (arXiv
//! 2407.00617, Algorithm 1), and its one phase on given pairs.
//!
//! [`run`] is the whole of it on one screen. Each stage computes one file of the run directory or
//! reads it when it is there:
//!
//! ```text
//! OUTPUT_DIR/run.toml  manifest.json  metrics.jsonl  trainer_state.json
//! OUTPUT_DIR/iteration-0001/{responses,preferences,pairs}.jsonl  anchors.safetensors  policy/
//!                           eval_responses.jsonl  eval.json
//! OUTPUT_DIR/iteration-0000/eval_responses.jsonl (pi_ref's)  start_responses.jsonl (pi_1's, if it is another)
//!                           aux/ or half/: the first of ONPO's and EGPO's two phases
//! ```
//!
//! [`phases`] says what an iteration of each algorithm is made of, [`train`] runs one phase on a file of
//! pairs. [`RunConfig`] and [`TrainConfig`] have every setting with its default, [`StepMetrics`] the names of
//! the metrics.

pub mod anchors;
pub mod config;
mod error;
pub mod evaluate;
pub mod files;
mod header;
pub mod judge;
pub mod metrics;
mod models;
mod objective;
pub mod observer;
mod optim;
mod optimise;
pub mod pairs;
pub mod phases;
mod policies;
mod prompts;
mod ratio;
pub mod records;
mod resume;
pub mod rows;
mod run;
mod run_dir;
pub mod select;
mod stages;
mod step;
mod train;
mod work;

pub use config::{RunConfig, TrainConfig};
pub use error::TrainError;
pub use evaluate::{Evaluation, Interval};
pub use header::{ObjectiveHeader, RunHeader};
pub use inpo_loss::PairFigures;
pub use metrics::StepMetrics;
pub use models::{Models, StoredPolicy};
pub use objective::{Evaluated, Objective, ObjectiveLoss};
pub use observer::{Console, Observer, Silent};
pub use optim::{Optimiser, clip_grad_norm, learning_rate};
pub use optimise::{Order, optimise};
pub use ratio::Ratio;
pub use run::run;
pub use step::{TrainPair, pair_gradient};
pub use train::{TrainHeader, train};
pub use work::Peak;
