//! The report on a run, at its end.

use std::path::Path;

use inpo_core::data::DataError;
use inpo_core::data::files::write_whole;
use inpo_core::eval::page::{REPORT, RunReport};

use crate::tell;

/// Writes the report on the run in `output_dir` into it, and says where it is.
///
/// # Errors
///
/// A directory without a run, a file that cannot be written.
pub fn write_report(output_dir: &Path) -> Result<(), DataError> {
    let report = RunReport::read(output_dir)?;
    let path = output_dir.join(REPORT);
    write_whole(&path, report.to_html().as_bytes())?;
    tell(&format!("the report is {}", path.display()));
    Ok(())
}
