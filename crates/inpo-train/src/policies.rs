//! The policies of a run, by what they are.

use std::collections::BTreeMap;

use inpo_policy::Policy;

use crate::config::RunConfig;
use crate::error::TrainError;
use crate::models::Models;
use crate::phases::PolicyId;
use crate::run_dir::RunDir;

/// Every policy of a run: those it starts from, and those it made, which are read from the run directory
/// when they are needed again.
#[derive(Debug)]
pub(crate) struct Policies {
    /// The starting weights as they are trained, with fresh adapters where there are any.
    trainable: Policy,
    /// The starting weights as they are scored and sampled: fresh adapters, which change nothing, left off.
    start: Policy,
    reference: Option<Policy>,
    made: BTreeMap<PolicyId, Policy>,
}

impl Policies {
    pub(crate) fn new(config: &RunConfig, models: Models) -> Result<Self, TrainError> {
        models.check(config.reference.is_some(), false)?;
        let start = models.policy;
        let trainable = match &config.policy.lora {
            Some(lora) => start.clone().with_adapters(lora, config.seed)?,
            None => start.clone(),
        };
        Ok(Self {
            trainable,
            start,
            reference: models.reference,
            made: BTreeMap::new(),
        })
    }

    /// Tokens that every policy of the run can read.
    pub(crate) fn context(&self) -> usize {
        let of = |policy: &Policy| policy.config().max_position_embeddings;
        of(&self.start).min(of(self.reference()))
    }

    /// Forgets what was made and can be read again: the optimisation needs the memory.
    pub(crate) fn release(&mut self) {
        self.made.clear();
    }

    /// The starting policy.
    pub(crate) fn start(&self) -> &Policy {
        &self.start
    }

    /// pi_ref of the whole run.
    pub(crate) fn reference(&self) -> &Policy {
        self.reference.as_ref().unwrap_or(&self.start)
    }

    /// The policy `id`, to be scored or sampled.
    pub(crate) fn get(&mut self, id: PolicyId, dir: &RunDir) -> Result<Policy, TrainError> {
        match id {
            PolicyId::Reference => return Ok(self.reference().clone()),
            PolicyId::After(0) | PolicyId::Side(0) => return Ok(self.start.clone()),
            _ => {}
        }
        if let Some(policy) = self.made.get(&id) {
            return Ok(policy.clone());
        }
        let policy = dir.load(id, &self.trainable)?;
        self.made.insert(id, policy.clone());
        Ok(policy)
    }

    /// The policy `id`, to be trained further.
    pub(crate) fn trainable(&mut self, id: PolicyId, dir: &RunDir) -> Result<Policy, TrainError> {
        match id {
            PolicyId::After(0) | PolicyId::Side(0) => Ok(self.trainable.clone()),
            _ => self.get(id, dir),
        }
    }

    /// Keeps what a phase made.
    pub(crate) fn put(&mut self, id: PolicyId, policy: Policy) {
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
