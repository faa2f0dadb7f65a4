//! `[train]`: the optimisation of one phase. Every key with its range and its default.

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// The paper's warm-up (arXiv 2407.00617, section 5).
const WARMUP_RATIO: f64 = 0.03;

/// More steps than any training has.
const MOST_WARMUP_STEPS: f64 = u32::MAX as f64;

/// Where metrics go beside `metrics.jsonl`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ReportTo {
    /// Nowhere.
    #[default]
    None,
    /// An event file for TensorBoard in `output_dir/runs`, with the scalars `train/..` and `eval/..`.
    TensorBoard,
}

/// Settings that not every optimiser reads, with those that do, in the order of [`own_values`].
const OWN: [(&str, &[Optim]); 5] = [
    ("adam_beta1", &[Optim::AdamW]),
    ("adam_beta2", &[Optim::AdamW]),
    ("adam_epsilon", &[Optim::AdamW]),
    ("momentum", &[Optim::Sgd, Optim::RmsProp]),
    ("rmsprop_alpha", &[Optim::RmsProp]),
];

fn own_values(config: &TrainSection) -> [f64; 5] {
    [
        config.adam_beta1,
        config.adam_beta2,
        config.adam_epsilon,
        config.momentum,
        config.rmsprop_alpha,
    ]
}

/// Shape of the learning rate after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Half a cosine down to 0.
    Cosine,
    /// A straight line down to 0.
    Linear,
    /// No change.
    #[serde(alias = "constant_with_warmup")]
    #[schemars(extend("x-aliases" = ["constant_with_warmup"]))]
    Constant,
}

/// The optimisers of `[train]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Optim {
    /// Adam with decoupled weight decay.
    #[serde(alias = "adamw_torch", alias = "adamw_torch_fused")]
    #[schemars(extend("x-aliases" = ["adamw_torch", "adamw_torch_fused"]))]
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

fn readers(schema: &mut schemars::Schema) {
    super::readers::note_readers(schema, |key| {
        let (_, optims) = OWN.iter().find(|(own, _)| *own == key)?;
        Some(optims.iter().map(|optim| optim.name()).collect())
    });
}

/// `[train]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(transform = readers)]
pub struct TrainSection {
    /// Peak learning rate, above 0.
    pub learning_rate: f64,
    /// Shape of the learning rate behind the warm-up; each phase restarts it.
    pub lr_scheduler_type: Schedule,
    /// Share of the steps in which the rate rises from 0, from 0 to below 1, rounded up; the first step then has rate 0.
    /// Absent: 0.03. Not together with `warmup_steps`.
    pub warmup_ratio: Option<f64>,
    /// Steps in which the rate rises from 0, a whole number of at least 0; below 1 a share, as `warmup_ratio`, with which it cannot be together.
    pub warmup_steps: Option<f64>,
    /// Passes over an iteration's pairs, above 0; a fraction ends within one.
    pub num_train_epochs: f64,
    /// Optimiser steps of an iteration, at least 1; overrides the epochs.
    pub max_steps: Option<usize>,
    /// Pairs, or a judge's votes, that are held in memory together, at least 1.
    pub per_device_train_batch_size: usize,
    /// Such groups per optimiser step, at least 1, the longest pairs first.
    pub gradient_accumulation_steps: usize,
    /// Whether a block's activations are computed again in the backward pass and not kept: less memory, more time, the same
    /// gradient.
    pub gradient_checkpointing: bool,
    /// Limit of the GLOBAL gradient norm, above 0; 0: none, the norm is measured only.
    pub max_grad_norm: f64,
    /// Stops a training (exit status 1) whose loss is more than so many times that of its first step, a number above 1, or
    /// whose gradient norm was exactly 0 in 10 steps in a row (all steps, where there are fewer). Absent: both are warned
    /// about once, the loss from 10 times on.
    pub max_loss_ratio: Option<f64>,
    /// Where metrics go beside metrics.jsonl.
    pub report_to: ReportTo,
    /// The optimiser. Keys of another one must keep their defaults.
    pub optim: Optim,
    /// Decay of parameters of two and more dimensions, at least 0, not of norm gains and biases: decoupled in AdamW, part of
    /// the gradient in SGD and RMSprop.
    pub weight_decay: f64,
    /// AdamW's first decay rate, from 0 to below 1.
    pub adam_beta1: f64,
    /// AdamW's second decay rate, from 0 to below 1.
    pub adam_beta2: f64,
    /// AdamW's epsilon, above 0.
    pub adam_epsilon: f64,
    /// Momentum, from 0 to below 1.
    pub momentum: f64,
    /// RMSprop's decay rate of the mean square, from 0 to below 1.
    pub rmsprop_alpha: f64,
    /// Steps between rows of metrics.jsonl, at least 1; the last step has one too.
    pub logging_steps: usize,
    /// Steps between checkpoints, at least 1, from which a training that was cut off is resumed. `inpo train-oracle` keeps
    /// none.
    pub save_steps: usize,
    /// Checkpoints that are kept of each optimisation, the latest ones, at least 1. Absent: all.
    pub save_total_limit: Option<usize>,
}

impl TrainSection {
    /// Whether the metrics are drawn by TensorBoard.
    pub(crate) fn draws(&self) -> bool {
        self.report_to == ReportTo::TensorBoard
    }

    /// Steps of `total` in which the rate rises: transformers' `get_warmup_steps`.
    pub fn warmup(&self, total: usize) -> usize {
        let share = match (self.warmup_steps, self.warmup_ratio) {
            (Some(steps), _) if steps >= 1.0 => return steps as usize,
            (Some(share), _) | (None, Some(share)) => share,
            (None, None) => WARMUP_RATIO,
        };
        (share * total as f64).ceil() as usize
    }

    /// What a user should know of the rate in an optimisation of `total` steps, if anything.
    pub(crate) fn warmup_warning(&self, total: usize) -> Option<String> {
        let steps = self
            .warmup_steps
            .filter(|&steps| steps >= total.max(1) as f64)?;
        Some(format!(
            "train.warmup_steps is {steps}, and there are {total} steps: the rate never rises to train.learning_rate"
        ))
    }

    /// Checks the settings of the optimiser and of its rate.
    ///
    /// # Errors
    ///
    /// A setting out of its range, `warmup_steps` beside `warmup_ratio`, a setting that `optim` does not
    /// read and that is not at its default.
    pub fn validate(&self) -> Result<(), TrainError> {
        let check = |key: &str, value: f64, good: bool, allowed: &str| {
            if good {
                return Ok(());
            }
            Err(TrainError::setting(&format!("train.{key}"), value, allowed))
        };
        for (key, value) in [
            ("max_steps", self.max_steps.unwrap_or(1)),
            (
                "per_device_train_batch_size",
                self.per_device_train_batch_size,
            ),
            (
                "gradient_accumulation_steps",
                self.gradient_accumulation_steps,
            ),
            ("logging_steps", self.logging_steps),
            ("save_steps", self.save_steps),
            ("save_total_limit", self.save_total_limit.unwrap_or(1)),
        ] {
            if value == 0 {
                return Err(TrainError::setting(
                    &format!("train.{key}"),
                    value,
                    "at least 1",
                ));
            }
        }
        for (key, value) in [
            ("learning_rate", self.learning_rate),
            ("num_train_epochs", self.num_train_epochs),
            ("adam_epsilon", self.adam_epsilon),
        ] {
            let good = value > 0.0 && value.is_finite();
            check(key, value, good, "a positive number")?;
        }
        for (key, value) in [
            ("warmup_ratio", self.warmup_ratio.unwrap_or(WARMUP_RATIO)),
            ("adam_beta1", self.adam_beta1),
            ("adam_beta2", self.adam_beta2),
            ("momentum", self.momentum),
            ("rmsprop_alpha", self.rmsprop_alpha),
        ] {
            let good = (0.0..1.0).contains(&value);
            check(key, value, good, "from 0 to below 1")?;
        }
        for (key, value, allowed) in [
            (
                "max_grad_norm",
                self.max_grad_norm,
                "a positive number, or 0 for no limit",
            ),
            ("weight_decay", self.weight_decay, "at least 0"),
        ] {
            let good = value >= 0.0 && value.is_finite();
            check(key, value, good, allowed)?;
        }
        if let Some(ratio) = self.max_loss_ratio {
            let good = ratio > 1.0 && ratio.is_finite();
            check("max_loss_ratio", ratio, good, "a number above 1")?;
        }
        if let Some(steps) = self.warmup_steps {
            let whole = (1.0..=MOST_WARMUP_STEPS).contains(&steps) && steps.fract() == 0.0;
            let good = (0.0..1.0).contains(&steps) || whole;
            let allowed =
                "a whole number of steps up to 4294967295, or a share of them from 0 to below 1";
            check("warmup_steps", steps, good, allowed)?;
            let alone = self.warmup_ratio.is_none();
            let allowed = "warmup_steps or warmup_ratio, not both";
            check("warmup_steps", steps, alone, allowed)?;
        }
        let values = own_values(self)
            .into_iter()
            .zip(own_values(&Self::default()));
        for ((key, readers), (value, default)) in OWN.into_iter().zip(values) {
            let optim = self.optim.name();
            let allowed = format!("its default, {default}: optim = \"{optim}\" does not use it");
            let good = value == default || readers.contains(&self.optim);
            check(key, value, good, &allowed)?;
        }
        Ok(())
    }

    /// Optimiser steps of an iteration with `pairs` pairs.
    pub fn steps(&self, pairs: usize) -> usize {
        let per_epoch = pairs.div_ceil(self.pairs_per_step()).max(1);
        let of_epochs = || (per_epoch as f64 * self.num_train_epochs).ceil() as usize;
        self.max_steps.unwrap_or_else(of_epochs)
    }

    /// Pairs of one optimiser step.
    pub fn pairs_per_step(&self) -> usize {
        let size = self.per_device_train_batch_size;
        size.saturating_mul(self.gradient_accumulation_steps)
    }
}

impl Default for TrainSection {
    fn default() -> Self {
        Self {
            learning_rate: 5e-7,
            lr_scheduler_type: Schedule::Cosine,
            warmup_ratio: None,
            warmup_steps: None,
            num_train_epochs: 1.0,
            max_steps: None,
            per_device_train_batch_size: 8,
            gradient_accumulation_steps: 16,
            gradient_checkpointing: false,
            max_grad_norm: 1.0,
            max_loss_ratio: None,
            report_to: ReportTo::None,
            optim: Optim::AdamW,
            weight_decay: 0.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            momentum: 0.0,
            rmsprop_alpha: 0.99,
            logging_steps: 1,
            save_steps: 500,
            save_total_limit: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TrainSection, String> {
        let section: TrainSection = toml::from_str(text).map_err(|e| e.to_string())?;
        section.validate().map_err(|e| e.to_string())?;
        Ok(section)
    }

    fn refuse(text: &str) -> String {
        parse(text).unwrap_err()
    }

    #[test]
    fn hugging_faces_words_are_understood() {
        for (word, optim) in [
            ("adamw", Optim::AdamW),
            ("adamw_torch", Optim::AdamW),
            ("adamw_torch_fused", Optim::AdamW),
            ("sgd", Optim::Sgd),
            ("rmsprop", Optim::RmsProp),
        ] {
            assert_eq!(parse(&format!("optim = '{word}'")).unwrap().optim, optim);
        }
        assert_eq!(parse("").unwrap().optim, Optim::AdamW);
        let error = refuse("optim = 'adamw_hf'");
        assert!(
            error.contains(
                "unknown variant `adamw_hf`, expected one of `adamw`, `adamw_torch`, `adamw_torch_fused`, `sgd`, `rmsprop`"
            ),
            "{error}"
        );
        let named = parse("lr_scheduler_type = 'constant_with_warmup'").unwrap();
        assert_eq!(named, parse("lr_scheduler_type = 'constant'").unwrap());
        assert_ne!(named, parse("").unwrap());
        let error = refuse("lr_scheduler_type = 'polynomial'");
        assert!(error.contains("expected one of `cosine`"), "{error}");
    }

    /// What is written to run.toml reads back as the same settings.
    #[test]
    fn settings_survive_the_run_file() {
        for text in [
            "",
            "optim = 'sgd'\nmomentum = 0.9",
            "warmup_steps = 10",
            "optim = 'adamw_torch'\nwarmup_ratio = 0.1",
        ] {
            let section = parse(text).unwrap();
            let written = toml::to_string(&section).unwrap();
            assert_eq!(parse(&written).unwrap(), section, "{written}");
        }
    }

    #[test]
    fn settings_of_another_optimiser_are_refused() {
        assert_eq!(
            refuse("optim = 'sgd'\nadam_beta1 = 0.5"),
            "`train.adam_beta1` is 0.5; allowed: its default, 0.9: optim = \"sgd\" does not use it"
        );
        for (key, optims) in [
            ("adam_beta2", &["sgd", "rmsprop"][..]),
            ("adam_epsilon", &["sgd", "rmsprop"]),
            ("momentum", &["adamw"]),
            ("rmsprop_alpha", &["adamw", "sgd"]),
        ] {
            for optim in ["adamw", "sgd", "rmsprop"] {
                let parsed = parse(&format!("optim = '{optim}'\n{key} = 0.25"));
                match parsed {
                    Ok(_) => assert!(!optims.contains(&optim), "{key} with {optim}"),
                    Err(error) => {
                        assert!(optims.contains(&optim), "{key} with {optim}");
                        assert!(error.starts_with(&format!("`train.{key}` is 0.25;")));
                        let end = format!("optim = \"{optim}\" does not use it");
                        assert!(error.ends_with(&end), "{error}");
                    }
                }
            }
        }
        parse("optim = 'sgd'\nadam_beta1 = 0.9\nweight_decay = 0.1").unwrap();
    }

    #[test]
    fn ranges_are_checked() {
        let share = "from 0 to below 1";
        let whole =
            "a whole number of steps up to 4294967295, or a share of them from 0 to below 1";
        let limit = "a positive number, or 0 for no limit";
        for (key, value, allowed) in [
            ("learning_rate", "0", "a positive number"),
            ("adam_epsilon", "-1", "a positive number"),
            ("adam_beta2", "1", share),
            ("warmup_ratio", "-0.5", share),
            ("momentum", "1", share),
            ("rmsprop_alpha", "1.5", share),
            ("max_grad_norm", "-1", limit),
            ("max_grad_norm", "inf", limit),
            ("max_grad_norm", "NaN", limit),
            ("weight_decay", "-0.1", "at least 0"),
            ("warmup_steps", "2.5", whole),
            ("warmup_steps", "-1", whole),
            ("warmup_steps", "inf", whole),
            ("warmup_steps", "4294967296", whole),
            ("max_loss_ratio", "1", "a number above 1"),
            ("max_loss_ratio", "inf", "a number above 1"),
            ("max_loss_ratio", "NaN", "a number above 1"),
        ] {
            let error = refuse(&format!("{key} = {}", value.to_lowercase()));
            let expected = format!("`train.{key}` is {value}; allowed: {allowed}");
            assert_eq!(error, expected);
        }
        assert_eq!(parse("max_grad_norm = 0").unwrap().max_grad_norm, 0.0);
        assert_eq!(
            parse("max_loss_ratio = 2.5").unwrap().max_loss_ratio,
            Some(2.5)
        );
        assert!(refuse("warmup_steps = 1e300").ends_with(whole));
        let both = "warmup_steps or warmup_ratio, not both";
        assert_eq!(
            refuse("warmup_steps = 10\nwarmup_ratio = 0.03"),
            format!("`train.warmup_steps` is 10; allowed: {both}")
        );
    }

    /// Shares are rounded up: ceil(0.25 * 10) = 3; the default of 100 steps is ceil(0.03 * 100) = 3.
    #[test]
    fn warm_up_in_steps_or_as_a_share() {
        let of = |text: &str, total| parse(text).unwrap().warmup(total);
        assert_eq!(of("warmup_steps = 4", 10), 4);
        assert_eq!(of("warmup_steps = 40", 10), 40);
        assert_eq!(of("warmup_steps = 0.25", 10), 3);
        assert_eq!(of("warmup_steps = 0", 10), 0);
        assert_eq!(of("warmup_ratio = 0.25", 10), 3);
        assert_eq!(of("warmup_ratio = 0", 10), 0);
        assert_eq!(of("", 100), 3);
        let told = |text: &str| parse(text).unwrap().warmup_warning(10);
        for text in [
            "",
            "warmup_steps = 9",
            "warmup_steps = 0.25",
            "warmup_ratio = 0.9",
        ] {
            assert_eq!(told(text), None, "{text}");
        }
        let told = told("warmup_steps = 10").unwrap();
        assert!(told.starts_with("train.warmup_steps is 10, and there are 10 steps"));
    }
}
