//! From a model's name to its path.

use std::path::PathBuf;

/// Why a model's files cannot be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindModelError {
    /// The hub's reasons.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] inpo_hub::HubError),
    /// Nothing is there, and names are not known.
    #[error(
        "there is no model at {0:?}; give the path of a Hugging Face directory or a .gguf file, or build with the \
         feature `hub` of inpo-core, which fetches models by name"
    )]
    NoModel(String),
}

/// The path of a model. With the feature `hub` the name may be a path, the alias `smollm2-135m-instruct` or a hub id, and
/// what is not here is fetched; without it only a path is found.
///
/// # Errors
///
/// A name that means nothing, a model that cannot be fetched.
pub fn find_model(model: &str) -> Result<PathBuf, FindModelError> {
    #[cfg(feature = "hub")]
    return Ok(inpo_hub::find(model)?);
    #[cfg(not(feature = "hub"))]
    {
        let path = PathBuf::from(model);
        if path.exists() {
            return Ok(path);
        }
        Err(FindModelError::NoModel(model.to_owned()))
    }
}
