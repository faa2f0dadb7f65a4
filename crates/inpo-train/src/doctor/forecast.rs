//! What a run would take, from what its run in little took.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::machine::{available_memory, free_disk};
use super::probe::Measured;
use crate::anchors::digests;
use crate::config::RunConfig;
use crate::error::TrainError;
use crate::header::ComparisonBudget;
use crate::phases::{Phase, PolicyId};
use crate::prompts::Prompts;
use crate::run::Plan;

/// What a stage would take in a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageTime {
    /// The stage, as it is called while the run goes on.
    pub stage: &'static str,
    /// How often it does what it does.
    pub count: usize,
    /// What it does.
    pub unit: &'static str,
    /// Seconds in all iterations.
    pub seconds: f64,
}

/// What a run would take, if its responses stay as long as they are at its start.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// Prompts that were measured on.
    pub prompts: usize,
    /// Tokens of a response, on average.
    pub response_tokens: f64,
    /// The share of the responses that `generation.max_new_tokens` cut off.
    pub clipped_ratio: f64,
    /// Pairs of the measured prompts that the selection kept.
    pub pairs: usize,
    /// The stages in their order. Without the judge where it was not asked.
    pub stages: Vec<StageTime>,
    /// Seconds of all stages.
    pub seconds: f64,
    /// The most memory of the process, in bytes, that of a device not included; none where the system does not say.
    pub peak_memory: Option<u64>,
    /// Memory that this process has, is free or can be freed, in bytes.
    pub available_memory: Option<u64>,
}

/// What the files of a run would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Bytes of the run's files; of one checkpoint for each of those that are kept, which hold the optimiser's state too.
    pub needed: u64,
    /// Bytes that may be written where `output_dir` lies; none where the system does not say.
    pub free: Option<u64>,
}

/// The parts of a run that its measures are scaled to.
pub(super) struct Sizes<'a> {
    pub(super) config: &'a RunConfig,
    pub(super) prompts: &'a Prompts,
    pub(super) budget: &'a ComparisonBudget,
}

impl Sizes<'_> {
    /// Whom the pairs of iteration `t` are scored under: how many distinct policies, in all of its phases.
    fn scorers(&self, t: usize) -> Result<usize, TrainError> {
        let plan = Plan::online(self.config);
        let objective = plan.objective(t)?;
        let own_reference = self.config.common.reference.is_none();
        let name = |id: PolicyId| {
            let id = match id {
                PolicyId::Previous | PolicyId::Intermediate(0) => PolicyId::After(0),
                PolicyId::Reference if own_reference => PolicyId::After(0),
                other => other,
            };
            Ok(format!("{id:?}"))
        };
        let of_phase = |phase: &Phase| {
            let names = digests(phase, &objective, |_| false, name)?;
            Ok(names.into_values().collect::<BTreeSet<_>>().len())
        };
        let phases = plan.phases(t, &objective);
        phases.iter().map(of_phase).sum()
    }

    /// Phases of an iteration that sample their own pairs, and all phases.
    fn phases(&self) -> Result<(usize, usize), TrainError> {
        let plan = Plan::online(self.config);
        let phases = plan.phases(1, &plan.objective(1)?);
        let sampling = phases.iter().filter(|phase| phase.samples()).count();
        Ok((sampling, phases.len()))
    }

    /// Pairs that each optimisation of iteration `t` is expected to see in all of its steps.
    fn pairs_seen(&self, t: usize, measured: &Measured) -> f64 {
        let train = &self.config.common.train;
        let kept = measured.pairs as f64 / measured.prompts as f64;
        let pairs = self.prompts.slices[t - 1].len() as f64 * kept;
        match train.max_steps {
            Some(steps) => (steps * train.pairs_per_step()) as f64,
            None => pairs * train.num_train_epochs,
        }
    }

    /// Scales what was measured. `asked` is what each comparison of a judge that costs something takes.
    pub(super) fn forecast(
        &self,
        measured: &Measured,
        asked: Option<Duration>,
    ) -> Result<Forecast, TrainError> {
        let config = self.config;
        let iterations = config.iteration.num_iterations;
        let held_out = self.prompts.held_out.len();
        let (sampling, phases) = self.phases()?;
        let all: usize = self.prompts.slices.iter().map(Vec::len).sum();
        let per_prompt = |time: Duration| time.as_secs_f64() / measured.prompts as f64;
        let per_response =
            measured.generate.as_secs_f64() / (measured.responses * sampling).max(1) as f64;
        let per_comparison = match (measured.judge, asked) {
            (Some(judge), _) => {
                let comparisons = measured.prompts * self.budget.per_prompt * sampling;
                Some(judge.as_secs_f64() / comparisons.max(1) as f64)
            }
            (None, asked) => asked.map(|time| time.as_secs_f64()),
        };

        let first = self.scorers(1)?.max(1) as f64;
        let (mut scored, mut scoring, mut optimising, mut pairs) = (0, 0.0, 0.0, 0.0);
        for t in 1..=iterations {
            let count = self.prompts.slices[t - 1].len();
            let scorers = self.scorers(t)?;
            scored += count * scorers;
            scoring += per_prompt(measured.anchors) * count as f64 * scorers as f64 / first;
            let seen = self.pairs_seen(t, measured);
            pairs += seen * phases as f64;
            optimising += measured.steps.as_secs_f64() * seen / measured.pairs.max(1) as f64
                + measured.around.as_secs_f64();
        }
        let players = match held_out {
            0 => 0,
            _ => {
                let start = usize::from(config.common.reference.is_some());
                1 + start + config.eval.named().count() + iterations
            }
        };
        let eval_responses = held_out * config.eval.num_generations * players;
        // The reference reads a few of each policy's responses, as it reads two of a pair.
        let read = held_out * config.eval.kl_samples * iterations;
        let kept = (measured.pairs * phases).max(1) as f64;
        let reading = measured.anchors.as_secs_f64() / kept / first / 2.0 * read as f64;

        let responses = all * config.generation.num_generations * sampling;
        let mut stages = Vec::new();
        let mut add = |stage, count: usize, unit, seconds: f64| {
            if count > 0 {
                let time = StageTime {
                    stage,
                    count,
                    unit,
                    seconds,
                };
                stages.push(time);
            }
        };
        let sampled = |count: usize| per_response * count as f64;
        add("generate", responses, "responses", sampled(responses));
        if let Some(each) = per_comparison {
            let count = self.budget.training;
            add("judge", count, "comparisons", each * count as f64);
        }
        add("anchors", scored, "prompts' pairs scored", scoring);
        add("optimise", pairs.round() as usize, "pairs", optimising);
        add(
            "evaluate",
            eval_responses,
            "responses",
            sampled(eval_responses),
        );
        if let Some(each) = per_comparison {
            let count = self.budget.evaluation;
            add("eval_judge", count, "comparisons", each * count as f64);
        }
        add("eval", read, "responses read", reading);
        Ok(Forecast {
            prompts: measured.prompts,
            response_tokens: measured.response_tokens as f64 / measured.responses.max(1) as f64,
            clipped_ratio: measured.cut_off as f64 / measured.responses.max(1) as f64,
            pairs: measured.pairs,
            seconds: stages.iter().map(|stage| stage.seconds).sum(),
            stages,
            peak_memory: measured.peak,
            available_memory: available_memory(),
        })
    }

    /// What the files take, from the sizes of those of the run in little.
    pub(super) fn disk(&self, measured: &Measured) -> Result<Disk, TrainError> {
        let train = &self.config.common.train;
        let (_, phases) = self.phases()?;
        let [eval, own] = [
            &self.config.eval.num_generations,
            &self.config.generation.num_generations,
        ];
        let answers = self.prompts.held_out.len() * (self.config.iteration.num_iterations + 1);
        let mut needed = measured.row_bytes * (answers * eval) as f64 / *own as f64;
        for t in 1..=self.config.iteration.num_iterations {
            needed += measured.row_bytes * self.prompts.slices[t - 1].len() as f64;
            let steps = self.pairs_seen(t, measured) / train.pairs_per_step() as f64;
            let checkpoints = (steps as usize) / train.save_steps;
            let checkpoints = checkpoints.min(train.save_total_limit.unwrap_or(usize::MAX));
            // AdamW keeps two numbers for each that is trained.
            let policies = phases * (1 + 3 * checkpoints);
            needed += measured.policy_bytes as f64 * policies as f64;
        }
        Ok(Disk {
            needed: needed as u64,
            free: free_disk(
                self.config
                    .common
                    .output_dir
                    .parent()
                    .unwrap_or("/".as_ref()),
            ),
        })
    }
}
