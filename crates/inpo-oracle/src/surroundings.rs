//! What a judge needs beside its settings: where models are found, on which device they run, where answers are kept.

use std::path::{Path, PathBuf};

use crate::judged::Progress;
use crate::kind::{BoxedOracle, OracleConfigError};

/// Finds a model by the name that a configuration gives it: a directory, a file, a hub id.
pub type FindModel<'a> = dyn Fn(&str) -> Result<PathBuf, String> + 'a;

/// An oracle from its keys. A function that is handed down: the table of kinds knows the kind that has members.
pub type BuildMember =
    fn(&toml::Table, &Surroundings<'_>) -> Result<BoxedOracle, OracleConfigError>;

/// Where an oracle is built.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Finds models. Default: a path is taken as it is.
    pub find_model: &'a FindModel<'a>,
    /// The device of models.
    #[cfg(feature = "models")]
    pub device: Option<&'a burn::tensor::Device>,
    /// The folder of the journal; none: answers are not kept.
    pub journal: Option<&'a Path>,
    /// Whether what the journal has no usable verdict on is asked again.
    pub retry_invalid: bool,
    /// Whether the judge is only asked what its questions would take: the key of a server may be absent.
    pub dry_run: bool,
    /// Is told of each verdict as it comes.
    pub progress: Option<&'a Progress>,
    /// Builds an oracle from the keys of `[oracle]`, for a kind that asks others. [`OracleConfig::init`](crate::OracleConfig::init)
    /// sets it.
    pub member: Option<BuildMember>,
}

impl Default for Surroundings<'_> {
    /// Models by their path, on no device, without a journal.
    fn default() -> Self {
        Self {
            find_model: &|name| Ok(PathBuf::from(name)),
            #[cfg(feature = "models")]
            device: None,
            journal: None,
            retry_invalid: false,
            dry_run: false,
            progress: None,
            member: None,
        }
    }
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("journal", &self.journal)
            .finish_non_exhaustive()
    }
}
