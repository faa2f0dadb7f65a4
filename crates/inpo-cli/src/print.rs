//! Printing that survives a reader who has gone: `inpo .. | head` is no error.

use std::io::{self, Write};

use inpo_core::policy::Policy;

use crate::error::CliError;

/// Prints lines to standard output.
pub(crate) fn lines(lines: impl IntoIterator<Item = String>) -> Result<(), CliError> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = lines
        .into_iter()
        .try_for_each(|line| writeln!(out, "{line}"))
        .and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::Other(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says what was found out about a policy that its user should know.
pub(crate) fn notes(policy: &Policy) {
    for note in policy.notes() {
        tell(&format!("note: {note}"));
    }
}

pub(crate) use inpo_console::tell;
