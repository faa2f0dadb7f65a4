//! The flags of what is told on standard error.

use clap::{Args, ValueEnum};
use inpo_console::Form;

/// `--progress` and `--quiet`.
#[derive(Debug, Args)]
pub(crate) struct ProgressArgs {
    /// How progress is told on standard error.
    #[arg(long, value_enum, default_value = "text")]
    progress: ProgressForm,
    /// Tells nothing on standard error but errors.
    #[arg(long, conflicts_with = "progress")]
    quiet: bool,
}

/// How progress is told.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProgressForm {
    /// Lines, and on a terminal bars.
    Text,
    /// One JSON object a line, each with an `event`: stage, resumed, progress, step, evaluated, concluded, header, peak,
    /// warning, note, error.
    Json,
}

impl ProgressArgs {
    /// Tells all that follows in this form.
    pub(crate) fn choose(&self) {
        inpo_console::choose(match self.progress {
            _ if self.quiet => Form::Quiet,
            ProgressForm::Text => Form::Text,
            ProgressForm::Json => Form::Json,
        });
    }
}
