//! One optimisation phase: minimise the mean loss over the pairs.

use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use burn::optim::GradientsAccumulator;
use burn::tensor::{DType, Device};
use inpo_loss::{LabelKind, PairFigures};
use inpo_policy::model::{Decoder, TraceOptions};
use inpo_policy::{Policy, PolicyWriter, Precision};

use crate::batches::{Batches, Order, longest_first};
use crate::config::TrainSection;
use crate::error::TrainError;
use crate::metrics::{StepMetrics, StepProgress};
use crate::objective::Objective;
use crate::optim::{Optimiser, clip_grad_norm, learning_rate, numbered};
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
    let training = Training {
        pairs,
        objective,
        config,
        order,
        resumed: None,
    };
    training.run(policy, &mut |metrics, _| log(metrics))
}

/// One optimisation: what is minimised, on which pairs, and where it begins.
pub(crate) struct Training<'a> {
    pub(crate) pairs: &'a [TrainPair],
    pub(crate) objective: &'a Objective,
    pub(crate) config: &'a TrainSection,
    pub(crate) order: Order,
    /// The steps that are done, where a checkpoint is resumed.
    pub(crate) resumed: Option<Resumed>,
}

/// Is told of each step, and of what it takes to resume behind it; an error breaks off.
pub(crate) type Watch<'w> = &'w mut dyn FnMut(StepMetrics, &Snapshot<'_>) -> Result<(), TrainError>;

impl Training<'_> {
    /// As [`optimise`]; the policy of a checkpoint has the weights that were saved with it.
    pub(crate) fn run(self, policy: Policy, watch: Watch<'_>) -> Result<Policy, TrainError> {
        if policy.precision() == Precision::Bf16 && policy.lora().is_none() {
            let allowed = "bf16 weights with adapters, or Bf16Mixed, whose weights are f32";
            return Err(TrainError::setting("precision", "Bf16", allowed));
        }
        let drops = policy.lora().is_some_and(|lora| lora.dropout > 0.0);
        let writer = policy.writer();
        policy.map_decoder(|decoder| self.steps(numbered(decoder.train()), drops, &writer, watch))
    }

    /// All steps, of a decoder whose adapters may drop some of their input.
    fn steps(
        self,
        mut decoder: Decoder,
        drops: bool,
        writer: &PolicyWriter,
        watch: Watch<'_>,
    ) -> Result<Decoder, TrainError> {
        let Self {
            pairs,
            objective,
            config,
            order,
            resumed,
        } = self;
        let flops = ModelFlops::of(&decoder);
        let total = config.steps(pairs.len());
        let (mut timed_tokens, mut seconds) = (0, 0.0);
        let (done, mut tokens, mut optimiser) = match resumed {
            None => (0, 0, Optimiser::new(config)),
            Some(Resumed {
                step,
                num_tokens,
                optimiser,
            }) => (step, num_tokens, optimiser),
        };
        let batches = Batches::new(pairs.len(), config, order);
        submit(&decoder);
        for (step, batch) in batches.enumerate().skip(done) {
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
            submit(&decoder);
            let per_epoch = pairs.len().div_ceil(config.pairs_per_step());
            let progress = StepProgress {
                step: step + 1,
                steps: total,
                epoch: (step + 1) as f64 / per_epoch as f64,
                learning_rate: rate,
                grad_norm,
                seconds: started.elapsed().as_secs_f64(),
                tokens_before: tokens,
                timed_tokens_before: timed_tokens,
                seconds_before: seconds,
                flops: flops.step(computed),
            };
            let metrics = StepMetrics::new(progress, &figures, &members, objective);
            tokens += metrics.num_tokens;
            timed_tokens += metrics.num_tokens;
            seconds += metrics.progress.seconds;
            let snapshot = Snapshot {
                num_tokens: tokens,
                decoder: &decoder,
                optimiser: &optimiser,
                writer,
            };
            watch(metrics, &snapshot)?;
        }
        Ok(decoder)
    }
}

/// Submits what is queued on the device, without waiting for it. Where operations are fused, a step is then fused, and compiled,
/// in the same way whatever came before it.
fn submit(decoder: &Decoder) {
    // What goes wrong on the device is told by the next read.
    let _ = decoder.device().flush();
}

/// Where an optimisation is resumed.
pub(crate) struct Resumed {
    /// Steps that are done.
    pub(crate) step: usize,
    /// Their tokens.
    pub(crate) num_tokens: usize,
    /// The optimiser after them.
    pub(crate) optimiser: Optimiser,
}

/// What it takes to resume behind a step.
pub(crate) struct Snapshot<'a> {
    /// Tokens of the steps so far.
    pub(crate) num_tokens: usize,
    decoder: &'a Decoder,
    optimiser: &'a Optimiser,
    writer: &'a PolicyWriter,
}

impl Snapshot<'_> {
    /// Writes the policy, as [`Policy::save`] does, and the optimiser's state into `dir`.
    ///
    /// # Errors
    ///
    /// Files that cannot be written.
    pub(crate) fn write(&self, base_model: &str, dir: &Path) -> Result<(), TrainError> {
        self.writer.save(&self.decoder.valid(), base_model, dir)?;
        self.optimiser.save(&dir.join(OPTIMISER))
    }
}

/// The file of a checkpoint that has the optimiser's state.
pub(crate) const OPTIMISER: &str = "optimizer.bpk";

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
