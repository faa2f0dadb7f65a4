//! A look at a run before it starts: what the model reads, what is minimised, what it will ask, take and cost.

mod forecast;
mod lengths;
mod machine;
mod paper;
mod probe;

use std::path::{Path, PathBuf};

use inpo_data::DataError;
use inpo_game::PreferenceOracle;
use inpo_oracle::Oracle;
use serde::Serialize;
use tempfile::TempDir;

use crate::config::{RunConfig, token_limit};
use crate::error::TrainError;
use crate::header::{RunHeader, SelfPlayHeader};
use crate::models::Models;
use crate::policies::Policies;
use crate::prompts::Prompts;
use crate::run::{Plan, Players, check_players};

pub use forecast::{Disk, Forecast, StageTime};
pub use lengths::{Lengths, RenderedPrompt};
pub use paper::Difference;

use forecast::Sizes;

/// Examines a run without touching its directory. What is computed for it goes into a folder beside `output_dir`, which is
/// removed when this is dropped.
#[derive(Debug)]
pub struct Doctor {
    config: RunConfig,
    // Removed with this.
    _scratch: TempDir,
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoctorOptions {
    /// How many prompts are shown as the model reads them.
    pub shown: usize,
    /// Prompts of the run in little; 0: nothing is measured. None: as many as fill the sampler's batch twice, at most 32.
    pub probe_prompts: Option<usize>,
}

impl Default for DoctorOptions {
    fn default() -> Self {
        Self {
            shown: 2,
            probe_prompts: None,
        }
    }
}

/// What is known of a run before it starts.
#[derive(Debug, Serialize)]
pub struct Examination {
    /// Policy, reference, samplers, oracle, comparisons, objective: what the run itself says at its start.
    header: RunHeader,
    /// The training prompts of all iterations.
    pub prompts: Option<Lengths>,
    /// The held-out prompts.
    pub eval_prompts: Option<Lengths>,
    /// Tokens that a prompt may have beside `generation.max_new_tokens`. A longer one is refused, none is cut.
    pub prompt_limit: usize,
    /// The first prompts as the model reads them.
    pub shown: Vec<RenderedPrompt>,
    /// The iterations.
    pub iterations: Vec<IterationPlan>,
    /// Where the settings are not the paper's.
    pub differs_from_paper: Vec<Difference>,
    /// What the judge would take, where it costs something.
    pub judge: Option<JudgeForecast>,
    /// Time and memory; none where nothing was measured.
    pub forecast: Option<Forecast>,
    /// Disk; none where nothing was measured.
    pub disk: Option<Disk>,
    /// What a user should look at before starting, a sentence each.
    pub warnings: Vec<String>,
}

impl Examination {
    /// What the run itself says at its start: policy, reference, samplers, oracle, comparisons, objective.
    #[must_use]
    pub fn header(&self) -> String {
        self.header.to_string()
    }
}

/// An iteration of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IterationPlan {
    /// Its number, from 1.
    pub iteration: usize,
    /// Its prompts.
    pub prompts: usize,
    /// Optimiser steps of each of its phases, where each prompt gives a pair.
    pub steps_at_most: usize,
    /// The anchors of its loss with their weights.
    pub anchors: String,
}

/// What a judge that costs something would be asked in a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JudgeForecast {
    /// Comparisons, at most.
    pub comparisons: usize,
    /// Requests, at most: both orders of a comparison are two.
    pub calls: u64,
    /// Tokens read, estimated.
    pub prompt_tokens: u64,
    /// Tokens written, at most.
    pub completion_tokens: u64,
    /// In the currency of the configuration's prices; none without prices.
    pub cost: Option<f64>,
    /// Comparisons that the judge was asked for this examination.
    pub asked: usize,
    /// Seconds that it took for each of them.
    pub seconds_per_comparison: f64,
    /// How many of its answers to these could not be used.
    pub invalid: u64,
}

impl Doctor {
    /// Examines runs of `config`.
    ///
    /// # Errors
    ///
    /// Settings out of range; no folder beside `output_dir` can be made.
    pub fn new(config: &RunConfig) -> Result<Self, TrainError> {
        config.validate()?;
        let beside = existing(&config.common.output_dir);
        let scratch = tempfile::Builder::new()
            .prefix(".inpo-doctor-")
            .tempdir_in(&beside)
            .map_err(DataError::write(&beside))?;
        let mut config = config.clone();
        config.common.output_dir = scratch.path().join("run");
        Ok(Self {
            config,
            _scratch: scratch,
        })
    }

    /// The run's settings with a directory that is thrown away: an oracle that is made of them leaves no answers behind.
    #[must_use]
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Looks at the run of these models, judged by `oracle`.
    ///
    /// # Errors
    ///
    /// Whatever would stop the run before its first iteration or in it: prompts that do not fit, a judge that cannot be
    /// reached, a selection that keeps nothing.
    pub fn examine(
        &self,
        models: Models,
        oracle: &Oracle,
        eval_oracle: Option<&Oracle>,
        options: &DoctorOptions,
    ) -> Result<Examination, TrainError> {
        let config = &self.config;
        let players = Players {
            eval_oracle: eval_oracle.map(|oracle| oracle as _),
            ..Players::new(models.clone(), oracle)
        };
        check_players(config, &players)?;
        let policies = Policies::new(&config.common, false, players.models)?;
        let start = policies.start()?;
        let context = policies.context();
        let prompts = Prompts::read(config, &start, context)?;
        let pairs = SelfPlayHeader::new(config, &prompts, oracle.name())?;
        let budget = pairs.comparisons;
        budget.check(config.oracle.shared.max_comparisons)?;
        let header = RunHeader::new(config, &policies, &prompts.digest(), Some(pairs))?;
        let training = || prompts.slices.iter().flatten();
        let whole = token_limit(config.common.policy.max_length, context)?;
        let shown = training().take(options.shown);
        let shown = shown.map(|prompt| RenderedPrompt::new(prompt, &start));
        let size = prompts.slices.first().map_or(0, Vec::len);
        let mut examination = Examination {
            header,
            prompts: Lengths::of(training()),
            eval_prompts: Lengths::of(prompts.held_out.iter()),
            prompt_limit: whole.saturating_sub(config.generation.max_new_tokens),
            shown: shown.collect::<Result<_, _>>()?,
            iterations: iterations(config, &prompts)?,
            differs_from_paper: paper::differences(config, size)?,
            judge: None,
            forecast: None,
            disk: None,
            warnings: Vec::new(),
        };
        drop((policies, start));
        let most = options.probe_prompts.unwrap_or_else(|| {
            let twice = 2 * config.generation.max_num_seqs;
            twice
                .div_ceil(config.generation.num_generations)
                .clamp(2, 32)
        });
        if most > 0 {
            let sample = probe::sample(&prompts.slices[0], most);
            let measured = probe::probe(config, models, oracle, sample)?;
            let sizes = Sizes {
                config,
                prompts: &prompts,
                budget: &budget,
            };
            let judge = self.judge(oracle, &measured, budget.training + budget.evaluation)?;
            let asked = judge.as_ref().map(|judge| judge.seconds_per_comparison);
            let asked = asked.map(std::time::Duration::from_secs_f64);
            examination.forecast = Some(sizes.forecast(&measured, asked)?);
            examination.disk = Some(sizes.disk(&measured)?);
            examination.judge = judge;
        }
        examination.warnings = warnings(&examination);
        Ok(examination)
    }

    /// Asks a judge that costs something a few comparisons, and says what all would take.
    fn judge(
        &self,
        oracle: &Oracle,
        measured: &probe::Measured,
        comparisons: usize,
    ) -> Result<Option<JudgeForecast>, TrainError> {
        let judge = oracle.judged().judge();
        if !judge.is_costly() {
            return Ok(None);
        }
        let (asked, time) = probe::ask(oracle, &measured.records)?;
        let record =
            |record: &inpo_data::ResponseRecord| (record.to_prompt(), record.completions());
        let items: Vec<_> = measured.records.iter().map(record).collect();
        let sample = probe::questions(&items, usize::MAX);
        let mut usage = inpo_oracle::Usage::default();
        for question in &sample {
            let orders = [*question, question.swapped()];
            let orders = if judge.is_symmetric() || !self.config.oracle.shared.both_orders {
                &orders[..1]
            } else {
                &orders
            };
            usage += judge.estimate(orders)?;
        }
        let scale = comparisons as f64 / sample.len().max(1) as f64;
        let scaled = |count: u64| (count as f64 * scale).ceil() as u64;
        let usage = inpo_oracle::Usage {
            calls: scaled(usage.calls),
            prompt_tokens: scaled(usage.prompt_tokens),
            completion_tokens: scaled(usage.completion_tokens),
            ..usage
        };
        Ok(Some(JudgeForecast {
            comparisons,
            calls: usage.calls,
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            cost: judge.cost(&usage),
            asked,
            seconds_per_comparison: time.as_secs_f64() / asked.max(1) as f64,
            invalid: oracle.counts().invalid,
        }))
    }
}

/// The iterations of a run.
fn iterations(config: &RunConfig, prompts: &Prompts) -> Result<Vec<IterationPlan>, TrainError> {
    let plan = Plan::online(config);
    let iteration = |t: usize| {
        let prompts = prompts.slices[t - 1].len();
        Ok(IterationPlan {
            iteration: t,
            prompts,
            steps_at_most: config.common.train.steps(prompts),
            anchors: plan.objective(t)?.pair_loss().to_string(),
        })
    };
    (1..=config.iteration.num_iterations)
        .map(iteration)
        .collect()
}

/// The nearest folder above `path` that is there.
fn existing(path: &Path) -> PathBuf {
    let above = path.ancestors().skip(1).find(|dir| dir.is_dir());
    match above {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// What stands out.
fn warnings(examination: &Examination) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(forecast) = &examination.forecast {
        if forecast.clipped_ratio > 0.1 {
            warnings.push(format!(
                "{:.0} % of the responses were cut off at generation.max_new_tokens: the judge compares texts without an end",
                100.0 * forecast.clipped_ratio
            ));
        }
        if 2 * forecast.pairs < forecast.prompts {
            warnings.push(format!(
                "the selection kept pairs of {} of {} prompts: the others are ties, or lost their final match",
                forecast.pairs, forecast.prompts
            ));
        }
        if let (Some(peak), Some(free)) = (forecast.peak_memory, forecast.available_memory)
            && peak > free
        {
            warnings.push("the run needs more memory than is free".to_owned());
        }
    }
    if let Some(disk) = &examination.disk
        && disk.free.is_some_and(|free| free < disk.needed)
    {
        warnings.push("the run's files need more disk than is free".to_owned());
    }
    if let Some(judge) = &examination.judge
        && judge.invalid > 0
    {
        warnings.push(format!(
            "{} answers of the judge to {} comparisons could not be used",
            judge.invalid, judge.asked
        ));
    }
    for plan in &examination.iterations {
        if plan.steps_at_most < 4 {
            warnings.push(format!(
                "iteration {} has at most {} optimiser steps: more prompts, or a smaller batch",
                plan.iteration, plan.steps_at_most
            ));
            break;
        }
    }
    warnings
}
