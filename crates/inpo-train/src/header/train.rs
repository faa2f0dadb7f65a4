//! What a training on given pairs says about itself before it computes anything.

use std::collections::BTreeMap;

use inpo_data::sha256;
use inpo_loss::Role;
use serde::Serialize;

use super::ObjectiveHeader;
use crate::anchors::{AnchorKey, Source};
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::inputs::Inputs;
use crate::objective::Objective;
use crate::pairs::{PairCounts, Pairs};
use crate::policies::Policies;

/// A training's settings and identities: `manifest.json`, and the header on the screen.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TrainHeader {
    /// Version of this crate.
    pub inpo_version: &'static str,
    /// The seed.
    pub seed: u64,
    /// sha256 of the effective configuration.
    pub config_sha256: String,
    /// The model as it was named.
    pub model: String,
    /// The reference as it was named; `None`: the starting weights.
    pub reference: Option<String>,
    /// The previous policy as it was named; `None`: the starting weights.
    pub previous: Option<String>,
    /// Columns of log-probs that the file of pairs brings, which are not computed.
    pub given: Vec<String>,
    /// Digests of what is read.
    pub inputs: Inputs,
    /// sha256 of the pairs with their labels and log-probs, and of the policies that score them.
    pub content: String,
    /// The pairs.
    pub pairs: PairCounts,
    /// What a user should know of the policy's files, tokenizer and template.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The objective.
    pub objective: ObjectiveHeader,
}

impl TrainHeader {
    /// The header of a training on `pairs`, which the policies of the digests `scorers` score.
    pub(crate) fn new(
        config: &TrainConfig,
        policies: &Policies,
        objective: &Objective,
        pairs: &Pairs,
        scorers: &BTreeMap<Source, String>,
    ) -> Result<Self, TrainError> {
        let common = &config.common;
        let start = policies.start()?;
        let key = AnchorKey::new(scorers, &pairs.records, policies.dtype());
        let text = toml::to_string(config).expect("a configuration is TOML");
        Ok(Self {
            inpo_version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            config_sha256: sha256(text.as_bytes()),
            model: common.policy.model.clone(),
            reference: common.reference.as_ref().map(|r| r.model.clone()),
            previous: config.previous.as_ref().map(|r| r.model.clone()),
            given: pairs.logps.names_of(objective),
            inputs: Inputs::new(&start, policies.reference().digest(), &key.pairs),
            notes: [policies.notes(), pairs.notes()].concat(),
            content: content(scorers, pairs),
            pairs: pairs.counts,
            objective: ObjectiveHeader::new(objective, &common.objective)?,
        })
    }
}

/// Digest of all that decides the losses beside the settings: a resumed training must have what it began with.
fn content(scorers: &BTreeMap<Source, String>, pairs: &Pairs) -> String {
    let digests: Vec<&String> = scorers.values().collect();
    let given = pairs.logps.roles().iter();
    let given: Vec<_> = given
        .map(|&role| (role.columns(), pairs.logps.get(role)))
        .collect();
    sha256(&serde_json::to_vec(&(digests, &pairs.records, given)).expect("plain data is JSON"))
}

impl std::fmt::Display for TrainHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let origin = |model: &Option<String>, roles: &[Role]| {
            let mut columns = roles.iter().flat_map(|role| role.columns());
            match model {
                Some(model) => model.clone(),
                None if columns.any(|name| self.given.contains(&name)) => "see given".to_owned(),
                None => "the starting weights".to_owned(),
            }
        };
        let reference = origin(&self.reference, &[Role::Reference]);
        let previous = origin(&self.previous, &[Role::Previous, Role::History(0)]);
        writeln!(f, "policy     {}, {:.12}", self.model, self.inputs.policy)?;
        writeln!(f, "pi_ref     {reference}")?;
        writeln!(f, "pi_t       {previous}")?;
        if !self.given.is_empty() {
            writeln!(f, "given      {}", self.given.join(", "))?;
        }
        let PairCounts {
            pairs,
            truncated_prompts,
            truncated_responses,
            dropped_empty,
        } = self.pairs;
        writeln!(
            f,
            "pairs      {pairs} ({truncated_prompts} prompts and {truncated_responses} responses cut, \
             {dropped_empty} rows without a response dropped)"
        )?;
        for note in &self.notes {
            writeln!(f, "note       {note}")?;
        }
        write!(f, "{}", self.objective)
    }
}
