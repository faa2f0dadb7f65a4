//! The training of a run from its `metrics.jsonl`: curves over the optimiser's steps, and one row for each other stage.

use serde::Serialize;
use serde_json::{Map, Value};

/// The most points that a line shows; of more, each of half as many stretches shows its least and its greatest.
pub const MOST_POINTS: usize = 400;

/// The curves of a training.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Training {
    /// The last optimiser step that was logged, over all iterations.
    pub steps: u64,
    /// Where iterations, and phases in them, begin.
    pub borders: Vec<Border>,
    /// The curves of the metrics that were logged.
    pub curves: Vec<Curve>,
    /// What the other stages logged, in their order: judging, selection, sampling, anchors.
    pub stages: Vec<StageMetrics>,
    /// What took how long.
    pub timings: Vec<Timing>,
}

/// Where an iteration, or a phase in it, begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Border {
    /// The optimiser steps before it.
    pub step: u64,
    /// Its iteration.
    pub iteration: u64,
    /// The first of two phases, by its name.
    pub phase: Option<String>,
}

/// Lines of one unit over the optimiser's steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// What it shows.
    pub title: String,
    /// The unit of its values.
    pub unit: String,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// A metric over the optimiser's steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// The metric, as metrics.jsonl names it.
    pub metric: String,
    /// Steps of the whole run with their values.
    pub points: Vec<(f64, f64)>,
    /// How many values were logged; more than there are points where these are extremes.
    pub logged: usize,
}

/// What a stage logged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageMetrics {
    /// Its iteration.
    pub iteration: u64,
    /// Its name.
    pub stage: String,
    /// The first of two phases, by its name.
    pub phase: Option<String>,
    /// The metrics, as metrics.jsonl names them.
    pub metrics: Map<String, Value>,
}

/// How long a stage took, where it says so.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timing {
    /// Its iteration.
    pub iteration: u64,
    /// Its name.
    pub stage: String,
    /// Seconds, over all its steps that were logged.
    pub seconds: f64,
}

/// Title, unit and metrics of each curve.
const CURVES: [(&str, &str, &[&str]); 8] = [
    ("Loss", "loss", &["loss"]),
    ("h and its target", "nats", &["inpo/h_mean", "inpo/target"]),
    (
        "Reward margin of the pairs",
        "beta × nats",
        &["rewards/margins"],
    ),
    (
        "Log-ratio to the reference",
        "beta × nats",
        &["rewards/chosen", "rewards/rejected"],
    ),
    (
        "Largest change since the previous policy",
        "nats",
        &["inpo/policy_drift_max"],
    ),
    (
        "Pairs whose chosen response has the larger reward",
        "share",
        &["rewards/accuracies"],
    ),
    ("Gradient norm", "norm", &["grad_norm"]),
    ("Learning rate", "rate", &["learning_rate"]),
];

/// No step takes longer, in seconds.
const LONGEST: f64 = 1e12;

/// Keys that say where a row is from.
const PLACE: [&str; 3] = ["iteration", "stage", "phase"];

impl Training {
    /// From the rows of `metrics.jsonl`. Those of a training on given pairs name no stage.
    pub(super) fn new(rows: &[Map<String, Value>]) -> Self {
        let mut training = Self::default();
        let mut steps = Vec::new();
        let mut before = 0;
        for row in rows {
            let stage = row.get("stage").and_then(Value::as_str).unwrap_or("train");
            let iteration = row.get("iteration").and_then(Value::as_u64).unwrap_or(1);
            let phase = row.get("phase").and_then(Value::as_str).map(str::to_owned);
            training.time(iteration, stage, row);
            let step = row.get("step").and_then(Value::as_u64);
            let (Some(step), "train") = (step, stage) else {
                if !matches!(stage, "train" | "eval") {
                    let metrics = row.iter().filter(|(key, _)| !PLACE.contains(&key.as_str()));
                    training.stages.push(StageMetrics {
                        iteration,
                        stage: stage.to_owned(),
                        phase,
                        metrics: metrics.map(|(k, v)| (k.clone(), v.clone())).collect(),
                    });
                }
                continue;
            };
            let last = training.borders.last();
            if last.is_none_or(|last| (last.iteration, &last.phase) != (iteration, &phase)) {
                before = training.steps;
                training.borders.push(Border {
                    step: before,
                    iteration,
                    phase,
                });
            }
            training.steps = training.steps.max(before.saturating_add(step));
            steps.push((before.saturating_add(step) as f64, row));
        }
        let line = |metric: &&str| -> Option<Line> {
            let points: Vec<(f64, f64)> = steps
                .iter()
                .filter_map(|(step, row)| Some((*step, row.get(*metric)?.as_f64()?)))
                .collect();
            (!points.is_empty()).then(|| Line {
                metric: (*metric).to_owned(),
                logged: points.len(),
                points: extremes(points),
            })
        };
        let curve = |&(title, unit, metrics): &(&str, &str, &[&str])| {
            let lines: Vec<Line> = metrics.iter().filter_map(line).collect();
            (!lines.is_empty()).then(|| Curve {
                title: title.to_owned(),
                unit: unit.to_owned(),
                lines,
            })
        };
        training.curves = CURVES.iter().filter_map(curve).collect();
        training
    }

    fn time(&mut self, iteration: u64, stage: &str, row: &Map<String, Value>) {
        let times = row.iter().filter(|(key, _)| key.starts_with("timing_s/"));
        let seconds: Vec<f64> = times
            .filter_map(|(_, value)| value.as_f64())
            .filter(|seconds| (0.0..LONGEST).contains(seconds))
            .collect();
        if seconds.is_empty() {
            return;
        }
        let seconds: f64 = seconds.iter().sum();
        let same = |timing: &&mut Timing| timing.iteration == iteration && timing.stage == stage;
        match self.timings.iter_mut().find(same) {
            Some(timing) => timing.seconds += seconds,
            None => self.timings.push(Timing {
                iteration,
                stage: stage.to_owned(),
                seconds,
            }),
        }
    }

    /// The values of a metric of a stage, in the order in which they were logged.
    pub(super) fn values(&self, metric: &str) -> impl Iterator<Item = (&StageMetrics, f64)> {
        let stages = self.stages.iter();
        stages.filter_map(move |stage| Some((stage, stage.metrics.get(metric)?.as_f64()?)))
    }
}

/// The points, or, of more than [`MOST_POINTS`], the least and the greatest of each of half as many stretches of equal length,
/// from left to right. Nothing is averaged: a peak stays a peak.
fn extremes(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points;
    }
    let stretches = MOST_POINTS / 2;
    let mut kept = Vec::with_capacity(MOST_POINTS);
    for stretch in 0..stretches {
        let from = stretch * points.len() / stretches;
        let to = (stretch + 1) * points.len() / stretches;
        let places = from..to;
        let by = |&a: &usize, &b: &usize| points[a].1.total_cmp(&points[b].1);
        let (Some(least), Some(greatest)) = (places.clone().min_by(by), places.max_by(by)) else {
            continue;
        };
        kept.push(points[least.min(greatest)]);
        if least != greatest {
            kept.push(points[least.max(greatest)]);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    /// Steps count on from one iteration to the next; rows of other stages are kept; null is no point.
    #[test]
    fn steps_count_over_iterations() {
        let rows = [
            row(json!({"iteration": 1, "stage": "judge", "judge/tie_rate": 0.25})),
            row(
                json!({"iteration": 1, "stage": "train", "step": 1, "loss": 2.0, "timing_s/step": 0.5}),
            ),
            row(
                json!({"iteration": 1, "stage": "train", "step": 3, "loss": null, "timing_s/step": 1.5}),
            ),
            row(
                json!({"iteration": 2, "stage": "train", "step": 2, "loss": 1.0, "timing_s/step": 4.0}),
            ),
            row(json!({"iteration": 2, "stage": "eval", "game/kl_ref": 1.0})),
        ];
        let training = Training::new(&rows);
        assert_eq!(training.steps, 5);
        let starts: Vec<u64> = training.borders.iter().map(|border| border.step).collect();
        assert_eq!(starts, [0, 3]);
        assert_eq!(training.curves.len(), 1);
        assert_eq!(training.curves[0].lines[0].points, [(1.0, 2.0), (5.0, 1.0)]);
        let ties: Vec<f64> = training.values("judge/tie_rate").map(|(_, v)| v).collect();
        assert_eq!((ties, training.stages.len()), (vec![0.25], 1));
        let seconds: Vec<f64> = training.timings.iter().map(|t| t.seconds).collect();
        assert_eq!(seconds, [2.0, 4.0]);
    }

    /// 1000 values of which one is a peak and one a dip, in neighbouring stretches of five: both are there, and at most 400 points.
    #[test]
    fn a_peak_stays_a_peak() {
        let value = |x: usize| match x {
            502 => 9.0,
            508 => -9.0,
            x => f64::from(u8::from(x % 2 == 0)),
        };
        let points: Vec<(f64, f64)> = (0..1000).map(|x| (x as f64, value(x))).collect();
        let kept = extremes(points.clone());
        assert!(kept.len() <= MOST_POINTS);
        assert!(kept.contains(&(502.0, 9.0)) && kept.contains(&(508.0, -9.0)));
        assert!(kept.is_sorted_by(|a, b| a.0 < b.0));
        assert!(kept.iter().all(|point| points.contains(point)));
        assert_eq!(extremes(points[..400].to_vec()), points[..400]);
    }
}
