//! What is wrong with the instructions of a row.

use serde_json::Value;

/// Why a row's instructions cannot be checked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InstructionError {
    /// The row lacks a column.
    #[error(
        "the row has no `{0}`: instructions come in the columns `instruction_id_list` and `kwargs`, as in IFEval"
    )]
    NoColumn(&'static str),
    /// A column is not what it must be.
    #[error("`{column}` must be {expected}, or the same as JSON text")]
    Column {
        /// The column.
        column: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// The two columns do not belong together.
    #[error(
        "`instruction_id_list` has {ids} instructions and `kwargs` {kwargs}: each instruction has its own"
    )]
    Lengths {
        /// Entries of `instruction_id_list`.
        ids: usize,
        /// Entries of `kwargs`.
        kwargs: usize,
    },
    /// There is no such instruction.
    #[error(
        "there is no instruction {0:?}: it must be one of IFEval's 25, as `length_constraints:number_words`"
    )]
    NoInstruction(String),
    /// The instruction lacks an argument.
    #[error("the instruction `{id}` needs `{key}` in its kwargs")]
    Missing {
        /// The instruction.
        id: &'static str,
        /// The argument.
        key: &'static str,
    },
    /// The instruction takes no such argument.
    #[error("the instruction `{id}` takes no `{key}` in its kwargs: it takes {known}")]
    Unknown {
        /// The instruction.
        id: &'static str,
        /// The argument.
        key: String,
        /// The arguments it takes.
        known: String,
    },
    /// An argument is not what it must be.
    #[error("the instruction `{id}` has {got} as `{key}`: it must be {expected}")]
    Wrong {
        /// The instruction.
        id: &'static str,
        /// The argument.
        key: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        got: Value,
    },
    /// An argument is used as a regular expression, and is none.
    #[error(
        "the instruction `{id}` has a `{key}` that is no regular expression, as which it is used: {reason}"
    )]
    Pattern {
        /// The instruction.
        id: &'static str,
        /// The argument.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}
