//! The models a run or a training phase starts from.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use inpo_policy::{Policy, PolicyFiles};

use crate::config::{CommonConfig, ModelSection, RunConfig};
use crate::error::TrainError;

/// A policy that need not stay in memory between its uses: weights that were read from files can be read
/// again.
#[derive(Debug, Clone)]
pub struct StoredPolicy {
    /// The policy while it is in memory.
    here: Option<Policy>,
    files: Option<PolicyFiles>,
    digest: String,
    vocab_size: usize,
    context: usize,
    dtype: DType,
    tokenizer: Option<String>,
    notes: Vec<String>,
}

impl From<Policy> for StoredPolicy {
    /// In memory.
    fn from(policy: Policy) -> Self {
        let codec = policy.codec().ok();
        Self {
            files: policy.files().cloned(),
            digest: policy.digest(),
            vocab_size: policy.config().vocab_size,
            context: policy.config().max_position_embeddings,
            dtype: policy.decoder().dtype(),
            tokenizer: codec.map(|codec| codec.tokenizer_hash()),
            notes: policy.notes(),
            here: Some(policy),
        }
    }
}

impl StoredPolicy {
    /// A policy that stays: others share its weights.
    pub(crate) fn resident(policy: Policy) -> Self {
        Self {
            files: None,
            ..Self::from(policy)
        }
    }

    /// The policy; one that is not in memory is read for the caller, and stays in memory as long as the caller keeps it.
    ///
    /// # Errors
    ///
    /// Files that cannot be read or hold another policy by now.
    pub fn get(&self) -> Result<Policy, TrainError> {
        match (&self.here, &self.files) {
            (Some(policy), _) => Ok(policy.clone()),
            (None, Some(files)) => {
                let policy = files.load()?;
                if policy.digest() == self.digest {
                    Ok(policy)
                } else {
                    Err(TrainError::artefact(
                        policy.source(),
                        "it is another model now than at the beginning".to_owned(),
                    ))
                }
            }
            (None, None) => unreachable!("only policies with files are forgotten"),
        }
    }

    /// The policy as [`StoredPolicy::get`] gives it, forgotten here where it can be read again.
    ///
    /// # Errors
    ///
    /// As [`StoredPolicy::get`].
    pub(crate) fn lend(&mut self) -> Result<Policy, TrainError> {
        let policy = self.get()?;
        self.forget();
        Ok(policy)
    }

    /// Forgets weights that can be read again.
    pub fn forget(&mut self) {
        if self.files.is_some() {
            self.here = None;
        }
    }

    /// Digest of the policy.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Tokens that the policy can read.
    pub(crate) fn context(&self) -> usize {
        self.context
    }

    /// What its user should know of its files, a sentence each.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Float type that the policy computes in.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }
}

/// The policy to be trained, and the policies it is held against where they are others.
#[derive(Debug, Clone)]
pub struct Models {
    /// The starting policy, without fresh adapters.
    pub policy: Policy,
    /// pi_ref, unless it is the starting policy.
    pub reference: Option<StoredPolicy>,
    /// pi_t, unless it is the starting policy.
    pub previous: Option<StoredPolicy>,
    /// The opponents that `eval.opponents` names by their paths, in this order.
    pub opponents: Vec<StoredPolicy>,
}

impl From<Policy> for Models {
    /// A policy that is its own reference.
    fn from(policy: Policy) -> Self {
        Self {
            policy,
            reference: None,
            previous: None,
            opponents: Vec::new(),
        }
    }
}

impl Models {
    /// Loads the models that a configuration names, and `previous` where there is one; `find` gives the path of a
    /// model's name. All are read, one after the other; the policy alone is in memory afterwards.
    ///
    /// # Errors
    ///
    /// A model that cannot be found or read.
    pub fn load<E: std::fmt::Display>(
        config: &CommonConfig,
        previous: Option<&ModelSection>,
        device: &Device,
        mut find: impl FnMut(&str) -> Result<PathBuf, E>,
    ) -> Result<Self, TrainError> {
        let policy = &config.policy;
        let mut load = |name: &str, model: &str, adapter: Option<&PathBuf>, precision| {
            let found = find(model);
            let path = found.map_err(|e| TrainError::Model(format!("{name}.model: {e}")))?;
            let policy = Policy::load_in(&path, device, precision)?;
            Ok::<_, TrainError>(match adapter {
                Some(dir) => policy
                    .with_saved_adapters(dir)
                    .map_err(|error| error.named_by(&format!("{name}.adapter")))?,
                None => policy,
            })
        };
        let adapter = policy.adapter.as_ref();
        let first = load("policy", &policy.model, adapter, policy.precision())?;
        let mut other = |name: &str, section: Option<&ModelSection>| {
            let stored = section.map(|section| {
                let frozen = policy.frozen_precision();
                let loaded = load(name, &section.model, section.adapter.as_ref(), frozen)?;
                let mut stored = StoredPolicy::from(loaded);
                stored.forget();
                Ok::<_, TrainError>(stored)
            });
            stored.transpose()
        };
        Ok(Self {
            policy: first,
            reference: other("reference", config.reference.as_ref())?,
            previous: other("previous", previous)?,
            opponents: Vec::new(),
        })
    }

    /// Loads, one after the other, the opponents that `[eval]` names by their paths: models, or adapters of the run's model.
    /// None stays in memory.
    ///
    /// # Errors
    ///
    /// A model that cannot be found or read.
    pub fn with_opponents<E: std::fmt::Display>(
        self,
        config: &RunConfig,
        device: &Device,
        mut find: impl FnMut(&str) -> Result<PathBuf, E>,
    ) -> Result<Self, TrainError> {
        const KEY: &str = "eval.opponents";
        let section = &config.common.policy;
        let mut load = |name: &str| {
            let is_adapter = Path::new(name).join("adapter_config.json").exists();
            let model = if is_adapter { &section.model } else { name };
            let path = find(model).map_err(|e| TrainError::Model(format!("{KEY}: {e}")))?;
            let policy = Policy::load_in(&path, device, section.frozen_precision());
            let mut policy = policy.map_err(|error| error.named_by(KEY))?;
            if is_adapter {
                let adapted = policy.with_saved_adapters(Path::new(name));
                policy = adapted.map_err(|error| error.named_by(KEY))?;
            }
            let mut stored = StoredPolicy::from(policy);
            stored.forget();
            Ok::<_, TrainError>(stored)
        };
        let opponents = config.eval.named().map(&mut load);
        let opponents = opponents.collect::<Result<_, _>>()?;
        Ok(Self { opponents, ..self })
    }

    /// Checks that the models are those of the configuration and speak of the same tokens; `reference` and
    /// `previous` say which sections there are.
    ///
    /// # Errors
    ///
    /// A section without its model or a model without its section, a reference or previous policy with
    /// another vocabulary or tokenizer.
    pub(crate) fn check(&self, reference: bool, previous: bool) -> Result<(), TrainError> {
        let sections = [
            ("reference", reference, self.reference.is_some()),
            ("previous", previous, self.previous.is_some()),
        ];
        for (section, named, loaded) in sections {
            if named != loaded {
                let got = if loaded { "absent" } else { "set" };
                let allowed = "set if and only if the models given to the run have one";
                return Err(TrainError::setting(
                    &format!("{section}.model"),
                    got,
                    allowed,
                ));
            }
        }
        let expected = self.policy.config().vocab_size;
        let others = [
            ("reference.model", &self.reference),
            ("previous.model", &self.previous),
        ];
        let others = others
            .iter()
            .filter_map(|(key, policy)| Some((*key, policy.as_ref()?)));
        let opponents = self.opponents.iter().map(|p| ("eval.opponents", p));
        for (section, policy) in others.chain(opponents) {
            let got = policy.vocab_size;
            if got != expected {
                let allowed = format!("{expected}, as the policy has");
                let key = format!("{section}'s vocabulary");
                return Err(TrainError::setting(&key, got, &allowed));
            }
            let ours = self.policy.codec().ok();
            let theirs = policy.tokenizer.as_ref();
            if let (Some(ours), Some(theirs)) = (ours, theirs)
                && ours.tokenizer_hash() != *theirs
            {
                let allowed = "the policy's: ids would mean other tokens";
                let key = format!("{section}'s tokenizer");
                return Err(TrainError::setting(&key, "another one", allowed));
            }
        }
        Ok(())
    }
}
