//! The policies of a run, by what they are.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::DType;
use inpo_loss::Role;
use inpo_policy::Policy;

use crate::config::CommonConfig;
use crate::error::TrainError;
use crate::models::{Models, StoredPolicy};
use crate::phases::PolicyId;
use crate::run_dir::{RunDir, load_trained};

/// Every policy of a run: those it starts from, and those it made. Weights that are in files leave memory
/// before an optimisation and are read again when they are needed.
#[derive(Debug)]
pub(crate) struct Policies {
    /// The starting weights as they are scored and sampled: fresh adapters, which change nothing, left off.
    start: StoredPolicy,
    /// The starting weights with adapters to be trained, which share all the others.
    adapted: Option<Policy>,
    reference: Option<StoredPolicy>,
    previous: Option<StoredPolicy>,
    /// Those that `eval.opponents` names by their paths.
    opponents: Vec<StoredPolicy>,
    /// Whether the models are scored before the only optimisation, and never again.
    scored_once: bool,
    made: BTreeMap<PolicyId, Policy>,
    /// Digests of what was made.
    digests: BTreeMap<PolicyId, String>,
}

impl Policies {
    /// The policies that a run of `config` starts from, `previous` says whether it names a previous policy.
    ///
    /// # Errors
    ///
    /// Models that are not those of the configuration, or read other tokens.
    pub(crate) fn new(
        config: &CommonConfig,
        previous: bool,
        models: Models,
    ) -> Result<Self, TrainError> {
        models.check(config.reference.is_some(), previous)?;
        let start = models.policy;
        let adapted = match &config.policy.lora {
            Some(lora) => Some(start.clone().with_adapters(lora, config.seed)?),
            None => start.lora().is_some().then(|| start.clone()),
        };
        Ok(Self {
            start: match adapted {
                Some(_) => StoredPolicy::resident(start),
                None => StoredPolicy::from(start),
            },
            adapted,
            reference: models.reference,
            previous: models.previous,
            opponents: models.opponents,
            scored_once: false,
            made: BTreeMap::new(),
            digests: BTreeMap::new(),
        })
    }

    /// The same policies for a single optimisation: the models that it is held against leave memory before it, in a
    /// file or not.
    pub(crate) fn scored_once(self) -> Self {
        Self {
            scored_once: true,
            ..self
        }
    }

    /// Tokens that every policy of the run can read.
    pub(crate) fn context(&self) -> usize {
        let opponents = self.opponents.iter().map(StoredPolicy::context);
        let others = opponents.fold(self.reference().context(), usize::min);
        self.start.context().min(others)
    }

    /// Float type that the trained policy computes in.
    pub(crate) fn dtype(&self) -> DType {
        self.start.dtype()
    }

    /// Forgets what can be read again: the optimisation needs the memory.
    pub(crate) fn release(&mut self) {
        self.made.clear();
        self.start.forget();
        for other in [&mut self.reference, &mut self.previous]
            .into_iter()
            .flatten()
        {
            other.forget();
        }
    }

    /// The starting policy.
    pub(crate) fn start(&self) -> Result<Policy, TrainError> {
        self.start.get()
    }

    /// What a user should know of the files of all policies, each sentence once.
    pub(crate) fn notes(&self) -> Vec<String> {
        let others = [&self.reference, &self.previous].into_iter().flatten();
        let all = std::iter::once(&self.start).chain(others);
        let mut notes = Vec::new();
        for note in all.flat_map(StoredPolicy::notes) {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
        notes
    }

    /// pi_ref of the whole run.
    pub(crate) fn reference(&self) -> &StoredPolicy {
        self.reference.as_ref().unwrap_or(&self.start)
    }

    /// The model that the configuration names for `role`, where it names one.
    pub(crate) fn named(&self, role: Role) -> Option<&StoredPolicy> {
        match role {
            Role::Reference => self.reference.as_ref(),
            Role::Previous | Role::History(0) => self.previous.as_ref(),
            _ => None,
        }
    }

    /// The policies that are not made by the run.
    fn given(&self, id: PolicyId) -> Option<&StoredPolicy> {
        match id {
            PolicyId::Reference => Some(self.reference()),
            PolicyId::Previous => Some(self.previous.as_ref().unwrap_or(&self.start)),
            PolicyId::After(0) | PolicyId::Intermediate(0) => Some(&self.start),
            PolicyId::After(_) | PolicyId::Intermediate(_) => None,
            PolicyId::Opponent(number) => self.opponents.get(number),
        }
    }

    /// The digest of a policy that is not made by the run.
    ///
    /// # Panics
    ///
    /// If the run makes it: a fault of the caller.
    pub(crate) fn given_digest(&self, id: PolicyId) -> Result<String, TrainError> {
        let given = self.given(id).expect("a policy of the start");
        Ok(given.digest().to_owned())
    }

    /// The policy `id`, to be scored or sampled.
    pub(crate) fn get(&mut self, id: PolicyId, dir: &RunDir) -> Result<Policy, TrainError> {
        if let Some(given) = self.given(id) {
            return given.get();
        }
        if let Some(policy) = self.made.get(&id) {
            return Ok(policy.clone());
        }
        let base = match &self.adapted {
            Some(adapted) => adapted.clone(),
            None => self.start.get()?,
        };
        let policy = dir.load(id, base)?;
        self.made.insert(id, policy.clone());
        Ok(policy)
    }

    /// The digest of `id`.
    pub(crate) fn digest(&mut self, id: PolicyId, dir: &RunDir) -> Result<String, TrainError> {
        if let Some(given) = self.given(id) {
            return Ok(given.digest().to_owned());
        }
        if let Some(digest) = self.digests.get(&id) {
            return Ok(digest.clone());
        }
        let digest = self.get(id, dir)?.digest();
        self.digests.insert(id, digest.clone());
        Ok(digest)
    }

    /// The policy `id`, to be trained further: nobody else holds its weights, but those that adapters share
    /// and those that are in no file.
    pub(crate) fn trainable(&mut self, id: PolicyId, dir: &RunDir) -> Result<Policy, TrainError> {
        let policy = match (id, &self.adapted) {
            (PolicyId::After(0) | PolicyId::Intermediate(0), Some(adapted)) => adapted.clone(),
            (PolicyId::After(0) | PolicyId::Intermediate(0), None) => self.start.lend()?,
            _ => self.get(id, dir)?,
        };
        self.for_training();
        Ok(policy)
    }

    /// Forgets what an optimisation does not read.
    fn for_training(&mut self) {
        self.release();
        if self.scored_once {
            self.reference = None;
            self.previous = None;
        }
    }

    /// The policy of a checkpoint of the training of some policy, which is saved in `path`, to be trained further.
    pub(crate) fn resumed(&mut self, path: &Path) -> Result<Policy, TrainError> {
        self.release();
        let base = match &self.adapted {
            Some(adapted) => adapted.clone(),
            None => self.start.lend()?,
        };
        let policy = load_trained(path, base)?;
        self.for_training();
        Ok(policy)
    }

    /// Keeps what a phase made.
    pub(crate) fn put(&mut self, id: PolicyId, policy: Policy) {
        self.digests.insert(id, policy.digest());
        self.made.insert(id, policy);
    }

    /// Forgets, after iteration `t`, whatever was made before it: full weights are large, and the run
    /// directory has them.
    pub(crate) fn forget_before(&mut self, t: usize) {
        self.made.retain(|id, _| match id {
            PolicyId::Reference | PolicyId::Previous | PolicyId::Opponent(_) => true,
            PolicyId::After(of) | PolicyId::Intermediate(of) => *of >= t,
        });
    }
}
