//! Models by name, with a bar while they are fetched.

use std::path::PathBuf;

use inpo_core::hub::{HubError, Progress, ResolveOptions, resolve};

use crate::{Meter, tell};

/// The path of a model: a path, the alias `smollm2-135m-instruct`, or a hub id. What is not here is fetched, which a
/// meter on standard error shows.
///
/// # Errors
///
/// As [`resolve`].
pub fn find_model(model: &str) -> Result<PathBuf, HubError> {
    let mut shown: Option<Meter> = None;
    let mut watch = |progress: Progress<'_>| match progress {
        Progress::Begin { what, bytes } => {
            shown = Some(Meter::bytes(what, bytes));
        }
        Progress::At(bytes) => {
            if let Some(meter) = &shown {
                meter.set(bytes);
            }
        }
        Progress::End => {
            if let Some(meter) = shown.take() {
                meter.finish();
            }
        }
        Progress::Note(line) => tell(line),
    };
    resolve(model, &ResolveOptions::default(), &mut watch)
}
