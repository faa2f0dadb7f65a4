//! What the programs of inpo share: a [`Console`] that shows a run's progress on standard error, a [`Meter`] of other long
//! work, the [`Form`] of both, [`find_model`], which shows a model being fetched, and [`write_report`], which ends a run.

mod clock;
mod console;
mod form;
mod interrupt;
mod meter;
mod models;
mod report;
mod verdicts;

pub use console::Console;
pub use form::{Form, choose, tell, tell_error};
pub use meter::Meter;
pub use models::find_model;
pub use report::write_report;
pub use verdicts::Verdicts;
