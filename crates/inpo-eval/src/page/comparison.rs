//! Several runs side by side.

use std::path::Path;

use inpo_data::DataError;
use serde::Serialize;

use super::RunReport;
use super::settings::{Difference, differences};

/// Several runs side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The runs.
    pub runs: Vec<RunReport>,
    /// The settings in which they differ, but for `output_dir`.
    pub differences: Vec<Difference>,
}

impl Comparison {
    /// Reads the runs in these directories, as [`RunReport::read`].
    ///
    /// # Errors
    ///
    /// The first directory that holds no run.
    pub fn read<P: AsRef<Path>>(roots: &[P]) -> Result<Self, DataError> {
        let runs = roots.iter().map(|root| RunReport::read(root.as_ref()));
        let runs: Vec<RunReport> = runs.collect::<Result<_, _>>()?;
        Ok(Self {
            differences: differences(&runs),
            runs,
        })
    }
}
