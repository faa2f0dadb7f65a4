//! The oracles that a run's configuration names.

use std::path::PathBuf;

use burn::tensor::Device;
use inpo_oracle::{Oracle, OracleConfig, Progress, Surroundings};

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
        self.init(&self.oracle, device, find, progress)
    }

    /// The second oracle, that of `[eval.oracle]`, if there is one, as [`RunConfig::init_oracle`] makes the first.
    ///
    /// # Errors
    ///
    /// As [`RunConfig::init_oracle`].
    pub fn init_eval_oracle<E: std::fmt::Display>(
        &self,
        device: &Device,
        find: impl Fn(&str) -> Result<PathBuf, E>,
    ) -> Result<Option<Oracle>, TrainError> {
        let oracle = self.eval.oracle.as_ref();
        let oracle = oracle.map(|oracle| self.init(oracle, device, find, None));
        // Its sentences name the keys of [oracle].
        oracle.transpose().map_err(|error| match error {
            TrainError::OracleConfig(error) => TrainError::Config {
                origin: "[eval.oracle]".to_owned(),
                reason: error.to_string(),
            },
            other => other,
        })
    }

    fn init<E: std::fmt::Display>(
        &self,
        oracle: &OracleConfig,
        device: &Device,
        find: impl Fn(&str) -> Result<PathBuf, E>,
        progress: Option<&Progress>,
    ) -> Result<Oracle, TrainError> {
        let find = |name: &str| find(name).map_err(|error| error.to_string());
        let journal = self.common.output_dir.join(JOURNAL);
        Ok(oracle.init(&Surroundings {
            find_model: &find,
            device: Some(device),
            journal: Some(&journal),
            progress,
            ..Surroundings::default()
        })?)
    }
}
