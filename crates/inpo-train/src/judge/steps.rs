//! The optimisation of a judge: minimise the mean log-loss of the votes.

use std::time::Instant;

use burn::module::Module;
use burn::optim::GradientsAccumulator;
use burn::tensor::{Int, Tensor};
use inpo_policy::model::TraceOptions;
use serde::Serialize;

use super::learner::{Group, Learner, Lesson};
use crate::batches::{Batches, Order};
use crate::config::TrainSection;
use crate::error::TrainError;
use crate::optim::{Optimiser, clip_grad_norm, learning_rate};

/// The metrics of one optimiser step, before its update.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct JudgeStep {
    /// From 1.
    pub(super) step: usize,
    pub(super) epoch: f64,
    /// Mean log-loss of the votes, in nats.
    pub(super) loss: f64,
    /// The share of the step's decided pairs on which the judge agrees with the majority.
    #[serde(rename = "rewards/accuracies")]
    accuracy: Option<f64>,
    pub(super) grad_norm: f64,
    learning_rate: f64,
    num_tokens: usize,
    #[serde(rename = "timing_s/step")]
    seconds: f64,
}

/// How a judge is trained.
pub(super) struct Training<'a> {
    pub(super) config: &'a TrainSection,
    pub(super) order: Order,
    /// Whether adapters drop some of their input.
    pub(super) drops: bool,
    /// The states of all lessons' sequences, in their order, where the decoder does not train.
    pub(super) known: Option<Tensor<2>>,
}

impl Training<'_> {
    /// Trains `learner` on `lessons` and tells `log` of each step.
    ///
    /// # Errors
    ///
    /// A loss or gradient that is not finite; those of `log`.
    pub(super) fn run(
        &self,
        mut learner: Learner,
        lessons: &[Lesson],
        log: &mut dyn FnMut(JudgeStep) -> Result<(), TrainError>,
    ) -> Result<Learner, TrainError> {
        let config = self.config;
        let mut optimiser = Optimiser::new(config);
        let per_epoch = lessons.len().div_ceil(config.pairs_per_step());
        let (total, mut tokens) = (config.steps(lessons.len()), 0);
        for (step, batch) in Batches::new(lessons.len(), config, self.order).enumerate() {
            let started = Instant::now();
            let in_step = |what: String| TrainError::NonFinite { what }.in_step(step + 1);
            let weight: f64 = batch.iter().map(|&i| lessons[i].weight).sum();
            let mut accumulator = GradientsAccumulator::new();
            let (mut loss, mut right, mut decided) = (0.0, 0.0, 0_usize);
            // The longest first: memory peaks in a step's first group.
            let mut places = batch;
            places.sort_by_key(|&i| std::cmp::Reverse(lessons[i].tokens()));
            for (number, places) in places
                .chunks(config.per_device_train_batch_size)
                .enumerate()
            {
                let group = self.group(lessons, places);
                let options = TraceOptions {
                    recompute: config.gradient_checkpointing,
                    dropout_key: self.drops.then(|| self.order.dropout_key(step, number)),
                };
                let scale = 1.0 / weight;
                let logits = learner.gradient(&group, scale, options, &mut accumulator);
                for (lesson, logit) in group.lessons.iter().zip(logits) {
                    if !logit.is_finite() {
                        return Err(in_step(format!("the score of {}", lesson.name)));
                    }
                    let of_vote =
                        logit.max(0.0) - logit * lesson.share + (-logit.abs()).exp().ln_1p();
                    loss += lesson.weight * scale * of_vote;
                    if lesson.share != 0.5 {
                        decided += 1;
                        right += f64::from(u8::from((logit > 0.0) == (lesson.share > 0.5)));
                    }
                    tokens += lesson.tokens();
                }
            }
            let mut grads = accumulator.grads();
            let (clipped, grad_norm) = clip_grad_norm(learner, &mut grads, config.max_grad_norm);
            if !grad_norm.is_finite() {
                return Err(in_step("the gradient norm".to_owned()));
            }
            let rate = learning_rate(config, step, total);
            learner = optimiser.step(rate, clipped, grads);
            log(JudgeStep {
                step: step + 1,
                epoch: (step + 1) as f64 / per_epoch as f64,
                loss,
                accuracy: (decided > 0).then(|| right / decided as f64),
                grad_norm,
                learning_rate: rate,
                num_tokens: tokens,
                seconds: started.elapsed().as_secs_f64(),
            })?;
        }
        Ok(learner.valid())
    }

    fn group<'l>(&self, lessons: &'l [Lesson], places: &[usize]) -> Group<'l> {
        let known = self.known.as_ref().map(|states| {
            let each = lessons[0].sequences.len();
            let rows = places.iter().flat_map(|&i| i * each..(i + 1) * each);
            let rows: Vec<i32> = rows.map(|row| row as i32).collect();
            let rows = Tensor::<1, Int>::from_data(&rows[..], &states.device());
            states.clone().select(0, rows)
        });
        Group {
            lessons: places.iter().map(|&i| &lessons[i]).collect(),
            known,
        }
    }
}
