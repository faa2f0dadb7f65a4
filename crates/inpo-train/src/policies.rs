//! The policies of a run, by what they are.

use std::collections::BTreeMap;

use burn::tensor::DType;
use inpo_policy::Policy;

use crate::config::RunConfig;
use crate::error::TrainError;
use crate::models::{Models, StoredPolicy};
use crate::phases::PolicyId;
use crate::run_dir::RunDir;

/// Every policy of a run: those it starts from, and those it made. Weights that are in files leave memory
/// before an optimisation and are read again when they are needed.
#[derive(Debug)]
pub(crate) struct Policies {
    /// The starting weights as they are scored and sampled: fresh adapters, which change nothing, left off.
    start: StoredPolicy,
    /// The starting weights with adapters to be trained, which share all the others.
    adapted: Option<Policy>,
    reference: Option<StoredPolicy>,
    made: BTreeMap<PolicyId, Policy>,
    /// Digests of what was made.
    digests: BTreeMap<PolicyId, String>,
}

impl Policies {
    pub(crate) fn new(config: &RunConfig, models: Models) -> Result<Self, TrainError> {
        models.check(config.reference.is_some(), false)?;
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
            made: BTreeMap::new(),
            digests: BTreeMap::new(),
        })
    }

    /// Tokens that every policy of the run can read.
    pub(crate) fn context(&self) -> usize {
        self.start.context().min(self.reference().context())
    }

    /// Float type that the trained policy computes in.
    pub(crate) fn dtype(&self) -> DType {
        self.start.dtype()
    }

    /// Forgets what can be read again: the optimisation needs the memory.
    pub(crate) fn release(&mut self) {
        self.made.clear();
        self.start.forget();
        if let Some(reference) = &mut self.reference {
            reference.forget();
        }
    }

    /// The starting policy.
    pub(crate) fn start(&self) -> Result<Policy, TrainError> {
        self.start.get()
    }

    /// pi_ref of the whole run.
    pub(crate) fn reference(&self) -> &StoredPolicy {
        self.reference.as_ref().unwrap_or(&self.start)
    }

    /// The policy `id`, to be scored or sampled.
    pub(crate) fn get(&mut self, id: PolicyId, dir: &RunDir) -> Result<Policy, TrainError> {
        match id {
            PolicyId::Reference => return self.reference().get(),
            PolicyId::After(0) | PolicyId::Side(0) => return self.start.get(),
            _ => {}
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
        match id {
            PolicyId::Reference => return Ok(self.reference().digest().to_owned()),
            PolicyId::After(0) | PolicyId::Side(0) => return Ok(self.start.digest().to_owned()),
            _ => {}
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
            (PolicyId::After(0) | PolicyId::Side(0), Some(adapted)) => adapted.clone(),
            (PolicyId::After(0) | PolicyId::Side(0), None) => self.start.lend()?,
            _ => self.get(id, dir)?,
        };
        self.release();
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
            PolicyId::Reference => true,
            PolicyId::After(of) | PolicyId::Side(of) => *of >= t,
        });
    }
}
