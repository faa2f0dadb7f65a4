//! Models by name, with a bar while they are fetched.

use std::path::PathBuf;

use indicatif::ProgressBar;
use inpo_core::hub::{HubError, Progress, ResolveOptions, resolve};

use crate::{bar, tell};

/// The path of a model: a path, the alias `smollm2-135m-instruct`, or a hub id. What is not here is fetched, which a bar
/// on standard error shows.
///
/// # Errors
///
/// As [`resolve`].
pub fn find_model(model: &str) -> Result<PathBuf, HubError> {
    let mut shown: Option<ProgressBar> = None;
    let mut watch = |progress: Progress<'_>| match progress {
        Progress::Begin { what, bytes } => {
            let template = "{msg} [{bar:30}] {bytes}/{total_bytes}, {eta} left";
            shown = Some(bar(bytes, template).with_message(what.to_owned()));
        }
        Progress::At(bytes) => {
            if let Some(bar) = &shown {
                bar.set_position(bytes);
            }
        }
        Progress::End => {
            if let Some(bar) = shown.take() {
                bar.finish_and_clear();
            }
        }
        Progress::Note(line) => tell(line),
    };
    resolve(model, &ResolveOptions::default(), &mut watch)
}
