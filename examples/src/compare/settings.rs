//! What all methods share.

use std::path::Path;

use inpo_core::train::config::{ObjectiveSection, Schedule, TrainSection};
use inpo_core::train::{Algorithm, RunConfig};

/// All algorithms but `ipo_mean`, which on responses of one token is `ipo`.
pub const METHODS: [Algorithm; 18] = [
    Algorithm::Inpo,
    Algorithm::Egpo,
    Algorithm::NashMd,
    Algorithm::Enpo,
    Algorithm::OnlineIpo,
    Algorithm::Comal,
    Algorithm::Mpo,
    Algorithm::Onpo,
    Algorithm::Mnpo,
    Algorithm::IterativeIpo,
    Algorithm::Sppo,
    Algorithm::Rebel,
    Algorithm::Dno,
    Algorithm::DnoPrct,
    Algorithm::IterativeDpo,
    Algorithm::Ipo,
    Algorithm::Dpo,
    Algorithm::Hinge,
];

/// Where labels come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feedback {
    /// Bernoulli comparisons of sampled responses, each one oracle call.
    Sampled,
    /// Every pair with its exact weight and label: what an endless sample would give. No calls.
    Exact,
}

/// The settings of a comparison, the same for every method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// INVERSE step size of the squared losses.
    pub eta: f64,
    /// KL weight of the methods that have one.
    pub tau: f64,
    /// Iterations between two moves of the reference, for COMAL and MPO.
    pub period: usize,
    /// Iterations.
    pub iterations: usize,
    /// Oracle calls of an iteration, a multiple of [`Settings::CALLS`].
    pub calls: usize,
    /// Optimiser steps of a phase.
    pub steps: usize,
    /// Peak learning rate of a phase; it falls as half a cosine.
    pub learning_rate: f64,
    /// Where labels come from.
    pub feedback: Feedback,
}

impl Settings {
    /// Whole groups of four (six comparisons) fit into a half of an iteration's calls.
    pub const CALLS: usize = 12;

    /// Checks what the loop divides.
    ///
    /// # Errors
    ///
    /// A sentence about the first setting out of its range.
    pub fn check(&self) -> Result<(), String> {
        let calls = self.calls;
        if calls == 0 || !calls.is_multiple_of(Self::CALLS) {
            let of = Self::CALLS;
            return Err(format!(
                "calls is {calls}; allowed: a positive multiple of {of}"
            ));
        }
        for (name, value) in [("steps", self.steps), ("period", self.period)] {
            if value == 0 {
                return Err(format!("{name} is 0; allowed: 1 or more"));
            }
        }
        Ok(())
    }

    /// `[objective]` of a method.
    ///
    /// Around equal preferences the minimiser of a logistic loss of scale b is
    /// `h = logit(p)/b = 4 (p - 1/2)/b + ..`, that of the squared loss `(p - 1/2)/eta`: logistic losses on
    /// outcomes (and the hinge, which has no slope of its own) get `4 eta`. DNO's is on win rates, whose
    /// minimiser is `(s_w - s_l)/eta` as it stands.
    pub fn section(&self, algorithm: Algorithm) -> ObjectiveSection {
        let mut section = ObjectiveSection {
            algorithm,
            ..ObjectiveSection::default()
        };
        match algorithm {
            Algorithm::Dpo | Algorithm::IterativeDpo | Algorithm::Hinge | Algorithm::IpoMean => {
                section.beta = Some(4.0 * self.eta)
            }
            Algorithm::DnoPrct => section.eta = Some(4.0 * self.eta),
            _ => section.eta = Some(self.eta),
        }
        if has_tau(algorithm) {
            section.tau = Some(self.tau);
        }
        section
    }

    /// After how many iterations the reference moves; 0: never.
    pub fn ref_update_every(&self, algorithm: Algorithm) -> usize {
        match algorithm {
            Algorithm::IterativeIpo | Algorithm::IterativeDpo => 1,
            Algorithm::Comal | Algorithm::Mpo => self.period,
            _ => 0,
        }
    }

    /// The configuration of a run of `algorithm` into `output_dir`, `actions` responses to compare. A step takes all
    /// rows at once: each names two responses, and a third to explore.
    pub(super) fn run(&self, algorithm: Algorithm, output_dir: &Path, actions: usize) -> RunConfig {
        let train = TrainSection {
            learning_rate: self.learning_rate,
            lr_scheduler_type: Schedule::Cosine,
            warmup_ratio: Some(0.0),
            max_steps: Some(self.steps),
            per_device_train_batch_size: actions.pow(3),
            gradient_accumulation_steps: 1,
            max_grad_norm: 0.0,
            ..TrainSection::default()
        };
        let mut config = RunConfig::new("the transformer of a seed", "the game", output_dir);
        config.common.objective = self.section(algorithm);
        config.common.train = train;
        config.iteration.num_iterations = self.iterations;
        config.iteration.ref_update_every = Some(self.ref_update_every(algorithm));
        config
    }
}

pub(super) fn has_tau(algorithm: Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::Inpo
            | Algorithm::NashMd
            | Algorithm::Egpo
            | Algorithm::Comal
            | Algorithm::Mpo
            | Algorithm::Enpo
    )
}
