//! The form of what is told on standard error: one for the whole process.

use std::io::Write;
use std::sync::OnceLock;

use inpo_core::data::printable_lines;
use serde_json::{Value, json};

/// How people, or a program, are told what happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Lines, and bars on a terminal.
    #[default]
    Text,
    /// Errors alone.
    Quiet,
    /// One JSON object a line, each with an `event`.
    Json,
}

static FORM: OnceLock<Form> = OnceLock::new();

/// Chooses the form. The first choice of a process holds.
pub fn choose(form: Form) {
    FORM.get_or_init(|| form);
}

/// The form that was chosen, or lines and bars.
pub(crate) fn form() -> Form {
    FORM.get().copied().unwrap_or_default()
}

/// Tells people something on standard error, without the escape sequences that a name or a foreign program may have put into
/// it. Whoever reads it may have gone; the program goes on.
pub fn tell(line: &str) {
    tell_as("note", line);
}

/// Tells an error, also where nothing else is told.
pub fn tell_error(sentence: &str) {
    match form() {
        Form::Json => event(json!({ "event": "error", "text": sentence })),
        Form::Text | Form::Quiet => write_line(&format!("error: {sentence}")),
    }
}

/// Tells `text`, which a program is told as `name`.
pub(crate) fn tell_as(name: &str, text: &str) {
    match form() {
        Form::Text => write_line(text),
        Form::Quiet => {}
        Form::Json => event(json!({ "event": name, "text": text })),
    }
}

/// Tells a program of an event.
pub(crate) fn event(event: Value) {
    write_line(&event.to_string());
}

fn write_line(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable_lines(line));
}
