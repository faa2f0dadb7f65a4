//! One optimisation phase on given pairs: the offline form of INPO, DPO, IPO, SPPO and their kin.

use std::collections::BTreeMap;
use std::path::Path;

use inpo_loss::Role;
use inpo_policy::Policy;
use serde::Serialize;
use serde_json::{Value, json};

use crate::anchors::{AnchorKey, Anchors, Source, sources};
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::files::{append_jsonl, read_json, sha256, write_json, write_whole};
use crate::header::{Inputs, ObjectiveHeader};
use crate::metrics::StepMetrics;
use crate::models::Models;
use crate::observer::Observer;
use crate::optimise::{Order, optimise};
use crate::pairs::{PairCounts, Pairs, read_pairs};
use crate::run_dir::save_state;

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
    /// The pairs.
    pub pairs: PairCounts,
    /// The objective.
    pub objective: ObjectiveHeader,
}

impl std::fmt::Display for TrainHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = "the starting weights";
        writeln!(f, "policy     {}, {:.12}", self.model, self.inputs.policy)?;
        writeln!(
            f,
            "pi_ref     {}",
            self.reference.as_deref().unwrap_or(start)
        )?;
        writeln!(
            f,
            "pi_t       {}",
            self.previous.as_deref().unwrap_or(start)
        )?;
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

    let given = |role: Role| pairs.logps.get(Source::Role(role)).is_some();
    let wanted = sources(&objective);
    let mut policies = BTreeMap::new();
    for &source in &wanted {
        let policy = match source {
            Source::Start => start,
            Source::Role(role) if given(role) => continue,
            Source::Role(Role::Reference) => models.reference.as_ref().unwrap_or(start),
            Source::Role(Role::Previous | Role::History(0)) => {
                models.previous.as_ref().unwrap_or(start)
            }
            Source::Role(_) => {
                return Err(TrainError::MissingAnchors {
                    method: objective.pair_loss().name(),
                    columns: source.columns(),
                });
            }
        };
        policies.insert(source, policy.clone());
    }
    let columns = wanted
        .iter()
        .filter(|source| !policies.contains_key(source));
    let header = TrainHeader {
        inpo_version: env!("CARGO_PKG_VERSION"),
        seed: config.seed,
        config_sha256: sha256(toml::to_string(config).expect("TOML").as_bytes()),
        model: config.policy.model.clone(),
        reference: config.reference.as_ref().map(|r| r.model.clone()),
        previous: config.previous.as_ref().map(|r| r.model.clone()),
        given: columns.flat_map(|source| source.columns()).collect(),
        inputs: Inputs::new(
            start,
            models.reference.as_ref().unwrap_or(start),
            &AnchorKey::new(&policies, &pairs.records).pairs,
        ),
        pairs: pairs.counts,
        objective: ObjectiveHeader::new(&objective, &config.objective)?,
    };
    let root = &config.output_dir;
    let policy_dir = root.join("policy");
    open(config, &header, resume)?;
    let trainable = match &config.policy.lora {
        Some(lora) => start.clone().with_adapters(lora, config.seed)?,
        None => start.clone(),
    };
    observer.train_header(&header);
    if policy_dir.join(".complete").exists() {
        return Ok(match trainable.lora() {
            Some(_) => start.reference().with_saved_adapters(&policy_dir)?,
            None => start.with_saved_weights(&policy_dir)?,
        });
    }

    let mut anchors = computed(root, &policies, &pairs, observer)?;
    check_given(&pairs, &anchors, &models, &config.data.pairs)?;
    anchors.extend(pairs.logps.clone());
    let mut rows = anchors.train_pairs(&pairs.records, &objective)?;
    for (row, line) in rows.iter_mut().zip(&pairs.lines) {
        row.name = format!("{}, line {line}", config.data.pairs.display());
    }

    let order = match config.data.shuffle {
        true => Order::Shuffled(config.seed),
        false => Order::Given,
    };
    observer.stage(1, "optimise", config.train.steps(rows.len()));
    let log_file = root.join("metrics.jsonl");
    write_whole(&log_file, b"")?;
    let mut log = |metrics: StepMetrics| {
        observer.step(1, &metrics);
        let step = metrics.timing.step;
        if step.is_multiple_of(config.train.logging_steps) {
            let mut row = metrics.row();
            row.insert("global_step".into(), step.into());
            append_jsonl(&log_file, &Value::Object(row))?;
        }
        Ok(())
    };
    let policy = optimise(
        &trainable,
        &rows,
        &objective,
        &config.train,
        order,
        &mut log,
    )?;
    save_state(root, &config.train, config.train.steps(rows.len()))?;
    policy.save(&config.policy.model, &policy_dir)?;
    write_whole(&policy_dir.join(".complete"), b"")?;
    Ok(policy)
}

/// Writes the settings into a new directory, or compares them with those of one that is gone on with.
fn open(config: &TrainConfig, header: &TrainHeader, resume: bool) -> Result<(), TrainError> {
    let root = &config.output_dir;
    let path = root.join("train.toml");
    let text = toml::to_string_pretty(config).expect("a configuration is TOML");
    if !path.exists() {
        write_json(&root.join("manifest.json"), header)?;
        return write_whole(&path, text.as_bytes());
    }
    if !resume {
        return Err(TrainError::RunExists(root.clone()));
    }
    let saved = std::fs::read_to_string(&path).map_err(|e| TrainError::io(&path, e))?;
    let manifest: Value = read_json(&root.join("manifest.json"))?;
    if saved != text || manifest["inputs"] != json!(header.inputs) {
        return Err(TrainError::OtherRun(root.clone()));
    }
    Ok(())
}

/// `anchors.safetensors`: the log-probs that have to be computed, read again where they are there.
fn computed(
    root: &Path,
    policies: &BTreeMap<Source, Policy>,
    pairs: &Pairs,
    observer: &mut dyn Observer,
) -> Result<Anchors, TrainError> {
    let path = root.join("anchors.safetensors");
    let key = AnchorKey::new(policies, &pairs.records);
    if path.exists() {
        return Anchors::load(&path, &key, policies, &pairs.records);
    }
    observer.stage(1, "anchors", pairs.records.len());
    let anchors = Anchors::compute(policies, &pairs.records)?;
    anchors.save(&path, &key)?;
    observer.advance(pairs.records.len());
    Ok(anchors)
}

/// Log-probs that the file brings must be sums, and those of the model that the configuration names.
fn check_given(
    pairs: &Pairs,
    computed: &Anchors,
    models: &Models,
    path: &Path,
) -> Result<(), TrainError> {
    let start = computed.get(Source::Start).expect("always computed");
    let fail = |i: usize, reason: String| TrainError::Row {
        path: path.to_owned(),
        line: pairs.lines[i],
        reason,
    };
    let tokens = |i: usize, k: usize| {
        let record = &pairs.records[i];
        [&record.chosen_token_ids, &record.rejected_token_ids][k].len()
    };
    let roles = [Role::Reference, Role::Previous].into_iter();
    for role in roles.chain((0..16).map(Role::History)) {
        let Some(given) = pairs.logps.get(Source::Role(role)) else {
            continue;
        };
        let names = role.columns();
        for k in [0, 1] {
            // A mean is the sum over the number of tokens, whatever the policy: policies of one family
            // differ far less than that.
            let long: Vec<usize> = (0..given[k].len()).filter(|&i| tokens(i, k) >= 4).collect();
            let mean = long.iter().filter(|&&i| {
                let (value, sum) = (given[k][i], start[k][i]);
                (value * tokens(i, k) as f64 - sum).abs() < (value - sum).abs()
            });
            let count = mean.count();
            if count > 0 && count * 10 >= long.len() * 9 {
                let i = long[0];
                let (value, n) = (given[k][i], tokens(i, k));
                return Err(fail(
                    i,
                    format!(
                        "`{}` is {value} for {n} tokens: it looks like a mean over tokens, and sums are \
                         needed (the policy's is {:.3})",
                        names[k], start[k][i]
                    ),
                ));
            }
        }
        let model = match role {
            Role::Reference => models.reference.as_ref(),
            Role::Previous | Role::History(0) => models.previous.as_ref(),
            _ => None,
        };
        let Some(model) = model else { continue };
        let last = pairs.records.len() - 1;
        let mut sample = vec![0, last / 2, last];
        sample.dedup();
        let records: Vec<_> = sample.iter().map(|&i| pairs.records[i].clone()).collect();
        let policies = [(Source::Start, model.clone())].into();
        let fresh = Anchors::compute(&policies, &records)?;
        let fresh = fresh.get(Source::Start).expect("just computed");
        for (place, &i) in sample.iter().enumerate() {
            for k in [0, 1] {
                let (value, now) = (given[k][i], fresh[k][place]);
                if (value - now).abs() > 0.05_f64.max(2e-3 * tokens(i, k) as f64) {
                    let reason = format!(
                        "`{}` is {value}, but the model that the configuration names gives {now:.4}",
                        names[k]
                    );
                    return Err(fail(i, reason));
                }
            }
        }
    }
    Ok(())
}
