//! What an objective reads, and which policy gives it.

use std::collections::BTreeMap;

use inpo_loss::Role;

use crate::error::TrainError;
use crate::objective::Objective;
use crate::phases::{Phase, PolicyId};

/// Whose log-probs a pair of columns holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// An anchor's.
    Role(Role),
    /// Those of the weights the phase starts with.
    Start,
}

impl Source {
    /// The columns' names, chosen and rejected.
    pub(crate) fn columns(self) -> [String; 2] {
        match self {
            Self::Role(role) => role.columns(),
            Self::Start => ["chosen", "rejected"].map(|side| format!("start_{side}_logps")),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Role(role) => role.fmt(f),
            Self::Start => f.write_str("the starting weights"),
        }
    }
}

/// What an objective reads: its anchors, and reference and previous policy for the metrics.
pub(crate) fn sources(objective: &Objective) -> Vec<Source> {
    let anchors = objective.anchors().iter().map(|anchor| anchor.role);
    let roles = anchors.chain([Role::Reference, Role::Previous]);
    let mut sources: Vec<Source> = roles.map(Source::Role).chain([Source::Start]).collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

impl Source {
    /// The policy that it stands for in `phase`; none for one that is older than the starting policy.
    pub(crate) fn policy(self, phase: &Phase) -> Option<PolicyId> {
        match self {
            Self::Role(role) => phase.policy(role),
            Self::Start => Some(phase.start),
        }
    }
}

/// Digests of the policies whose log-probs `objective` reads in `phase` and that are not given; `digest` gives
/// that of a policy.
///
/// # Errors
///
/// Log-probs that are neither given nor those of a policy that there is.
pub(crate) fn digests(
    phase: &Phase,
    objective: &Objective,
    is_given: impl Fn(Source) -> bool,
    mut digest: impl FnMut(PolicyId) -> Result<String, TrainError>,
) -> Result<BTreeMap<Source, String>, TrainError> {
    let mut digests = BTreeMap::new();
    for source in sources(objective) {
        if is_given(source) {
            continue;
        }
        let id = source
            .policy(phase)
            .ok_or_else(|| missing(source, objective))?;
        digests.insert(source, digest(id)?);
    }
    Ok(digests)
}

/// The error of an objective that reads log-probs of `source`, which are not there.
pub(crate) fn missing(source: Source, objective: &Objective) -> TrainError {
    TrainError::MissingAnchors {
        method: objective.pair_loss().name(),
        columns: source.columns(),
        shorter_history: matches!(source, Source::Role(Role::History(_))),
    }
}
