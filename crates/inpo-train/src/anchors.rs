//! The anchors: log-probs of the pairs under pi_ref and pi_t, computed once, cached, verified.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use inpo_policy::{Policy, Sequence};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::TrainError;
use crate::files::{sha256, write_whole};
use crate::records::PairRecord;
use crate::step::TrainPair;

/// Names of the cached columns: TRL's for the reference, the same with `prev` for pi_t.
const COLUMNS: [&str; 4] = [
    "ref_chosen_logps",
    "ref_rejected_logps",
    "prev_chosen_logps",
    "prev_rejected_logps",
];

/// The header entry that says what the anchors belong to.
const HEADER: &str = "inpo_anchors";

/// How far a re-computed row may be from the cached one, in nats.
const RECHECK_TOLERANCE: f64 = 0.01;

/// Anchors of some pairs, each column `[pairs]`, sums in nats.
#[derive(Debug, Clone, PartialEq)]
pub struct Anchors {
    columns: [Vec<f64>; 4],
}

impl Anchors {
    /// Scores every pair under both anchors. In the first iteration pi_t is pi_ref and is scored once.
    ///
    /// # Errors
    ///
    /// Sequences the model cannot score.
    pub fn compute(
        reference: &Policy,
        previous: &Policy,
        pairs: &[PairRecord],
        same: bool,
    ) -> Result<Self, TrainError> {
        let [ref_chosen, ref_rejected] = score(reference, pairs)?;
        let [prev_chosen, prev_rejected] = if same {
            [ref_chosen.clone(), ref_rejected.clone()]
        } else {
            score(previous, pairs)?
        };
        let columns = [ref_chosen, ref_rejected, prev_chosen, prev_rejected];
        Ok(Self { columns })
    }

    /// Writes the cache with what it belongs to: both policies, the pairs, the reduction.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn save(&self, path: &Path, of: &AnchorKey) -> Result<(), TrainError> {
        let bytes: Vec<Vec<u8>> = self
            .columns
            .iter()
            .map(|column| column.iter().flat_map(|v| v.to_le_bytes()).collect())
            .collect();
        let views = COLUMNS.iter().zip(&bytes).map(|(name, bytes)| {
            let view = TensorView::new(Dtype::F64, vec![bytes.len() / 8], bytes);
            (*name, view.expect("the bytes of an f64 vector"))
        });
        let file = safetensors::serialize(views, Some(of.metadata())).expect("views are valid");
        write_whole(path, &file)
    }

    /// Reads the cache and refuses it unless it is of these policies and these pairs, complete, and
    /// equal to a fresh computation of its first row.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, is of something else, or holds a value that is not finite.
    pub fn load(
        path: &Path,
        of: &AnchorKey,
        reference: &Policy,
        previous: &Policy,
        pairs: &[PairRecord],
    ) -> Result<Self, TrainError> {
        let refuse = |reason: String| TrainError::Artefact {
            path: path.to_owned(),
            reason: format!("{reason}; delete the file to compute the anchors again"),
        };
        let bytes = std::fs::read(path).map_err(|e| TrainError::io(path, e))?;
        let malformed = |e: safetensors::SafeTensorError| refuse(e.to_string());
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(malformed)?;
        let found = header.metadata().clone().unwrap_or_default();
        let found = found.get(HEADER).map_or("{}", String::as_str);
        let found: BTreeMap<String, String> =
            serde_json::from_str(found).map_err(|e| refuse(format!("{HEADER}: {e}")))?;
        for (key, expected) in of.fields() {
            let got = found.get(&key).map_or("absent", String::as_str);
            if got != expected {
                return Err(refuse(format!("its {key} is {got}, expected {expected}")));
            }
        }
        let file = SafeTensors::deserialize(&bytes).map_err(malformed)?;
        let mut columns: [Vec<f64>; 4] = Default::default();
        for (name, column) in COLUMNS.iter().zip(&mut columns) {
            let view = file.tensor(name).map_err(malformed)?;
            if view.dtype() != Dtype::F64 || view.shape() != [pairs.len()] {
                return Err(refuse(format!("{name} is not f64 [{}]", pairs.len())));
            }
            let values = view.data().chunks_exact(8);
            *column = values
                .map(|b| f64::from_le_bytes(b.try_into().expect("eight bytes")))
                .collect();
            if let Some(row) = column.iter().position(|v| !v.is_finite()) {
                return Err(refuse(format!("{name} has no finite value in row {row}")));
            }
        }
        let anchors = Self { columns };
        if let Some(first) = pairs.first() {
            let fresh = Self::compute(reference, previous, std::slice::from_ref(first), false)?;
            for ((name, cached), fresh) in COLUMNS.iter().zip(&anchors.columns).zip(&fresh.columns)
            {
                if (cached[0] - fresh[0]).abs() > RECHECK_TOLERANCE {
                    let (cached, fresh) = (cached[0], fresh[0]);
                    return Err(refuse(format!(
                        "{name} has {cached} in row 0, now it is {fresh}"
                    )));
                }
            }
        }
        Ok(anchors)
    }

    /// Joins pairs and anchors.
    pub fn train_pairs(&self, pairs: &[PairRecord]) -> Vec<TrainPair> {
        let [ref_chosen, ref_rejected, prev_chosen, prev_rejected] = &self.columns;
        pairs
            .iter()
            .enumerate()
            .map(|(i, pair)| TrainPair {
                chosen: Sequence::new(&pair.prompt_token_ids, &pair.chosen_token_ids),
                rejected: Sequence::new(&pair.prompt_token_ids, &pair.rejected_token_ids),
                probability: pair.probability,
                weight: 1.0,
                reference: [ref_chosen[i], ref_rejected[i]],
                previous: [prev_chosen[i], prev_rejected[i]],
            })
            .collect()
    }
}

fn score(policy: &Policy, pairs: &[PairRecord]) -> Result<[Vec<f64>; 2], TrainError> {
    let chosen = pairs
        .iter()
        .map(|p| Sequence::new(&p.prompt_token_ids, &p.chosen_token_ids));
    let rejected = pairs
        .iter()
        .map(|p| Sequence::new(&p.prompt_token_ids, &p.rejected_token_ids));
    let sequences: Vec<Sequence> = chosen.chain(rejected).collect();
    let sums: Vec<f64> = policy
        .logps(&sequences)?
        .iter()
        .map(|row| row.iter().sum())
        .collect();
    let (chosen, rejected) = sums.split_at(pairs.len());
    Ok([chosen.to_vec(), rejected.to_vec()])
}

/// What a cache of anchors belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorKey {
    /// Digest of pi_ref.
    pub reference: String,
    /// Digest of pi_t.
    pub previous: String,
    /// Digest of the pairs' token ids.
    pub pairs: String,
}

impl AnchorKey {
    /// The key of `pairs` under two policies given by their digests.
    pub fn new(reference: String, previous: String, pairs: &[PairRecord]) -> Self {
        let ids: Vec<_> = pairs
            .iter()
            .map(|p| {
                (
                    &p.prompt_token_ids,
                    &p.chosen_token_ids,
                    &p.rejected_token_ids,
                )
            })
            .collect();
        let pairs = sha256(&serde_json::to_vec(&ids).expect("lists of ids are JSON"));
        Self {
            reference,
            previous,
            pairs,
        }
    }

    /// What is written and compared, by name.
    fn fields(&self) -> BTreeMap<String, String> {
        [
            ("reference", self.reference.as_str()),
            ("previous", &self.previous),
            ("pairs", &self.pairs),
            ("reduction", "sum"),
            ("dtype", "f32"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    /// One header entry with all fields: the header is an unordered map, and the same run must write
    /// the same bytes.
    fn metadata(&self) -> HashMap<String, String> {
        let fields = serde_json::to_string(&self.fields()).expect("a map of strings is JSON");
        [(HEADER.to_owned(), fields)].into()
    }
}
