//! What a judge needs beside its settings: where models are found, on which device they run, where answers are kept.

use std::path::{Path, PathBuf};

/// Finds a model by the name that a configuration gives it: a directory, a file, a hub id.
pub type FindModel<'a> = dyn Fn(&str) -> Result<PathBuf, String> + 'a;

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
}

impl Default for Surroundings<'_> {
    /// Models by their path, on no device, without a journal.
    fn default() -> Self {
        Self {
            find_model: &|name| Ok(PathBuf::from(name)),
            #[cfg(feature = "models")]
            device: None,
            journal: None,
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
