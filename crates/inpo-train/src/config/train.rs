//! `[train]`: the optimisation of one phase.

use serde::{Deserialize, Serialize};

/// Shape of the learning rate after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Half a cosine down to 0.
    Cosine,
    /// A straight line down to 0.
    Linear,
    /// No change.
    #[serde(alias = "constant_with_warmup")]
    Constant,
}

/// The optimisers of `[train]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optim {
    /// Adam with decoupled weight decay.
    #[serde(alias = "adamw_torch")]
    AdamW,
    /// Gradient descent, with or without momentum.
    Sgd,
    /// Gradients divided by the root of their mean square.
    RmsProp,
}

impl Optim {
    /// The word of the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::AdamW => "adamw",
            Self::Sgd => "sgd",
            Self::RmsProp => "rmsprop",
        }
    }
}

/// `[train]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainSection {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Shape of the schedule; each iteration starts it anew.
    pub lr_scheduler_type: Schedule,
    /// Share of the steps in which the rate rises from 0, rounded up; default: 0.03. Not together with
    /// `warmup_steps`.
    pub warmup_ratio: Option<f64>,
    /// Steps in which the rate rises from 0; below 1 a share as `warmup_ratio`.
    pub warmup_steps: Option<f64>,
    /// Passes over an iteration's pairs.
    pub num_train_epochs: usize,
    /// Optimiser steps of an iteration; overrides the epochs.
    pub max_steps: Option<usize>,
    /// Pairs that are held in memory together.
    pub per_device_train_batch_size: usize,
    /// Such groups per optimiser step.
    pub gradient_accumulation_steps: usize,
    /// Compute a block's activations again in the backward pass instead of keeping them: less memory, more
    /// time, the same gradient.
    pub gradient_checkpointing: bool,
    /// Limit of the GLOBAL gradient norm; 0: none.
    pub max_grad_norm: f64,
    /// The optimiser. Settings of another one must keep their defaults.
    pub optim: Optim,
    /// Decay of matrices (not of norm gains and biases): decoupled in AdamW, part of the gradient in
    /// SGD and RMSprop.
    pub weight_decay: f64,
    /// AdamW's first decay rate.
    pub adam_beta1: f64,
    /// AdamW's second decay rate.
    pub adam_beta2: f64,
    /// AdamW's epsilon.
    pub adam_epsilon: f64,
    /// Momentum of SGD and RMSprop.
    pub momentum: f64,
    /// RMSprop's decay rate of the mean square.
    pub rmsprop_alpha: f64,
    /// Steps between rows of metrics.jsonl; the last step has one too.
    pub logging_steps: usize,
}

impl TrainSection {
    /// Optimiser steps of an iteration with `pairs` pairs.
    pub fn steps(&self, pairs: usize) -> usize {
        let per_epoch = pairs.div_ceil(self.pairs_per_step()).max(1);
        self.max_steps.unwrap_or(per_epoch * self.num_train_epochs)
    }

    /// Pairs of one optimiser step.
    pub fn pairs_per_step(&self) -> usize {
        self.per_device_train_batch_size * self.gradient_accumulation_steps
    }
}

impl Default for TrainSection {
    fn default() -> Self {
        Self {
            learning_rate: 5e-7,
            lr_scheduler_type: Schedule::Cosine,
            warmup_ratio: None,
            warmup_steps: None,
            num_train_epochs: 1,
            max_steps: None,
            per_device_train_batch_size: 8,
            gradient_accumulation_steps: 16,
            gradient_checkpointing: false,
            max_grad_norm: 1.0,
            optim: Optim::AdamW,
            weight_decay: 0.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            momentum: 0.0,
            rmsprop_alpha: 0.99,
            logging_steps: 1,
        }
    }
}
