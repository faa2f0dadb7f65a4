//! The anchors: log-probs of the pairs under every fixed policy of a phase, computed once, cached,
//! verified.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::DType;
use inpo_loss::Role;
use inpo_policy::{Policy, Precision, Sequence};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::TrainError;
use crate::files::{sha256, write_whole};
use crate::objective::Objective;
use crate::records::PairRecord;
use crate::step::TrainPair;

/// The header entry that says what the anchors belong to.
const HEADER: &str = "inpo_anchors";

/// How far a re-computed row may be from the cached one, in nats: in f32, and in bf16, which rounds anew in
/// another batch.
const RECHECK_TOLERANCE: [f64; 2] = [0.01, 2.0];

/// Whose log-probs a pair of columns holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// An anchor's.
    Role(Role),
    /// Those of the weights the phase starts with.
    Start,
}

impl Source {
    /// The columns' names, chosen and rejected.
    pub fn columns(self) -> [String; 2] {
        match self {
            Self::Role(role) => role.columns(),
            Self::Start => ["chosen", "rejected"].map(|side| format!("start_{side}_logps")),
        }
    }
}

/// What an objective reads: its anchors, and reference and previous policy for the metrics.
pub fn sources(objective: &Objective) -> Vec<Source> {
    let anchors = objective.anchors().iter().map(|anchor| anchor.role);
    let roles = anchors.chain([Role::Reference, Role::Previous]);
    let mut sources: Vec<Source> = roles.map(Source::Role).chain([Source::Start]).collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

/// The policies that score pairs, by what they are for. Each is asked for when its turn comes and is dropped
/// before the next one.
pub struct Scorers<'a> {
    digests: BTreeMap<Source, String>,
    get: Box<dyn FnMut(Source) -> Result<Policy, TrainError> + 'a>,
    /// How far numbers of the policies that were scored may be off in another batch.
    tolerance: f64,
}

impl<'a> Scorers<'a> {
    /// Those whose digests are given, from `get`.
    pub fn new(
        digests: BTreeMap<Source, String>,
        get: impl FnMut(Source) -> Result<Policy, TrainError> + 'a,
    ) -> Self {
        Self {
            digests,
            get: Box::new(get),
            tolerance: RECHECK_TOLERANCE[0],
        }
    }

    /// `policy` alone, as the starting weights.
    pub(crate) fn one(policy: &'a Policy) -> Self {
        let digests = [(Source::Start, policy.digest())].into();
        Self::new(digests, |_| Ok(policy.clone()))
    }

    /// What they are for.
    pub fn sources(&self) -> impl Iterator<Item = Source> {
        self.digests.keys().copied()
    }
}

/// Log-probs of some pairs, each column `[pairs]`, sums in nats.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Anchors {
    columns: BTreeMap<Source, [Vec<f64>; 2]>,
}

impl Anchors {
    /// Scores every pair under the policy of each source; one policy in several places is scored once.
    ///
    /// # Errors
    ///
    /// Sequences the model cannot score; a policy that cannot be read.
    pub fn compute(scorers: &mut Scorers<'_>, pairs: &[PairRecord]) -> Result<Self, TrainError> {
        let mut scored: HashMap<&str, [Vec<f64>; 2]> = HashMap::new();
        let mut columns = BTreeMap::new();
        for (&source, digest) in &scorers.digests {
            let of_policy = match scored.get(digest.as_str()) {
                Some(known) => known.clone(),
                None => {
                    let policy = (scorers.get)(source)?;
                    if policy.precision() != Precision::F32 {
                        scorers.tolerance = RECHECK_TOLERANCE[1];
                    }
                    score(&policy, pairs)?
                }
            };
            scored.insert(digest, of_policy.clone());
            columns.insert(source, of_policy);
        }
        Ok(Self { columns })
    }

    /// The log-probs of `source`, chosen and rejected, when they are there.
    pub fn get(&self, source: Source) -> Option<&[Vec<f64>; 2]> {
        self.columns.get(&source)
    }

    /// Adds the log-probs of `source`, chosen and rejected.
    pub fn insert(&mut self, source: Source, logps: [Vec<f64>; 2]) {
        self.columns.insert(source, logps);
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Self) {
        self.columns.extend(other.columns);
    }

    fn named(&self) -> impl Iterator<Item = (String, &Vec<f64>)> {
        self.columns
            .iter()
            .flat_map(|(source, columns)| source.columns().into_iter().zip(columns))
    }

    /// Writes the cache with what it belongs to: the policies, the pairs, the reduction.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn save(&self, path: &Path, of: &AnchorKey) -> Result<(), TrainError> {
        let bytes: Vec<(String, Vec<u8>)> = self
            .named()
            .map(|(name, column)| {
                let bytes = column.iter().flat_map(|v| v.to_le_bytes()).collect();
                (name, bytes)
            })
            .collect();
        let views = bytes.iter().map(|(name, bytes)| {
            let view = TensorView::new(Dtype::F64, vec![bytes.len() / 8], bytes);
            (name, view.expect("the bytes of an f64 vector"))
        });
        let file = safetensors::serialize(views, Some(of.metadata())).expect("views are valid");
        write_whole(path, &file)
    }

    /// Reads the cache and refuses it unless it is of these policies and these pairs, complete, and
    /// equal to a fresh computation of its first row.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, is of something else, lacks a column, or holds a value that is not
    /// finite.
    pub fn load(
        path: &Path,
        of: &AnchorKey,
        scorers: &mut Scorers<'_>,
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
        let column = |name: String| {
            let view = file.tensor(&name).map_err(malformed)?;
            if view.dtype() != Dtype::F64 || view.shape() != [pairs.len()] {
                return Err(refuse(format!("{name} is not f64 [{}]", pairs.len())));
            }
            let values = view.data().chunks_exact(8);
            let values: Vec<f64> = values
                .map(|b| f64::from_le_bytes(b.try_into().expect("eight bytes")))
                .collect();
            match values.iter().position(|v| !v.is_finite()) {
                Some(row) => Err(refuse(format!("{name} has no finite value in row {row}"))),
                None => Ok(values),
            }
        };
        let mut anchors = Self::default();
        for source in scorers.sources() {
            let [chosen, rejected] = source.columns();
            anchors.insert(source, [column(chosen)?, column(rejected)?]);
        }
        if let Some(first) = pairs.first() {
            let fresh = Self::compute(scorers, std::slice::from_ref(first))?;
            for ((name, cached), (_, fresh)) in anchors.named().zip(fresh.named()) {
                if (cached[0] - fresh[0]).abs() > scorers.tolerance {
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
    ///
    /// # Errors
    ///
    /// A source of the objective that was not computed.
    pub fn train_pairs(
        &self,
        pairs: &[PairRecord],
        objective: &Objective,
    ) -> Result<Vec<TrainPair>, TrainError> {
        let of = |source: Source| {
            self.get(source).ok_or_else(|| TrainError::MissingAnchors {
                method: objective.pair_loss().name(),
                columns: source.columns(),
            })
        };
        let anchors: Vec<&[Vec<f64>; 2]> = objective
            .anchors()
            .iter()
            .map(|anchor| of(Source::Role(anchor.role)))
            .collect::<Result<_, _>>()?;
        let reference = of(Source::Role(Role::Reference))?;
        let previous = of(Source::Role(Role::Previous))?;
        let start = of(Source::Start)?;
        let row = |columns: &[Vec<f64>; 2], i: usize| [columns[0][i], columns[1][i]];
        let join = |(i, pair): (usize, &PairRecord)| {
            let prompt = &pair.prompt_token_ids;
            let explored = pair.explored_token_ids.as_ref();
            TrainPair {
                name: format!("pair {i} (prompt {})", pair.prompt_id),
                chosen: Sequence::new(prompt, &pair.chosen_token_ids),
                rejected: Sequence::new(prompt, &pair.rejected_token_ids),
                explored: explored.map(|ids| Sequence::new(prompt, ids)),
                probability: pair.probability,
                scores: [pair.score_chosen, pair.score_rejected],
                weight: 1.0,
                anchors: anchors.iter().map(|columns| row(columns, i)).collect(),
                reference: row(reference, i),
                previous: row(previous, i),
                start: row(start, i),
            }
        };
        Ok(pairs.iter().enumerate().map(join).collect())
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
    /// Digest of each source's policy.
    pub policies: BTreeMap<Source, String>,
    /// Digest of the pairs' token ids.
    pub pairs: String,
    /// Float type that the policy computes in.
    pub dtype: DType,
}

impl AnchorKey {
    /// The key of `pairs` under policies of these digests, which compute in `dtype`.
    pub fn new(policies: &BTreeMap<Source, String>, pairs: &[PairRecord], dtype: DType) -> Self {
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
        Self {
            policies: policies.clone(),
            pairs: sha256(&serde_json::to_vec(&ids).expect("lists of ids are JSON")),
            dtype,
        }
    }

    /// What is written and compared, by name.
    fn fields(&self) -> BTreeMap<String, String> {
        let policies = self.policies.iter().map(|(source, digest)| {
            let [column, _] = source.columns();
            (column.replace("_chosen_logps", ""), digest.clone())
        });
        let others = [
            ("pairs", self.pairs.as_str()),
            ("reduction", "sum"),
            ("dtype", self.dtype.name()),
        ];
        let others = others.map(|(key, value)| (key.to_owned(), value.to_owned()));
        policies.chain(others).collect()
    }

    /// One header entry with all fields: the header is an unordered map, and the same run must write
    /// the same bytes.
    fn metadata(&self) -> HashMap<String, String> {
        let fields = serde_json::to_string(&self.fields()).expect("a map of strings is JSON");
        [(HEADER.to_owned(), fields)].into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn pair() -> PairRecord {
        PairRecord {
            prompt_id: 0,
            prompt_token_ids: vec![5, 9],
            chosen: String::new(),
            chosen_token_ids: vec![7, 8],
            rejected: String::new(),
            rejected_token_ids: vec![3],
            probability: 1.0,
            score_chosen: 1.0,
            score_rejected: 0.0,
            explored_token_ids: None,
        }
    }

    /// What a cache says of itself, byte for byte: those of before, all in f32, stay valid.
    #[test]
    fn a_key_names_its_float_type() {
        let key = |dtype| AnchorKey {
            policies: [(Source::Start, "abc".to_owned())].into(),
            pairs: "def".to_owned(),
            dtype,
        };
        for (dtype, name) in [
            (DType::F32, "f32"),
            (DType::BF16, "bf16"),
            (DType::F64, "f64"),
        ] {
            let said =
                format!(r#"{{"dtype":"{name}","pairs":"def","reduction":"sum","start":"abc"}}"#);
            assert_eq!(key(dtype).metadata()[HEADER], said);
        }
    }

    #[test]
    fn a_cache_of_another_float_type_is_refused() {
        let model = Path::new(env!("CARGO_MANIFEST_DIR"));
        let model = model.join("../inpo-policy/tests/fixtures/tiny_llama_tied");
        let policy = Policy::load(&model, &Device::flex()).unwrap();
        let mut scorers = Scorers::one(&policy);
        let digests = [(Source::Start, policy.digest())].into();
        let key = |dtype| AnchorKey::new(&digests, &[pair()], dtype);
        let anchors = Anchors::compute(&mut scorers, &[pair()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("anchors.safetensors");
        anchors.save(&path, &key(DType::F32)).unwrap();
        let mut load = |dtype| Anchors::load(&path, &key(dtype), &mut scorers, &[pair()]);
        assert_eq!(load(DType::F32).unwrap(), anchors);
        let error = load(DType::BF16).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "its dtype is f32, expected bf16; delete the file to compute the anchors again"
            ),
            "{error}"
        );
    }
}
