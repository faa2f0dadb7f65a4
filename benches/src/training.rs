//! The training step.

use std::time::Instant;

use inpo_core::burn::module::Module;
use inpo_core::loss::{DpoLossConfig, InpoLossConfig};
use inpo_core::policy::config::RopeScaling;
use inpo_core::policy::{LoraConfig, ModelConfig, Policy, Sequence};
use inpo_core::train::config::{Schedule, TrainSection};
use inpo_core::train::{Objective, Order, StepMetrics, TrainError, TrainPair, optimise};
use serde_json::{Value, json};

use crate::kernels::Kernels;
use crate::report::{Row, Timed, median, peak_rss_mib};
use crate::{Common, Error};

/// Options of `train`. Lengths are those of the rows; without rows, pairs of their own making.
#[derive(Debug, clap::Args)]
pub(crate) struct Train {
    /// Pairs of a step.
    #[arg(long, default_value_t = 4, conflicts_with = "rows")]
    pairs: usize,
    /// Tokens of the prompt.
    #[arg(long, default_value_t = 128, conflicts_with = "rows")]
    prompt: usize,
    /// Tokens of each response.
    #[arg(long, default_value_t = 128, conflicts_with = "rows")]
    response: usize,
    /// All weights instead of adapters.
    #[arg(long)]
    full: bool,
    /// Compute each layer again on the way back instead of keeping its activations.
    #[arg(long)]
    checkpointing: bool,
    /// A fresh model of so many layers, else of SmolLM2-135M's shape, instead of SmolLM2.
    #[arg(long)]
    layers: Option<usize>,
    /// AdamW's rate.
    #[arg(long, default_value_t = 1e-5)]
    learning_rate: f64,
}

pub(crate) fn train(options: &Train, common: &Common) -> Result<(), Error> {
    let mut kernels = Kernels::new();
    let started = Instant::now();
    let policy = match options.layers {
        Some(layers) => Policy::init(smollm2(layers), 0, &common.device()?)?,
        None => common.policy()?,
    };
    let load = started.elapsed().as_secs_f64();
    let weights = policy.decoder().num_params();
    let (policy, frozen) = if options.full {
        (policy, 0)
    } else {
        let adapted = policy.with_adapters(&LoraConfig::default(), 0)?;
        (adapted, weights)
    };
    let rows = match common.rows {
        Some(_) => common.rows()?,
        None => made(options, policy.config().vocab_size),
    };
    let mut pairs = Vec::new();
    for row in &rows {
        let sequence = |response: &[u32]| Sequence::new(&row.prompt_token_ids, response);
        let answers = [
            sequence(&row.chosen_token_ids),
            sequence(&row.rejected_token_ids),
        ];
        pairs.push(at_anchors(&policy, answers, 2)?);
    }
    let start_logps: f64 = pairs.iter().flat_map(|pair| pair.start).sum();
    let objective = Objective::from(
        InpoLossConfig {
            eta: 0.005,
            tau: 0.005 / 3.0,
        }
        .init()?,
    );
    let config = TrainSection {
        learning_rate: options.learning_rate,
        max_steps: Some(common.repeats as usize + 1),
        gradient_checkpointing: options.checkpointing,
        ..one_batch(pairs.len())
    };
    let layers = policy.config().num_hidden_layers;
    let trained = policy.decoder().num_params() - frozen;
    let before = peak_rss_mib();
    let to_anchors = kernels.count();
    let mut of_steps = Vec::new();
    let steps = steps(policy, &pairs, &objective, &config, &mut |step| {
        let loss = step.metrics.batch.loss;
        let counted = kernels.count();
        eprintln!(
            "step: {:.3} s, loss {loss:.4}{}",
            step.seconds,
            told(&counted)
        );
        of_steps.push(counted);
    })?;
    let (first, last) = (&steps[0], &steps[steps.len() - 1]);
    let seconds: Vec<f64> = steps[1..].iter().map(|step| step.seconds).collect();
    let per_second = pairs.len() as f64 / median(seconds.clone());
    let lengths = |of: fn(&TrainPair) -> usize| pairs.iter().map(of).max();
    let fields = json!({
        "pairs": pairs.len(),
        "prompt": lengths(|pair| pair.chosen.prompt_len),
        "response": lengths(|pair| pair.tokens()[0].max(pair.tokens()[1])),
        "layers": layers,
        "full": options.full,
        "checkpointing": options.checkpointing,
        "trained": trained,
        "seconds": seconds,
        "pairs_per_second": per_second,
        "start_logps": start_logps,
        "first_loss": first.metrics.batch.loss,
        "last_loss": last.metrics.batch.loss,
        "load_seconds": load,
        "kernels_before_training": to_anchors,
        "kernels": of_steps,
        "first_step_seconds": first.seconds,
        "rss_before_training_mib": before,
        // Before the trained policy is made from the last step's weights.
        "peak_rss_mib": last.peak_rss_mib,
    });
    let tokens = first.metrics.num_tokens;
    Timed { tokens, seconds }.emit("train", fields);
    Ok(())
}

/// What was compiled and tuned, where anything is.
fn told(counted: &Value) -> String {
    match counted {
        Value::Null => String::new(),
        counted => format!(
            ", {} kernels, {} of them new, {} sizes tuned",
            counted["launched"], counted["compiled"], counted["tuned"]
        ),
    }
}

/// LoRA steps of INPO and of DPO in turns.
pub(crate) fn objectives(common: &Common, count: usize, tokens: usize) -> Result<(), Error> {
    let policy = common.policy()?.with_adapters(&LoraConfig::default(), 0)?;
    let vocabulary = policy.config().vocab_size;
    let (eta, tau) = (0.05, 0.05 / 3.0);
    let (beta, label_smoothing) = (0.1, 0.0);
    let dpo = DpoLossConfig {
        beta,
        label_smoothing,
    };
    let losses = [InpoLossConfig { eta, tau }.init()?, dpo.init()?];
    let mut pairs = [Vec::new(), Vec::new()];
    for i in 0..count {
        let ids = |salt| made_ids(tokens, salt, vocabulary);
        let sequence = |k| Sequence::new(&ids(3 * i), &ids(3 * i + k));
        for (loss, pairs) in losses.iter().zip(&mut pairs) {
            let answers = [sequence(1), sequence(2)];
            pairs.push(at_anchors(&policy, answers, loss.anchors().len())?);
        }
    }
    let config = TrainSection {
        learning_rate: 1e-5,
        max_steps: Some(1),
        ..one_batch(count)
    };
    let mut seconds = [Vec::new(), Vec::new()];
    for round in 0..=common.repeats {
        for ((loss, pairs), seconds) in losses.iter().zip(&pairs).zip(&mut seconds) {
            let objective = Objective::from(loss.clone());
            let steps = steps(policy.clone(), pairs, &objective, &config, &mut |_| {})?;
            // The first round warms up.
            if round > 0 {
                seconds.extend(steps.iter().map(|step| step.metrics.progress.seconds));
            }
        }
    }
    let medians = seconds.map(median);
    let row = json!({
        "measurement": "objectives",
        "pairs": count,
        "tokens_a_pair": 4 * tokens,
        "inpo_seconds_median": medians[0],
        "dpo_seconds_median": medians[1],
        "inpo_over_dpo": medians[0] / medians[1],
    });
    println!("{row}");
    Ok(())
}

/// One optimiser step, from outside.
struct Step {
    metrics: StepMetrics,
    /// From the step before, or the call, to the end of this one.
    seconds: f64,
    peak_rss_mib: Option<f64>,
}

/// Every step of every measurement is made here.
fn steps(
    policy: Policy,
    pairs: &[TrainPair],
    objective: &Objective,
    config: &TrainSection,
    seen: &mut dyn FnMut(&Step),
) -> Result<Vec<Step>, TrainError> {
    let mut steps = Vec::new();
    let mut started = Instant::now();
    let mut log = |metrics: StepMetrics| {
        let seconds = started.elapsed().as_secs_f64();
        let peak_rss_mib = peak_rss_mib();
        let step = Step {
            metrics,
            seconds,
            peak_rss_mib,
        };
        seen(&step);
        steps.push(step);
        started = Instant::now();
        Ok(())
    };
    optimise(policy, pairs, objective, config, Order::Given(0), &mut log)?;
    Ok(steps)
}

/// A pair whose policy is each of its anchors, so that the first h is 0.
fn at_anchors(
    policy: &Policy,
    [chosen, rejected]: [Sequence; 2],
    anchors: usize,
) -> Result<TrainPair, Error> {
    let sums = policy.logps(&[chosen.clone(), rejected.clone()])?;
    let start = [sums[0].iter().sum(), sums[1].iter().sum()];
    let anchors = vec![start; anchors];
    Ok(TrainPair::new(chosen, rejected, start, anchors))
}

/// All pairs in each step, at one rate.
fn one_batch(pairs: usize) -> TrainSection {
    TrainSection {
        lr_scheduler_type: Schedule::Constant,
        warmup_ratio: Some(0.0),
        per_device_train_batch_size: pairs,
        gradient_accumulation_steps: 1,
        ..TrainSection::default()
    }
}

fn made(options: &Train, vocabulary: usize) -> Vec<Row> {
    let row = |i: usize| Row {
        prompt_token_ids: made_ids(options.prompt, 3 * i, vocabulary),
        chosen_token_ids: made_ids(options.response, 3 * i + 1, vocabulary),
        rejected_token_ids: made_ids(options.response, 3 * i + 2, vocabulary),
        ..Row::default()
    };
    (0..options.pairs).map(row).collect()
}

/// Speed does not depend on what the ids say.
fn made_ids(count: usize, salt: usize, vocabulary: usize) -> Vec<u32> {
    let id = |i: usize| ((i * 7919 + salt * 104_729 + 13) % vocabulary) as u32;
    (0..count).map(id).collect()
}

/// SmolLM2-135M's shape with another number of layers.
fn smollm2(layers: usize) -> ModelConfig {
    ModelConfig {
        vocab_size: 49152,
        hidden_size: 576,
        intermediate_size: 1536,
        num_hidden_layers: layers,
        num_attention_heads: 9,
        num_key_value_heads: 3,
        head_dim: 64,
        max_position_embeddings: 8192,
        rms_norm_eps: 1e-5,
        rope_theta: 1e5,
        rope_scaling: RopeScaling::None,
        tie_word_embeddings: true,
        bos_token_id: Some(1),
        eos_token_ids: vec![2],
        pad_token_id: Some(2),
        ..ModelConfig::default()
    }
}
