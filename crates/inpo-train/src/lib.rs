//! The loop of INPO and its relatives: generate, judge, select, anchor, optimise, evaluate (arXiv
//! 2407.00617, Algorithm 1), and its one phase on given pairs.
//!
//! [`run`] plays it with [`Players`]: models, any preference oracle over text, and an engine that samples. [`train`] is the
//! same loop with one iteration whose pairs come from a file, and [`run_from`] takes pairs of any other origin. Each stage
//! computes one file of the run directory, or reads it where it is what the manifest says that the stage wrote:
//!
//! ```text
//! OUTPUT_DIR/run.toml  manifest.json  metrics.jsonl  trainer_state.json
//! OUTPUT_DIR/iteration-0001/{responses,preferences,pairs}.jsonl  anchors.safetensors  checkpoint-000500/  policy/
//!                           eval_responses.jsonl  eval_preferences.jsonl  eval.json
//!                           aux/ or half/: the first of ONPO's and EGPO's two phases
//! OUTPUT_DIR/iteration-0000/eval_responses.jsonl (pi_ref's)  start_responses.jsonl (pi_1's, if it is another)
//!                           opponent-1/ (a named opponent's)
//! OUTPUT_DIR/evaluation.json  empirical_game.json
//! ```
//!
//! [`methods`] has a file for each method with its keys, anchors and phases. [`RunConfig`] and [`TrainConfig`] have
//! every setting with its default, [`StepMetrics`] the figures of a step.

mod anchors;
mod batches;
pub mod config;
mod divergence;
pub mod doctor;
mod error;
mod evaluate;
mod header;
mod inputs;
pub mod judge;
pub mod keys;
pub mod methods;
mod metrics;
mod models;
mod objective;
mod observer;
mod optim;
mod optimise;
mod oracle;
mod pair;
mod pair_source;
pub mod pairs;
pub mod phases;
mod policies;
mod prompts;
mod ratio;
mod resume;
mod run;
mod run_dir;
mod selection;
mod self_play;
mod session;
mod stage;
mod step;
mod streams;
mod tensorboard;
mod train;
mod work;

pub use batches::Order;
pub use config::{CommonConfig, RunConfig, TrainConfig};
pub use error::TrainError;
pub use evaluate::{EvaluatedRun, Find, StoredRun};
pub use inpo_loss::PairFigures;
pub use methods::Algorithm;
pub use metrics::{StepMetrics, StepProgress};
pub use models::{Models, StoredPolicy};
pub use objective::{Evaluated, Objective};
pub use observer::{Observer, Silent};
pub use optim::{Optimiser, clip_grad_norm, learning_rate};
pub use optimise::optimise;
pub use pair::TrainPair;
pub use pair_source::PairSource;
pub use ratio::Ratio;
pub use run::{Players, run, run_from};
pub use session::{PhasePairs, Session};
pub use stage::Stage;
pub use step::pair_gradient;
pub use streams::SelectionDraws;
pub use train::train;
pub use work::Peak;
