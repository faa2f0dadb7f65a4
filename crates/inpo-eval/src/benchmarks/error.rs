//! What can go wrong with benchmarks.

use std::path::{Path, PathBuf};

use inpo_data::{DataError, Place};
use inpo_policy::PolicyError;

/// The error of this module. Each sentence names the file, and the line and the column where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchmarkError {
    /// A file.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A name that is no task's.
    #[error(
        "there is no task {name:?}; the tasks are {known}, the subjects of mmlu and minerva_math, and files .toml or .yaml"
    )]
    UnknownTask {
        /// The name.
        name: String,
        /// The tasks' names.
        known: String,
    },
    /// A task without its documents.
    #[error("task {task}: there is no {}; {hint}", path.display())]
    NoData {
        /// The task.
        task: String,
        /// The file that was looked for first.
        path: PathBuf,
        /// Where the documents come from, in words.
        hint: String,
    },
    /// A task without its few-shot examples.
    #[error("task {task}: {count} few-shot examples come from {}, which is not there; {hint}", path.display())]
    NoShots {
        /// The task.
        task: String,
        /// How many are asked for.
        count: usize,
        /// The file.
        path: PathBuf,
        /// Where the examples come from, in words.
        hint: String,
    },
    /// Fewer examples than asked for.
    #[error(
        "task {task}: {count} few-shot examples need {needed} rows, and {from} has {rows}; ask for fewer with --num-fewshot"
    )]
    FewShots {
        /// The task.
        task: String,
        /// How many are asked for.
        count: usize,
        /// How many rows are drawn.
        needed: usize,
        /// The pool, in words.
        from: String,
        /// How many rows it has.
        rows: usize,
    },
    /// A task's own definition.
    #[error("{}{}: {reason}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Definition {
        /// The file.
        path: PathBuf,
        /// The line, where it is known.
        line: Option<usize>,
        /// What is wrong with it.
        reason: String,
    },
    /// A model whose answers are no numbers.
    #[error("{0}")]
    Damaged(String),
    /// A setting that does not fit.
    #[error("{0}")]
    Setting(String),
}

impl BenchmarkError {
    /// Whether the user's input is at fault.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Data(error) => error.is_input(),
            Self::Policy(error) => error.is_input(),
            Self::Damaged(_) => false,
            _ => true,
        }
    }

    /// For `map_err`: something wrong with a document.
    pub(super) fn document(path: &Path, place: Place) -> impl Fn(String) -> Self {
        move |reason| DataError::row(path, place)(reason).into()
    }
}
