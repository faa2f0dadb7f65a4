//! Metrics of the optimisation, with the names users know from TRL.

use inpo_loss::{BatchMetrics, PairFigures};
use serde_json::{Map, Value, json};

use crate::objective::Objective;
use crate::step::TrainPair;

/// Where and when an optimiser step took place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// The step of the phase, from 1.
    pub step: usize,
    /// Passes over the pairs after the step.
    pub epoch: f64,
    /// The step's learning rate.
    pub learning_rate: f64,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// How long it took.
    pub seconds: f64,
}

/// The metrics of one optimiser step, before its update: those of [`BatchMetrics`] over the step's
/// pairs, `step`, `epoch`, `learning_rate`, `grad_norm`, `num_tokens`, `perf/*`, `timing_s/step`.
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

    /// A row for metrics.jsonl and trainer_state.json.
    pub fn row(&self) -> Map<String, Value> {
        let Timing {
            step,
            epoch,
            learning_rate,
            grad_norm,
            seconds,
        } = self.timing;
        let first = json!({
            "step": step,
            "epoch": epoch,
            "learning_rate": learning_rate,
            "grad_norm": grad_norm,
            "num_tokens": self.num_tokens,
            "perf/tokens_per_second_step": self.num_tokens as f64 / seconds,
            "timing_s/step": seconds,
        });
        let Value::Object(mut row) = first else {
            unreachable!("a JSON object literal")
        };
        let entries = self.batch.entries().into_iter();
        row.extend(entries.map(|(name, value)| (name.to_owned(), json!(value))));
        row
    }
}
