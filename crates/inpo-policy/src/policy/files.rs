//! Where a policy's weights come from, and in which float types it has them.

use std::path::PathBuf;

use burn::tensor::{DType, Device};

use super::Policy;
use crate::error::PolicyError;

/// Float types of a policy. Log-probs are sums in f32 or better in each of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    /// Weights and activations in f32.
    #[default]
    F32,
    /// Weights and activations in bf16; adapters stay in f32. For weights that do not train.
    Bf16,
    /// Activations in bf16 over weights in f32, for full fine-tuning: the rounding of a bf16 weight would
    /// swallow a small step.
    Bf16Mixed,
}

impl Precision {
    pub(super) fn weights(self) -> DType {
        match self {
            Self::F32 | Self::Bf16Mixed => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }
}

/// The files that a policy's weights were read from, and the device they went to.
#[derive(Debug, Clone)]
pub struct PolicyFiles {
    pub(super) model: PathBuf,
    pub(super) adapter: Option<PathBuf>,
    pub(super) device: Device,
    pub(super) precision: Precision,
}

impl PolicyFiles {
    /// Reads the policy again.
    ///
    /// # Errors
    ///
    /// As [`Policy::load`] and [`Policy::with_saved_adapters`].
    pub fn load(&self) -> Result<Policy, PolicyError> {
        let policy = Policy::load_in(&self.model, &self.device, self.precision)?;
        match &self.adapter {
            Some(dir) => policy.with_saved_adapters(dir),
            None => Ok(policy),
        }
    }
}
