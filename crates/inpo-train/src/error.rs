use std::path::{Path, PathBuf};

use inpo_data::DataError;
use inpo_game::{EquilibriumError, OracleError};
use inpo_loss::LossError;
use inpo_oracle::{OracleConfigError, SelectionConfigError};
use inpo_policy::PolicyError;

/// What can go wrong in a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A configuration that cannot be read or used.
    #[error("{origin}: {reason}")]
    Config {
        /// The file, or the place the setting came from.
        origin: String,
        /// The key and what is wrong with it.
        reason: String,
    },
    /// A setting outside its range.
    #[error("`{key}` is {got}; allowed: {allowed}")]
    Setting {
        /// The key, with dots.
        key: String,
        /// Its value.
        got: String,
        /// What it may be.
        allowed: String,
    },
    /// A file of pairs of which nothing is left.
    #[error(
        "no pair of {path} is left: {dropped} of {rows} rows were dropped for an empty response",
        path = .path.display()
    )]
    NoRowsLeft {
        /// The file.
        path: PathBuf,
        /// Its rows.
        rows: usize,
        /// Those dropped because a response has no token.
        dropped: usize,
    },
    /// A file, a row, a directory in use.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A model that cannot be found by its name.
    #[error("{0}")]
    Model(String),
    /// The output directory holds a run already.
    #[error(
        "{} already holds a run; pass --resume to go on with it, or choose another output_dir",
        .0.display()
    )]
    RunExists(PathBuf),
    /// The output directory holds a run with other settings or of other inputs.
    #[error(
        "{root} was written with {different}; restore that, or choose another output_dir",
        root = .root.display()
    )]
    OtherRun {
        /// The directory.
        root: PathBuf,
        /// What is different: keys of the settings with both values, inputs.
        different: String,
    },
    /// The output directory holds what is not of this run.
    #[error("{root} holds {name}, {}choose another output_dir", owner(.what, .lacks.as_deref()), root = .root.display())]
    NotOfRun {
        /// The directory.
        root: PathBuf,
        /// The name of a file or directory in it.
        name: String,
        /// A run or a training.
        what: &'static str,
        /// The file of settings that belongs to it and is not there.
        lacks: Option<String>,
    },
    /// What is read lies inside of the output directory.
    #[error(
        "`{key}` is {path}, which lies inside of output_dir, {root}; move it, or choose another output_dir",
        path = .path.display(), root = .root.display()
    )]
    ReadInside {
        /// The key, with dots.
        key: String,
        /// Its value.
        path: PathBuf,
        /// The directory.
        root: PathBuf,
    },
    /// Nothing was left to train on.
    #[error(
        "iteration {iteration}: none of {prompts} prompts gave a pair: every one was dropped as a tie, a \
         contradiction of the oracle, equal or empty responses (see select/* in metrics.jsonl)"
    )]
    NoPairs {
        /// The iteration.
        iteration: usize,
        /// The number of prompts.
        prompts: usize,
    },
    /// A log-prob or a gradient that is not a finite number.
    #[error("{what} is not finite; the optimiser was not moved")]
    NonFinite {
        /// The step, the pair, the quantity.
        what: String,
    },
    /// An optimisation that goes nowhere, which is stopped.
    #[error("{reason} (train.max_loss_ratio is {limit})")]
    Diverged {
        /// The step, what was seen and what to do.
        reason: String,
        /// `train.max_loss_ratio`.
        limit: f64,
    },
    /// The observer asked to stop. Everything that is needed to resume is saved.
    #[error("stopped as asked, after {at}; pass --resume to go on from there")]
    Interrupted {
        /// What is done.
        at: String,
    },
    /// The first loss is not the one that the cached log-probs give.
    #[error(
        "the loss before the first step is {got:.6}, expected {expected:.6} from the cached log-probs; \
         nothing was trained"
    )]
    FirstLoss {
        /// What the policy gave.
        got: f64,
        /// What it had to be.
        expected: f64,
    },
    /// A pair lacks the third response of the exploration term.
    #[error("{0} has no response for the exploration term (explored_token_ids)")]
    NoExplored(String),
    /// Log-probs that an objective needs are neither given nor can they be computed.
    #[error(
        "{method} needs the columns {} and {} in the file of pairs{}", .columns[0], .columns[1],
        if *.shorter_history { ", or fewer objective.history_weights" } else { "" }
    )]
    MissingAnchors {
        /// The objective.
        method: &'static str,
        /// The columns, chosen and rejected.
        columns: [String; 2],
        /// Whether fewer past policies would do without them.
        shorter_history: bool,
    },
    /// A sampler that does not give what is trained on.
    #[error(
        "the sampler {sampler} gives no {what}; the loop trains on the token ids that were sampled, and reads their \
         log-probs"
    )]
    Sampler {
        /// The sampler's name.
        sampler: String,
        /// What is missing.
        what: &'static str,
    },
    /// Cached anchors that are not those of the policy being trained.
    #[error(
        "the policy's log-probs differ from the cached anchors by up to {drift} nats before the first \
         step; the cache is not of this policy: delete the iteration's anchors.safetensors"
    )]
    StaleAnchors {
        /// Largest difference, in nats.
        drift: f64,
    },
    /// The policy's files or its use.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The oracle.
    #[error(transparent)]
    Oracle(#[from] OracleError),
    /// An empirical game that cannot be solved.
    #[error("the empirical game: {0}")]
    Game(#[from] EquilibriumError),
    /// The settings of the oracle.
    #[error(transparent)]
    OracleConfig(#[from] OracleConfigError),
    /// The settings of the selection.
    #[error(transparent)]
    Selection(#[from] SelectionConfigError),
    /// The loss.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// What a program's own [`PairSource`](crate::PairSource) says.
    #[error(transparent)]
    Source(Box<dyn std::error::Error + Send + Sync>),
}

/// What is known of the owner of something in the output directory of `what`.
fn owner(what: &str, lacks: Option<&str>) -> String {
    match lacks {
        Some(settings) => format!("but no {settings} that says whose it is; restore that, or "),
        None => format!("which is not of this {what}; "),
    }
}

impl TrainError {
    /// A file of the run directory that does not hold what it should.
    pub(crate) fn artefact(path: &Path, reason: String) -> Self {
        let path = path.to_owned();
        Self::Data(DataError::Artefact { path, reason })
    }

    /// The error, with the optimiser step it happened in.
    pub(crate) fn in_step(self, step: usize) -> Self {
        match self {
            Self::NonFinite { what } => Self::NonFinite {
                what: format!("step {step}: {what}"),
            },
            other => other,
        }
    }

    /// The same error, which says that `by`, a key or a flag, names the file, where a file cannot be read.
    #[must_use]
    pub fn named_by(self, by: &str) -> Self {
        match self {
            Self::Data(error) => Self::Data(error.named_by(by)),
            Self::Policy(error) => Self::Policy(error.named_by(by)),
            other => other,
        }
    }

    pub(crate) fn setting(key: &str, got: impl ToString, allowed: &str) -> Self {
        Self::Setting {
            key: key.to_owned(),
            got: got.to_string(),
            allowed: allowed.to_owned(),
        }
    }

    /// Whether the user's input is at fault (exit status 2) and not the machine or the run.
    pub fn is_input(&self) -> bool {
        match self {
            Self::NonFinite { .. }
            | Self::Diverged { .. }
            | Self::Interrupted { .. }
            | Self::FirstLoss { .. }
            | Self::StaleAnchors { .. }
            | Self::NoPairs { .. }
            | Self::Sampler { .. }
            | Self::Game(_)
            | Self::Oracle(_) => false,
            Self::Policy(error) => error.is_input(),
            Self::Data(error) => error.is_input(),
            _ => true,
        }
    }
}
