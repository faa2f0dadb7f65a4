//! The evaluation of a run from its files, finished or not.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inpo_data::files::{read_json, write_json, write_whole};
use inpo_data::rows::read_jsonl;
use inpo_data::{DataError, Prompt, ResponseRecord};
use inpo_eval::{
    Arena, By, Evaluation, Lineup, MatchRecord, PerPrompt, Resamples, RunEvaluation, SeedSpread,
    evaluate_run, iteration_name, kl_to_reference, seed_spread,
};
use inpo_game::PreferenceOracle;
use inpo_oracle::Oracle;
use inpo_policy::{BehaviourPolicy, Engine, GenerationConfig, LocalEngine, Policy};
use serde_json::Value;

use crate::config::RunConfig;
use crate::error::TrainError;
use crate::models::Models;
use crate::resume::changed_settings;
use crate::run_dir::Layout;
use crate::stage::{Place, Stage, opponent_folder};
use crate::streams::Stream;

/// The evaluation of a whole run.
const EVALUATION: &str = "evaluation.json";

/// The empirical game of its policies, as a game file.
const GAME: &str = "empirical_game.json";

/// Gives the path of a model's name.
pub type Find<'f> = &'f dyn Fn(&str) -> Result<PathBuf, String>;

/// Writes `evaluation.json` and `empirical_game.json` into `root`, and returns the names of those that held something else.
///
/// # Errors
///
/// Files that cannot be written.
pub(crate) fn write_evaluation(
    root: &Path,
    run: &RunEvaluation,
) -> Result<Vec<&'static str>, DataError> {
    let game = run.game.as_ref().and_then(|game| game.to_game());
    let before = |name: &str| std::fs::read(root.join(name)).ok();
    let old = [EVALUATION, GAME].map(|name| (name, before(name)));
    write_json(&root.join(EVALUATION), run)?;
    match game {
        Some(game) => write_whole(&root.join(GAME), format!("{}\n", game.to_json()).as_bytes())?,
        None if old[1].1.is_some() => {
            let path = root.join(GAME);
            std::fs::remove_file(&path).map_err(DataError::write(&path))?;
        }
        None => {}
    }
    let changed = old
        .into_iter()
        .filter(|(name, old)| old.is_some() && *old != before(name));
    Ok(changed.map(|(name, _)| name).collect())
}

/// A run that is there, to be evaluated from its files: nothing of it is changed but what [`EvaluatedRun::write`] writes.
#[derive(Debug, Clone)]
pub struct StoredRun {
    root: PathBuf,
    /// The settings of the run.
    saved: RunConfig,
    /// The settings with those that are to hold here.
    config: RunConfig,
}

/// A run's evaluation from its files.
#[derive(Debug, Clone)]
pub struct EvaluatedRun {
    root: PathBuf,
    config: RunConfig,
    /// The evaluation.
    pub evaluation: RunEvaluation,
    /// What was measured on each held-out prompt after each iteration; the first is the reference.
    pub per_prompt: Vec<PerPrompt>,
    /// The token ids of the held-out prompts.
    prompts: Vec<Vec<u32>>,
}

impl StoredRun {
    /// The run in `root` with `overrides` of settings of `[eval]`, each `eval.KEY=VALUE`.
    ///
    /// # Errors
    ///
    /// A directory without `run.toml`, overrides of other sections, settings out of range.
    pub fn open(root: &Path, overrides: &[String]) -> Result<Self, TrainError> {
        if let Some(entry) = overrides.iter().find(|entry| !entry.starts_with("eval.")) {
            return Err(TrainError::Config {
                origin: format!("--set {entry}"),
                reason: "a run that is there has its settings; allowed: those of [eval]".to_owned(),
            });
        }
        let path = root.join(Layout::Iterations { first_phase: "" }.settings());
        let mut saved = RunConfig::load(&path, &[])?;
        let mut config = RunConfig::load(&path, overrides)?;
        for config in [&mut saved, &mut config] {
            root.clone_into(&mut config.common.output_dir);
        }
        let root = root.to_owned();
        Ok(Self {
            root,
            saved,
            config,
        })
    }

    /// The run's settings.
    #[must_use]
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    fn file(&self, stage: Stage, iteration: usize, folder: Option<&str>) -> PathBuf {
        let place = Place {
            stage,
            iteration,
            folder,
        };
        let layout = Layout::Iterations { first_phase: "" };
        self.root.join(layout.name(place))
    }

    /// Evaluates the run as far as its responses go. Asks and samples only what its files do not have: opponents that it did
    /// not meet, comparisons that it did not ask, divergences that it did not measure.
    ///
    /// # Errors
    ///
    /// Files that cannot be read or are not of one run, a model or an oracle that is not to be had, an oracle other than the one
    /// that judged.
    pub fn evaluate(&self, device: &Device, find: Find<'_>) -> Result<EvaluatedRun, TrainError> {
        let mut models = None;
        let lineup = self
            .config
            .eval
            .lineup(self.config.common.reference.is_some());
        let mut arena = Arena::default();
        let reference = self.responses(Stage::Evaluate, 0, None)?;
        let Some(reference) = reference else {
            let path = self.file(Stage::Evaluate, 0, None);
            let reason =
                "it is not there: the run has no held-out responses yet, or no data.eval_prompts";
            return Err(TrainError::artefact(&path, reason.to_owned()));
        };
        let prompts: Vec<Vec<u32>> = reference
            .iter()
            .map(|r| r.prompt_token_ids.clone())
            .collect();
        arena.add(iteration_name(0), reference);
        if lineup.start {
            let path = self.file(Stage::EvaluateStart, 0, None);
            let absent = || TrainError::artefact(&path, "it is not there yet".to_owned());
            let start = self.responses(Stage::EvaluateStart, 0, None)?;
            arena.add("initial", start.ok_or_else(absent)?);
        }
        for (number, name) in self.config.eval.named().enumerate() {
            let records = match self.saved.eval.named().position(|saved| saved == name) {
                Some(saved) => self.responses(Stage::Evaluate, 0, Some(&opponent_folder(saved)))?,
                None => None,
            };
            let records = match records {
                Some(records) => records,
                None => {
                    let models = self.models(&mut models, device, find)?;
                    let policy = models.opponents[number].get()?;
                    self.sample(policy, arena.records(Lineup::REFERENCE))?
                }
            };
            arena.add(name, records);
        }
        let mut last = 0;
        for t in 1..=self.config.iteration.num_iterations {
            let Some(records) = self.responses(Stage::Evaluate, t, None)? else {
                break;
            };
            arena.add(iteration_name(t), records);
            last = t;
        }
        for player in 1..arena.count() {
            let ids = |player: usize| arena.records(player).iter().map(|r| &r.prompt_token_ids);
            if !ids(player).eq(ids(Lineup::REFERENCE)) {
                let reason = format!(
                    "{} answered other prompts than the reference",
                    arena.name(player)
                );
                return Err(TrainError::artefact(&self.root, reason));
            }
        }
        self.take(&mut arena, last)?;
        self.ask(&mut arena, lineup, last, device, find)?;
        let mut kls = vec![0.0];
        for t in 1..=last {
            kls.push(match self.measured_kl(t)? {
                Some(kl) => kl,
                None => {
                    let models = self.models(&mut models, device, find)?;
                    let reference = match &models.reference {
                        Some(reference) => reference.get()?,
                        None => models.policy.clone(),
                    };
                    let records = arena.records(lineup.after(t));
                    kl_to_reference(&reference, records, self.config.eval.kl_samples)?
                }
            });
        }
        let (confidence, seed) = (self.config.eval.confidence, self.config.common.seed);
        let resamples = Resamples::new(prompts.len(), confidence, seed);
        let evaluation = evaluate_run(&arena, lineup, &resamples, confidence, &kls)?;
        Ok(EvaluatedRun {
            root: self.root.clone(),
            config: self.config.clone(),
            evaluation,
            per_prompt: (0..=last)
                .map(|t| PerPrompt::new(&arena, lineup, t))
                .collect(),
            prompts,
        })
    }

    /// A file of held-out responses, none where it is not there: the first prompts and samples, as `[eval]` says.
    fn responses(
        &self,
        stage: Stage,
        iteration: usize,
        folder: Option<&str>,
    ) -> Result<Option<Vec<ResponseRecord>>, TrainError> {
        let path = self.file(stage, iteration, folder);
        if !path.exists() {
            return Ok(None);
        }
        let mut records: Vec<ResponseRecord> = read_jsonl(&path)?;
        let eval = &self.config.eval;
        let (there, samples) = (records.len(), eval.num_generations);
        if let Some(count) = eval.num_prompts {
            if count > there {
                let allowed = format!("at most {there}, the prompts of {}", path.display());
                return Err(TrainError::setting("eval.num_prompts", count, &allowed));
            }
            records.truncate(count);
        }
        for record in &mut records {
            let lists = [
                record.responses.len(),
                record.response_token_ids.len(),
                record.finish_reason.len(),
                record.sampling_logps.len(),
            ];
            let there = lists.into_iter().min().unwrap_or(0);
            if samples > there {
                let allowed = format!("at most {there}, the samples of {}", path.display());
                return Err(TrainError::setting(
                    "eval.num_generations",
                    samples,
                    &allowed,
                ));
            }
            record.responses.truncate(samples);
            record.response_token_ids.truncate(samples);
            record.finish_reason.truncate(samples);
            record.sampling_logps.truncate(samples);
        }
        Ok(Some(records))
    }

    /// The run's models with the opponents of these settings, loaded when they are first needed.
    fn models<'m>(
        &self,
        models: &'m mut Option<Models>,
        device: &Device,
        find: Find<'_>,
    ) -> Result<&'m Models, TrainError> {
        if models.is_none() {
            let loaded = Models::load(&self.config.common, None, device, find)?;
            let loaded = loaded.with_opponents(&self.config, device, find)?;
            loaded.check(self.config.common.reference.is_some(), false)?;
            *models = Some(loaded);
        }
        Ok(models.as_ref().expect("they were loaded"))
    }

    /// The responses of an opponent to the prompts of `records`, drawn as the run draws.
    fn sample(
        &self,
        policy: Policy,
        records: &[ResponseRecord],
    ) -> Result<Vec<ResponseRecord>, TrainError> {
        let generation = GenerationConfig {
            num_generations: self.config.eval.num_generations,
            ..self.config.generation.clone()
        };
        let sampler = LocalEngine.sampler(BehaviourPolicy::Single(Box::new(policy)))?;
        let prompts: Vec<Prompt> = records.iter().map(ResponseRecord::to_prompt).collect();
        let draws = Stream::HeldOut(0).key(self.config.common.seed);
        let samples = sampler.sample(&prompts, &generation, draws, &mut |_| {})?;
        let answered = records.iter().zip(samples.completions);
        Ok(answered
            .map(|(record, completions)| {
                let mut record = record.clone();
                record.responses = completions.iter().map(|c| c.text.clone()).collect();
                record.finish_reason = completions.iter().map(|c| c.finish_reason).collect();
                let ids = completions.iter().map(|c| c.token_ids.clone());
                record.response_token_ids = ids.map(Option::unwrap_or_default).collect();
                let logps = completions.iter().map(|c| c.token_logps.iter().flatten());
                record.sampling_logps = logps.map(Iterator::sum).collect();
                record
            })
            .collect())
    }

    /// Takes up what the run asked about these players, and their first prompts and samples.
    fn take(&self, arena: &mut Arena, last: usize) -> Result<(), TrainError> {
        let knows = |name: &str| (0..arena.count()).any(|player| arena.name(player) == name);
        let same_second = self.config.eval.oracle == self.saved.eval.oracle;
        let samples = self.config.eval.num_generations;
        let prompts = arena.records(Lineup::REFERENCE);
        let mut all = Vec::new();
        for t in 0..=last {
            let path = self.file(Stage::EvalJudge, t, None);
            if !path.exists() {
                continue;
            }
            let mut rows: Vec<MatchRecord> = read_jsonl(&path)?;
            rows.retain(|row| {
                let players = knows(&row.first) && knows(&row.second);
                let prompt = prompts
                    .iter()
                    .any(|record| record.prompt_id == row.prompt_id);
                players && prompt && (same_second || !row.held_out)
            });
            for row in &mut rows {
                row.preference.truncate(samples);
                row.preference
                    .iter_mut()
                    .for_each(|row| row.truncate(samples));
            }
            all.push((path, rows));
        }
        for (path, rows) in all {
            let taken = arena.take(&rows);
            taken.map_err(|reason| TrainError::artefact(&path, reason))?;
        }
        Ok(())
    }

    /// Asks what nobody asked yet.
    fn ask(
        &self,
        arena: &mut Arena,
        lineup: Lineup,
        last: usize,
        device: &Device,
        find: Find<'_>,
    ) -> Result<(), TrainError> {
        let pairs: Vec<(usize, usize)> = (0..=last).flat_map(|t| lineup.matches(t)).collect();
        let second: Vec<_> = (1..=last)
            .map(|t| (lineup.after(t), Lineup::REFERENCE))
            .collect();
        let lacks = |pairs: &[(usize, usize)], by: By| {
            let mut pairs = pairs.iter();
            pairs.any(|&(first, second)| arena.tables(first, second, by).is_none())
        };
        let mut rows = Vec::new();
        if lacks(&pairs, By::Training) {
            let oracle = self.config.init_oracle(device, find)?;
            self.check_oracle(&oracle)?;
            rows.extend(arena.ask(&oracle, By::Training, &pairs)?);
        }
        if self.config.eval.oracle.is_some()
            && lacks(&second, By::HeldOut)
            && let Some(oracle) = self.config.init_eval_oracle(device, find)?
        {
            rows.extend(arena.ask(&oracle, By::HeldOut, &second)?);
        }
        let taken = arena.take(&rows);
        taken.map_err(|reason| TrainError::artefact(&self.root, reason))
    }

    /// Checks that the oracle of the settings is the one that judged the run: a program may have brought another.
    fn check_oracle(&self, oracle: &Oracle) -> Result<(), TrainError> {
        let path = self.root.join("manifest.json");
        let manifest: Value = read_json(&path)?;
        match manifest["oracle"].as_str() {
            Some(judged) if judged != oracle.name() => {
                let reason = format!(
                    "the run was judged by {judged}, and [oracle] makes {}, which cannot answer for it",
                    oracle.name()
                );
                Err(TrainError::artefact(&path, reason))
            }
            _ => Ok(()),
        }
    }

    /// The divergence that the run measured after iteration `t` with these settings.
    fn measured_kl(&self, t: usize) -> Result<Option<f64>, TrainError> {
        let [saved, now] = [&self.saved, &self.config]
            .map(|config| (config.eval.kl_samples, config.eval.num_prompts));
        let path = self.file(Stage::Eval, t, None);
        if saved != now || !path.exists() {
            return Ok(None);
        }
        let evaluation: Evaluation = read_json(&path)?;
        Ok(Some(evaluation.kl_ref))
    }
}

impl EvaluatedRun {
    /// Writes `evaluation.json` and `empirical_game.json` of the run.
    ///
    /// # Errors
    ///
    /// Files that cannot be written.
    pub fn write(&self) -> Result<(), TrainError> {
        write_evaluation(&self.root, &self.evaluation)?;
        Ok(())
    }

    /// Sets runs side by side that differ in their seed alone.
    ///
    /// # Errors
    ///
    /// Runs that differ in other settings, each named; two runs of one seed; other held-out prompts.
    pub fn spread(runs: &[Self]) -> Result<SeedSpread, TrainError> {
        for (place, run) in runs.iter().enumerate() {
            for other in &runs[..place] {
                other.check_twin(run)?;
            }
        }
        let Some(first) = runs.first() else {
            return Err(TrainError::setting("--run", "absent", "a run"));
        };
        let confidence = first.config.eval.confidence;
        let seed = first.config.common.seed;
        let resamples = Resamples::new(first.prompts.len(), confidence, seed);
        let each = runs.iter().map(|run| {
            let seed = run.config.common.seed;
            (seed, run.evaluation.clone(), run.per_prompt.clone())
        });
        let runs: Vec<_> = each.collect();
        Ok(seed_spread(&runs, &resamples, confidence))
    }

    /// Checks that another run differs in its seed and in nothing else.
    fn check_twin(&self, other: &Self) -> Result<(), TrainError> {
        let refuse = |reason: String| TrainError::Config {
            origin: other.root.display().to_string(),
            reason,
        };
        let root = self.root.display();
        let saved = toml::to_string(&self.config).expect("a configuration is TOML");
        let mut changed = changed_settings(&saved, &other.config).map_err(refuse)?;
        changed.retain(|change| !change.starts_with("`output_dir`"));
        let of_seed = changed.len();
        changed.retain(|change| !change.starts_with("`seed`"));
        if !changed.is_empty() {
            let changed = changed.join(", ");
            return Err(refuse(format!(
                "it differs from {root} in other settings than the seed: {changed}"
            )));
        }
        if of_seed == 0 {
            let seed = self.config.common.seed;
            return Err(refuse(format!(
                "it has the seed of {root}, {seed}: runs of one seed are one run"
            )));
        }
        if self.prompts != other.prompts {
            return Err(refuse(format!(
                "it was evaluated on other prompts than {root}"
            )));
        }
        Ok(())
    }
}
