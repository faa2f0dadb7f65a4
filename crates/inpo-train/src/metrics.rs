//! Rows of metrics, with the names users know from TRL.

use inpo_loss::{BatchMetrics, PairFigures};
use serde_json::{Map, Value, json};

use crate::evaluate::Evaluation;
use crate::objective::Objective;
use crate::records::PreferenceRecord;
use crate::step::TrainPair;
use crate::work::Peak;

/// Where and when an optimiser step took place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
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
    /// Floating-point operations that the model needs for the step: 6 a token and trained parameter, 4 a
    /// token and other parameter (docs/training.md).
    pub flops: f64,
}

/// The metrics of one optimiser step, before its update: those of [`BatchMetrics`] over the step's
/// pairs, `step`, `epoch`, `learning_rate`, `grad_norm`, `num_tokens` (of the phase so far), `perf/*`,
/// `timing_s/step`. The loss is the plain mean over pairs, whatever their weights.
#[derive(Debug, Clone, PartialEq)]
pub struct StepMetrics {
    /// Where and when.
    pub timing: Timing,
    /// The batch.
    pub batch: BatchMetrics,
    /// Prompt and response tokens of the step.
    pub num_tokens: usize,
}

impl StepMetrics {
    /// From the figures of the step's pairs.
    pub fn new(
        timing: Timing,
        figures: &[PairFigures],
        pairs: &[&TrainPair],
        objective: &Objective,
    ) -> Self {
        let tokens = |pair: &&TrainPair| {
            let explored = pair.explored.as_ref().map_or(0, |s| s.ids.len());
            pair.chosen.ids.len() + pair.rejected.ids.len() + explored
        };
        Self {
            timing,
            batch: BatchMetrics::new(figures, objective.pair_loss().reward_scale()),
            num_tokens: pairs.iter().map(tokens).sum(),
        }
    }

    /// Whether the step has a row: every `logging_steps`-th has, and the last one.
    pub fn is_logged(&self, logging_steps: usize) -> bool {
        let Timing { step, steps, .. } = self.timing;
        step.is_multiple_of(logging_steps) || step == steps
    }

    /// A row for metrics.jsonl and trainer_state.json; with the device's `peak` the share of it that the step
    /// made use of.
    pub fn row(&self, peak: Option<&Peak>) -> Map<String, Value> {
        let Timing {
            step,
            epoch,
            learning_rate,
            grad_norm,
            seconds,
            tokens_before,
            flops,
            ..
        } = self.timing;
        let first = json!({
            "step": step,
            "epoch": epoch,
            "learning_rate": learning_rate,
            "grad_norm": grad_norm,
            "num_tokens": tokens_before + self.num_tokens,
            "perf/tokens_per_second_step": self.num_tokens as f64 / seconds,
            "timing_s/step": seconds,
        });
        let Value::Object(mut row) = first else {
            unreachable!("a JSON object literal")
        };
        if let Some(peak) = peak {
            row.insert("perf/mfu_step".into(), json!(flops / seconds / peak.flops));
            row.insert("perf/peak_flops".into(), json!(peak.flops));
        }
        let entries = self.batch.entries().into_iter();
        row.extend(entries.map(|(name, value)| (name.to_owned(), json!(value))));
        row
    }
}

/// A row of metrics with the phase it is of, where an iteration has two.
pub(crate) fn with_phase(mut row: Value, phase: Option<&'static str>) -> Value {
    if let Some(phase) = phase {
        row["phase"] = phase.into();
    }
    row
}

/// The oracle on the responses of a phase.
pub(crate) fn judge_metrics(t: usize, rows: &[PreferenceRecord], calls: u64) -> Value {
    let above = |matrix: &[Vec<f64>]| -> Vec<f64> {
        let upper = matrix.iter().enumerate();
        upper.flat_map(|(i, row)| row[i + 1..].to_vec()).collect()
    };
    let all: Vec<f64> = rows.iter().flat_map(|row| above(&row.preference)).collect();
    let count = all.len().max(1) as f64;
    let mut report = inpo_oracle::CycleReport::default();
    for row in rows {
        report += inpo_oracle::cycle_report(&row.preference).expect("an oracle's matrix");
    }
    json!({
        "stage": "judge",
        "iteration": t,
        "judge/report_calls": calls,
        "judge/tie_rate": all.iter().filter(|&&p| p == 0.5).count() as f64 / count,
        "judge/mean_margin": all.iter().map(|p| (2.0 * p - 1.0).abs()).sum::<f64>() / count,
        "judge/cycle_rate": report.rate(),
        "judge/cyclic_triples": report.cyclic,
        "judge/triples": report.triples,
    })
}

/// An evaluation.
pub(crate) fn eval_metrics(evaluation: &Evaluation) -> Value {
    json!({
        "stage": "eval",
        "iteration": evaluation.iteration,
        "game/win_rate_vs_ref": evaluation.win_rate_vs_ref.mean,
        "game/win_rate_vs_ref_low": evaluation.win_rate_vs_ref.low,
        "game/win_rate_vs_ref_high": evaluation.win_rate_vs_ref.high,
        "game/win_rate_vs_prev": evaluation.win_rate_vs_prev.mean,
        "game/kl_ref": evaluation.kl_ref,
        "completions/mean_length": evaluation.mean_length,
        "completions/clipped_ratio": evaluation.clipped_ratio,
        "judge/cycle_rate": evaluation.cycles.rate(),
    })
}
