//! What the programs of inpo share: a [`Console`] that shows a run's progress on standard error, bars for other long work,
//! [`find_model`], which shows a model being fetched, and [`write_report`], which ends a run.

mod console;
mod interrupt;
mod models;
mod report;

use std::io::Write;

use indicatif::{ProgressBar, ProgressStyle};
use inpo_core::data::printable_lines;

pub use console::Console;
pub use models::find_model;
pub use report::write_report;

/// Tells people something on standard error, without the escape sequences that a name or a foreign program may have put into
/// it. Whoever reads it may have gone; the program goes on.
pub fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable_lines(line));
}

/// A bar on standard error for `total` units, where that is a terminal. `template` is indicatif's.
///
/// # Panics
///
/// If the template is malformed: a fault of the caller.
#[must_use]
pub fn bar(total: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    ProgressBar::new(total).with_style(style)
}
