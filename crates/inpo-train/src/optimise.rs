//! The inner solve of one iteration: minimise the mean loss over the pairs, from pi_t.

use std::time::Instant;

use burn::module::Module;
use burn::optim::GradientsAccumulator;
use inpo_loss::InpoLoss;
use inpo_policy::Policy;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;

use crate::config::{LabelKind, TrainSection};
use crate::error::TrainError;
use crate::metrics::StepMetrics;
use crate::optim::{Optimiser, clip_grad_norm, learning_rate};
use crate::step::{PairFigures, TrainPair, pair_gradient};

/// How far the policy's log-prob of a response may be from its cached anchor before the first step, in
/// nats and in nats a token: f32 log-probs computed in another batch.
const ANCHOR_TOLERANCE: (f64, f64) = (0.01, 1e-4);

/// Trains `policy`, which must be pi_t, on `pairs` and returns pi_{t+1}. `log` is told of each step.
///
/// Batches are drawn without replacement in an order keyed by `seed`; the last batch of an epoch may
/// be smaller, and its mean is over its own pairs.
///
/// # Errors
///
/// Anchors that are not pi_t's, log-probs or gradients that are not finite.
pub fn optimise(
    policy: &Policy,
    pairs: &[TrainPair],
    loss: &InpoLoss,
    label: LabelKind,
    config: &TrainSection,
    seed: u64,
    log: &mut dyn FnMut(StepMetrics) -> Result<(), TrainError>,
) -> Result<Policy, TrainError> {
    let mut optimiser = Optimiser::new(config);
    let mut decoder = policy.decoder().clone().train();
    let batches = batches(pairs.len(), config, seed);
    let total = batches.len();
    for (step, batch) in batches.iter().enumerate() {
        let started = Instant::now();
        let members: Vec<&TrainPair> = batch.iter().map(|&i| &pairs[i]).collect();
        let mut accumulator = GradientsAccumulator::new();
        let mut figures = Vec::with_capacity(members.len());
        for group in members.chunks(config.per_device_train_batch_size) {
            let scale = 1.0 / members.len() as f64;
            let (grads, part) = pair_gradient(&decoder, group, loss, label, scale)?;
            check_finite(&part, step, figures.len(), batch)?;
            accumulator.accumulate(&decoder, grads);
            figures.extend(part);
        }
        if step == 0 {
            check_anchors(&figures, &members)?;
        }
        let mut grads = accumulator.grads();
        let (clipped, grad_norm) = clip_grad_norm(decoder, &mut grads, config.max_grad_norm);
        if !grad_norm.is_finite() {
            let what = "the gradient norm".to_owned();
            return Err(TrainError::NonFinite { step, what });
        }
        let rate = learning_rate(config, step, total);
        decoder = optimiser.step(rate, clipped, grads);
        let seconds = started.elapsed().as_secs_f64();
        let per_epoch = pairs.len().div_ceil(config.pairs_per_step());
        let epoch = (step + 1) as f64 / per_epoch as f64;
        log(StepMetrics::new(
            (step + 1, epoch, rate, grad_norm, seconds),
            &figures,
            &members,
            loss.config(),
        ))?;
    }
    Ok(policy.with_decoder(&decoder))
}

/// Index batches of all steps.
fn batches(pairs: usize, config: &TrainSection, seed: u64) -> Vec<Vec<usize>> {
    if pairs == 0 {
        return Vec::new();
    }
    let (size, steps) = (config.pairs_per_step(), config.steps(pairs));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut batches = Vec::with_capacity(steps);
    while batches.len() < steps {
        let mut order: Vec<usize> = (0..pairs).collect();
        order.shuffle(&mut rng);
        batches.extend(order.chunks(size).map(<[usize]>::to_vec));
    }
    batches.truncate(steps);
    batches
}

fn check_finite(
    figures: &[PairFigures],
    step: usize,
    offset: usize,
    batch: &[usize],
) -> Result<(), TrainError> {
    let bad = figures
        .iter()
        .position(|f| !f.logps.iter().all(|logp| logp.is_finite()) || !f.h.is_finite());
    match bad {
        None => Ok(()),
        Some(i) => Err(TrainError::NonFinite {
            step,
            what: format!("the log-prob of pair {}", batch[offset + i]),
        }),
    }
}

/// Before the first step the policy is pi_t, so its log-probs must be the cached ones.
fn check_anchors(figures: &[PairFigures], pairs: &[&TrainPair]) -> Result<(), TrainError> {
    for (figures, pair) in figures.iter().zip(pairs) {
        for side in [0, 1] {
            let drift = (figures.logps[side] - pair.previous[side]).abs();
            let (least, per_token) = ANCHOR_TOLERANCE;
            if drift > least.max(per_token * figures.tokens[side] as f64) {
                return Err(TrainError::StaleAnchors { drift });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_seen_once_an_epoch() {
        let config = TrainSection {
            per_device_train_batch_size: 2,
            gradient_accumulation_steps: 2,
            num_train_epochs: 3,
            ..TrainSection::default()
        };
        let batches = batches(10, &config, 5);
        let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
        assert_eq!(sizes, [4, 4, 2, 4, 4, 2, 4, 4, 2]);
        for epoch in batches.chunks(3) {
            let mut seen: Vec<usize> = epoch.concat();
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<_>>());
        }
        let limited = TrainSection {
            max_steps: Some(4),
            ..config
        };
        assert_eq!(super::batches(10, &limited, 5).len(), 4);
    }
}
