//! The rows of `metrics.jsonl`, by the stages that logged them.

use std::collections::HashMap;
use std::path::Path;

use inpo_data::Digester;
use serde_json::Value;

use super::Layout;
use super::ledger::Logged;
use crate::stage::{Place, Stage};

/// What the stage under way logged.
#[derive(Debug, Default)]
pub(super) struct Current {
    rows: usize,
    digester: Digester,
    /// Rows that metrics.jsonl holds already, if the stage is made again as it was.
    pub(super) held: Vec<u8>,
}

impl Current {
    /// Counts a line.
    pub(super) fn add(&mut self, line: &[u8]) {
        self.rows += 1;
        self.digester.update(line);
    }

    pub(super) fn logged(&self) -> Logged {
        Logged {
            rows: self.rows,
            sha256: self.digester.hex(),
        }
    }
}

/// The stage that logged a row. The rows of a training on given pairs say none.
fn place_of(row: &Value, layout: Layout) -> Option<Place<'_>> {
    match layout {
        Layout::OnePhase => Some(Place {
            stage: Stage::Train,
            iteration: 1,
            folder: None,
        }),
        Layout::Iterations { .. } => Some(Place {
            stage: Stage::named(&row["stage"])?,
            iteration: usize::try_from(row["iteration"].as_u64()?).ok()?,
            folder: row["phase"].as_str(),
        }),
    }
}

/// Whole lines of a log, by the stage that each of them names.
#[derive(Debug)]
pub(super) struct Groups<'b> {
    lines: Vec<&'b [u8]>,
    /// Numbers of lines.
    of_stage: HashMap<(Stage, usize, Option<String>), Vec<usize>>,
}

impl<'b> Groups<'b> {
    /// Those of `bytes`. A line that was cut off, or says no stage, is nobody's.
    pub(super) fn new(bytes: &'b [u8], layout: Layout) -> Self {
        let whole = bytes.iter().rposition(|&byte| byte == b'\n');
        let bytes = &bytes[..whole.map_or(0, |end| end + 1)];
        let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
        let mut of_stage: HashMap<_, Vec<usize>> = HashMap::new();
        for (number, line) in lines.iter().enumerate() {
            let Ok(row) = serde_json::from_slice::<Value>(line) else {
                continue;
            };
            if let Some(place) = place_of(&row, layout) {
                of_stage.entry(key(place)).or_default().push(number);
            }
        }
        Self { lines, of_stage }
    }

    /// The rows of a stage.
    pub(super) fn of(&self, place: Place<'_>) -> Vec<u8> {
        let numbers = self.of_stage.get(&key(place)).into_iter().flatten();
        numbers.flat_map(|&n| self.lines[n]).copied().collect()
    }

    /// The rows of the stages that `is_complete`, in the order of the log.
    pub(super) fn of_complete(&self, is_complete: impl Fn(Place<'_>) -> bool) -> Vec<u8> {
        let complete = self
            .of_stage
            .iter()
            .filter(|((stage, iteration, folder), _)| {
                is_complete(Place {
                    stage: *stage,
                    iteration: *iteration,
                    folder: folder.as_deref(),
                })
            });
        let mut numbers: Vec<usize> = complete.flat_map(|(_, numbers)| numbers).copied().collect();
        numbers.sort_unstable();
        numbers
            .iter()
            .flat_map(|&n| self.lines[n])
            .copied()
            .collect()
    }

    /// What `logged` says of these rows of a stage; none where they are others.
    pub(super) fn as_logged(&self, place: Place<'_>, logged: &Logged) -> Option<Vec<u8>> {
        let rows = self.of(place);
        (inpo_data::sha256(&rows) == logged.sha256).then_some(rows)
    }
}

fn key(place: Place<'_>) -> (Stage, usize, Option<String>) {
    let folder = place.folder.map(str::to_owned);
    (place.stage, place.iteration, folder)
}

/// The rows of trainer_state.json, as lines of metrics.jsonl; nothing where it cannot be read.
pub(super) fn rows_of_state(path: &Path) -> Vec<u8> {
    let state = std::fs::read(path).ok();
    let state: Option<Value> = state.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let mut lines = Vec::new();
    for row in state
        .iter()
        .flat_map(|s| s["log_history"].as_array())
        .flatten()
    {
        lines.extend(line(row));
    }
    lines
}

/// A row as a line.
pub(super) fn line(row: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(row).expect("plain data is JSON");
    bytes.push(b'\n');
    bytes
}
