//! What may be in the directory of a run: nothing that the run did not write, and nothing that it reads.

use std::path::{Path, PathBuf};

use inpo_data::DataError;
use serde::Serialize;
use serde_json::{Map, Value};

use super::ledger::{Ledger, is_manifest_of};
use super::{Layout, MANIFEST, METRICS, RunDir, STATE};
use crate::error::TrainError;
use crate::stage::{POLICY, Stage};

/// Beginnings of the names of files that are being written.
const TEMPORARY: [&str; 2] = [".partial-", ".tmp"];

fn is_temporary(name: &str) -> bool {
    name == ".lock" || TEMPORARY.iter().any(|prefix| name.starts_with(prefix))
}

/// Names in a directory, sorted; none where it does not exist.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, DataError> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(DataError::read(dir))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(DataError::read(dir))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// Checks what can be known of `output_dir` before a model is read: that nothing that `config` names lies inside of it, and
/// that it is free or has settings.
///
/// # Errors
///
/// The key of what is read and lies inside; the first thing that is not of this run.
pub(crate) fn check_output_dir(
    root: &Path,
    layout: Layout,
    config: &impl Serialize,
) -> Result<(), TrainError> {
    check_inputs(root, config)?;
    if root.join(layout.settings()).exists() {
        return Ok(());
    }
    check_free(root, layout, None)
}

/// Checks that a directory without settings is free for a run of `layout` whose manifest has `header`, if that is known:
/// empty, but for temporary files and what a run leaves that was killed before it wrote its settings.
///
/// # Errors
///
/// The first thing that is not of this run; a directory that cannot be read.
pub(super) fn check_free(
    root: &Path,
    layout: Layout,
    header: Option<&Map<String, Value>>,
) -> Result<(), TrainError> {
    let is_ours = |name: &str| match name {
        MANIFEST => header.is_none_or(|header| is_manifest_of(&root.join(name), header)),
        METRICS => std::fs::metadata(root.join(name)).is_ok_and(|m| m.is_file() && m.len() == 0),
        name => is_temporary(name),
    };
    let mut others = names(root)?;
    others.retain(|name| !is_ours(name));
    // The settings of another kind say most.
    let is_other = |name: &&String| *name == layout.other_settings();
    let Some(name) = others.iter().find(is_other).or(others.first()) else {
        return Ok(());
    };
    let of_a_run = [MANIFEST, METRICS, STATE, POLICY, Stage::Anchors.file()];
    let lacks_settings = !others.iter().any(|name| name == layout.other_settings())
        && (of_a_run.contains(&name.as_str()) || name.starts_with(ITERATION));
    Err(TrainError::NotOfRun {
        root: root.to_owned(),
        name: name.clone(),
        what: layout.what(),
        lacks: lacks_settings.then(|| layout.settings().to_owned()),
    })
}

/// Beginning of the name of an iteration's folder.
pub(super) const ITERATION: &str = "iteration-";

/// Checks that each stage's file in a directory is one that the run completed, and that its policies have no further files.
///
/// # Errors
///
/// The first that is not; a directory that cannot be read.
pub(super) fn check_stages(dir: &RunDir, ledger: &Ledger) -> Result<(), TrainError> {
    let root = &dir.root;
    let known = |name: &str| {
        let inside = format!("{name}/");
        let mut files = ledger.records.iter().flat_map(|record| record.files.keys());
        files.any(|file| file == name || file.starts_with(&inside))
    };
    let refuse = |name: String| {
        Err(TrainError::NotOfRun {
            root: root.clone(),
            name,
            what: dir.layout.what(),
            lacks: None,
        })
    };
    let stages: &[Stage] = match dir.layout {
        Layout::OnePhase => &[Stage::Anchors, Stage::Train],
        Layout::Iterations { .. } => &Stage::ALL,
    };
    for folder in folders(root, dir.layout)? {
        for stage in stages {
            let file = match stage {
                Stage::Train => POLICY,
                stage => stage.file(),
            };
            let name = format!("{folder}{file}");
            if root.join(&name).symlink_metadata().is_err() {
                continue;
            }
            if !known(&name) {
                return refuse(name);
            }
            if *stage == Stage::Train {
                let inside = files_below(root, &name)?;
                if let Some(other) = inside.into_iter().find(|name| !known(name)) {
                    return refuse(other);
                }
            }
        }
    }
    Ok(())
}

/// The folders of `root` that stages write their files into, each with its slash.
///
/// # Errors
///
/// A directory that cannot be read.
pub(super) fn folders(root: &Path, layout: Layout) -> Result<Vec<String>, DataError> {
    let Layout::Iterations { first_phase } = layout else {
        return Ok(vec![String::new()]);
    };
    let mut folders = Vec::new();
    for name in names(root)? {
        if name.starts_with(ITERATION) {
            folders.push(format!("{name}/"));
            if !first_phase.is_empty() {
                folders.push(format!("{name}/{first_phase}/"));
            }
        }
    }
    Ok(folders)
}

/// Paths of all files below a folder of `root`, from `root` on, but for temporary ones.
///
/// # Errors
///
/// A folder that cannot be read.
pub(super) fn files_below(root: &Path, folder: &str) -> Result<Vec<String>, DataError> {
    let mut files = Vec::new();
    for name in names(&root.join(folder))? {
        let path = format!("{folder}/{name}");
        if root.join(&path).is_dir() {
            files.extend(files_below(root, &path)?);
        } else if !is_temporary(&name) {
            files.push(path);
        }
    }
    Ok(files)
}

/// Checks that no file or directory that `config` names lies inside of its `output_dir`, which is `root`.
///
/// # Errors
///
/// The first key whose path does, also through links and `..`.
pub(super) fn check_inputs(root: &Path, config: &impl Serialize) -> Result<(), TrainError> {
    let Ok(canonical) = root.canonicalize() else {
        // What does not exist holds nothing.
        return Ok(());
    };
    let settings = toml::Value::try_from(config).expect("a configuration is TOML");
    match named_inside(&canonical, "", &settings) {
        Some((key, path)) => Err(TrainError::ReadInside {
            key,
            path,
            root: root.to_owned(),
        }),
        None => Ok(()),
    }
}

/// Keys, in whatever section, whose text is or may be the path of what is read.
const PATHS: [&str; 10] = [
    "model",
    "adapter",
    "opponents",
    "prompts",
    "eval_prompts",
    "pairs",
    "votes",
    "eval_votes",
    "template",
    "game",
];

/// The first path among the settings that lies inside of `root`, with its key.
fn named_inside(root: &Path, key: &str, value: &toml::Value) -> Option<(String, PathBuf)> {
    match value {
        toml::Value::String(text) => {
            let name = key.rsplit('.').next().unwrap_or(key);
            let path = Path::new(text);
            let inside = PATHS.contains(&name) && lies_inside(root, path);
            inside.then(|| (key.to_owned(), path.to_owned()))
        }
        toml::Value::Array(values) => values
            .iter()
            .find_map(|value| named_inside(root, key, value)),
        toml::Value::Table(table) => table.iter().find_map(|(name, value)| {
            let key = match key {
                "" => name.clone(),
                section => format!("{section}.{name}"),
            };
            named_inside(root, &key, value)
        }),
        _ => None,
    }
}

/// Whether a path that exists, what it links to, or a file of the directory that it is lies inside of `root`.
fn lies_inside(root: &Path, path: &Path) -> bool {
    let lies = |path: &Path| {
        // Where the path itself is, whatever it links to.
        let folder = match path.parent() {
            _ if path.file_name().is_none() => None,
            Some(folder) if folder.as_os_str().is_empty() => Some(Path::new(".")),
            folder => folder,
        };
        let places = [Some(path), folder].into_iter().flatten();
        let mut places = places.filter_map(|place| place.canonicalize().ok());
        places.any(|place| place.starts_with(root))
    };
    if path.symlink_metadata().is_err() {
        return false;
    }
    let files = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut files = files.map(|entry| entry.path());
    // A directory above `root` is none of its files, though it holds `root`.
    lies(path) || files.any(|file| file.is_file() && lies(&file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RunConfig;

    /// Whatever section the key of a path stands in; other words do not count, nor does the folder that the directory is in.
    #[test]
    fn a_judge_inside_is_found_by_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("out");
        std::fs::create_dir_all(root.join("judge")).unwrap();
        std::fs::write(dir.path().join("prompts.jsonl"), "").unwrap();
        let text = format!(
            "output_dir = '{0}/out'\ndevice = '{0}/out'\npolicy.model = '{0}'\ndata.prompts = '{0}/prompts.jsonl'\n",
            dir.path().display()
        );
        let check = |more: &str| {
            let config = RunConfig::parse(&format!("{text}{more}"), "run.toml", &[]).unwrap();
            check_inputs(&root, &config)
        };
        check("").unwrap();
        let judge = root.join("judge").display().to_string();
        for (more, key) in [
            (
                format!("oracle = {{ kind = 'pair_lm', model = '{judge}' }}"),
                "oracle.model",
            ),
            (format!("reference.model = '{judge}'"), "reference.model"),
            (
                format!(
                    "oracle = {{ kind = 'ensemble', combine = 'mean', members = [{{ kind = 'rules' }}, {{ kind = 'reward_model', \
                     model = '{judge}' }}] }}"
                ),
                "oracle.members.model",
            ),
        ] {
            let error = check(&more).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!(
                    "`{key}` is {judge}, which lies inside of output_dir"
                )),
                "{error}"
            );
        }
    }
}
