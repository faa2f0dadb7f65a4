//! The policies that score pairs, one after the other.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use inpo_data::PairRecord;
use inpo_policy::{Policy, Precision, Sequence};

use super::source::Source;
use crate::error::TrainError;

/// How far a re-computed row may be from the cached one, in nats: in f32, and in bf16, which rounds
/// differently in another batch.
const RECHECK_TOLERANCE: [f64; 2] = [0.01, 2.0];

/// Log-probs of each source, chosen and rejected: sums in nats.
pub(crate) type Columns = BTreeMap<Source, [Vec<f64>; 2]>;

/// The policies that score pairs, by what they are for. Each is asked for when its turn comes and is dropped
/// before the next one.
pub(crate) struct Scorers<'a> {
    digests: BTreeMap<Source, String>,
    get: Box<dyn FnMut(Source) -> Result<Policy, TrainError> + 'a>,
    /// How far numbers of the policies that were scored may be off in another batch.
    tolerance: f64,
    /// How long each policy took that was scored, in seconds; by the first of its sources.
    seconds: BTreeMap<Source, f64>,
}

impl<'a> Scorers<'a> {
    /// Those whose digests are given, from `get`.
    pub(crate) fn new(
        digests: BTreeMap<Source, String>,
        get: impl FnMut(Source) -> Result<Policy, TrainError> + 'a,
    ) -> Self {
        Self {
            digests,
            get: Box::new(get),
            tolerance: RECHECK_TOLERANCE[0],
            seconds: BTreeMap::new(),
        }
    }

    /// `policy` alone, as the starting weights.
    pub(crate) fn one(policy: &'a Policy) -> Self {
        let digests = [(Source::Start, policy.digest())].into();
        Self::new(digests, |_| Ok(policy.clone()))
    }

    /// What they are for.
    pub(crate) fn sources(&self) -> impl Iterator<Item = Source> {
        self.digests.keys().copied()
    }

    /// The log-probs of `pairs` under each policy; one policy in several places scores once.
    ///
    /// # Errors
    ///
    /// Sequences the model cannot score; a policy that cannot be read.
    pub(crate) fn score(&mut self, pairs: &[PairRecord]) -> Result<Columns, TrainError> {
        let mut scored: HashMap<&str, [Vec<f64>; 2]> = HashMap::new();
        let mut columns = Columns::new();
        for (&source, digest) in &self.digests {
            let of_policy = match scored.get(digest.as_str()) {
                Some(known) => known.clone(),
                None => {
                    let started = Instant::now();
                    let policy = (self.get)(source)?;
                    if policy.precision() != Precision::F32 {
                        self.tolerance = RECHECK_TOLERANCE[1];
                    }
                    let logps = score(&policy, pairs)?;
                    self.seconds.insert(source, started.elapsed().as_secs_f64());
                    logps
                }
            };
            scored.insert(digest, of_policy.clone());
            columns.insert(source, of_policy);
        }
        Ok(columns)
    }

    /// How long a source took that was scored, in seconds; none where its policy was scored for another one.
    pub(crate) fn seconds(&self, source: Source) -> Option<f64> {
        self.seconds.get(&source).copied()
    }

    /// How far a re-computed row of what was scored may be from the cached one, in nats.
    pub(crate) fn tolerance(&self) -> f64 {
        self.tolerance
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
