//! Metrics of the optimisation, with the names users know from TRL.

use inpo_loss::InpoLossConfig;
use serde_json::{Map, Value, json};

use crate::step::{PairFigures, TrainPair};

/// The metrics of one optimiser step. Log-probs and `h` are in nats; means are over the pairs of the
/// step.
///
/// * `logps/*`: sums over the response; `logps_mean/*`: per token.
/// * `rewards/*`: `tau (log pi - log pi_ref)`, with `eta` in place of `tau` when `tau = 0`.
/// * `inpo/h_mean`, `inpo/target`, `inpo/residual_*` (`h - target`), `inpo/delta_*` (log-prob of
///   chosen less rejected under policy, reference and previous), `inpo/frac_above_target`.
#[derive(Debug, Clone)]
pub struct StepMetrics {
    /// The optimiser step of the iteration, from 1.
    pub step: usize,
    /// Mean loss.
    pub loss: f64,
    /// Mean `h`.
    pub h_mean: f64,
    values: Map<String, Value>,
}

impl StepMetrics {
    /// From (step, epoch, learning rate, gradient norm, seconds) and the pairs' figures.
    pub fn new(
        (step, epoch, learning_rate, grad_norm, seconds): (usize, f64, f64, f64, f64),
        figures: &[PairFigures],
        pairs: &[&TrainPair],
        config: InpoLossConfig,
    ) -> Self {
        let count = figures.len() as f64;
        let mean = |of: &dyn Fn(&PairFigures, &TrainPair) -> f64| {
            figures
                .iter()
                .zip(pairs)
                .map(|(f, p)| of(f, p))
                .sum::<f64>()
                / count
        };
        let beta = if config.tau > 0.0 {
            config.tau
        } else {
            config.eta
        };
        let reward = |side: usize| {
            move |f: &PairFigures, p: &TrainPair| beta * (f.logps[side] - p.reference[side])
        };
        let (chosen, rejected) = (reward(0), reward(1));
        let delta = |pair: [f64; 2]| pair[0] - pair[1];
        let residual = |f: &PairFigures| f.h - f.target;
        let loss = mean(&|f, _| f.loss());
        let h_mean = mean(&|f, _| f.h);
        let tokens: usize = pairs
            .iter()
            .map(|p| p.chosen.ids.len() + p.rejected.ids.len())
            .sum();
        let per_token = |side: usize| {
            move |f: &PairFigures, _: &TrainPair| f.logps[side] / f.tokens[side].max(1) as f64
        };
        let drift = figures
            .iter()
            .zip(pairs)
            .flat_map(|(f, p)| [0, 1].map(|side| (f.logps[side] - p.previous[side]).abs()))
            .fold(0.0, f64::max);
        let values = json!({
            "step": step,
            "epoch": epoch,
            "loss": loss,
            "grad_norm": grad_norm,
            "learning_rate": learning_rate,
            "num_tokens": tokens,
            "logps/chosen": mean(&|f, _| f.logps[0]),
            "logps/rejected": mean(&|f, _| f.logps[1]),
            "logps_mean/chosen": mean(&per_token(0)),
            "logps_mean/rejected": mean(&per_token(1)),
            "rewards/chosen": mean(&chosen),
            "rewards/rejected": mean(&rejected),
            "rewards/margins": mean(&|f, p| chosen(f, p) - rejected(f, p)),
            "rewards/accuracies": mean(&|f, p| f64::from(chosen(f, p) > rejected(f, p))),
            "inpo/h_mean": h_mean,
            "inpo/target": mean(&|f, _| f.target),
            "inpo/residual_mean": mean(&|f, _| residual(f)),
            "inpo/residual_rms": mean(&|f, _| residual(f).powi(2)).sqrt(),
            "inpo/delta_pi": mean(&|f, _| delta(f.logps)),
            "inpo/delta_ref": mean(&|_, p| delta(p.reference)),
            "inpo/delta_prev": mean(&|_, p| delta(p.previous)),
            "inpo/frac_above_target": mean(&|f, _| f64::from(f.h > f.target)),
            "inpo/policy_drift_max": drift,
            "perf/tokens_per_second_step": tokens as f64 / seconds,
            "timing_s/step": seconds,
        });
        let Value::Object(values) = values else {
            unreachable!("a JSON object literal")
        };
        Self {
            step,
            loss,
            h_mean,
            values,
        }
    }

    /// A row for metrics.jsonl and trainer_state.json.
    pub fn row(&self) -> Map<String, Value> {
        self.values.clone()
    }
}
