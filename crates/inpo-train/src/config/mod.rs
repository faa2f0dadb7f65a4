//! The configurations of a run and of a training: TOML, Hugging Face's spelling where Hugging Face has a word.

use std::path::{Path, PathBuf};

use inpo_loss::LabelKind;
use inpo_oracle::{OracleConfig, PairStrategy, SelectionConfig, TiePolicy};
use inpo_policy::GenerationConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::run_dir::{Layout, check_output_dir};

mod eval;
pub(crate) mod file;
mod objective;
mod readers;
mod sections;
mod train;

pub use eval::EvalSection;
pub use objective::ObjectiveSection;
pub(crate) use readers::READERS;
pub use sections::{DataSection, IterationSection, ModelSection, PairsSection, PolicySection};
pub(crate) use sections::{at_most, token_limit};
pub use train::{Optim, ReportTo, Schedule, TrainSection};

/// What the configurations of a run and of a training share.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
pub struct CommonConfig {
    /// Directory of all files that are written: new, empty, or the one being resumed.
    pub output_dir: PathBuf,
    /// Seed of every random draw, a whole number of at least 0.
    #[schemars(default)]
    pub seed: u64,
    /// Where tensors are computed: `flex` (the processor), `tch`, `cuda:N`, `wgpu`, `cpu`, as `inpo devices` lists them. `--device` overrides it.
    #[schemars(default = "flex")]
    pub device: String,
    /// The trained policy.
    pub policy: PolicySection,
    /// pi_ref, the policy that the KL pulls to. Absent: the starting weights of `[policy]`, its `adapter` included.
    pub reference: Option<ModelSection>,
    /// The method, which decides the loss, who samples the pairs and what the anchors are.
    #[schemars(default)]
    pub objective: ObjectiveSection,
    /// The optimisation of each phase. Every phase restarts optimiser and schedule.
    #[schemars(default)]
    pub train: TrainSection,
}

impl CommonConfig {
    fn validate(&self) -> Result<(), TrainError> {
        if self.output_dir.as_os_str().is_empty() {
            return Err(TrainError::setting("output_dir", "empty", "a directory"));
        }
        self.policy.validate()?;
        self.train.validate()
    }
}

/// Writes a configuration whose file has the keys of [`CommonConfig`] and its own side by side. The flat form that is
/// read and written is a struct of its own, so that unknown keys are errors and every error knows its line.
macro_rules! configuration {
    ($(#[$about:meta])* $name:ident as $file:ident = $literal:literal {
        $($(#[doc = $doc:literal])+ $(#[serde($($serde:tt)+)])? pub $field:ident: $type:ty,)+
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(from = $literal, into = $literal)]
        #[schemars(!from, !into, deny_unknown_fields)]
        pub struct $name {
            /// What both kinds of configuration have.
            #[schemars(flatten)]
            pub common: CommonConfig,
            $($(#[doc = $doc])+ $(#[schemars($($serde)+)])? pub $field: $type,)+
        }

        #[derive(Clone, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $file {
            output_dir: PathBuf,
            #[serde(default)]
            seed: u64,
            #[serde(default = "flex")]
            device: String,
            policy: PolicySection,
            reference: Option<ModelSection>,
            $($(#[serde($($serde)+)])? $field: $type,)+
            #[serde(default)]
            objective: ObjectiveSection,
            #[serde(default)]
            train: TrainSection,
        }

        impl From<$file> for $name {
            fn from(file: $file) -> Self {
                Self {
                    common: CommonConfig {
                        output_dir: file.output_dir,
                        seed: file.seed,
                        device: file.device,
                        policy: file.policy,
                        reference: file.reference,
                        objective: file.objective,
                        train: file.train,
                    },
                    $($field: file.$field,)+
                }
            }
        }

        impl From<$name> for $file {
            fn from(config: $name) -> Self {
                Self {
                    output_dir: config.common.output_dir,
                    seed: config.common.seed,
                    device: config.common.device,
                    policy: config.common.policy,
                    reference: config.common.reference,
                    objective: config.common.objective,
                    train: config.common.train,
                    $($field: config.$field,)+
                }
            }
        }

        impl $name {
            /// Reads a TOML file and applies `overrides`, each `section.key=value` with a TOML value (a bare
            /// word is a string).
            ///
            /// # Errors
            ///
            /// A file that cannot be read, TOML that cannot be parsed, unknown keys, wrong types, settings
            /// out of range; each with the file and the key.
            pub fn load(path: &Path, overrides: &[String]) -> Result<Self, TrainError> {
                file::load(path, overrides, Self::validate)
            }

            /// Reads TOML text as [`load`](Self::load) does; `origin` names it in errors.
            ///
            /// # Errors
            ///
            /// As [`load`](Self::load).
            pub fn parse(text: &str, origin: &str, overrides: &[String]) -> Result<Self, TrainError> {
                file::parse(text, origin, overrides, Self::validate)
            }
        }
    };
}

fn flex() -> String {
    "flex".to_owned()
}

configuration! {
    /// Everything that decides a run of the whole loop. Unknown keys are errors; absent ones have the paper's values
    /// (arXiv 2407.00617, section 5) where the paper gives one.
    RunConfig as RunFile = "RunFile" {
        /// The prompts.
        pub data: DataSection,
        /// Sampling from the current policy. With other than the defaults the pairs come from another sampler than pi_t.
        #[serde(default)]
        pub generation: GenerationConfig,
        /// Who compares two responses, unless the program brings its own oracle.
        #[serde(default)]
        pub oracle: OracleConfig,
        /// Which responses meet, and which pair of a prompt is kept. A key that the strategy does not read is refused.
        #[serde(default)]
        pub selection: SelectionConfig,
        /// The outer loop.
        #[serde(default)]
        pub iteration: IterationSection,
        /// Evaluation on the prompts of `data.eval_prompts`.
        #[serde(default)]
        pub eval: EvalSection,
    }
}

configuration! {
    /// One optimisation phase on given pairs (`inpo train`): the offline form of the methods that have one
    /// phase.
    TrainConfig as TrainFile = "TrainFile" {
        /// pi_t, the policy that sampled the pairs. Absent: the starting weights of `[policy]`, its `adapter` included.
        pub previous: Option<ModelSection>,
        /// The pairs that are trained on.
        pub data: PairsSection,
    }
}

impl TrainConfig {
    /// Checks what can be known of `output_dir` before a model is read.
    ///
    /// # Errors
    ///
    /// A directory that holds what is not of this training, or something that the training reads.
    pub fn check_output_dir(&self) -> Result<(), TrainError> {
        check_output_dir(&self.common.output_dir, Layout::OnePhase, self)
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// The first setting out of its range, with what it may be.
    pub fn validate(&self) -> Result<(), TrainError> {
        self.common.objective.offline()?;
        self.data.template()?;
        self.common.validate()
    }
}

impl RunConfig {
    /// A run of `model` on the prompts of a file, with every default: `[policy] model`, `[data] prompts` and `output_dir`
    /// alone.
    pub fn new(
        model: impl Into<String>,
        prompts: impl Into<PathBuf>,
        output_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            common: CommonConfig {
                output_dir: output_dir.into(),
                seed: 0,
                device: flex(),
                policy: PolicySection::new(model),
                reference: None,
                objective: ObjectiveSection::default(),
                train: TrainSection::default(),
            },
            data: DataSection::new(prompts),
            generation: GenerationConfig::default(),
            oracle: OracleConfig::default(),
            selection: SelectionConfig::default(),
            iteration: IterationSection::default(),
            eval: EvalSection::default(),
        }
    }

    /// Checks what can be known of `output_dir` before a model is read.
    ///
    /// # Errors
    ///
    /// A directory that holds what is not of this run, or something that the run reads.
    pub fn check_output_dir(&self) -> Result<(), TrainError> {
        let layout = Layout::Iterations { first_phase: "" };
        check_output_dir(&self.common.output_dir, layout, self)
    }

    /// How many iterations the reference stays; 0: for ever.
    pub fn ref_update_every(&self) -> usize {
        let default = self.common.objective.algorithm.method().ref_update_every;
        self.iteration.ref_update_every.unwrap_or(default)
    }

    /// `[selection]` with the strategy that holds where it names none: the paper's tournament, but i.i.d. pairs where the
    /// loss regresses on scores: the scores of a tournament's winner are biased upward.
    pub(crate) fn selection_for(&self, label: LabelKind) -> SelectionConfig {
        self.selection.with_default(match label {
            LabelKind::Scores => PairStrategy::Iid,
            LabelKind::Hard | LabelKind::Soft => PairStrategy::Tournament,
        })
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// The first setting out of its range, with what it may be.
    pub fn validate(&self) -> Result<(), TrainError> {
        let objective = self.common.objective.online(1)?;
        let name = self.common.objective.algorithm.name();
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
        let selection = self.selection_for(objective.label);
        selection.validate()?;
        let blind = selection.strategy().is_blind();
        if objective.label == LabelKind::Hard && selection.tie_policy() == TiePolicy::Half && !blind
        {
            let allowed = "\"drop\", \"first\" or \"random\": hard labels would count every such tie as a win of the \
                           response that the strategy puts first; with objective.label = \"soft\" it stays 1/2";
            return Err(TrainError::setting("selection.tie_policy", "half", allowed));
        }
        self.generation.validate()?;
        let g = &self.generation;
        for (key, value, greedy) in [
            ("temperature", g.temperature, g.temperature == 0.0),
            ("top_k", 1.0, g.top_k == Some(1)),
            ("min_p", g.min_p, g.min_p == 1.0),
        ] {
            if greedy {
                let key = format!("generation.{key}");
                let allowed = "a value that leaves several tokens to draw from: all responses to a prompt would be \
                               equal, and no pair could be made of them";
                return Err(TrainError::setting(&key, value, allowed));
            }
        }
        self.data.template()?;
        self.common.validate()?;
        self.iteration.validate()?;
        self.eval.validate(self.data.eval_prompts.is_some())?;
        if responses < 2 {
            let key = "generation.num_generations";
            let allowed = "at least 2: a pair needs two responses";
            return Err(TrainError::setting(key, responses, allowed));
        }
        let most = SelectionConfig::MOST_RESPONSES;
        at_most("generation.num_generations", responses, most)
    }
}
