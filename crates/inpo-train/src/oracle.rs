//! The oracle that a run's configuration names.

use std::path::PathBuf;

use burn::tensor::Device;
use inpo_oracle::{Oracle, Progress, Surroundings};

use crate::config::RunConfig;
use crate::error::TrainError;

/// The folder of a run in which the answers of a judge are kept.
const JOURNAL: &str = "journal";

impl RunConfig {
    /// The oracle of `[oracle]`, with its journal in the output directory. Judges that are models run on `device`; `find`
    /// gives the path of a model's name.
    ///
    /// # Errors
    ///
    /// A setting out of its range, a model or file that cannot be read.
    pub fn init_oracle<E: std::fmt::Display>(
        &self,
        device: &Device,
        find: impl Fn(&str) -> Result<PathBuf, E>,
    ) -> Result<Oracle, TrainError> {
        self.init_oracle_with(device, find, None)
    }

    /// As [`init_oracle`](Self::init_oracle); `progress` is told of each verdict as it comes.
    ///
    /// # Errors
    ///
    /// As [`init_oracle`](Self::init_oracle).
    pub fn init_oracle_with<E: std::fmt::Display>(
        &self,
        device: &Device,
        find: impl Fn(&str) -> Result<PathBuf, E>,
        progress: Option<&Progress>,
    ) -> Result<Oracle, TrainError> {
        let find = |name: &str| find(name).map_err(|error| error.to_string());
        let journal = self.common.output_dir.join(JOURNAL);
        Ok(self.oracle.init(&Surroundings {
            find_model: &find,
            device: Some(device),
            journal: Some(&journal),
            progress,
            ..Surroundings::default()
        })?)
    }
}
