//! What each complete stage wrote: `stages` of `manifest.json`, which says by its own digest whether it is whole.

use std::collections::BTreeMap;
use std::path::Path;

use inpo_data::files::write_whole;
use inpo_data::{DataError, sha256, sha256_file};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::TrainError;
use crate::stage::{Place, Stage};

/// Keys of the manifest beside those of the header.
const SETTINGS: &str = "settings_sha256";
const STAGES: &str = "stages";
const SEAL: &str = "sha256";

/// A file as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileDigest {
    bytes: u64,
    /// Its rows, where it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
    sha256: String,
}

impl FileDigest {
    /// That of a file that holds `bytes`.
    pub(crate) fn of(bytes: &[u8], rows: Option<usize>) -> Self {
        Self {
            bytes: bytes.len() as u64,
            rows,
            sha256: sha256(bytes),
        }
    }

    /// That of the file at `path`.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub(crate) fn read(path: &Path) -> Result<Self, DataError> {
        let bytes = std::fs::metadata(path).map_err(DataError::read(path))?;
        Ok(Self {
            bytes: bytes.len(),
            rows: None,
            sha256: sha256_file(path)?,
        })
    }

    /// Says how the file at `path` differs, in words that follow its name; `None` where it does not.
    ///
    /// # Errors
    ///
    /// A file that is there and cannot be read.
    pub(super) fn difference(&self, path: &Path) -> Result<Option<String>, DataError> {
        let metadata = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Some("is missing".to_owned()));
            }
            metadata => metadata.map_err(DataError::read(path))?,
        };
        if !metadata.is_file() {
            return Ok(Some("is no file".to_owned()));
        }
        let (got, expected) = (metadata.len(), self.bytes);
        if got != expected {
            return Ok(Some(format!("has {got} bytes, not {expected}")));
        }
        let same = sha256_file(path)? == self.sha256;
        Ok((!same).then(|| "is not what was written".to_owned()))
    }
}

/// The rows of metrics.jsonl that a stage logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Logged {
    pub(super) rows: usize,
    pub(super) sha256: String,
}

/// How much of a complete stage is lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Damage {
    /// Nothing.
    #[default]
    None,
    /// Its files; its rows of metrics.jsonl are there.
    Files,
    /// Its files and its rows.
    Everything,
}

/// A complete stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    stage: Stage,
    iteration: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    phase: Option<String>,
    /// Its files, by their paths in the directory.
    pub(super) files: BTreeMap<String, FileDigest>,
    pub(super) metrics: Logged,
    #[serde(skip)]
    pub(super) damage: Damage,
}

impl Record {
    pub(super) fn new(
        place: Place<'_>,
        files: BTreeMap<String, FileDigest>,
        metrics: Logged,
    ) -> Self {
        Self {
            stage: place.stage,
            iteration: place.iteration,
            phase: place.folder.map(str::to_owned),
            files,
            metrics,
            damage: Damage::None,
        }
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place {
            stage: self.stage,
            iteration: self.iteration,
            folder: self.phase.as_deref(),
        }
    }

    /// Whether the stage is made from that of `on`, which was completed before it.
    fn depends(&self, on: &Self) -> bool {
        match on.stage {
            Stage::Eval => false,
            // An evaluation reads the responses of its policy and of those before it, and what was said of them.
            Stage::Evaluate | Stage::EvaluateStart => {
                matches!(self.stage, Stage::EvalJudge | Stage::Eval)
                    && self.iteration >= on.iteration
            }
            Stage::EvalJudge => self.stage == Stage::Eval && self.iteration >= on.iteration,
            _ => self.iteration >= on.iteration,
        }
    }
}

/// The complete stages, in the order in which they were completed.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) records: Vec<Record>,
}

impl Ledger {
    /// The number of the stage among the complete ones.
    pub(super) fn position(&self, place: Place<'_>) -> Option<usize> {
        self.records
            .iter()
            .position(|record| record.place() == place)
    }

    /// What is known of a stage that was completed.
    pub(super) fn get(&self, place: Place<'_>) -> Option<&Record> {
        self.records.iter().find(|record| record.place() == place)
    }

    /// Reads every file of every stage and marks the stages whose files differ. Returns a sentence about each of them.
    ///
    /// # Errors
    ///
    /// A file that is there and cannot be read.
    pub(super) fn check_files(&mut self, root: &Path) -> Result<Vec<String>, DataError> {
        let mut notes = Vec::new();
        for record in &mut self.records {
            for (name, file) in &record.files {
                if let Some(how) = file.difference(&root.join(name))? {
                    record.damage = Damage::Files;
                    notes.push(format!("{name} {how}: computed again"));
                    break;
                }
            }
        }
        Ok(notes)
    }

    /// Removes the stage of number `at` and those that were made from it; the stage itself comes first.
    pub(super) fn take_dependents(&mut self, at: usize) -> Vec<Record> {
        let changed = self.records.remove(at);
        let later = self.records.split_off(at);
        let (mut taken, kept): (Vec<Record>, Vec<Record>) = later
            .into_iter()
            .partition(|record| record.depends(&changed));
        self.records.extend(kept);
        taken.insert(0, changed);
        taken
    }
}

/// What `manifest.json` holds beside the header.
#[derive(Debug)]
pub(super) struct Saved {
    /// The whole document.
    pub(super) document: Map<String, Value>,
    /// The digest of the settings' file.
    pub(super) settings: Option<String>,
    /// The complete stages; none in a directory of an earlier release.
    pub(super) ledger: Option<Ledger>,
}

impl Saved {
    /// The header of the run that wrote it.
    pub(super) fn header(&self) -> Map<String, Value> {
        let mut header = self.document.clone();
        for key in [SETTINGS, STAGES, SEAL] {
            header.shift_remove(key);
        }
        header
    }
}

/// Writes `manifest.json`: the header, the digest of the settings' file, the complete stages, and the digest of all of it.
///
/// # Errors
///
/// A file that cannot be written.
pub(super) fn write_manifest(
    path: &Path,
    header: &Map<String, Value>,
    settings_sha256: &str,
    ledger: &Ledger,
) -> Result<(), DataError> {
    let mut document = header.clone();
    document.insert(SETTINGS.to_owned(), json!(settings_sha256));
    document.insert(STAGES.to_owned(), json!(ledger.records));
    let text = serde_json::to_string_pretty(&document).expect("plain data is JSON");
    write_whole(path, seal(&text).as_bytes())
}

/// Reads what [`write_manifest`] or an earlier release wrote.
///
/// # Errors
///
/// A file that cannot be read or is not as it was written.
pub(super) fn read_manifest(path: &Path) -> Result<Saved, TrainError> {
    let bytes = std::fs::read(path).map_err(DataError::read(path))?;
    let damaged = |what: &str| {
        let advice = "nothing in the directory can be checked; restore the file, or choose another output_dir";
        TrainError::artefact(path, format!("{what}, so that {advice}"))
    };
    let document: Map<String, Value> = serde_json::from_slice(&bytes)
        .map_err(|error| damaged(&format!("it is not the JSON that was written ({error})")))?;
    if !document.contains_key(STAGES) && !document.contains_key(SEAL) {
        return Ok(Saved {
            document,
            settings: None,
            ledger: None,
        });
    }
    if !std::str::from_utf8(&bytes).is_ok_and(is_sealed) {
        return Err(damaged("it is not as it was written"));
    }
    let records = document.get(STAGES).cloned().unwrap_or_default();
    let records = serde_json::from_value(records)
        .map_err(|error| damaged(&format!("its `{STAGES}` cannot be read ({error})")))?;
    Ok(Saved {
        settings: document
            .get(SETTINGS)
            .and_then(Value::as_str)
            .map(str::to_owned),
        document,
        ledger: Some(Ledger { records }),
    })
}

/// Whether the file at `path` is the manifest of `header`, whatever was completed.
pub(super) fn is_manifest_of(path: &Path, header: &Map<String, Value>) -> bool {
    read_manifest(path).is_ok_and(|saved| saved.header() == *header)
}

/// A JSON object in several lines, with its digest as its last entry.
pub(super) fn seal(text: &str) -> String {
    let body = text.strip_suffix("\n}").expect("an object with entries");
    format!(
        "{body},\n  \"{SEAL}\": \"{}\"\n}}\n",
        sha256(text.as_bytes())
    )
}

/// Whether a text is what [`seal`] makes of some object.
pub(super) fn is_sealed(text: &str) -> bool {
    let before = text.rfind(&format!(",\n  \"{SEAL}\": "));
    before.is_some_and(|end| seal(&format!("{}\n}}", &text[..end])) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_breaks_the_seal() {
        let text = serde_json::to_string_pretty(&json!({"seed": 3, "stages": []})).unwrap();
        let sealed = seal(&text);
        assert!(is_sealed(&sealed) && !is_sealed(&text));
        let document: Value = serde_json::from_str(&sealed).unwrap();
        assert_eq!(document["sha256"], sha256(text.as_bytes()));
        for at in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(!is_sealed(std::str::from_utf8(&bytes).unwrap()), "{at}");
        }
    }

    /// Evaluations depend on responses alone, and nothing depends on them.
    #[test]
    fn what_is_made_from_a_stage_goes_with_it() {
        let record = |stage, iteration| {
            let place = Place {
                stage,
                iteration,
                folder: None,
            };
            let metrics = Logged {
                rows: 0,
                sha256: String::new(),
            };
            Record::new(place, BTreeMap::new(), metrics)
        };
        let all = || {
            let mut records = vec![
                record(Stage::Evaluate, 0),
                record(Stage::EvalJudge, 0),
                record(Stage::Eval, 0),
            ];
            for t in [1, 2] {
                for stage in [
                    Stage::Generate,
                    Stage::Select,
                    Stage::Train,
                    Stage::Evaluate,
                    Stage::EvalJudge,
                    Stage::Eval,
                ] {
                    records.push(record(stage, t));
                }
            }
            Ledger { records }
        };
        let taken = |at: usize| -> Vec<(Stage, usize)> {
            let taken = all().take_dependents(at);
            taken.iter().map(|r| (r.stage, r.iteration)).collect()
        };
        assert_eq!(
            taken(0),
            [
                (Stage::Evaluate, 0),
                (Stage::EvalJudge, 0),
                (Stage::Eval, 0),
                (Stage::EvalJudge, 1),
                (Stage::Eval, 1),
                (Stage::EvalJudge, 2),
                (Stage::Eval, 2)
            ]
        );
        assert_eq!(taken(8), [(Stage::Eval, 1)]);
        assert_eq!(
            taken(7),
            [(Stage::EvalJudge, 1), (Stage::Eval, 1), (Stage::Eval, 2)]
        );
        assert_eq!(taken(4).len(), 11);
        assert_eq!(
            taken(6),
            [
                (Stage::Evaluate, 1),
                (Stage::EvalJudge, 1),
                (Stage::Eval, 1),
                (Stage::EvalJudge, 2),
                (Stage::Eval, 2)
            ]
        );
    }
}
