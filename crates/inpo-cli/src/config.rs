//! The flags of a command that is driven by a TOML configuration.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::progress::ProgressArgs;

/// `--config` and what changes it.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// TOML configuration.
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// Override a setting, for instance `train.learning_rate=1e-5`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Override `device`: flex (the CPU), cuda:N, tch, wgpu, cpu; `inpo devices` lists them.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Go on with what `output_dir` holds at the first file that is missing.
    #[arg(long)]
    pub(crate) resume: bool,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
}

/// The first of these sections, or keys of sections, that a TOML file has.
pub(crate) fn has_section<'s>(path: &Path, names: &[&'s str]) -> Option<&'s str> {
    let table: toml::Table = std::fs::read_to_string(path).ok()?.parse().ok()?;
    let mut names = names.iter();
    let has = |name: &&&str| match name.split_once('.') {
        Some((section, key)) => table
            .get(section)
            .is_some_and(|inner| inner.get(key).is_some()),
        None => table.contains_key(**name),
    };
    names.find(has).copied()
}

impl ConfigArgs {
    /// Puts `--device` in the place of the configuration's.
    pub(crate) fn set_device(&self, device: &mut String) {
        if let Some(given) = &self.device {
            device.clone_from(given);
        }
    }
}
