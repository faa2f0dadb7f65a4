//! One optimisation phase on given pairs: the offline form of INPO, DPO, IPO, SPPO and their kin.

use std::collections::BTreeMap;

use inpo_loss::Role;
use inpo_policy::Policy;
use serde::Serialize;
use serde_json::Value;

use crate::anchors::{AnchorKey, Anchors, Scorers, Source, sources};
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::files::{append_jsonl, lock, read_json, sha256, write_json, write_whole};
use crate::header::{Inputs, ObjectiveHeader};
use crate::metrics::StepMetrics;
use crate::models::{Models, StoredPolicy};
use crate::objective::Objective;
use crate::observer::Observer;
use crate::optimise::{Order, optimise};
use crate::pairs::{GivenLogps, PairCounts, Pairs, read_pairs};
use crate::resume::{self, other_inputs};
use crate::run_dir::save_state;
use crate::work::Peak;

/// What a training phase says about itself: `manifest.json`, and the header on the screen.
#[derive(Debug, Clone, Serialize)]
pub struct TrainHeader {
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
    /// The objective.
    pub objective: ObjectiveHeader,
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
        write!(f, "{}", self.objective)
    }
}

/// Trains on the pairs of `config.data` and returns the trained policy. Writes `train.toml`,
/// `manifest.json`, `anchors.safetensors`, `metrics.jsonl`, `trainer_state.json` and `policy/` into
/// `config.output_dir`; with `resume` a directory that was cut off is gone on with (the optimisation starts
/// anew), and a finished one is read.
///
/// # Errors
///
/// Bad settings or rows, log-probs in the file that are not sums or not of the model they should be of, a
/// loss that is not finite.
pub fn train(
    config: &TrainConfig,
    models: impl Into<Models>,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Policy, TrainError> {
    config.validate()?;
    let objective = config.objective.offline()?;
    let models = models.into();
    models.check(config.reference.is_some(), config.previous.is_some())?;
    let start = &models.policy;
    let pairs = read_pairs(&config.data.pairs, start, config.policy.max_length)?;
    pairs.require(objective.label, &config.data.pairs)?;

    let (digests, given) = origins(&objective, &models, &pairs.logps)?;
    let key = AnchorKey::new(&digests, &pairs.records, start.decoder().dtype());
    let start_digest = &start.digest();
    let header = TrainHeader {
        inpo_version: env!("CARGO_PKG_VERSION"),
        seed: config.seed,
        config_sha256: sha256(toml::to_string(config).expect("TOML").as_bytes()),
        model: config.policy.model.clone(),
        reference: config.reference.as_ref().map(|r| r.model.clone()),
        previous: config.previous.as_ref().map(|r| r.model.clone()),
        given,
        inputs: Inputs::new(
            start,
            models
                .reference
                .as_ref()
                .map_or(start_digest, StoredPolicy::digest),
            &key.pairs,
        ),
        content: content(&digests, &pairs),
        pairs: pairs.counts,
        objective: ObjectiveHeader::new(&objective, &config.objective)?,
    };
    let root = &config.output_dir;
    let policy_dir = root.join("policy");
    let _lock = lock(root)?;
    let found = found(config, &header, resume)?;
    let trainable = match &config.policy.lora {
        Some(lora) => start.clone().with_adapters(lora, config.seed)?,
        None => start.clone(),
    };
    observer.train_header(&header);
    if policy_dir.join(".complete").exists() {
        return Ok(match trainable.lora() {
            Some(_) => start.reference().with_saved_adapters(&policy_dir)?,
            None => trainable.with_saved_weights(&policy_dir)?,
        });
    }

    let computed_here: Vec<Source> = digests.keys().copied().collect();
    let mut anchors = {
        let mut scorers = Scorers::new(digests, |source| match source {
            Source::Start => Ok(start.clone()),
            Source::Role(role) => {
                named(&models, role).map_or_else(|| Ok(start.clone()), StoredPolicy::get)
            }
        });
        computed(config, &mut scorers, &key, &pairs, found, observer)?
    };
    let scored = anchors.get(Source::Start).expect("always computed");
    let model = |role| named(&models, role);
    let path = &config.data.pairs;
    pairs.logps.check(&pairs, scored, model, path)?;
    // Nothing is wrong with the input: from here on the directory holds a training.
    if !found {
        write_json(&root.join("manifest.json"), &header)?;
        let text = toml::to_string_pretty(config).expect("a configuration is TOML");
        write_whole(&root.join("train.toml"), text.as_bytes())?;
    }
    for source in sources(&objective) {
        if let (Source::Role(role), false) = (source, computed_here.contains(&source))
            && let Some(logps) = pairs.logps.get(role)
        {
            anchors.insert(source, logps.clone());
        }
    }
    // From here on anchors are numbers: the other models go, before the optimiser takes memory.
    drop(models);
    let mut rows = anchors.train_pairs(&pairs.records, &objective)?;
    for (row, line) in rows.iter_mut().zip(&pairs.lines) {
        row.name = format!("{}, line {line}", config.data.pairs.display());
    }

    let order = match config.data.shuffle {
        true => Order::Shuffled(config.seed),
        false => Order::Given(config.seed),
    };
    let peak = Peak::of(&trainable);
    observer.peak(&peak);
    observer.stage(1, "optimise", config.train.steps(rows.len()));
    let log_file = root.join("metrics.jsonl");
    write_whole(&log_file, b"")?;
    let mut log = |metrics: StepMetrics| {
        observer.step(1, &metrics);
        let step = metrics.timing.step;
        if metrics.is_logged(config.train.logging_steps) {
            let mut row = metrics.row(Some(&peak));
            row.insert("global_step".into(), step.into());
            append_jsonl(&log_file, &Value::Object(row))?;
        }
        Ok(())
    };
    let policy = optimise(trainable, &rows, &objective, &config.train, order, &mut log)?;
    save_state(root, &config.train, config.train.steps(rows.len()))?;
    policy.save(&config.policy.model, &policy_dir)?;
    write_whole(&policy_dir.join(".complete"), b"")?;
    Ok(policy)
}

/// Digests of the policies that score the pairs, and the columns of log-probs that the file brings instead.
type Origins = (BTreeMap<Source, String>, Vec<String>);

/// Where the log-probs of everything that `objective` reads come from.
///
/// # Errors
///
/// Log-probs that are neither in the file nor those of a model that is here.
fn origins(
    objective: &Objective,
    models: &Models,
    given: &GivenLogps,
) -> Result<Origins, TrainError> {
    let (mut digests, mut columns) = (BTreeMap::new(), Vec::new());
    let start = models.policy.digest();
    for source in sources(objective) {
        let digest = match source {
            Source::Start => &start,
            Source::Role(role) => {
                if let Some(names) = given.names(role) {
                    columns.extend(names);
                    continue;
                }
                match role {
                    Role::Reference | Role::Previous | Role::History(0) => {
                        named(models, role).map_or(start.as_str(), StoredPolicy::digest)
                    }
                    _ => {
                        return Err(TrainError::MissingAnchors {
                            method: objective.pair_loss().name(),
                            columns: source.columns(),
                        });
                    }
                }
            }
        };
        digests.insert(source, digest.to_owned());
    }
    columns.sort();
    columns.dedup();
    Ok((digests, columns))
}

/// Digest of all that decides the losses beside the settings: what the optimisation goes on with after an
/// interruption must be what it began with.
fn content(digests: &BTreeMap<Source, String>, pairs: &Pairs) -> String {
    let digests: Vec<&String> = digests.values().collect();
    let given = pairs.logps.roles().iter();
    let given: Vec<_> = given
        .map(|&role| (role.columns(), pairs.logps.get(role)))
        .collect();
    sha256(&serde_json::to_vec(&(digests, &pairs.records, given)).expect("plain data is JSON"))
}

/// The model that the configuration names for a role.
fn named(models: &Models, role: Role) -> Option<&StoredPolicy> {
    match role {
        Role::Reference => models.reference.as_ref(),
        Role::Previous | Role::History(0) => models.previous.as_ref(),
        _ => None,
    }
}

/// Whether the directory holds this very training, to be gone on with.
///
/// # Errors
///
/// A directory that holds a training while `resume` is not set, or another one.
fn found(config: &TrainConfig, header: &TrainHeader, resume: bool) -> Result<bool, TrainError> {
    let root = &config.output_dir;
    if !root.join("train.toml").exists() {
        return Ok(false);
    }
    if !resume {
        return Err(TrainError::RunExists(root.clone()));
    }
    let manifest: Value = read_json(&root.join("manifest.json"))?;
    let mut others = other_inputs(&header.inputs, &manifest["inputs"], "other pairs");
    if others.is_empty() && manifest["content"] != header.content {
        let content = "other labels, other given log-probs or another policy that scores the pairs";
        others.push(content.to_owned());
    }
    resume::check(root, "train.toml", config, others)?;
    Ok(true)
}

/// `anchors.safetensors`: the log-probs that have to be computed, read again where the training is gone on
/// with.
fn computed(
    config: &TrainConfig,
    scorers: &mut Scorers<'_>,
    key: &AnchorKey,
    pairs: &Pairs,
    found: bool,
    observer: &mut dyn Observer,
) -> Result<Anchors, TrainError> {
    let path = config.output_dir.join("anchors.safetensors");
    if found && path.exists() {
        return Anchors::load(&path, key, scorers, &pairs.records);
    }
    observer.stage(1, "anchors", pairs.records.len());
    let anchors = Anchors::compute(scorers, &pairs.records)?;
    for source in scorers.sources() {
        let columns = anchors.get(source).expect("just computed");
        for (side, column) in ["chosen", "rejected"].into_iter().zip(columns) {
            if let Some(i) = column.iter().position(|logp| !logp.is_finite()) {
                let (path, line) = (config.data.pairs.display(), pairs.lines[i]);
                let policy = match source {
                    Source::Role(role) => role.to_string(),
                    Source::Start => "the starting weights".to_owned(),
                };
                let what = format!(
                    "the log-prob of the {side} response of {path}, line {line}, under {policy}"
                );
                return Err(TrainError::NonFinite { what });
            }
        }
    }
    anchors.save(&path, key)?;
    observer.advance(pairs.records.len());
    Ok(anchors)
}
