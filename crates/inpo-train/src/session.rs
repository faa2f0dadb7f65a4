//! What every loop does with pairs, wherever they come from: score them under the fixed policies, train, save.

mod training;

use std::time::Instant;

use inpo_data::PairRecord;
use inpo_data::files::read_json;
use inpo_data::rows::read_jsonl;
use inpo_policy::{BehaviourPolicy, Policy, PolicyMixture};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::anchors::{self, AnchorKey, Anchors, Scorers, Source, digests};
use crate::batches::Order;
use crate::config::CommonConfig;
use crate::error::TrainError;
use crate::metrics::AnchorMetrics;
use crate::objective::Objective;
use crate::observer::Observer;
use crate::pairs::GivenLogps;
use crate::phases::{PairsFrom, Phase, PolicyId};
use crate::policies::Policies;
use crate::run_dir::RunDir;
use crate::stage::{Place, Stage};
use crate::work::Peak;

/// The pairs of a phase.
#[derive(Debug, Clone)]
pub struct PhasePairs {
    /// The pairs.
    pub records: Vec<PairRecord>,
    /// What errors call them.
    pub names: Vec<String>,
    /// Log-probs that are known beforehand, so that they are not computed.
    pub given: GivenLogps,
    /// In which order they are trained on.
    pub order: Order,
}

impl PhasePairs {
    /// Pairs of which nothing is known beforehand.
    pub fn new(records: Vec<PairRecord>, order: Order) -> Self {
        let name =
            |(i, pair): (usize, &PairRecord)| format!("pair {i} (prompt {})", pair.prompt_id);
        Self {
            names: records.iter().enumerate().map(name).collect(),
            records,
            given: GivenLogps::default(),
            order,
        }
    }
}

/// A loop under way: its policies, its directory, who watches.
pub struct Session<'a> {
    config: &'a CommonConfig,
    policies: Policies,
    dir: RunDir,
    observer: &'a mut dyn Observer,
    /// Optimiser steps of the phases that are complete.
    steps: usize,
    /// The device's speed, from the first optimisation on.
    peak: Option<Peak>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        config: &'a CommonConfig,
        policies: Policies,
        dir: RunDir,
        observer: &'a mut dyn Observer,
    ) -> Self {
        Self {
            config,
            policies,
            dir,
            observer,
            steps: 0,
            peak: None,
        }
    }

    /// What runs and trainings share of their configuration.
    pub fn config(&self) -> &'a CommonConfig {
        self.config
    }

    /// Who watches.
    pub fn observer(&mut self) -> &mut dyn Observer {
        self.observer
    }

    pub(crate) fn dir(&self) -> &RunDir {
        &self.dir
    }

    pub(crate) fn log(
        &mut self,
        place: Place<'_>,
        metrics: &impl Serialize,
    ) -> Result<(), TrainError> {
        self.dir.log(place, metrics)
    }

    /// Tells the observer what there is to know of the directory.
    pub(crate) fn tell(&mut self) {
        for note in self.dir.take_notes() {
            self.observer.note(&note);
        }
    }

    /// The policy `id`, to be scored or sampled.
    ///
    /// # Errors
    ///
    /// Weights that cannot be read.
    pub fn policy(&mut self, id: PolicyId) -> Result<Policy, TrainError> {
        self.policies.get(id, &self.dir)
    }

    /// The policy that a phase samples its pairs from.
    ///
    /// # Errors
    ///
    /// Weights that cannot be read.
    pub fn behaviour(&mut self, from: PairsFrom) -> Result<BehaviourPolicy, TrainError> {
        Ok(match from {
            PairsFrom::Policy(id) => BehaviourPolicy::Single(Box::new(self.policy(id)?)),
            PairsFrom::Mixture {
                reference,
                previous,
                weight,
            } => BehaviourPolicy::Mixture(Box::new(PolicyMixture {
                reference: self.policy(reference)?,
                policy: self.policy(previous)?,
                weight,
            })),
        })
    }

    /// A digest of the policies that a phase samples its pairs from.
    pub(crate) fn behaviour_digest(&mut self, from: PairsFrom) -> Result<String, TrainError> {
        let mut digest = |id| self.policies.digest(id, &self.dir);
        Ok(match from {
            PairsFrom::Policy(id) => digest(id)?,
            PairsFrom::Mixture {
                reference,
                previous,
                weight,
            } => format!("{}^{weight} {}", digest(reference)?, digest(previous)?),
        })
    }

    /// Stops where the observer asks for it; `at` says what is done.
    pub(crate) fn stop_if_asked(&mut self, at: impl FnOnce() -> String) -> Result<(), TrainError> {
        if self.observer.is_interrupted() {
            return Err(TrainError::Interrupted { at: at() });
        }
        Ok(())
    }

    /// Stops before a stage where the observer asks for it.
    fn before(&mut self, place: Place<'_>) -> Result<(), TrainError> {
        let (stage, t) = (place.stage.title(), place.iteration);
        self.stop_if_asked(|| format!("all before {stage} of iteration {t}"))
    }

    /// Forgets, after iteration `t`, whatever was made before it.
    pub(crate) fn forget_before(&mut self, t: usize) {
        self.policies.forget_before(t);
    }

    /// Passes over a phase that is complete and whose files are what they were, and says whether it is.
    pub(crate) fn skip(&mut self, phase: &Phase) -> Result<bool, TrainError> {
        if !self.dir.has(phase.result) || self.dir.is_damaged(phase) {
            return Ok(false);
        }
        let path = self.dir.file(phase.pairs_place(Stage::Select));
        if path.exists() {
            let pairs: Vec<Value> = read_jsonl(&path)?;
            let steps = self.config.train.steps(pairs.len());
            self.steps = self.steps.saturating_add(steps);
        }
        Ok(true)
    }

    /// The rows of a JSONL stage: read where it is complete, else computed and written. `check` says what is wrong with rows
    /// that it did not expect.
    pub(crate) fn stage<T: Serialize + DeserializeOwned>(
        &mut self,
        place: Place<'_>,
        check: impl FnOnce(&[T]) -> Result<(), String>,
        compute: impl FnOnce(&mut Self) -> Result<Vec<T>, TrainError>,
    ) -> Result<Vec<T>, TrainError> {
        let path = self.dir.file(place);
        let is_complete = self.dir.is_complete(place);
        let rows = if is_complete {
            read_jsonl(&path)?
        } else {
            self.before(place)?;
            compute(self)?
        };
        check(&rows).map_err(|reason| TrainError::artefact(&path, reason))?;
        if !is_complete {
            self.dir.write_rows(place, &rows)?;
            self.tell();
        }
        Ok(rows)
    }

    /// A stage that is one JSON document: read where it is complete, else computed and written.
    pub(crate) fn document<T: Serialize + DeserializeOwned>(
        &mut self,
        place: Place<'_>,
        compute: impl FnOnce(&mut Self) -> Result<T, TrainError>,
    ) -> Result<T, TrainError> {
        if self.dir.is_complete(place) {
            return Ok(read_json(&self.dir.file(place))?);
        }
        self.before(place)?;
        let document = compute(self)?;
        let mut bytes = serde_json::to_vec_pretty(&document).expect("plain data is JSON");
        bytes.push(b'\n');
        self.dir.write(place, &bytes, None)?;
        self.tell();
        Ok(document)
    }

    /// `anchors.safetensors`: the log-probs of every pair under each policy that the objective reads and that are not given,
    /// verified when the file is read again; given ones are checked against their models.
    pub(crate) fn anchors(
        &mut self,
        phase: &Phase,
        objective: &Objective,
        pairs: &PhasePairs,
    ) -> Result<Anchors, TrainError> {
        let place = phase.place(Stage::Anchors);
        if !self.dir.is_complete(place) {
            self.before(place)?;
        }
        let (dir, policies) = (&self.dir, &mut self.policies);
        let is_given = |source| pairs.given.has(source);
        let digests = digests(phase, objective, is_given, |id| {
            policies.release();
            policies.digest(id, dir)
        })?;
        let key = AnchorKey::new(&digests, &pairs.records, policies.dtype());
        let mut scorers = Scorers::new(digests, |source| {
            policies.release();
            policies.get(source.policy(phase).expect("it has a digest"), dir)
        });
        let count = pairs.records.len();
        let (mut anchors, metrics) = if dir.is_complete(place) {
            let path = dir.file(place);
            let anchors = anchors::load(&path, &key, &mut scorers, &pairs.records)?;
            (anchors, None)
        } else {
            self.observer
                .stage(place.iteration, place.stage.title(), count);
            let started = Instant::now();
            let anchors = Anchors::compute(&mut scorers, &pairs.records)?;
            anchors.check_finite(&pairs.names)?;
            let seconds = started.elapsed().as_secs_f64();
            (anchors, Some(AnchorMetrics::new(seconds, &scorers)))
        };
        drop(scorers);
        let start = anchors.get(Source::Start).expect("always computed");
        pairs
            .given
            .check(&pairs.records, start, |role| self.policies.named(role))?;
        if let Some(metrics) = metrics {
            // Nothing is wrong with the input: from here on the directory is this run's.
            self.dir.claim()?;
            self.dir.log(place, &metrics)?;
            let bytes = anchors::to_bytes(&anchors, &key);
            self.dir.write(place, &bytes, Some(count))?;
            self.observer.advance(count);
            self.tell();
        }
        for (source, logps) in pairs.given.columns_of(objective) {
            anchors.insert(source, logps);
        }
        Ok(anchors)
    }

    /// Writes the state of the whole loop.
    pub(crate) fn finish(&self) -> Result<(), TrainError> {
        self.dir.save_state(&self.config.train, self.steps)
    }

    pub(crate) fn policies(&self) -> &Policies {
        &self.policies
    }
}
