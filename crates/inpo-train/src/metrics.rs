//! Rows of metrics, with the names users know from TRL. Each name stands here once.

use inpo_eval::Evaluation;
use inpo_game::OracleCounts;
use inpo_loss::{BatchMetrics, PairFigures, Role};
use inpo_oracle::{Answers, CycleReport, SelectionCounts, cycle_report};
use inpo_policy::SamplingCost;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::anchors::{Scorers, Source};
use crate::objective::Objective;
use crate::pair::TrainPair;
use crate::work::Peak;

/// The place of an optimiser step in its phase, and what it took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepProgress {
    /// The step of the phase, from 1.
    pub step: usize,
    /// Steps of the phase.
    pub steps: usize,
    /// Passes over the pairs after the step.
    pub epoch: f64,
    /// The step's learning rate.
    pub learning_rate: f64,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// How long it took.
    pub seconds: f64,
    /// Tokens of the phase's steps before this one.
    pub tokens_before: usize,
    /// Those of them that this process trained on: without the steps before a checkpoint that it resumed.
    pub timed_tokens_before: usize,
    /// Seconds of the phase's steps of this process before this one.
    pub seconds_before: f64,
    /// Floating-point operations that the model needs for the step: 6 a token and trained parameter, 4 a
    /// token and other parameter (docs/training.md).
    pub flops: f64,
}

/// The metrics of one optimiser step, before its update: those of [`BatchMetrics`] over the step's
/// pairs, `step`, `epoch`, `learning_rate`, `grad_norm`, `num_tokens` (of the phase so far), `perf/*`,
/// `timing_s/step`, `timing_s/train` (of the phase so far); rates and times are those of this process, without the steps that
/// a resumed checkpoint has. The loss is the plain mean over pairs, whatever their weights.
#[derive(Debug, Clone, PartialEq)]
pub struct StepMetrics {
    /// Its place in the phase, and what it took.
    pub progress: StepProgress,
    /// The batch.
    pub batch: BatchMetrics,
    /// Prompt and response tokens of the step.
    pub num_tokens: usize,
}

impl StepMetrics {
    /// From the figures of the step's pairs.
    pub fn new(
        progress: StepProgress,
        figures: &[PairFigures],
        pairs: &[&TrainPair],
        objective: &Objective,
    ) -> Self {
        let tokens = |pair: &&TrainPair| {
            let explored = pair.explored.as_ref().map_or(0, |s| s.ids.len());
            pair.chosen.ids.len() + pair.rejected.ids.len() + explored
        };
        Self {
            progress,
            batch: BatchMetrics::new(figures, objective.pair_loss().reward_scale()),
            num_tokens: pairs.iter().map(tokens).sum(),
        }
    }

    /// Whether the step has a row: every `logging_steps`-th has, and the last one.
    pub fn is_logged(&self, logging_steps: usize) -> bool {
        let StepProgress { step, steps, .. } = self.progress;
        step.is_multiple_of(logging_steps) || step == steps
    }

    /// A row for metrics.jsonl and trainer_state.json; with the device's `peak` the share of it that the step
    /// made use of.
    pub fn row(&self, peak: Option<&Peak>) -> Map<String, Value> {
        let StepProgress {
            step,
            epoch,
            learning_rate,
            grad_norm,
            seconds,
            tokens_before,
            timed_tokens_before,
            seconds_before,
            flops,
            ..
        } = self.progress;
        let timed_tokens = timed_tokens_before + self.num_tokens;
        let timed_seconds = seconds_before + seconds;
        let mut row = Map::new();
        let entries = [
            ("step", json!(step)),
            ("epoch", json!(epoch)),
            ("learning_rate", json!(learning_rate)),
            ("grad_norm", json!(grad_norm)),
            ("num_tokens", json!(tokens_before + self.num_tokens)),
            (
                "perf/tokens_per_second_step",
                json!(self.num_tokens as f64 / seconds),
            ),
            (
                "perf/tokens_per_second_avg",
                json!(timed_tokens as f64 / timed_seconds),
            ),
            ("timing_s/step", json!(seconds)),
            ("timing_s/train", json!(timed_seconds)),
        ];
        row.extend(entries.map(|(name, value)| (name.to_owned(), value)));
        if let Some(peak) = peak {
            row.insert("perf/mfu_step".into(), json!(flops / seconds / peak.flops));
            row.insert("perf/peak_flops".into(), json!(peak.flops));
        }
        let entries = self.batch.entries().into_iter();
        row.extend(entries.map(|(name, value)| (name.to_owned(), json!(value))));
        row
    }
}

/// The sampling of a stage.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct GenerateMetrics {
    #[serde(rename = "timing_s/gen")]
    seconds: f64,
    #[serde(rename = "perf/decode_tokens_per_second")]
    decode_speed: f64,
}

impl From<&SamplingCost> for GenerateMetrics {
    fn from(cost: &SamplingCost) -> Self {
        let seconds = cost.decode_time.as_secs_f64();
        Self {
            seconds: seconds + cost.prefill_time.as_secs_f64(),
            decode_speed: cost.decode_tokens as f64 / seconds,
        }
    }
}

/// The oracle on the responses of a phase, over the comparisons that were asked. What an oracle does not count is left out.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct JudgeMetrics {
    #[serde(rename = "judge/comparisons")]
    comparisons: u64,
    #[serde(rename = "judge/tie_rate")]
    tie_rate: f64,
    #[serde(rename = "judge/mean_margin")]
    mean_margin: f64,
    /// None where no triple was asked whole.
    #[serde(rename = "judge/cycle_rate")]
    cycle_rate: Option<f64>,
    #[serde(rename = "judge/cyclic_triples")]
    cyclic_triples: u64,
    #[serde(rename = "judge/triples")]
    triples: u64,
    #[serde(rename = "timing_s/judge")]
    seconds: f64,
    #[serde(flatten)]
    counted: Option<CountedMetrics>,
}

/// What the oracle counted in the phase.
#[derive(Debug, Clone, Copy, Serialize)]
struct CountedMetrics {
    #[serde(rename = "judge/calls")]
    calls: u64,
    #[serde(rename = "judge/invalid_rate")]
    invalid_rate: Option<f64>,
    #[serde(rename = "judge/first_position_rate")]
    first_position_rate: Option<f64>,
    #[serde(rename = "judge/order_inconsistency")]
    order_inconsistency: Option<f64>,
    #[serde(rename = "judge/prompt_tokens")]
    prompt_tokens: u64,
    #[serde(rename = "judge/completion_tokens")]
    completion_tokens: u64,
    #[serde(rename = "judge/cost", skip_serializing_if = "Option::is_none")]
    cost: Option<f64>,
}

impl JudgeMetrics {
    /// Those of `answers` to so many comparisons, with what the oracle counted meanwhile and the seconds that it took.
    pub(crate) fn new(
        answers: &[Answers],
        comparisons: u64,
        counts: &OracleCounts,
        seconds: f64,
    ) -> Self {
        let asked: Vec<f64> = answers.iter().flat_map(Answers::asked).collect();
        let count = asked.len().max(1) as f64;
        let reports = answers.iter().map(|answers| cycle_report(answers.matrix()));
        let report: CycleReport = reports.map(|r| r.expect("answers are complementary")).sum();
        let counted = CountedMetrics {
            calls: counts.calls,
            invalid_rate: counts.invalid_rate(),
            first_position_rate: counts.first_position_rate(),
            order_inconsistency: counts.order_inconsistency(),
            prompt_tokens: counts.prompt_tokens,
            completion_tokens: counts.completion_tokens,
            cost: counts.cost,
        };
        Self {
            comparisons,
            tie_rate: asked.iter().filter(|&&p| p == 0.5).count() as f64 / count,
            mean_margin: asked.iter().map(|p| (2.0 * p - 1.0).abs()).sum::<f64>() / count,
            cycle_rate: (report.triples > 0).then(|| report.rate()),
            cyclic_triples: report.cyclic,
            triples: report.triples,
            seconds,
            counted: (counts.comparisons > 0).then_some(counted),
        }
    }
}

/// The responses of a phase, in tokens, end token included; TRL's names.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct CompletionMetrics {
    #[serde(rename = "completions/mean_length")]
    mean: f64,
    #[serde(rename = "completions/min_length")]
    min: usize,
    #[serde(rename = "completions/max_length")]
    max: usize,
    /// Share that the token limit cut off.
    #[serde(rename = "completions/clipped_ratio")]
    clipped: f64,
    /// Of those that ended themselves; none without any.
    #[serde(rename = "completions/mean_terminated_length")]
    mean_terminated: Option<f64>,
    #[serde(rename = "completions/min_terminated_length")]
    min_terminated: Option<usize>,
    #[serde(rename = "completions/max_terminated_length")]
    max_terminated: Option<usize>,
}

impl CompletionMetrics {
    /// Those of responses with so many tokens, each with whether it was cut off.
    pub(crate) fn new(responses: impl Iterator<Item = (usize, bool)>) -> Self {
        let all: Vec<(usize, bool)> = responses.collect();
        let lengths: Vec<usize> = all.iter().map(|(length, _)| *length).collect();
        let ended = all.iter().filter(|(_, clipped)| !clipped);
        let ended: Vec<usize> = ended.map(|(length, _)| *length).collect();
        let mean =
            |lengths: &[usize]| lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64;
        Self {
            mean: mean(&lengths),
            min: lengths.iter().min().copied().unwrap_or_default(),
            max: lengths.iter().max().copied().unwrap_or_default(),
            clipped: (all.len() - ended.len()) as f64 / all.len().max(1) as f64,
            mean_terminated: (!ended.is_empty()).then(|| mean(&ended)),
            min_terminated: ended.iter().min().copied(),
            max_terminated: ended.iter().max().copied(),
        }
    }
}

/// What a selection kept and what it dropped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct SelectMetrics {
    /// Pairs kept.
    #[serde(rename = "select/pairs")]
    pairs: usize,
    /// Dropped: a tie.
    #[serde(rename = "select/dropped_tie")]
    dropped_tie: usize,
    /// Dropped: the final match went the other way.
    #[serde(rename = "select/dropped_final")]
    dropped_final: usize,
    /// Dropped: both responses have the same ids.
    #[serde(rename = "select/dropped_dup")]
    dropped_dup: usize,
    /// Dropped: a response without a token but its end.
    #[serde(rename = "select/dropped_empty")]
    dropped_empty: usize,
    /// Mean difference in tokens.
    #[serde(rename = "select/len_chosen_minus_rejected")]
    length_gap: f64,
    /// Where responses are left out before anything is asked.
    #[serde(flatten)]
    left_out: Option<LeftOutMetrics>,
    /// What it was selected from.
    #[serde(flatten)]
    completions: CompletionMetrics,
}

/// Responses that were left out before anything was asked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct LeftOutMetrics {
    /// Empty ones.
    #[serde(rename = "select/left_out_empty")]
    empty: usize,
    /// Those cut off at the token limit.
    #[serde(rename = "select/left_out_truncated")]
    truncated: usize,
    /// Those equal to an earlier one.
    #[serde(rename = "select/left_out_dup")]
    duplicate: usize,
    /// Prompts dropped because fewer than two were left.
    #[serde(rename = "select/dropped_few")]
    dropped_few: usize,
}

impl SelectMetrics {
    /// Those of the counts of a selection; `leaves_out` says whether it leaves responses out.
    pub(crate) fn new(
        counts: &SelectionCounts,
        leaves_out: bool,
        length_gap: f64,
        completions: CompletionMetrics,
    ) -> Self {
        let left_out = LeftOutMetrics {
            empty: counts.left_out.empty,
            truncated: counts.left_out.truncated,
            duplicate: counts.left_out.duplicate,
            dropped_few: counts.few,
        };
        Self {
            pairs: counts.pairs,
            dropped_tie: counts.tie,
            dropped_final: counts.lost_final,
            dropped_dup: counts.duplicate,
            dropped_empty: counts.empty,
            length_gap,
            left_out: leaves_out.then_some(left_out),
            completions,
        }
    }
}

/// The scoring of the pairs.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct AnchorMetrics {
    #[serde(rename = "timing_s/logp")]
    seconds: f64,
    /// None where another policy's log-probs are its own.
    #[serde(rename = "timing_s/logp_ref", skip_serializing_if = "Option::is_none")]
    reference: Option<f64>,
    #[serde(rename = "timing_s/logp_prev", skip_serializing_if = "Option::is_none")]
    previous: Option<f64>,
}

impl AnchorMetrics {
    /// Those of a scoring that took `seconds`.
    pub(crate) fn new(seconds: f64, scorers: &Scorers<'_>) -> Self {
        let of = |role| scorers.seconds(Source::Role(role));
        Self {
            seconds,
            reference: of(Role::Reference),
            previous: of(Role::Previous),
        }
    }
}

/// The measures of an evaluation with the time that they took.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct TimedEvaluation<T> {
    #[serde(flatten)]
    pub(crate) metrics: T,
    #[serde(rename = "timing_s/eval")]
    pub(crate) seconds: f64,
}

/// An evaluation.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EvalMetrics {
    #[serde(rename = "game/win_rate_vs_ref")]
    win_rate_vs_ref: f64,
    #[serde(rename = "game/win_rate_vs_ref_low")]
    win_rate_vs_ref_low: f64,
    #[serde(rename = "game/win_rate_vs_ref_high")]
    win_rate_vs_ref_high: f64,
    /// What was not asked is left out.
    #[serde(flatten)]
    asked: Map<String, Value>,
    #[serde(rename = "game/kl_ref")]
    kl_ref: f64,
    #[serde(rename = "completions/mean_length")]
    mean_length: f64,
    #[serde(rename = "completions/clipped_ratio")]
    clipped_ratio: f64,
    #[serde(rename = "judge/cycle_rate")]
    cycle_rate: f64,
}

impl From<&Evaluation> for EvalMetrics {
    fn from(evaluation: &Evaluation) -> Self {
        let mut asked = Map::new();
        let controlled = evaluation.length_controlled.as_ref();
        let means = [
            ("win_rate_vs_prev", evaluation.win_rate_vs_prev),
            ("win_rate_vs_init", evaluation.win_rate_vs_init),
            ("win_rate_vs_ref_lc", controlled.map(|lc| lc.win_rate)),
            (
                "win_rate_vs_ref_held_out",
                evaluation.held_out_win_rate_vs_ref,
            ),
            ("probe_of_ref", evaluation.probe_of_ref),
        ];
        for (name, interval) in means {
            asked.extend(interval.map(|i| (format!("game/{name}"), i.mean.into())));
        }
        for opponent in &evaluation.opponents {
            let name = format!("game/win_rate_vs/{}", opponent.opponent);
            asked.insert(name, opponent.win_rate.mean.into());
        }
        for (name, interval) in [
            ("probe", evaluation.probe),
            ("oracle_gap", evaluation.oracle_gap),
        ] {
            let Some(interval) = interval else { continue };
            asked.insert(format!("game/{name}"), interval.mean.into());
            asked.insert(format!("game/{name}_low"), interval.low.into());
            asked.insert(format!("game/{name}_high"), interval.high.into());
        }
        Self {
            win_rate_vs_ref: evaluation.win_rate_vs_ref.mean,
            win_rate_vs_ref_low: evaluation.win_rate_vs_ref.low,
            win_rate_vs_ref_high: evaluation.win_rate_vs_ref.high,
            asked,
            kl_ref: evaluation.kl_ref,
            mean_length: evaluation.mean_length,
            clipped_ratio: evaluation.clipped_ratio,
            cycle_rate: evaluation.cycles.rate(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths 2, 4 and 9, the last one cut off: means 5 and 3, a third is clipped. Without any that ended, nothing is said
    /// of such.
    #[test]
    fn responses_that_were_cut_off_count_apart() {
        let of =
            |responses: &[(usize, bool)]| json!(CompletionMetrics::new(responses.iter().copied()));
        let metrics = of(&[(2, false), (9, true), (4, false)]);
        for (name, value) in [
            ("mean_length", 5.0),
            ("min_length", 2.0),
            ("max_length", 9.0),
            ("clipped_ratio", 1.0 / 3.0),
            ("mean_terminated_length", 3.0),
            ("min_terminated_length", 2.0),
            ("max_terminated_length", 4.0),
        ] {
            assert_eq!(
                metrics[format!("completions/{name}")].as_f64(),
                Some(value),
                "{name}"
            );
        }
        let cut = of(&[(9, true)]);
        assert_eq!(cut["completions/clipped_ratio"], 1.0);
        assert!(cut["completions/mean_terminated_length"].is_null());
    }
}
