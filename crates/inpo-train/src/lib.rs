//! The loop of INPO: generate, judge, select, anchor, optimise, evaluate (arXiv 2407.00617,
//! Algorithm 1).
//!
//! [`run`] is the whole of it on one screen. Each stage computes one file of the run directory or
//! reads it when it is there:
//!
//! ```text
//! OUTPUT_DIR/run.toml  manifest.json  metrics.jsonl  trainer_state.json
//! OUTPUT_DIR/iteration-0001/{responses,preferences,pairs}.jsonl  anchors.safetensors  policy/
//!                           eval_responses.jsonl  eval.json
//! ```
//!
//! [`RunConfig`] has every setting with its default, [`StepMetrics`] the names of the metrics.

pub mod anchors;
pub mod config;
mod error;
pub mod evaluate;
pub mod files;
mod header;
pub mod judge;
pub mod metrics;
pub mod observer;
mod optim;
mod optimise;
mod ratio;
pub mod records;
pub mod rows;
mod run;
mod run_dir;
pub mod select;
mod stages;
mod step;

pub use config::RunConfig;
pub use error::TrainError;
pub use evaluate::{Evaluation, Interval};
pub use header::RunHeader;
pub use metrics::StepMetrics;
pub use observer::{Console, Observer, Silent};
pub use optim::{Optimiser, clip_grad_norm, learning_rate};
pub use optimise::optimise;
pub use ratio::Ratio;
pub use run::run;
pub use step::{PairFigures, TrainPair, pair_gradient};
