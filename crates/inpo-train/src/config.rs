//! The run's configuration: TOML, Hugging Face's spelling where Hugging Face has a word.

use std::path::{Path, PathBuf};

use inpo_loss::{InpoLoss, InpoLossConfig};
use inpo_oracle::RulesOracleConfig;
use inpo_policy::{GenerationConfig, LoraConfig};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::ratio::Ratio;

/// Everything that decides a run. Unknown keys are errors; absent ones have the paper's values
/// (arXiv 2407.00617, section 5) where the paper gives one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Where the run's files go.
    pub output_dir: PathBuf,
    /// Seed of every random draw.
    #[serde(default)]
    pub seed: u64,
    /// `flex`, `cpu`, `cuda:0`, `tch`, `wgpu:0`.
    #[serde(default = "flex")]
    pub device: String,
    /// The trained policy.
    pub policy: PolicySection,
    /// Where prompts come from.
    pub data: DataSection,
    /// Sampling from the current policy.
    #[serde(default)]
    pub generation: GenerationConfig,
    /// Who compares two responses.
    #[serde(default)]
    pub oracle: OracleSection,
    /// Which pairs are kept.
    #[serde(default)]
    pub selection: SelectionSection,
    /// The loss.
    #[serde(default)]
    pub objective: ObjectiveSection,
    /// The outer loop.
    #[serde(default)]
    pub iteration: IterationSection,
    /// The optimiser.
    #[serde(default)]
    pub train: TrainSection,
    /// Evaluation on held-out prompts.
    #[serde(default)]
    pub eval: EvalSection,
}

fn flex() -> String {
    "flex".to_owned()
}

/// `[policy]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySection {
    /// Hugging Face directory, GGUF file, hub id or alias. Its weights are also the reference.
    pub model: String,
    /// Longest prompt and response together, in tokens; default: the model's context.
    pub max_length: Option<usize>,
    /// Low-rank adapters; absent: every weight is trained.
    pub lora: Option<LoraConfig>,
}

/// `[data]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// JSONL file of training prompts.
    pub prompts: PathBuf,
    /// JSONL file of held-out prompts; absent: no evaluation.
    pub eval_prompts: Option<PathBuf>,
    /// Whether prompts are taken in a seeded random order.
    #[serde(default = "yes")]
    pub shuffle: bool,
}

fn yes() -> bool {
    true
}

/// `[oracle]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OracleSection {
    /// Programmatic criteria that vote.
    Rules(RulesOracleConfig),
}

impl Default for OracleSection {
    fn default() -> Self {
        Self::Rules(RulesOracleConfig::default())
    }
}

/// How a pair is chosen among K responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelectionStrategy {
    /// The paper's tournament: best against worst, kept if the best wins their final.
    Tournament,
    /// The first two samples: the i.i.d. pair of the theory.
    Iid,
}

/// `[selection]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelectionSection {
    /// The strategy.
    pub strategy: SelectionStrategy,
}

impl Default for SelectionSection {
    fn default() -> Self {
        Self {
            strategy: SelectionStrategy::Tournament,
        }
    }
}

/// The algorithms of `[objective]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Iterative Nash policy optimisation.
    Inpo,
}

/// Whether a pair's label is a win or a probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    /// Target `1/(2 eta)`.
    Hard,
    /// Target `(p - 1/2)/eta`.
    Soft,
}

/// `[objective]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectiveSection {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// INVERSE step size.
    pub eta: f64,
    /// `tau / eta`, a number or a fraction such as `"1/3"`; not together with `tau`.
    pub tau_eta_ratio: Option<Ratio>,
    /// KL weight; default: `tau_eta_ratio * eta`.
    pub tau: Option<f64>,
    /// Hard or soft labels.
    pub label: LabelKind,
}

impl Default for ObjectiveSection {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Inpo,
            eta: 0.005,
            tau_eta_ratio: None,
            tau: None,
            label: LabelKind::Hard,
        }
    }
}

impl ObjectiveSection {
    /// The loss these settings describe.
    ///
    /// # Errors
    ///
    /// Both `tau` and `tau_eta_ratio`; `eta` or `tau` outside their range.
    pub fn loss(&self) -> Result<InpoLoss, TrainError> {
        let tau = match (self.tau, self.tau_eta_ratio) {
            (Some(tau), None) => tau,
            (None, ratio) => self.eta * ratio.unwrap_or(Ratio::THIRD).value(),
            (Some(tau), Some(_)) => {
                let allowed = "tau or tau_eta_ratio, not both";
                return Err(TrainError::setting("objective.tau", tau, allowed));
            }
        };
        let loss = InpoLossConfig { eta: self.eta, tau }.init();
        loss.map_err(|error| TrainError::Config {
            origin: "[objective]".to_owned(),
            reason: error.to_string(),
        })
    }
}

/// `[iteration]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IterationSection {
    /// Rounds of mirror descent, T.
    pub num_iterations: usize,
    /// Prompts of each round, a disjoint slice; absent: an equal share of all prompts.
    pub prompts_per_iteration: Option<usize>,
}

impl Default for IterationSection {
    fn default() -> Self {
        Self {
            num_iterations: 3,
            prompts_per_iteration: None,
        }
    }
}

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
    /// Steps between rows of metrics.jsonl.
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

/// `[eval]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalSection {
    /// Held-out prompts used; absent: all.
    pub num_prompts: Option<usize>,
    /// Samples per prompt of each policy.
    pub num_generations: usize,
    /// Confidence of the bootstrap intervals.
    pub confidence: f64,
    /// Samples per prompt on which the KL to the reference is estimated.
    pub kl_samples: usize,
}

impl Default for EvalSection {
    fn default() -> Self {
        Self {
            num_prompts: None,
            num_generations: 4,
            confidence: 0.95,
            kl_samples: 1,
        }
    }
}

impl RunConfig {
    /// Reads a TOML file and applies `overrides`, each `section.key=value` with a TOML value (a bare
    /// word is a string).
    ///
    /// # Errors
    ///
    /// A file that cannot be read, TOML that cannot be parsed, unknown keys, wrong types, settings
    /// out of range; each with the file and the key.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(|e| TrainError::io(path, e))?;
        Self::parse(&text, &path.display().to_string(), overrides)
    }

    /// As [`RunConfig::load`], from text; `origin` names it in errors.
    ///
    /// # Errors
    ///
    /// As [`RunConfig::load`].
    pub fn parse(text: &str, origin: &str, overrides: &[String]) -> Result<Self, TrainError> {
        let fail = |reason: String| TrainError::Config {
            origin: origin.to_owned(),
            reason,
        };
        let config: Self = if overrides.is_empty() {
            toml::from_str(text).map_err(|e| fail(e.to_string().trim_end().to_owned()))?
        } else {
            let table: toml::Table =
                toml::from_str(text).map_err(|e| fail(e.to_string().trim_end().to_owned()))?;
            let mut table = toml::Value::Table(table);
            for entry in overrides {
                set(&mut table, entry).map_err(|reason| TrainError::Config {
                    origin: format!("--set {entry}"),
                    reason,
                })?;
            }
            let merged = || format!("{origin} with --set {}", overrides.join(" --set "));
            table
                .try_into()
                .map_err(|e: toml::de::Error| TrainError::Config {
                    origin: merged(),
                    reason: e.to_string().trim_end().to_owned(),
                })?
        };
        config.validate().map_err(|e| fail(e.to_string()))?;
        Ok(config)
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// The first setting out of its range, with what it may be.
    pub fn validate(&self) -> Result<(), TrainError> {
        self.objective.loss()?;
        self.generation.validate()?;
        if let Some(lora) = &self.policy.lora {
            lora.validate()?;
        }
        let train = &self.train;
        train.validate()?;
        let confidence = self.eval.confidence;
        if !(0.0..1.0).contains(&confidence) {
            let allowed = "from 0 to below 1";
            return Err(TrainError::setting("eval.confidence", confidence, allowed));
        }
        let counts = [
            ("train.num_train_epochs", train.num_train_epochs),
            ("train.max_steps", train.max_steps.unwrap_or(1)),
            (
                "train.per_device_train_batch_size",
                train.per_device_train_batch_size,
            ),
            (
                "train.gradient_accumulation_steps",
                train.gradient_accumulation_steps,
            ),
            ("train.logging_steps", train.logging_steps),
            ("iteration.num_iterations", self.iteration.num_iterations),
            (
                "iteration.prompts_per_iteration",
                self.iteration.prompts_per_iteration.unwrap_or(1),
            ),
            ("eval.num_generations", self.eval.num_generations),
            ("eval.kl_samples", self.eval.kl_samples),
            ("eval.num_prompts", self.eval.num_prompts.unwrap_or(1)),
        ];
        for (key, value) in counts {
            if value == 0 {
                return Err(TrainError::setting(key, value, "at least 1"));
            }
        }
        if self.generation.num_generations < 2 {
            let got = self.generation.num_generations;
            let allowed = "at least 2: a pair needs two responses";
            return Err(TrainError::setting(
                "generation.num_generations",
                got,
                allowed,
            ));
        }
        if self.eval.kl_samples > self.eval.num_generations {
            let got = self.eval.kl_samples;
            let allowed = "at most eval.num_generations";
            return Err(TrainError::setting("eval.kl_samples", got, allowed));
        }
        Ok(())
    }
}

fn set(table: &mut toml::Value, entry: &str) -> Result<(), String> {
    let (key, value) = entry
        .split_once('=')
        .ok_or("expected key=value, for instance train.learning_rate=1e-5")?;
    let value = value.trim();
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut place = table;
    let mut parts = key.trim().split('.').peekable();
    while let Some(part) = parts.next() {
        let inner = place
            .as_table_mut()
            .ok_or_else(|| format!("`{key}`: the part before `{part}` is not a section"))?;
        if parts.peek().is_none() {
            inner.insert(part.to_owned(), parsed);
            return Ok(());
        }
        place = inner
            .entry(part)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
    }
    Ok(())
}
