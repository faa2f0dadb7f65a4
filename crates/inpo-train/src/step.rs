//! The gradient of one group of pairs: forward, loss, and the closed form back through the head.

use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};
use inpo_loss::{InpoLoss, Label, LogpSum, PairLogps, PairOutput, Reduction};
use inpo_policy::Sequence;
use inpo_policy::head::{DEFAULT_CHUNK, head_gradient, token_logps};
use inpo_policy::logps::{PackedBatch, scored_hidden};
use inpo_policy::model::Decoder;

use crate::config::LabelKind;
use crate::error::TrainError;

/// A pair ready for training: ids, label and the anchors' log-prob sums, in nats.
#[derive(Debug, Clone)]
pub struct TrainPair {
    /// Prompt and preferred response.
    pub chosen: Sequence,
    /// Prompt and the other response.
    pub rejected: Sequence,
    /// P(chosen beats rejected).
    pub probability: f64,
    /// Weight of this pair's loss; 1 unless pairs are enumerated with their probabilities.
    pub weight: f64,
    /// log pi_ref of chosen and rejected.
    pub reference: [f64; 2],
    /// log pi_t of chosen and rejected.
    pub previous: [f64; 2],
}

/// What one pair contributed: the figures behind the metrics, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairFigures {
    /// log pi of chosen and rejected.
    pub logps: [f64; 2],
    /// `h_t`.
    pub h: f64,
    /// What `h_t` is pulled to.
    pub target: f64,
    /// Response tokens of chosen and rejected.
    pub tokens: [usize; 2],
}

impl PairFigures {
    /// `(h - target)^2`.
    pub fn loss(&self) -> f64 {
        (self.h - self.target).powi(2)
    }
}

/// The policy's log-prob sums of some pairs, with what is needed to go back.
struct Forward {
    batch: PackedBatch,
    /// Autodiff hidden states of the scored positions, `[targets, hidden]`.
    hidden: Tensor<2>,
    head: Tensor<2>,
    sums: Vec<f64>,
}

impl Forward {
    fn run(decoder: &Decoder, pairs: &[&TrainPair], bucket: usize) -> Self {
        let chosen = pairs.iter().map(|pair| &pair.chosen);
        let sequences: Vec<&Sequence> = chosen.chain(pairs.iter().map(|p| &p.rejected)).collect();
        let batch = PackedBatch::new(&sequences, bucket);
        let hidden = scored_hidden(decoder, &batch);
        let head = decoder.head();
        let logps = token_logps(&hidden, &head, &batch.targets, DEFAULT_CHUNK);
        let sums = batch
            .split(&logps)
            .iter()
            .map(|row| row.iter().sum())
            .collect();
        Self {
            batch,
            hidden,
            head,
            sums,
        }
    }

    fn chosen(&self) -> &[f64] {
        &self.sums[..self.sums.len() / 2]
    }

    fn rejected(&self) -> &[f64] {
        &self.sums[self.sums.len() / 2..]
    }
}

/// The gradient of `sum_pairs scale * weight * (h - target)^2` in the trained parameters, and each pair's
/// figures. The vocabulary's logits exist for one chunk of positions at a time.
///
/// # Errors
///
/// Those of the loss.
pub fn pair_gradient(
    decoder: &Decoder,
    pairs: &[&TrainPair],
    loss: &InpoLoss,
    label: LabelKind,
    scale: f64,
) -> Result<(GradientsParams, Vec<PairFigures>), TrainError> {
    let forward = Forward::run(decoder, pairs, 8);
    let device = decoder.device().without_autodiff();
    let dtype = match decoder.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let output = evaluate(&forward, pairs, loss, label, (&device, dtype))?;
    let figures = figures(&forward, &output);
    let coefficient = to_host(output.coefficient(Reduction::Sum));

    // dL/dlogp is the same for every token of a response: +c for the chosen, -c for the rejected.
    let signed = coefficient.iter().chain(&coefficient).enumerate();
    let per_token: Vec<f64> = signed
        .zip(&forward.batch.lengths)
        .flat_map(|((row, c), &length)| {
            let weight = scale * pairs[row % pairs.len()].weight;
            let sign = if row < pairs.len() { weight } else { -weight };
            std::iter::repeat_n(sign * c, length)
        })
        .collect();
    let (hidden, head) = (&forward.hidden, &forward.head);
    let with_head = head.is_require_grad();
    let targets = &forward.batch.targets;
    let gradient = head_gradient(hidden, head, targets, &per_token, DEFAULT_CHUNK, with_head);

    let surrogate = forward.hidden.clone() * Tensor::from_inner(gradient.hidden);
    let mut grads = surrogate.sum().backward();
    let mut grads = GradientsParams::from_module(&mut grads, decoder);
    if let Some(gradient) = gradient.head {
        let param = decoder.lm_head.as_ref().unwrap_or(&decoder.embed_tokens);
        let sum = match grads.remove::<2>(param.id) {
            Some(embedding) => embedding + gradient,
            None => gradient,
        };
        grads.register(param.id, sum);
    }
    Ok((grads, figures))
}

fn evaluate(
    forward: &Forward,
    pairs: &[&TrainPair],
    loss: &InpoLoss,
    label: LabelKind,
    options: (&Device, DType),
) -> Result<PairOutput, TrainError> {
    let tensor =
        |values: Vec<f64>| Tensor::<1>::from_data(TensorData::new(values, [pairs.len()]), options);
    let logps = |chosen: Vec<f64>, rejected: Vec<f64>| PairLogps {
        chosen: LogpSum::new(tensor(chosen)),
        rejected: LogpSum::new(tensor(rejected)),
    };
    let anchor = |of: fn(&TrainPair) -> [f64; 2]| {
        let (chosen, rejected) = pairs
            .iter()
            .map(|pair| of(pair))
            .map(|[c, r]| (c, r))
            .unzip();
        logps(chosen, rejected)
    };
    let policy = logps(forward.chosen().to_vec(), forward.rejected().to_vec());
    let label = match label {
        LabelKind::Hard => Label::Hard,
        LabelKind::Soft => Label::Soft(tensor(pairs.iter().map(|p| p.probability).collect())),
    };
    Ok(loss.evaluate(
        &policy,
        &anchor(|p| p.reference),
        &anchor(|p| p.previous),
        &label,
    )?)
}

fn figures(forward: &Forward, output: &PairOutput) -> Vec<PairFigures> {
    let pairs = forward.chosen().len();
    let (h, target) = (to_host(output.h.clone()), to_host(output.target.clone()));
    (0..pairs)
        .map(|i| PairFigures {
            logps: [forward.chosen()[i], forward.rejected()[i]],
            h: h[i],
            target: target[i],
            tokens: [forward.batch.lengths[i], forward.batch.lengths[pairs + i]],
        })
        .collect()
}

fn to_host(tensor: Tensor<1>) -> Vec<f64> {
    tensor
        .try_into_vec_as::<f64>()
        .expect("a float tensor reads as f64")
}
