//! The directory of a run or a training: every arrow of the loop is a file, written whole or not at all, and known by its
//! digest from then on.
//!
//! The digest of a stage goes into `manifest.json` before its file gets its name. A stage is complete where its files are
//! there and are what the manifest says: a process that is killed in between leaves a stage that is made again.

mod checkpoint;
mod foreign;
mod layout;
mod ledger;
mod log;
mod metrics;
mod partial;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inpo_data::files::{lock, sync, write_whole};
use inpo_data::{DataError, sha256};
use inpo_policy::Policy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::error::TrainError;
use crate::phases::{Phase, PolicyId};
use crate::resume::changed_settings;
use crate::stage::{COMPLETE, Place, Stage};
use crate::tensorboard::EventFile;
pub(crate) use checkpoint::{Checkpoints, Progress};
pub(crate) use foreign::check_output_dir;
pub(crate) use layout::{Identity, Layout};
pub(crate) use partial::PartialStage;

use foreign::{check_free, check_stages, files_below, folders};
use ledger::{Damage, FileDigest, Ledger, Record, read_manifest, write_manifest};
use log::Current;

const MANIFEST: &str = "manifest.json";
const METRICS: &str = "metrics.jsonl";
const STATE: &str = "trainer_state.json";

/// A policy that is being written.
const PARTIAL_POLICY: &str = "policy.partial";

/// A checkpoint that is being written, or removed.
const PARTIAL_CHECKPOINT: &str = "checkpoint.partial";

/// `output_dir`, held by this process.
#[derive(Debug)]
pub(crate) struct RunDir {
    root: PathBuf,
    layout: Layout,
    /// Whether the directory belongs to this run.
    claimed: bool,
    /// The manifest without the stages.
    header: Map<String, Value>,
    settings: String,
    /// The digest of the settings' file.
    settings_sha256: String,
    /// The complete stages; none in a directory of an earlier release, where a stage is complete if its file is there.
    ledger: Option<Ledger>,
    /// What the stage under way logged.
    current: Current,
    /// What TensorBoard shows, if that is wanted.
    events: Option<EventFile>,
    /// What a user should know of the directory.
    notes: Vec<String>,
    _lock: std::fs::File,
}

impl RunDir {
    /// Opens the directory for the run of `config`. With `resume`, an existing run is resumed if it has the same settings
    /// and identity; its files are checked, and [`notes`](Self::take_notes) say which of them are computed again. A new
    /// directory is left as it is until it is [claimed](Self::claim).
    ///
    /// # Errors
    ///
    /// A directory that holds a run while `resume` is not set, another run or anything else, or what `config` reads;
    /// metrics and a manifest that are not what was written; files that cannot be read or written.
    pub(crate) fn open<C: Serialize + DeserializeOwned>(
        root: &Path,
        layout: Layout,
        config: &C,
        manifest: &impl Serialize,
        identity: &Identity<'_>,
        resume: bool,
    ) -> Result<Self, TrainError> {
        let Value::Object(header) = json!(manifest) else {
            unreachable!("a header has fields");
        };
        check_output_dir(root, layout, config)?;
        let path = root.join(layout.settings());
        if !path.exists() {
            check_free(root, layout, Some(&header))?;
        }
        let settings = toml::to_string_pretty(config).expect("a configuration is TOML");
        let mut dir = Self {
            root: root.to_owned(),
            layout,
            claimed: false,
            header,
            settings_sha256: sha256(settings.as_bytes()),
            settings,
            ledger: Some(Ledger::default()),
            current: Current::default(),
            events: None,
            notes: Vec::new(),
            _lock: lock(root)?,
        };
        if !path.exists() {
            if resume {
                let (root, what) = (root.display(), layout.what());
                let note = format!("{root} holds nothing to resume; the {what} begins");
                dir.notes.push(note);
            }
            return Ok(dir);
        }
        if !resume {
            return Err(TrainError::RunExists(dir.root));
        }
        let saved = read_manifest(&root.join(MANIFEST))?;
        let mut different = Vec::new();
        if !dir.restore_settings(&path, saved.settings.as_deref())? {
            let text = std::fs::read_to_string(&path).map_err(DataError::read(&path))?;
            let changed = changed_settings(&text, config);
            let changed = changed.map_err(|reason| TrainError::artefact(&path, reason))?;
            if !changed.is_empty() {
                different.push(format!("other settings ({})", changed.join(", ")));
            }
        }
        different.extend(identity.differences(&saved.document));
        if !different.is_empty() {
            return Err(TrainError::OtherRun {
                root: dir.root,
                different: different.join(", "),
            });
        }
        dir.claimed = true;
        dir.header = saved.header();
        dir.settings_sha256 = saved.settings.unwrap_or_default();
        dir.ledger = saved.ledger;
        dir.check()?;
        dir.remove_left_overs()?;
        Ok(dir)
    }

    /// Removes what a process that was killed left half-written, and the parts of stages that are complete.
    fn remove_left_overs(&self) -> Result<(), TrainError> {
        for folder in folders(&self.root, self.layout)? {
            for name in [PARTIAL_POLICY, PARTIAL_CHECKPOINT] {
                remove(&self.root.join(&folder).join(name))?;
            }
        }
        let records = self.ledger.iter().flat_map(|ledger| &ledger.records);
        for record in records.filter(|record| record.damage == Damage::None) {
            self.remove_partial(record.place())?;
        }
        Ok(())
    }

    /// Writes the settings' file again where it is not what was written and these settings are. Returns whether they are.
    fn restore_settings(&mut self, path: &Path, written: Option<&str>) -> Result<bool, TrainError> {
        if written != Some(&self.settings_sha256) {
            return Ok(false);
        }
        let bytes = std::fs::read(path).map_err(DataError::read(path))?;
        if bytes != self.settings.as_bytes() {
            write_whole(path, self.settings.as_bytes())?;
            let name = self.layout.settings();
            self.notes
                .push(format!("{name} was not what was written: written again"));
        }
        Ok(true)
    }

    /// Checks the files of every stage and the rows that it logged. The rows of stages that are not complete are forgotten,
    /// as they are computed again, and a last line that was cut off in the middle.
    fn check(&mut self) -> Result<(), TrainError> {
        let Some(mut ledger) = self.ledger.take() else {
            let root = self.root.display();
            self.notes.push(format!(
                "nothing in {root} was checked: it is of an earlier release, which kept no digests"
            ));
            return self.drop_unfinished_metrics();
        };
        check_stages(self, &ledger)?;
        self.notes.extend(ledger.check_files(&self.root)?);
        let last = ledger
            .records
            .iter()
            .rposition(|r| r.damage == Damage::None);
        for record in &mut ledger.records[last.map_or(0, |last| last + 1)..] {
            record.damage = Damage::Everything;
        }
        self.check_metrics(&mut ledger)?;
        self.ledger = Some(ledger);
        Ok(())
    }

    /// Also writes what is logged from now on for TensorBoard, if that `is_wanted`.
    pub(crate) fn draw(&mut self, is_wanted: bool) {
        self.events = is_wanted.then(|| EventFile::new(&self.root, METRICS));
    }

    /// What a user should know of the directory since the last call.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Whether the stages of the directory are known by their digests.
    pub(crate) fn is_checked(&self) -> bool {
        self.ledger.is_some()
    }

    /// Writes whose directory it is: the manifest, empty metrics, and last the settings.
    ///
    /// # Errors
    ///
    /// Files that cannot be written.
    pub(crate) fn claim(&mut self) -> Result<(), TrainError> {
        if self.claimed {
            return Ok(());
        }
        self.write_manifest()?;
        write_whole(&self.root.join(METRICS), b"")?;
        let path = self.root.join(self.layout.settings());
        write_whole(&path, self.settings.as_bytes())?;
        self.claimed = true;
        Ok(())
    }

    fn write_manifest(&self) -> Result<(), TrainError> {
        let ledger = self.ledger.as_ref().expect("an earlier manifest stays");
        let path = self.root.join(MANIFEST);
        let settings = &self.settings_sha256;
        Ok(write_manifest(&path, &self.header, settings, ledger)?)
    }

    /// The file of a stage.
    pub(crate) fn file(&self, place: Place<'_>) -> PathBuf {
        self.root.join(self.layout.name(place))
    }

    /// Whether a stage is complete.
    pub(crate) fn is_complete(&self, place: Place<'_>) -> bool {
        match &self.ledger {
            _ if !self.claimed => false,
            None => self.file(place).exists(),
            Some(ledger) => ledger.get(place).is_some_and(|r| r.damage == Damage::None),
        }
    }

    /// Whether a stage of `phase` was complete and is not any more.
    pub(crate) fn is_damaged(&self, phase: &Phase) -> bool {
        let pairs = [Stage::Generate, Stage::Judge, Stage::Select].map(|s| phase.pairs_place(s));
        let own = [Stage::Anchors, Stage::Train].map(|stage| phase.place(stage));
        let records = |place| self.ledger.as_ref().and_then(|ledger| ledger.get(place));
        let mut records = pairs.into_iter().chain(own).filter_map(records);
        records.any(|record| record.damage != Damage::None)
    }

    /// Where the training of `id` stands, if it is trained.
    fn training(&self, id: PolicyId) -> Option<Place<'static>> {
        let (iteration, folder) = match (id, self.layout) {
            (PolicyId::Reference | PolicyId::Previous | PolicyId::Opponent(_), _) => return None,
            (PolicyId::After(0) | PolicyId::Intermediate(0), _) => return None,
            (PolicyId::After(t), _) => (t, None),
            (PolicyId::Intermediate(t), Layout::Iterations { first_phase }) => {
                (t, Some(first_phase))
            }
            (PolicyId::Intermediate(_), Layout::OnePhase) => return None,
        };
        Some(Place {
            stage: Stage::Train,
            iteration,
            folder,
        })
    }

    /// Whether the phase that makes `id` is complete.
    pub(crate) fn has(&self, id: PolicyId) -> bool {
        self.training(id)
            .is_some_and(|place| self.is_complete(place))
    }

    /// A trained policy of a complete phase; `base` is the run's starting policy, whose full weights are dropped first.
    ///
    /// # Errors
    ///
    /// Saved weights that cannot be read.
    pub(crate) fn load(&self, id: PolicyId, base: Policy) -> Result<Policy, TrainError> {
        let place = self.training(id).expect("only trained policies are loaded");
        let marker = self.file(place);
        let dir = marker.parent().expect("it is inside of the policy");
        load_trained(dir, base)
    }

    /// Saves a trained policy, which `write` writes into an empty directory; the directory gets its name last.
    ///
    /// # Errors
    ///
    /// Those of `write`; files that cannot be written.
    pub(crate) fn save(
        &mut self,
        id: PolicyId,
        write: impl FnOnce(&Path) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let place = self.training(id).expect("only trained policies are saved");
        let name = self.layout.name(place);
        let name = name.trim_end_matches(COMPLETE).trim_end_matches('/');
        let dir = self.root.join(name);
        let partial = dir.with_file_name(PARTIAL_POLICY);
        remove(&partial)?;
        write(&partial)?;
        write_whole(&partial.join(COMPLETE), b"")?;
        let mut files = BTreeMap::new();
        let above = partial.parent().expect("it is in the output directory");
        for file in files_below(above, PARTIAL_POLICY)? {
            let inside = file.trim_start_matches(PARTIAL_POLICY);
            let digest = FileDigest::read(&above.join(&file))?;
            files.insert(format!("{name}{inside}"), digest);
        }
        self.record(place, files)?;
        remove(&dir)?;
        std::fs::rename(&partial, &dir).map_err(DataError::write(&dir))?;
        Ok(sync(above)?)
    }

    /// Completes a stage whose file holds these rows.
    ///
    /// # Errors
    ///
    /// Files that cannot be written.
    pub(crate) fn write_rows<T: Serialize>(
        &mut self,
        place: Place<'_>,
        rows: &[T],
    ) -> Result<(), TrainError> {
        let bytes: Vec<u8> = rows.iter().flat_map(log::line).collect();
        self.write(place, &bytes, Some(rows.len()))?;
        self.remove_partial(place)
    }

    /// Completes a stage whose file holds `bytes`.
    ///
    /// # Errors
    ///
    /// Files that cannot be written.
    pub(crate) fn write(
        &mut self,
        place: Place<'_>,
        bytes: &[u8],
        rows: Option<usize>,
    ) -> Result<(), TrainError> {
        let file = FileDigest::of(bytes, rows);
        self.record(place, [(self.layout.name(place), file)].into())?;
        Ok(write_whole(&self.file(place), bytes)?)
    }

    /// Notes in the manifest what a stage is about to write. A stage that is made again as it was leaves those that were made
    /// from it as they are; if it comes out other than before, they are removed, to be made again.
    fn record(
        &mut self,
        place: Place<'_>,
        files: BTreeMap<String, FileDigest>,
    ) -> Result<(), TrainError> {
        let current = std::mem::take(&mut self.current);
        let Some(ledger) = &mut self.ledger else {
            return Ok(());
        };
        let record = Record::new(place, files, current.logged());
        let at = ledger.position(place);
        let (mut removed, mut held) = (Vec::new(), None);
        match at.map(|at| &mut ledger.records[at]) {
            Some(known) if known.files == record.files => {
                if std::mem::take(&mut known.damage) != Damage::Everything {
                    return Ok(());
                }
                known.metrics = record.metrics;
            }
            Some(known) => {
                held = (known.damage == Damage::Files).then_some(current.held.as_slice());
                removed = ledger.take_dependents(at.expect("it is known"));
                ledger.records.push(record);
            }
            None => ledger.records.push(record),
        }
        for old in removed.iter().skip(1) {
            remove_files(&self.root, self.layout, old)?;
        }
        if removed.len() > 1 {
            let name = self.layout.name(place);
            self.notes.push(format!(
                "{name} came out other than before: {} stages that were made from it are computed again",
                removed.len() - 1
            ));
        }
        if at.is_some() {
            self.arrange_metrics(place, held)?;
        }
        let metrics = self.root.join(METRICS);
        if metrics.exists() {
            sync(&metrics)?;
        }
        self.write_manifest()
    }
}

/// The policy that was trained from `base` and saved in `dir`.
///
/// # Errors
///
/// Saved weights that cannot be read.
pub(crate) fn load_trained(dir: &Path, base: Policy) -> Result<Policy, TrainError> {
    Ok(match base.lora() {
        Some(_) => base.reference().with_saved_adapters(dir)?,
        None => base.with_saved_weights(dir)?,
    })
}

/// Removes a stage's files.
fn remove_files(root: &Path, layout: Layout, record: &Record) -> Result<(), TrainError> {
    let path = root.join(layout.name(record.place()));
    match path.parent() {
        Some(policy) if record.place().stage == Stage::Train => remove(policy),
        _ => remove(&path),
    }
}

/// Removes a file or a directory with what is in it, if it exists.
fn remove(path: &Path) -> Result<(), TrainError> {
    let Ok(metadata) = path.symlink_metadata() else {
        return Ok(());
    };
    let removed = if metadata.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    Ok(removed.map_err(DataError::write(path))?)
}
