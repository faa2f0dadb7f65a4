//! Why a model's files could not be found.

use std::path::PathBuf;

use inpo_data::DataError;

/// The error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A file whose contents are not the published ones.
    #[error("{} has the wrong sha256: found {found}, expected {expected}; delete it so that it is fetched again", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The digest of the file.
        found: String,
        /// The digest of the published file.
        expected: String,
    },

    /// A model name that is neither a path nor an alias nor a hub id.
    #[error(
        "there is no model {model}; give a Hugging Face directory, a .gguf file, the alias `smollm2-135m-instruct`, or a hub id such as `owner/name`"
    )]
    UnknownModel {
        /// The name given, shortened.
        model: String,
    },

    /// A model that would have to be fetched while fetching is switched off.
    #[error("the model {model} is not in {} and INPO_OFFLINE=1 forbids fetching it; unset INPO_OFFLINE, or {advice}", cache.display())]
    Offline {
        /// The name given.
        model: String,
        /// The cache directory that was looked into.
        cache: PathBuf,
        /// What else can be done.
        advice: String,
    },

    /// A model that could not be fetched by any of the ways tried.
    #[error(
        "the model {model} could not be fetched; {advice}. Tried:{}",
        list_attempts(attempts)
    )]
    Fetch {
        /// The name given.
        model: String,
        /// What the user can do.
        advice: String,
        /// The ways tried and why each failed.
        attempts: Vec<(String, String)>,
    },

    /// A file that cannot be read or written.
    #[error(transparent)]
    Data(#[from] DataError),
}

impl HubError {
    /// Whether the user's input is at fault, and not this machine's disk.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Data(error) => error.is_input(),
            _ => true,
        }
    }
}

fn list_attempts(attempts: &[(String, String)]) -> String {
    attempts
        .iter()
        .map(|(what, why)| format!("\n  - {what}: {why}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_fetch_lists_what_was_tried() {
        let error = HubError::Fetch {
            model: "m".into(),
            advice: "check the network".into(),
            attempts: vec![
                ("pip".into(), "not found".into()),
                ("hub".into(), "not compiled in".into()),
            ],
        };
        assert_eq!(
            error.to_string(),
            "the model m could not be fetched; check the network. Tried:\n  - pip: not found\n  - hub: not compiled in"
        );
    }
}
