//! The run's configuration: TOML, Hugging Face's spelling where Hugging Face has a word.

use std::path::{Path, PathBuf};

use inpo_policy::GenerationConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::judge::Selection;
use crate::objective::Objective;
use crate::phases::Phase;

mod objective;
mod sections;
mod train;

pub use inpo_loss::LabelKind;
pub use objective::{Algorithm, ObjectiveSection};
pub(crate) use sections::token_limit;
pub use sections::{
    DataSection, EvalSection, IterationSection, ModelSection, OracleSection, PairsSection,
    PolicySection, SelectionSection, SelectionStrategy,
};
pub use train::{Optim, Schedule, TrainSection};

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
    /// pi_ref; absent: the policy's starting weights.
    pub reference: Option<ModelSection>,
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

/// One optimisation phase on given pairs (`inpo train`): the offline form of the algorithms that have one
/// phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Where the files go.
    pub output_dir: PathBuf,
    /// Seed of every random draw.
    #[serde(default)]
    pub seed: u64,
    /// `flex`, `cpu`, `cuda:0`, `tch`, `wgpu:0`.
    #[serde(default = "flex")]
    pub device: String,
    /// The trained policy.
    pub policy: PolicySection,
    /// pi_ref; absent: the policy's starting weights.
    pub reference: Option<ModelSection>,
    /// pi_t; absent: the policy's starting weights.
    pub previous: Option<ModelSection>,
    /// The pairs.
    pub data: PairsSection,
    /// The loss.
    #[serde(default)]
    pub objective: ObjectiveSection,
    /// The optimiser.
    #[serde(default)]
    pub train: TrainSection,
}

impl TrainConfig {
    /// As [`RunConfig::load`].
    ///
    /// # Errors
    ///
    /// As [`RunConfig::load`].
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, TrainError> {
        load(path, overrides, Self::validate)
    }

    /// As [`RunConfig::parse`].
    ///
    /// # Errors
    ///
    /// As [`RunConfig::load`].
    pub fn parse(text: &str, origin: &str, overrides: &[String]) -> Result<Self, TrainError> {
        parse(text, origin, overrides, Self::validate)
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// The first setting out of its range, with what it may be.
    pub fn validate(&self) -> Result<(), TrainError> {
        check_output_dir(&self.output_dir)?;
        self.objective.offline()?;
        self.policy.validate()?;
        self.train.validate()
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
        load(path, overrides, Self::validate)
    }

    /// As [`RunConfig::load`], from text; `origin` names it in errors.
    ///
    /// # Errors
    ///
    /// As [`RunConfig::load`].
    pub fn parse(text: &str, origin: &str, overrides: &[String]) -> Result<Self, TrainError> {
        parse(text, origin, overrides, Self::validate)
    }

    /// How a phase makes pairs: as `[selection]` says, else by the paper's tournament, but from i.i.d. pairs
    /// where the loss regresses on scores, which a tournament's winner has too good.
    pub fn selection(&self, objective: &Objective, phase: &Phase) -> Selection {
        let default = match objective.label {
            LabelKind::Scores => SelectionStrategy::Iid,
            LabelKind::Hard | LabelKind::Soft => SelectionStrategy::Tournament,
        };
        let half = u64::from(phase.name.is_some());
        Selection {
            strategy: self.selection.strategy.unwrap_or(default),
            label: objective.label,
            explore: objective.exploration.is_some(),
            key: (self.seed, phase.iteration as u64 | half << 32),
        }
    }

    /// How many iterations the reference stays; 0: for ever.
    pub fn ref_update_every(&self) -> usize {
        let default = self.objective.algorithm.default_ref_update();
        self.iteration.ref_update_every.unwrap_or(default)
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// The first setting out of its range, with what it may be.
    pub fn validate(&self) -> Result<(), TrainError> {
        check_output_dir(&self.output_dir)?;
        let objective = self.objective.online(1)?;
        let name = self.objective.algorithm.name();
        if let Some(every @ 1..) = self.iteration.ref_update_every
            && objective.reference_weight() == 0.0
        {
            let key = "iteration.ref_update_every";
            let allowed = format!("0: the reference is no anchor of {name} with these settings");
            return Err(TrainError::setting(key, every, &allowed));
        }
        let responses = self.generation.num_generations;
        if objective.label == LabelKind::Scores && responses == 2 {
            let key = "generation.num_generations";
            let allowed = format!(
                "at least 3: {name} estimates win rates by comparisons with the prompt's other responses"
            );
            return Err(TrainError::setting(key, responses, &allowed));
        }
        self.generation.validate()?;
        self.policy.validate()?;
        self.train.validate()?;
        let confidence = self.eval.confidence;
        if !(0.0..1.0).contains(&confidence) {
            let allowed = "from 0 to below 1";
            return Err(TrainError::setting("eval.confidence", confidence, allowed));
        }
        let counts = [
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

fn check_output_dir(path: &Path) -> Result<(), TrainError> {
    match path.as_os_str().is_empty() {
        true => Err(TrainError::setting("output_dir", "empty", "a directory")),
        false => Ok(()),
    }
}

fn load<T: DeserializeOwned>(
    path: &Path,
    overrides: &[String],
    validate: impl Fn(&T) -> Result<(), TrainError>,
) -> Result<T, TrainError> {
    let text = std::fs::read_to_string(path).map_err(|e| TrainError::io(path, e))?;
    parse(&text, &path.display().to_string(), overrides, validate)
}

fn parse<T: DeserializeOwned>(
    text: &str,
    origin: &str,
    overrides: &[String],
    validate: impl Fn(&T) -> Result<(), TrainError>,
) -> Result<T, TrainError> {
    let fail = |reason: String| TrainError::Config {
        origin: origin.to_owned(),
        reason,
    };
    let trimmed = |e: toml::de::Error| e.to_string().trim_end().to_owned();
    let config: T = if overrides.is_empty() {
        toml::from_str(text).map_err(|e| fail(trimmed(e)))?
    } else {
        let table: toml::Table = toml::from_str(text).map_err(|e| fail(trimmed(e)))?;
        let mut table = toml::Value::Table(table);
        for entry in overrides {
            set(&mut table, entry).map_err(|reason| TrainError::Config {
                origin: format!("--set {entry}"),
                reason,
            })?;
        }
        let merged = || format!("{origin} with --set {}", overrides.join(" --set "));
        table.try_into().map_err(|e| TrainError::Config {
            origin: merged(),
            reason: trimmed(e),
        })?
    };
    validate(&config).map_err(|e| fail(e.to_string()))?;
    Ok(config)
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
