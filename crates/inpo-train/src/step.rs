//! The gradient of one group of pairs: forward, loss, and the closed form back through the head.

use burn::optim::GradientsParams;
use burn::tensor::DType;
use inpo_loss::PairFigures;
use inpo_policy::Sequence;
use inpo_policy::head::DEFAULT_CHUNK;
use inpo_policy::logps::PackedBatch;
use inpo_policy::model::{Decoder, Trace, TraceOptions};

use crate::error::TrainError;
use crate::objective::Objective;
use crate::pair::TrainPair;

/// In which type the loss is computed: f64 for a model in f64, else f32.
pub(crate) fn loss_dtype(decoder: &Decoder) -> DType {
    match decoder.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

/// The responses of `pairs` in one batch: all chosen, then all rejected, then all explored.
fn pack(decoder: &Decoder, pairs: &[&TrainPair], explore: bool) -> Result<PackedBatch, TrainError> {
    let chosen = pairs.iter().map(|pair| &pair.chosen);
    let rejected = pairs.iter().map(|pair| &pair.rejected);
    let mut sequences: Vec<&Sequence> = chosen.chain(rejected).collect();
    if explore {
        for pair in pairs {
            let missing = || TrainError::NoExplored(pair.name.clone());
            sequences.push(pair.explored.as_ref().ok_or_else(missing)?);
        }
    }
    Ok(PackedBatch::new(&sequences, decoder.token_multiple()))
}

/// Log-prob sums of chosen and rejected of each of `pairs` pairs, and of the explored responses.
fn sums(batch: &PackedBatch, logps: &[f64], pairs: usize) -> (Vec<[f64; 2]>, Vec<f64>) {
    let rows = batch.split(logps);
    let mut sums: Vec<f64> = rows.iter().map(|row| row.iter().sum()).collect();
    let explored = sums.split_off(2 * pairs);
    let both = (0..pairs).map(|i| [sums[i], sums[pairs + i]]);
    (both.collect(), explored)
}

/// The gradient of `sum_pairs scale * weight * loss` in the trained parameters, and each pair's
/// figures. The vocabulary's logits exist for one chunk of positions at a time.
///
/// # Errors
///
/// Those of the loss; a pair without the response that the exploration term needs; a log-prob or a loss that
/// is not finite, with the pair's name.
pub fn pair_gradient(
    decoder: &Decoder,
    pairs: &[&TrainPair],
    objective: &Objective,
    scale: f64,
    options: TraceOptions,
) -> Result<(GradientsParams, Vec<PairFigures>), TrainError> {
    let batch = pack(decoder, pairs, objective.exploration.is_some())?;
    let trace = Trace::run(decoder, &batch, options);
    let (hidden, head) = (trace.hidden().clone(), decoder.vocabulary_head());
    let scores = head.scores(&hidden, &batch.targets, DEFAULT_CHUNK);
    let (logps, explored) = sums(&batch, scores.logps(), pairs.len());
    let device = decoder.device().without_autodiff();
    let dtype = loss_dtype(decoder);
    check_finite(pairs, &logps, &explored)?;
    let evaluated = objective.evaluate(pairs, &logps, &explored, (&device, dtype))?;
    check_loss(pairs, &evaluated.figures)?;

    // dL/dlogp is the same for every token of a response.
    let sides = [0, 1].map(|k| evaluated.gradient.iter().map(move |slopes| slopes[k]));
    let [chosen, rejected] = sides;
    let alpha = objective.exploration.map_or(0.0, |term| term.alpha());
    let explored = std::iter::repeat_n(-alpha, explored.len());
    let slopes = chosen.chain(rejected).chain(explored).enumerate();
    let mut per_token: Vec<f64> = slopes
        .zip(&batch.lengths)
        .flat_map(|((row, slope), &length)| {
            let weight = scale * pairs[row % pairs.len()].weight;
            std::iter::repeat_n(weight * slope, length)
        })
        .collect();
    per_token.resize(batch.targets.len(), 0.0);
    let of_head =
        head.parameter_gradient(&hidden, &batch.targets, &scores, &per_token, DEFAULT_CHUNK);
    let mut grads = trace.backward(scores.hidden_gradient(&per_token));
    let table = decoder.embed_tokens.id;
    if let Some(embedding) = grads.remove::<2>(table) {
        grads.register(table, decoder.embedding_gradient(embedding));
    }
    if let Some(gradient) = of_head.weight {
        let param = decoder.lm_head.as_ref().unwrap_or(&decoder.embed_tokens);
        let sum = match grads.remove::<2>(param.id) {
            Some(embedding) => embedding + gradient,
            None => gradient,
        };
        grads.register(param.id, sum);
    }
    Ok((grads, evaluated.figures))
}

fn check_finite(
    pairs: &[&TrainPair],
    logps: &[[f64; 2]],
    explored: &[f64],
) -> Result<(), TrainError> {
    for (i, pair) in pairs.iter().enumerate() {
        let [chosen, rejected] = logps[i];
        let third = explored.get(i).copied().unwrap_or_default();
        let sides = ["chosen", "rejected", "explored"].into_iter();
        for (side, logp) in sides.zip([chosen, rejected, third]) {
            if !logp.is_finite() {
                let what = format!("the log-prob of the {side} response of {}", pair.name);
                return Err(TrainError::NonFinite { what });
            }
        }
    }
    Ok(())
}

fn check_loss(pairs: &[&TrainPair], figures: &[PairFigures]) -> Result<(), TrainError> {
    match figures.iter().position(|figures| !figures.loss.is_finite()) {
        None => Ok(()),
        Some(i) => Err(TrainError::NonFinite {
            what: format!("the loss of {}", pairs[i].name),
        }),
    }
}
