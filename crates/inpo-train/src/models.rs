//! The models a run or a training phase starts from.

use burn::tensor::Device;
use inpo_policy::{Policy, hub};

use crate::config::{ModelSection, PolicySection};
use crate::error::TrainError;

/// The policy to be trained, and the policies it is held against where they are others.
#[derive(Debug, Clone)]
pub struct Models {
    /// The starting policy, without fresh adapters.
    pub policy: Policy,
    /// pi_ref, unless it is the starting policy.
    pub reference: Option<Policy>,
    /// pi_t, unless it is the starting policy.
    pub previous: Option<Policy>,
}

impl From<Policy> for Models {
    /// A policy that is its own reference.
    fn from(policy: Policy) -> Self {
        Self {
            policy,
            reference: None,
            previous: None,
        }
    }
}

impl Models {
    /// Finds (or fetches) and loads the models that a configuration names.
    ///
    /// # Errors
    ///
    /// A model that cannot be found or read.
    pub fn load(
        policy: &PolicySection,
        reference: Option<&ModelSection>,
        previous: Option<&ModelSection>,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let load = |model: &str, adapter: Option<&std::path::PathBuf>| {
            let path = hub::resolve(model, &hub::ResolveOptions::default())?;
            let policy = Policy::load(&path, device)?;
            Ok::<_, TrainError>(match adapter {
                Some(dir) => policy.with_saved_adapters(dir)?,
                None => policy,
            })
        };
        let other = |section: Option<&ModelSection>| {
            section
                .map(|section| load(&section.model, section.adapter.as_ref()))
                .transpose()
        };
        Ok(Self {
            policy: load(&policy.model, policy.adapter.as_ref())?,
            reference: other(reference)?,
            previous: other(previous)?,
        })
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
        let others = [("reference", &self.reference), ("previous", &self.previous)];
        for (section, policy) in others {
            let got = policy.as_ref().map_or(expected, |p| p.config().vocab_size);
            if got != expected {
                let allowed = format!("{expected}, as the policy has");
                let key = format!("{section}.model's vocabulary");
                return Err(TrainError::setting(&key, got, &allowed));
            }
            let ours = self.policy.codec().ok();
            let theirs = policy.as_ref().and_then(|p| p.codec().ok());
            if let (Some(ours), Some(theirs)) = (ours, theirs)
                && ours.tokenizer_hash() != theirs.tokenizer_hash()
            {
                let allowed = "the policy's: ids would mean other tokens";
                let key = format!("{section}.model's tokenizer");
                return Err(TrainError::setting(&key, "another one", allowed));
            }
        }
        Ok(())
    }
}
