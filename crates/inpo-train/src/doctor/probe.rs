//! A run in little, thrown away: what a run would take is measured on it.

use std::time::{Duration, Instant};

use inpo_data::rows::read_jsonl;
use inpo_data::{Completion, FinishReason, Prompt, ResponseRecord};
use inpo_game::{Comparison, OracleError, Preference, PreferenceOracle};
use inpo_oracle::Oracle;
use inpo_policy::LocalEngine;

use super::machine::{peak_memory, size_of};
use crate::config::{EvalSection, RunConfig};
use crate::error::TrainError;
use crate::metrics::StepMetrics;
use crate::models::Models;
use crate::observer::Observer;
use crate::policies::Policies;
use crate::prompts::{Prompts, RunPrompt};
use crate::run::begin;
use crate::self_play::SelfPlay;
use crate::stage::Stage;

/// Comparisons that a judge is asked that costs something.
const ASKED: usize = 4;

/// What was measured.
#[derive(Debug, Clone, Default)]
pub(super) struct Measured {
    pub(super) prompts: usize,
    pub(super) responses: usize,
    pub(super) response_tokens: usize,
    pub(super) cut_off: usize,
    pub(super) pairs: usize,
    pub(super) generate: Duration,
    /// None where the judge costs something: it was not asked.
    pub(super) judge: Option<Duration>,
    pub(super) anchors: Duration,
    /// The optimiser's steps alone.
    pub(super) steps: Duration,
    /// Whatever else an optimisation takes, however long it is.
    pub(super) around: Duration,
    /// The rows of a prompt, in bytes: responses, preferences, pairs, anchors.
    pub(super) row_bytes: f64,
    /// The saved policy, in bytes.
    pub(super) policy_bytes: u64,
    /// The most memory of this process, in bytes.
    pub(super) peak: Option<u64>,
    /// Responses to ask a judge about.
    pub(super) records: Vec<ResponseRecord>,
}

/// Plays one iteration of `config`, the directory of which is thrown away, on `sample` of the run's prompts.
pub(super) fn probe(
    config: &RunConfig,
    models: Models,
    oracle: &Oracle,
    sample: Vec<RunPrompt>,
) -> Result<Measured, TrainError> {
    let mut config = config.clone();
    config.iteration.num_iterations = 1;
    config.iteration.prompts_per_iteration = Some(sample.len());
    config.iteration.ref_update_every = None;
    config.data.eval_prompts = None;
    config.eval = EvalSection::default();
    // Each pair once.
    let train = &mut config.common.train;
    (train.num_train_epochs, train.max_steps) = (1.0, None);
    let is_costly = oracle.judged().judge().is_costly();
    let compares: &dyn PreferenceOracle<Prompt, Completion> =
        if is_costly { &StandIn } else { oracle };
    let count = sample.len();
    let prompts = Prompts {
        slices: vec![sample],
        held_out: Vec::new(),
    };
    let mut watch = Stopwatch::default();
    let policies = Policies::new(&config.common, false, models)?;
    let mut source = SelfPlay::new(&config, (compares, None), &LocalEngine, prompts);
    begin(&config, policies, &mut source, None, false, &mut watch)?;
    watch.lap();
    let [generate, judge, anchors, optimise] =
        [Stage::Generate, Stage::Judge, Stage::Anchors, Stage::Train].map(|stage| watch.of(stage));
    let root = config.common.output_dir.join("iteration-0001");
    let records: Vec<ResponseRecord> = read_jsonl(&root.join(Stage::Generate.file()))?;
    let pairs: Vec<serde_json::Value> = read_jsonl(&root.join(Stage::Select.file()))?;
    let all = || records.iter().flat_map(|record| &record.response_token_ids);
    let ends = records.iter().flat_map(|record| &record.finish_reason);
    let folders = size_of(&root);
    let policy_bytes = size_of(&root.join("policy"));
    Ok(Measured {
        prompts: count,
        responses: all().count(),
        response_tokens: all().map(Vec::len).sum(),
        cut_off: ends.filter(|&&end| end == FinishReason::Length).count(),
        pairs: pairs.len(),
        generate,
        judge: (!is_costly).then_some(judge),
        anchors,
        steps: watch.steps,
        around: optimise.saturating_sub(watch.steps),
        row_bytes: folders.saturating_sub(policy_bytes) as f64 / count as f64,
        policy_bytes,
        peak: peak_memory(),
        records,
    })
}

/// Prompts on which to measure: the longest, for the memory, and others evenly spread over the lengths.
pub(super) fn sample(prompts: &[RunPrompt], count: usize) -> Vec<RunPrompt> {
    let mut order: Vec<&RunPrompt> = prompts.iter().collect();
    order.sort_by_key(|prompt| (prompt.ids().len(), prompt.prompt.number));
    let count = count.min(order.len());
    let place = |i: usize| (i + 1) * order.len() / count - 1;
    (0..count).map(|i| order[place(i)].clone()).collect()
}

/// What a judge that costs something answers, and in what time.
pub(super) fn ask(
    oracle: &Oracle,
    records: &[ResponseRecord],
) -> Result<(usize, Duration), OracleError> {
    let items: Vec<(Prompt, Vec<Completion>)> = records
        .iter()
        .take(ASKED)
        .map(|record| (record.to_prompt(), record.completions()))
        .collect();
    let comparisons = questions(&items, 1);
    let started = Instant::now();
    oracle.compare(&comparisons)?;
    Ok((comparisons.len(), started.elapsed()))
}

/// The first `each` comparisons of neighbours among each prompt's responses.
pub(super) fn questions(
    items: &[(Prompt, Vec<Completion>)],
    each: usize,
) -> Vec<Comparison<'_, Prompt, Completion>> {
    let pairs = items.iter().flat_map(|(prompt, answers)| {
        let pairs = answers.chunks_exact(2).take(each);
        pairs.map(move |pair| Comparison {
            prompt,
            first: &pair[0],
            second: &pair[1],
        })
    });
    pairs.collect()
}

/// How long each stage took.
#[derive(Default)]
struct Stopwatch {
    laps: Vec<(String, Duration)>,
    running: Option<(String, Instant)>,
    steps: Duration,
}

impl Stopwatch {
    fn lap(&mut self) {
        if let Some((name, started)) = self.running.take() {
            self.laps.push((name, started.elapsed()));
        }
    }

    fn of(&self, stage: Stage) -> Duration {
        let laps = self.laps.iter().filter(|(name, _)| name == stage.title());
        laps.map(|(_, time)| *time).sum()
    }
}

impl Observer for Stopwatch {
    fn stage(&mut self, _iteration: usize, name: &str, _total: usize) {
        self.lap();
        self.running = Some((name.to_owned(), Instant::now()));
    }

    fn step(&mut self, _iteration: usize, metrics: &StepMetrics) {
        self.steps += Duration::from_secs_f64(metrics.progress.seconds);
    }
}

/// Compares in the place of a judge that costs something: the longer text wins, then the later one in the alphabet.
struct StandIn;

impl PreferenceOracle<Prompt, Completion> for StandIn {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, Prompt, Completion>],
    ) -> Result<Vec<Preference>, OracleError> {
        let key = |completion: &Completion| (completion.text.len(), completion.text.clone());
        let answer = |c: &Comparison<'_, Prompt, Completion>| {
            let p = match key(c.first).cmp(&key(c.second)) {
                std::cmp::Ordering::Less => 0.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Greater => 1.0,
            };
            Preference::new(p).unwrap_or(Preference::HALF)
        };
        Ok(comparisons.iter().map(answer).collect())
    }

    fn name(&self) -> String {
        "stand-in".to_owned()
    }
}
