//! Where the files of a run or a training lie, and by what it is known.

use serde_json::{Map, Value};

use crate::inputs::Inputs;
use crate::stage::Place;

/// What lies where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A folder for each iteration, and in it one for the first of two phases.
    Iterations {
        /// The folder of a first phase; empty where there is one phase.
        first_phase: &'static str,
    },
    /// One phase on given pairs: everything in the directory itself.
    OnePhase,
}

impl Layout {
    /// The file that holds the settings.
    pub(crate) fn settings(self) -> &'static str {
        match self {
            Self::Iterations { .. } => "run.toml",
            Self::OnePhase => "train.toml",
        }
    }

    /// The file that holds the settings of the other layout.
    pub(super) fn other_settings(self) -> &'static str {
        match self {
            Self::Iterations { .. } => "train.toml",
            Self::OnePhase => "run.toml",
        }
    }

    /// What the directory is of.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Iterations { .. } => "run",
            Self::OnePhase => "training",
        }
    }

    /// The file of a stage, from the directory on.
    pub(crate) fn name(self, place: Place<'_>) -> String {
        let file = place.stage.file();
        match (self, place.folder) {
            (Self::OnePhase, _) => file.to_owned(),
            (_, None) => format!("iteration-{:04}/{file}", place.iteration),
            (_, Some(folder)) => format!("iteration-{:04}/{folder}/{file}", place.iteration),
        }
    }
}

/// What decides whether a directory holds the run being resumed, beside the settings.
#[derive(Debug)]
pub(crate) struct Identity<'a> {
    /// What is read.
    pub(crate) inputs: &'a Inputs,
    /// The words for another `inputs.prompts`.
    pub(crate) other_prompts: &'static str,
    /// The digest of labels and log-probs that were given, in the manifest's `content`.
    pub(crate) content: Option<&'a str>,
}

impl Identity<'_> {
    pub(super) fn differences(&self, manifest: &Map<String, Value>) -> Vec<String> {
        let inputs = manifest.get("inputs").unwrap_or(&Value::Null);
        let mut others = self.inputs.differences(inputs, self.other_prompts);
        if let Some(content) = self.content
            && others.is_empty()
            && manifest.get("content").is_none_or(|saved| saved != content)
        {
            let content =
                "other labels, other given log-probs or another policy that scores the pairs";
            others.push(content.to_owned());
        }
        others
    }
}
