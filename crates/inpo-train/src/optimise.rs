//! One optimisation phase: minimise the mean loss over the pairs.

use std::time::Instant;

use burn::module::Module;
use burn::optim::GradientsAccumulator;
use burn::tensor::{DType, Device};
use inpo_loss::{LabelKind, PairFigures};
use inpo_policy::model::{Decoder, TraceOptions};
use inpo_policy::{Policy, Precision};
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::config::TrainSection;
use crate::error::TrainError;
use crate::metrics::{StepMetrics, StepProgress};
use crate::objective::Objective;
use crate::optim::{Optimiser, clip_grad_norm, learning_rate};
use crate::pair::TrainPair;
use crate::step::{loss_dtype, pair_gradient};
use crate::work::{ModelFlops, StepTokens};

/// How far the policy's log-prob of a response may be from its cached value before the first step, in
/// nats and in nats a token: f32 log-probs computed in another batch, and bf16 ones, where the last bit of an
/// f32 sum decides how an activation is rounded (SmolLM2: 0.07 nats a token, as much as bf16 is off f32).
fn anchor_tolerance(activations: DType) -> (f64, f64) {
    match activations {
        DType::BF16 => (1.0, 0.05),
        _ => (0.01, 1e-4),
    }
}

/// In which order the pairs come, with the seed of all that is drawn: that order, and the masks of the adapters'
/// dropout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As they stand, every epoch.
    Given(u64),
    /// Shuffled again each epoch.
    Shuffled(u64),
}

impl Order {
    fn seed(self) -> u64 {
        match self {
            Self::Given(seed) | Self::Shuffled(seed) => seed,
        }
    }

    /// The key of the dropout masks of a group of a step.
    pub(crate) fn dropout_key(self, step: usize, group: usize) -> u64 {
        let [step, group] = [step, group].map(|number| number as u64);
        let key = self.seed() ^ step.rotate_left(40) ^ group.rotate_left(20);
        ChaCha8Rng::seed_from_u64(key).random()
    }
}

/// Trains `policy`, whose log-probs of the pairs are their `start`, and returns what it became. `log` is
/// told of each step.
///
/// The weights are trained where they lie: in memory are then the weights, their gradients (twice with
/// gradient accumulation), the optimiser's state and one group's activations. A clone of `policy` elsewhere
/// keeps the old weights there as well.
///
/// Batches are drawn without replacement; the last batch of an epoch may be smaller, and its mean is
/// over its own pairs. A batch goes through in groups of `per_device_train_batch_size`, its longest pairs
/// first.
///
/// # Errors
///
/// Cached log-probs that are not the policy's, a first loss that is not the one they give, log-probs or
/// gradients that are not finite; a policy whose weights would train in bf16.
pub fn optimise(
    policy: Policy,
    pairs: &[TrainPair],
    objective: &Objective,
    config: &TrainSection,
    order: Order,
    log: &mut dyn FnMut(StepMetrics) -> Result<(), TrainError>,
) -> Result<Policy, TrainError> {
    if policy.precision() == Precision::Bf16 && policy.lora().is_none() {
        let allowed = "bf16 weights with adapters, or Bf16Mixed, whose weights are f32";
        return Err(TrainError::setting("precision", "Bf16", allowed));
    }
    let drops = policy.lora().is_some_and(|lora| lora.dropout > 0.0);
    policy.map_decoder(|decoder| {
        let decoder = decoder.train();
        let trained = steps((decoder, drops), pairs, objective, config, order, log)?;
        Ok(trained)
    })
}

/// All steps of [`optimise`] on its decoder, whose adapters may drop some of their input.
fn steps(
    (mut decoder, drops): (Decoder, bool),
    pairs: &[TrainPair],
    objective: &Objective,
    config: &TrainSection,
    order: Order,
    log: &mut dyn FnMut(StepMetrics) -> Result<(), TrainError>,
) -> Result<Decoder, TrainError> {
    let mut optimiser = Optimiser::new(config);
    let flops = ModelFlops::of(&decoder);
    let (total, mut tokens, mut seconds) = (config.steps(pairs.len()), 0, 0.0);
    for (step, batch) in Batches::new(pairs.len(), config, order).enumerate() {
        let started = Instant::now();
        let in_step = |error: TrainError| error.in_step(step + 1);
        let members: Vec<&TrainPair> = batch.iter().map(|&i| &pairs[i]).collect();
        let mut accumulator = GradientsAccumulator::new();
        let mut computed = StepTokens::default();
        let mut figures = vec![None; members.len()];
        let places = longest_first(&members);
        let groups = places.chunks(config.per_device_train_batch_size);
        for (number, places) in groups.enumerate() {
            let options = TraceOptions {
                recompute: config.gradient_checkpointing,
                dropout_key: drops.then(|| order.dropout_key(step, number)),
            };
            let group: Vec<&TrainPair> = places.iter().map(|&i| members[i]).collect();
            computed.add(&group);
            let scale = 1.0 / members.len() as f64;
            let gradient = || pair_gradient(&decoder, &group, objective, scale, options);
            let (grads, part) = decoder.kernels().run(gradient).map_err(in_step)?;
            accumulator.accumulate(&decoder, grads);
            for (&i, of_pair) in places.iter().zip(part) {
                figures[i] = Some(of_pair);
            }
        }
        let figures: Vec<PairFigures> = figures.into_iter().flatten().collect();
        // With dropout the first log-probs are not the policy's own.
        if step == 0 && !drops {
            let options = (&decoder.device().without_autodiff(), loss_dtype(&decoder));
            let tolerance = anchor_tolerance(decoder.dtype());
            check_start(&figures, &members, objective, tolerance, options)?;
        }
        let mut grads = accumulator.grads();
        let (clipped, grad_norm) = clip_grad_norm(decoder, &mut grads, config.max_grad_norm);
        if !grad_norm.is_finite() {
            let what = "the gradient norm".to_owned();
            return Err(in_step(TrainError::NonFinite { what }));
        }
        let rate = learning_rate(config, step, total);
        decoder = optimiser.step(rate, clipped, grads);
        let per_epoch = pairs.len().div_ceil(config.pairs_per_step());
        let progress = StepProgress {
            step: step + 1,
            steps: total,
            epoch: (step + 1) as f64 / per_epoch as f64,
            learning_rate: rate,
            grad_norm,
            seconds: started.elapsed().as_secs_f64(),
            tokens_before: tokens,
            seconds_before: seconds,
            flops: flops.step(computed),
        };
        let metrics = StepMetrics::new(progress, &figures, &members, objective);
        tokens += metrics.num_tokens;
        seconds += metrics.progress.seconds;
        log(metrics)?;
    }
    Ok(decoder)
}

/// Places of `pairs`, longest first by all tokens of a pair: memory peaks in a step's first group, and the pairs
/// of a group are of much the same length.
fn longest_first(pairs: &[&TrainPair]) -> Vec<usize> {
    let length = |pair: &TrainPair| {
        let explored = pair.explored.as_ref().map_or(0, |s| s.ids.len());
        pair.chosen.ids.len() + pair.rejected.ids.len() + explored
    };
    let mut places: Vec<usize> = (0..pairs.len()).collect();
    places.sort_by_key(|&i| std::cmp::Reverse(length(pairs[i])));
    places
}

/// Index batches of all steps, one epoch of them in memory.
#[derive(Debug)]
pub(crate) struct Batches {
    pairs: usize,
    size: usize,
    left: usize,
    rng: Option<ChaCha8Rng>,
    epoch: std::vec::IntoIter<usize>,
}

impl Batches {
    /// The batches of `config.steps(pairs)` steps; none where there is no pair.
    pub(crate) fn new(pairs: usize, config: &TrainSection, order: Order) -> Self {
        let rng = match order {
            Order::Given(_) => None,
            Order::Shuffled(seed) => Some(ChaCha8Rng::seed_from_u64(seed)),
        };
        Self {
            pairs,
            size: config.pairs_per_step(),
            left: if pairs == 0 { 0 } else { config.steps(pairs) },
            rng,
            epoch: Vec::new().into_iter(),
        }
    }
}

impl Iterator for Batches {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        self.left = self.left.checked_sub(1)?;
        if self.epoch.len() == 0 {
            let mut order: Vec<usize> = (0..self.pairs).collect();
            if let Some(rng) = &mut self.rng {
                order.shuffle(rng);
            }
            self.epoch = order.into_iter();
        }
        Some(self.epoch.by_ref().take(self.size).collect())
    }
}

/// Before the first step the policy's log-probs must be the cached ones, and the loss what they give. Where the
/// policy is each of its anchors it is known beforehand: (1/(2 eta))^2 for INPO.
fn check_start(
    figures: &[PairFigures],
    pairs: &[&TrainPair],
    objective: &Objective,
    tolerance: (f64, f64),
    options: (&Device, DType),
) -> Result<(), TrainError> {
    let allowed = |tokens: usize| {
        let (least, per_token) = tolerance;
        least.max(per_token * tokens as f64)
    };
    for (figures, pair) in figures.iter().zip(pairs) {
        for side in [0, 1] {
            let drift = (figures.logps[side] - pair.start[side]).abs();
            if drift > allowed(figures.tokens[side]) {
                return Err(TrainError::StaleAnchors { drift });
            }
        }
    }
    if objective.exploration.is_some() {
        // Its responses have no cached log-probs, so that the loss is not known.
        return Ok(());
    }
    let start: Vec<[f64; 2]> = pairs.iter().map(|pair| pair.start).collect();
    let expected = objective.evaluate(pairs, &start, &[], options)?;
    let count = pairs.len() as f64;
    let mean = |figures: &[PairFigures]| figures.iter().map(|f| f.loss).sum::<f64>() / count;
    let at_zero = |pair: &&TrainPair| pair.anchors.iter().all(|anchor| *anchor == pair.start);
    let known = objective.label == LabelKind::Hard && objective.sft.is_none();
    let expected_loss = if known && pairs.iter().all(at_zero) {
        objective.loss_at_zero()
    } else {
        mean(&expected.figures)
    };
    let got_loss = mean(figures);
    let slack: f64 = expected
        .gradient
        .iter()
        .zip(&expected.figures)
        .flat_map(|(slopes, figures)| {
            [0, 1].map(|k| {
                let drift = allowed(figures.tokens[k]);
                slopes[k].abs() * drift + 4.0 * drift * drift
            })
        })
        .sum();
    let off = (got_loss - expected_loss).abs();
    if off.is_nan() || off > slack / count + 1e-5 * expected_loss.abs() {
        return Err(TrainError::FirstLoss {
            got: got_loss,
            expected: expected_loss,
        });
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
            num_train_epochs: 3.0,
            ..TrainSection::default()
        };
        let batches: Vec<Vec<usize>> = Batches::new(10, &config, Order::Shuffled(5)).collect();
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
        let given = Batches::new(3, &limited, Order::Given(5));
        assert_eq!(given.collect::<Vec<_>>(), vec![vec![0, 1, 2]; 4]);
        assert_eq!(Batches::new(10, &limited, Order::Shuffled(5)).count(), 4);
        assert_eq!(Batches::new(0, &limited, Order::Given(5)).count(), 0);
    }

    /// As many steps as a number holds: they are not built before the first.
    #[test]
    fn steps_without_end_take_no_memory() {
        let endless = TrainSection {
            max_steps: Some(usize::MAX),
            per_device_train_batch_size: usize::MAX,
            gradient_accumulation_steps: usize::MAX,
            ..TrainSection::default()
        };
        let mut batches = Batches::new(2, &endless, Order::Given(0));
        assert_eq!(batches.nth(3), Some(vec![0, 1]));
        let long = TrainSection {
            num_train_epochs: f64::MAX,
            ..TrainSection::default()
        };
        assert_eq!(long.steps(10), usize::MAX);
    }

    /// 7, 9, 9 and 6 tokens, prompts included: the two of 9 stay in their order. With a third response of 10
    /// tokens the last has 16.
    #[test]
    fn the_longest_pairs_come_first() {
        let sequence = |count| inpo_policy::Sequence::new(&[1], &vec![3; count]);
        let pair = |chosen, rejected| {
            TrainPair::new(sequence(chosen), sequence(rejected), [0.0; 2], vec![])
        };
        let pairs = [pair(1, 4), pair(3, 4), pair(6, 1), pair(3, 1)];
        let mut members: Vec<&TrainPair> = pairs.iter().collect();
        assert_eq!(longest_first(&members), [1, 2, 0, 3]);
        let mut with_third = pairs[3].clone();
        with_third.explored = Some(sequence(9));
        members[3] = &with_third;
        assert_eq!(longest_first(&members), [3, 1, 2, 0]);
    }

    /// Two pairs whose cached log-probs are 0.003 off, which is within f32's reach for 40 tokens: h = 0,
    /// loss 25 at eta = 0.1, slope 10, so a loss of 25.05 passes and one of 26 does not. A log-prob 0.2 off is
    /// another policy's.
    #[test]
    fn training_stops_before_a_first_step_that_is_not_the_expected_one() {
        let loss = inpo_loss::InpoLossConfig {
            eta: 0.1,
            tau: 0.03,
        };
        let objective = Objective::from(loss.init().unwrap());
        let sequence = || inpo_policy::Sequence::new(&[1], &[3; 40]);
        let anchor = [-80.0, -90.0];
        let pair = TrainPair::new(sequence(), sequence(), anchor, vec![anchor; 2]);
        let check = |loss: f64, off: f64| {
            let figures = PairFigures {
                logps: [anchor[0] + off, anchor[1]],
                reference: anchor,
                previous: anchor,
                h: off,
                target: Some(5.0),
                loss,
                tokens: [40, 40],
            };
            let options = (&Device::flex(), DType::F64);
            check_start(
                &[figures; 2],
                &[&pair, &pair],
                &objective,
                anchor_tolerance(DType::F32),
                options,
            )
        };
        check(25.05, 0.003).unwrap();
        let error = check(26.0, 0.003).unwrap_err().to_string();
        assert_eq!(
            error,
            "the loss before the first step is 26.000000, expected 25.000000 from the cached log-probs; nothing was \
             trained"
        );
        assert!(check(f64::NAN, 0.0).is_err());
        let error = check(25.0, 0.2).unwrap_err();
        assert!(matches!(error, TrainError::StaleAnchors { .. }), "{error}");
    }
}
