//! The stages of a run: their names in the metrics, and the file that says that one is complete.

use serde::{Deserialize, Serialize};

/// A stage of an iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Responses of the sampler.
    Generate,
    /// The oracle's answers about them.
    Judge,
    /// The pairs that are kept.
    Select,
    /// Log-probs of the pairs under the fixed policies.
    Anchors,
    /// The optimisation.
    Train,
    /// Responses to held-out prompts.
    Evaluate,
    /// Responses of the starting policy to held-out prompts, where the reference is another model.
    EvaluateStart,
    /// What the oracles say of the responses to held-out prompts.
    EvalJudge,
    /// What the responses to held-out prompts say of the policy.
    Eval,
}

/// A stage of one iteration, or of one of its phases: where its file lies, and what its metrics say of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) stage: Stage,
    pub(crate) iteration: usize,
    /// The folder of a first phase of two.
    pub(crate) folder: Option<&'a str>,
}

/// The directory of a trained policy.
pub(crate) const POLICY: &str = "policy";

/// The file that says that a policy is complete, inside of its directory.
pub(crate) const COMPLETE: &str = ".complete";

impl Stage {
    /// All stages.
    pub(crate) const ALL: [Self; 9] = [
        Self::Generate,
        Self::Judge,
        Self::Select,
        Self::Anchors,
        Self::Train,
        Self::Evaluate,
        Self::EvaluateStart,
        Self::EvalJudge,
        Self::Eval,
    ];

    /// The file that is there once the stage is complete, inside the folder of its iteration or phase.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Generate => "responses.jsonl",
            Self::Judge => "preferences.jsonl",
            Self::Select => "pairs.jsonl",
            Self::Anchors => "anchors.safetensors",
            Self::Train => "policy/.complete",
            Self::Evaluate => "eval_responses.jsonl",
            Self::EvaluateStart => "start_responses.jsonl",
            Self::EvalJudge => "eval_preferences.jsonl",
            Self::Eval => "eval.json",
        }
    }

    /// The stage of this name.
    pub(crate) fn named(name: &serde_json::Value) -> Option<Self> {
        Self::deserialize(name).ok()
    }

    /// What a watcher is shown.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Judge => "judge",
            Self::Select => "select",
            Self::Anchors => "anchors",
            Self::Train => "optimise",
            Self::Evaluate => "evaluate",
            Self::EvaluateStart => "evaluate_start",
            Self::EvalJudge => "eval_judge",
            Self::Eval => "eval",
        }
    }
}

/// The folder of the held-out responses of an opponent by name, counted from 0.
pub(crate) fn opponent_folder(number: usize) -> String {
    format!("opponent-{}", number + 1)
}
