//! Neural play against exact play: the training loss, minimised on policies over a few responses, must
//! land on the exact mirror-descent iterate.

use std::error::Error;

use inpo_core::burn::tensor::activation::log_softmax;
use inpo_core::burn::tensor::{DType, Device, Int, Tensor, TensorData};
use inpo_core::game::{PreferenceGame, Strategy};
use inpo_core::loss::{InpoLossConfig, Label, LabelKind, LogpSum, PairLogps, PairLoss, Role};
use inpo_core::policy::{ModelConfig, Policy, Sequence};
use inpo_core::solver::{Inpo, Iterates, Problem, State, StepSize};
use inpo_core::train::config::{Schedule, TrainSection};
use inpo_core::train::{Objective, Order, TrainPair, optimise};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// A pair of actions with its weight and P(first beats second).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightedPair {
    /// The response taken as preferred.
    pub chosen: usize,
    /// The other one.
    pub rejected: usize,
    /// Probability (or share of the sample) of this pair.
    pub weight: f64,
    /// P(chosen beats rejected).
    pub probability: f64,
}

/// How pairs are labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// Target `(p - 1/2)/eta`.
    Soft,
    /// Target `1/(2 eta)` for the winner, each outcome with its probability.
    Hard,
}

/// All pairs of two independent draws from `sampler` with their exact weights.
pub fn enumerate_pairs(
    game: &impl PreferenceGame,
    sampler: &Strategy,
    labels: Labels,
) -> Vec<WeightedPair> {
    let mu = sampler.as_slice();
    let mut pairs = Vec::new();
    for i in 0..mu.len() {
        for j in (0..mu.len()).filter(|&j| j != i) {
            let probability = game.preference(i, j).get();
            let weight = mu[i] * mu[j];
            let pair = |chosen, rejected, weight| WeightedPair {
                chosen,
                rejected,
                weight,
                probability,
            };
            match labels {
                Labels::Soft => pairs.push(pair(i, j, weight)),
                // The ordered pair (i, j) is labelled i with probability p and j with 1 - p.
                Labels::Hard => {
                    pairs.push(pair(i, j, weight * probability));
                    pairs.push(pair(j, i, weight * (1.0 - probability)));
                }
            }
        }
    }
    pairs
}

/// `count` independent pairs from `sampler`, each labelled by one Bernoulli draw; `uniform` gives the
/// next uniform number.
pub fn sample_pairs(
    game: &impl PreferenceGame,
    sampler: &Strategy,
    count: usize,
    mut uniform: impl FnMut() -> f64,
) -> Vec<WeightedPair> {
    let mu = sampler.as_slice();
    let draw = |u: f64| {
        let mut left = u;
        mu.iter()
            .position(|p| {
                left -= p;
                left < 0.0
            })
            .unwrap_or(mu.len() - 1)
    };
    let mut wins = vec![0.0; mu.len() * mu.len()];
    for _ in 0..count {
        let (i, j) = (draw(uniform()), draw(uniform()));
        let (winner, loser) = if uniform() < game.preference(i, j).get() {
            (i, j)
        } else {
            (j, i)
        };
        wins[winner * mu.len() + loser] += 1.0 / count as f64;
    }
    let cells = wins.iter().enumerate();
    cells
        .filter(|&(cell, &weight)| weight > 0.0 && cell / mu.len() != cell % mu.len())
        .map(|(cell, &weight)| WeightedPair {
            chosen: cell / mu.len(),
            rejected: cell % mu.len(),
            weight,
            probability: 1.0,
        })
        .collect()
}

/// A policy of free logits, trained by plain gradient descent on the loss in f64, from `previous`.
///
/// The loss is quadratic in the logits, so descent with a fixed rate converges; it stops when no
/// gradient exceeds 1e-10.
///
/// # Errors
///
/// A loss whose inputs do not fit together, a result that is no strategy.
pub fn train_free_logits(
    loss: &PairLoss,
    pairs: &[WeightedPair],
    labels: Labels,
    reference: &Strategy,
    previous: &Strategy,
) -> Result<Strategy, Box<dyn Error>> {
    let device = Device::flex();
    let options = (&device, DType::F64);
    let vector = |values: Vec<f64>| {
        let length = values.len();
        Tensor::<1>::from_data(TensorData::new(values, [length]), options)
    };
    let index = |of: fn(&WeightedPair) -> usize| {
        let ids: Vec<i32> = pairs.iter().map(|p| of(p) as i32).collect();
        Tensor::<1, Int>::from_data(TensorData::new(ids, [pairs.len()]), &device)
    };
    let (chosen, rejected) = (index(|p| p.chosen), index(|p| p.rejected));
    let of_pairs = |logps: Tensor<1>, chosen: Tensor<1, Int>, rejected: Tensor<1, Int>| PairLogps {
        chosen: LogpSum::new(logps.clone().select(0, chosen)),
        rejected: LogpSum::new(logps.select(0, rejected)),
    };
    let anchor = |policy: &Strategy| {
        let logs = policy.as_slice().iter().map(|p| p.ln()).collect();
        of_pairs(
            vector(logs).autodiff(),
            chosen.clone().autodiff(),
            rejected.clone().autodiff(),
        )
    };
    let (reference, anchored) = (anchor(reference), anchor(previous));
    let weights = vector(pairs.iter().map(|p| p.weight).collect()).autodiff();
    let label = match labels {
        Labels::Hard => Label::Hard,
        Labels::Soft => {
            Label::Soft(vector(pairs.iter().map(|p| p.probability).collect()).autodiff())
        }
    };

    let mut logits = vector(previous.as_slice().iter().map(|p| p.ln()).collect());
    for _ in 0..100_000 {
        let leaf = logits.clone().autodiff().require_grad();
        let logps = log_softmax(leaf.clone(), 0);
        let policy = of_pairs(
            logps,
            chosen.clone().autodiff(),
            rejected.clone().autodiff(),
        );
        let anchors = [(Role::Reference, &reference), (Role::Previous, &anchored)];
        let each = loss.forward_no_reduction(&policy, &anchors, &label)?;
        let grads = (each * weights.clone()).sum().backward();
        let gradient = leaf.grad(&grads).ok_or("the logits have no gradient")?;
        let largest = gradient.clone().abs().max().into_scalar::<f64>();
        // The Hessian is 4 (diag(mu) - mu mu^T) at most, with eigenvalues up to 4 max(mu) <= 4.
        logits = logits - gradient.mul_scalar(0.25);
        if largest < 1e-10 {
            break;
        }
    }
    let logits = logits.try_into_vec_as::<f64>()?;
    Ok(Strategy::from_logits(&logits)?)
}

/// The first `count` exact iterates after `problem`'s reference, at constant `eta`.
///
/// # Errors
///
/// Settings the solver refuses.
pub fn exact_iterates<G: PreferenceGame + Clone>(
    game: &G,
    reference: &Strategy,
    settings: InpoLossConfig,
    count: usize,
) -> Result<Vec<Strategy>, Box<dyn Error>> {
    let problem = Problem::new(game.clone(), reference.clone(), settings.tau)?;
    let solver = Inpo::new(StepSize::Constant(settings.eta));
    let iterates = Iterates::new(&problem, &solver, reference)?
        .skip(1)
        .take(count);
    iterates
        .map(|state| Ok(state?.strategy().clone()))
        .collect()
}

/// The largest difference of two strategies in any probability.
pub fn largest_error(a: &Strategy, b: &Strategy) -> f64 {
    let pairs = a.as_slice().iter().zip(b.as_slice());
    pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
}

/// `count` iterations of free logits, each from the one before.
///
/// # Errors
///
/// As [`train_free_logits`].
pub fn free_logit_iterates(
    game: &impl PreferenceGame,
    reference: &Strategy,
    settings: InpoLossConfig,
    labels: Labels,
    count: usize,
) -> Result<Vec<Strategy>, Box<dyn Error>> {
    let loss = settings.init()?;
    let mut iterates = Vec::with_capacity(count);
    let mut previous = reference.clone();
    for _ in 0..count {
        let pairs = enumerate_pairs(game, &previous, labels);
        previous = train_free_logits(&loss, &pairs, labels, reference, &previous)?;
        iterates.push(previous.clone());
    }
    Ok(iterates)
}

/// The prompt of the one-token game.
pub(crate) const PROMPT: [u32; 1] = [0];

/// A small transformer whose vocabulary is the game's actions: one token is a whole response.
///
/// # Errors
///
/// A configuration that contradicts itself.
pub fn tiny_transformer(actions: usize, seed: u64) -> Result<Policy, Box<dyn Error>> {
    let config = ModelConfig {
        vocab_size: actions,
        hidden_size: 16,
        intermediate_size: 32,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 8,
        max_position_embeddings: 8,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: inpo_core::policy::config::RopeScaling::None,
        tie_word_embeddings: false,
        bos_token_id: None,
        eos_token_ids: Vec::new(),
        pad_token_id: None,
        ..ModelConfig::default()
    };
    Ok(Policy::init(config, seed, &Device::flex())?)
}

/// A one-token policy as a strategy.
///
/// # Errors
///
/// Log-probs that are no strategy.
pub fn as_strategy(policy: &Policy) -> Result<Strategy, Box<dyn Error>> {
    Ok(Strategy::from_logits(&response_logps(policy)?)?)
}

/// The log-prob of each one-token response.
pub(crate) fn response_logps(policy: &Policy) -> Result<Vec<f64>, Box<dyn Error>> {
    let actions = policy.config().vocab_size as u32;
    let responses: Vec<Sequence> = (0..actions).map(|y| Sequence::new(&PROMPT, &[y])).collect();
    Ok(policy.logps(&responses)?.concat())
}

/// `count` iterations of a transformer through the trainer's own optimisation phase (chunked head,
/// closed-form gradient, AdamW on all weights), each from the one before; the reference is the
/// transformer as it was initialised.
///
/// # Errors
///
/// Those of the trainer.
pub fn transformer_iterates(
    game: &impl PreferenceGame,
    start: &Policy,
    settings: InpoLossConfig,
    count: usize,
) -> Result<Vec<Strategy>, Box<dyn Error>> {
    let loss = settings.init()?;
    let objective = Objective::from(loss).with_label(LabelKind::Soft);
    let reference = as_strategy(start)?;
    let mut policy = start.clone();
    let mut iterates = Vec::with_capacity(count);
    for t in 0..count {
        let previous = as_strategy(&policy)?;
        let pairs = enumerate_pairs(game, &previous, Labels::Soft);
        let logs = |of: &Strategy, pair: &WeightedPair| {
            [pair.chosen, pair.rejected].map(|y| of.as_slice()[y].ln())
        };
        let rows: Vec<TrainPair> = pairs
            .iter()
            .map(|pair| {
                let [chosen, rejected] =
                    [pair.chosen, pair.rejected].map(|y| Sequence::new(&PROMPT, &[y as u32]));
                let start = logs(&previous, pair);
                let anchors = vec![logs(&reference, pair), start];
                TrainPair {
                    probability: pair.probability,
                    weight: pair.weight * pairs.len() as f64,
                    ..TrainPair::new(chosen, rejected, start, anchors)
                }
            })
            .collect();
        let config = TrainSection {
            learning_rate: 1e-2,
            lr_scheduler_type: Schedule::Cosine,
            warmup_ratio: Some(0.0),
            max_steps: Some(300),
            per_device_train_batch_size: rows.len(),
            gradient_accumulation_steps: 1,
            max_grad_norm: 1e9,
            ..TrainSection::default()
        };
        let mut ignore = |_| Ok(());
        policy = optimise(
            policy,
            &rows,
            &objective,
            &config,
            Order::Shuffled(t as u64),
            &mut ignore,
        )?;
        iterates.push(as_strategy(&policy)?);
    }
    Ok(iterates)
}

/// Mean over `seeds` of the largest error of one iteration trained on `count` sampled pairs.
///
/// # Errors
///
/// As [`train_free_logits`].
pub fn mean_sampling_error<G: PreferenceGame + Clone>(
    game: &G,
    reference: &Strategy,
    config: InpoLossConfig,
    count: usize,
    seeds: u64,
) -> Result<f64, Box<dyn Error>> {
    let loss = config.init()?;
    let exact = exact_iterates(game, reference, config, 1)?.remove(0);
    let mut total = 0.0;
    for seed in 0..seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let pairs = sample_pairs(game, reference, count, || rng.random());
        let trained = train_free_logits(&loss, &pairs, Labels::Hard, reference, reference)?;
        total += largest_error(&exact, &trained);
    }
    Ok(total / seeds as f64)
}
