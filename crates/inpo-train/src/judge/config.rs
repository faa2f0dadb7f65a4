//! The configuration of `inpo train-oracle`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{PolicySection, TrainSection, at_most, file};
use crate::error::TrainError;
use crate::run_dir::{Layout, check_output_dir};

/// The most values of a head: more than any decoder here is wide.
const MOST_VALUES: usize = 1 << 14;

/// The training of a judge on votes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgeTrainConfig {
    /// Directory of all files that are written: new, empty, or the one being resumed.
    pub output_dir: PathBuf,
    /// Seed of every random draw, a whole number of at least 0.
    #[serde(default)]
    pub seed: u64,
    /// Where tensors are computed: `flex` (the processor), `tch`, `cuda:N`, `wgpu`, `cpu`, as `inpo devices` lists them. `--device` overrides it.
    #[serde(default = "flex")]
    pub device: String,
    /// The model that becomes a judge.
    pub policy: PolicySection,
    /// What kind of judge it becomes.
    #[serde(default)]
    pub judge: JudgeSection,
    /// The votes.
    pub data: VotesSection,
    /// The optimisation of the judge. Its defaults are those of a policy: give `learning_rate`.
    #[serde(default)]
    pub train: TrainSection,
}

fn flex() -> String {
    "flex".to_owned()
}

/// What kind of judge a model becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JudgeForm {
    /// A score of each response: `P(a > b) = sigmoid((r_a - r_b) / temperature)`. It cannot cycle.
    BradleyTerry,
    /// The general preference model: values that turn against each other (arXiv 2410.02197).
    General,
    /// A score beside values that turn (arXiv 2605.17342).
    Hybrid,
    /// A language model that reads both responses and answers with a label.
    PairLm,
}

/// `[judge]` of `inpo train-oracle`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JudgeSection {
    /// What kind of judge the model becomes.
    pub form: JudgeForm,
    /// The numbers of a value, even, from 2 to 16384. `general` and `hybrid` read it.
    pub values: usize,
    /// Whether the prompt weighs the values' blocks. `general` and `hybrid` read it.
    pub prompt_head: bool,
    /// Whether values are divided by their length. `general` and `hybrid` read it.
    pub normalise: bool,
    /// What scores are divided by while the judge trains, above 0; what it ends with is fitted to held-out votes.
    pub temperature: f64,
    /// Whether only the heads train, on hidden states that are computed once; not with `policy.lora`.
    pub freeze: bool,
}

impl Default for JudgeSection {
    fn default() -> Self {
        Self {
            form: JudgeForm::Hybrid,
            values: 6,
            prompt_head: false,
            normalise: false,
            temperature: 1.0,
            freeze: false,
        }
    }
}

/// `[data]` of `inpo train-oracle`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VotesSection {
    /// The file of votes: rows with `prompt`, `response_a`, `response_b`, `winner` (a, b, tie) and `voter`, or a file that
    /// `inpo judge` wrote.
    pub votes: PathBuf,
    /// Votes that the judge is measured on. Absent: none.
    pub eval_votes: Option<PathBuf>,
    /// Share of the prompts of `votes` that do not train and fit the temperature, from 0 to below 1.
    #[serde(default = "a_tenth")]
    pub calibration_share: f64,
}

fn a_tenth() -> f64 {
    0.1
}

impl JudgeTrainConfig {
    /// Checks what can be known of `output_dir` before the model is read.
    ///
    /// # Errors
    ///
    /// A directory that holds what is not of this training, or something that the training reads.
    pub fn check_output_dir(&self) -> Result<(), TrainError> {
        check_output_dir(&self.output_dir, Layout::OnePhase, self)
    }

    /// Reads a TOML file, with overrides such as `train.learning_rate=1e-4`, and checks it.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, unknown keys, settings out of their range.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, TrainError> {
        file::load(path, overrides, Self::validate)
    }

    /// Reads a configuration from a text; `origin` names it in errors.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn parse(text: &str, origin: &str, overrides: &[String]) -> Result<Self, TrainError> {
        file::parse(text, origin, overrides, Self::validate)
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// The first setting out of its range, with what it may be.
    pub fn validate(&self) -> Result<(), TrainError> {
        if self.output_dir.as_os_str().is_empty() {
            return Err(TrainError::setting("output_dir", "empty", "a directory"));
        }
        self.policy.validate()?;
        self.train.validate()?;
        let allowed = "its default: the training of a judge keeps no checkpoints";
        if self.train.save_steps != TrainSection::default().save_steps {
            let got = self.train.save_steps;
            return Err(TrainError::setting("train.save_steps", got, allowed));
        }
        if let Some(got) = self.train.save_total_limit {
            return Err(TrainError::setting("train.save_total_limit", got, allowed));
        }
        let judge = &self.judge;
        let turns = matches!(judge.form, JudgeForm::General | JudgeForm::Hybrid);
        if turns && (judge.values == 0 || judge.values % 2 == 1) {
            let allowed = "an even number: values turn in pairs";
            return Err(TrainError::setting("judge.values", judge.values, allowed));
        }
        at_most("judge.values", judge.values, MOST_VALUES)?;
        if judge.prompt_head && !turns {
            let allowed = "false: only `general` and `hybrid` have blocks to weigh";
            return Err(TrainError::setting("judge.prompt_head", true, allowed));
        }
        if !(judge.temperature.is_finite() && judge.temperature > 0.0) {
            let got = judge.temperature;
            return Err(TrainError::setting("judge.temperature", got, "above 0"));
        }
        if judge.form == JudgeForm::PairLm {
            if judge.freeze {
                let allowed = "false: a pair_lm has no head to train";
                return Err(TrainError::setting("judge.freeze", true, allowed));
            }
            if self.policy.lora.is_none() && self.policy.adapter.is_none() {
                let allowed = "set: a pair_lm is trained as adapters";
                return Err(TrainError::setting("policy.lora", "absent", allowed));
            }
        } else if self.policy.adapter.is_some() {
            let allowed = "absent: give policy.lora; a judge with heads is written whole";
            return Err(TrainError::setting("policy.adapter", "set", allowed));
        }
        if judge.freeze && self.policy.lora.is_some() {
            let allowed = "absent, as judge.freeze trains the heads alone";
            return Err(TrainError::setting("policy.lora", "set", allowed));
        }
        let share = self.data.calibration_share;
        if !(0.0..1.0).contains(&share) {
            let key = "data.calibration_share";
            return Err(TrainError::setting(key, share, "at least 0 and below 1"));
        }
        Ok(())
    }
}
