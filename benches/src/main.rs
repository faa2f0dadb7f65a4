//! SmolLM2-135M-Instruct through inpo: the figures of docs/performance.md, on the rows that
//! `peers/torch_smollm2.py inputs` writes, in the peer's JSON form.

mod report;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Parser, Subcommand};
use inpo_core::burn::module::Module;
use inpo_core::loss::{DpoLossConfig, InpoLossConfig};
use inpo_core::policy::{GenerationConfig, LoraConfig, Policy, PromptTask, Sequence, hub};
use inpo_core::train::config::TrainSection;
use inpo_core::train::{Objective, Order, StepMetrics, TrainPair, optimise};
use report::{emit, read_rows, timed};

/// Times SmolLM2 through inpo.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
    /// Timed repetitions after one that warms up.
    #[arg(long, default_value_t = 5, global = true)]
    repeats: usize,
    /// Rows that both sides measure.
    #[arg(long, global = true, default_value = "rows.jsonl")]
    rows: PathBuf,
    /// flex, cpu, cuda:N, tch, wgpu:N.
    #[arg(long, default_value = "flex", global = true)]
    device: String,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Log-probs without a gradient.
    Logps,
    /// One LoRA step (rank 16, all seven projections, AdamW) with cached anchors.
    Train,
    /// LoRA steps of INPO and of DPO in turns, on pairs of their own making, with cached anchors: what the
    /// second anchor costs. Prints both medians and their ratio.
    Objectives {
        /// Pairs of a step.
        #[arg(long, default_value_t = 2)]
        pairs: usize,
        /// Tokens of the prompt, and of each response.
        #[arg(long, default_value_t = 128)]
        tokens: usize,
    },
    /// Sampling, prefill included.
    Generate {
        /// Samples per prompt.
        #[arg(long, default_value_t = 8)]
        samples: usize,
        /// New tokens of every sample.
        #[arg(long, default_value_t = 64)]
        max_new_tokens: usize,
    },
}

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let args = Args::parse();
    let started = Instant::now();
    let device = inpo_core::device(&args.device)?;
    let path = hub::resolve("smollm2-135m-instruct", &hub::ResolveOptions::default())?;
    let policy = Policy::load(&path, &device)?;
    let load = started.elapsed().as_secs_f64();
    match args.what {
        What::Logps => logps(&policy, &args, load),
        What::Train => train(policy, &args, load),
        What::Objectives { pairs, tokens } => objectives(&policy, &args, (pairs, tokens)),
        What::Generate {
            samples,
            max_new_tokens,
        } => generate(&policy, &args, (samples, max_new_tokens), load),
    }
}

fn logps(policy: &Policy, args: &Args, load: f64) -> Result<(), Error> {
    let rows = read_rows(&args.rows)?;
    let sequences: Vec<Sequence> = rows
        .iter()
        .map(|row| Sequence::new(&row.prompt_token_ids, &row.response_token_ids))
        .collect();
    let tokens = sequences.iter().map(|s| s.ids.len()).sum();
    let seconds = timed(args.repeats, || policy.logps(&sequences).map(drop))?;
    emit("logps", tokens, &seconds, load);
    Ok(())
}

fn train(policy: Policy, args: &Args, load: f64) -> Result<(), Error> {
    let rows = read_rows(&args.rows)?;
    let policy = policy.with_adapters(&LoraConfig::default(), 0)?;
    let sequence = |prompt: &[u32], response: &[u32]| Sequence::new(prompt, response);
    let mut pairs = Vec::new();
    for row in &rows {
        let chosen = sequence(&row.prompt_token_ids, &row.chosen_token_ids);
        let rejected = sequence(&row.prompt_token_ids, &row.rejected_token_ids);
        let sums = policy.logps(&[chosen.clone(), rejected.clone()])?;
        let anchor = [sums[0].iter().sum(), sums[1].iter().sum()];
        pairs.push(TrainPair::new(
            chosen,
            rejected,
            anchor,
            vec![anchor, anchor],
        ));
    }
    let tokens = pairs
        .iter()
        .map(|p| p.chosen.ids.len() + p.rejected.ids.len())
        .sum();
    let loss = InpoLossConfig {
        eta: 0.005,
        tau: 0.005 / 3.0,
    }
    .init()?;
    let config = TrainSection {
        learning_rate: 1e-5,
        warmup_ratio: Some(0.0),
        max_steps: Some(args.repeats + 1),
        per_device_train_batch_size: pairs.len(),
        gradient_accumulation_steps: 1,
        ..TrainSection::default()
    };
    let mut seconds = Vec::new();
    let mut started = Instant::now();
    let mut log = |_| {
        seconds.push(started.elapsed().as_secs_f64());
        started = Instant::now();
        Ok(())
    };
    let trained = optimise(
        policy,
        &pairs,
        &loss.into(),
        &config,
        Order::Shuffled(0),
        &mut log,
    )?;
    assert!(trained.decoder().num_params() > 0);
    emit("train", tokens, &seconds[1..], load);
    Ok(())
}

fn objectives(policy: &Policy, args: &Args, (count, tokens): (usize, usize)) -> Result<(), Error> {
    let policy = policy.clone().with_adapters(&LoraConfig::default(), 0)?;
    // Speed does not depend on the ids.
    let vocabulary = policy.config().vocab_size;
    let ids = |salt: usize| -> Vec<u32> {
        let id = |i: usize| ((i * 7919 + salt * 104_729 + 13) % vocabulary) as u32;
        (0..tokens).map(id).collect()
    };
    let (eta, tau) = (0.05, 0.05 / 3.0);
    let (beta, label_smoothing) = (0.1, 0.0);
    let dpo = DpoLossConfig {
        beta,
        label_smoothing,
    };
    let losses = [InpoLossConfig { eta, tau }.init()?, dpo.init()?];
    let mut pairs = [Vec::new(), Vec::new()];
    for i in 0..count {
        let sequence = |k| Sequence::new(&ids(3 * i), &ids(3 * i + k));
        let (chosen, rejected) = (sequence(1), sequence(2));
        let sums = policy.logps(&[chosen.clone(), rejected.clone()])?;
        let anchor = [sums[0].iter().sum(), sums[1].iter().sum()];
        for (loss, pairs) in losses.iter().zip(&mut pairs) {
            let anchors = vec![anchor; loss.anchors().len()];
            pairs.push(TrainPair::new(
                chosen.clone(),
                rejected.clone(),
                anchor,
                anchors,
            ));
        }
    }
    let config = TrainSection {
        learning_rate: 1e-5,
        warmup_ratio: Some(0.0),
        max_steps: Some(1),
        per_device_train_batch_size: count,
        gradient_accumulation_steps: 1,
        ..TrainSection::default()
    };
    let mut seconds = [Vec::new(), Vec::new()];
    for round in 0..=args.repeats {
        for ((loss, pairs), seconds) in losses.iter().zip(&pairs).zip(&mut seconds) {
            let mut log = |metrics: StepMetrics| {
                // The first round warms up.
                if round > 0 {
                    seconds.push(metrics.timing.seconds);
                }
                Ok(())
            };
            let objective = Objective::from(loss.clone());
            optimise(
                policy.clone(),
                pairs,
                &objective,
                &config,
                Order::Given,
                &mut log,
            )?;
        }
    }
    let medians = seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    });
    let row = serde_json::json!({
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

fn generate(
    policy: &Policy,
    args: &Args,
    (samples, max_new_tokens): (usize, usize),
    load: f64,
) -> Result<(), Error> {
    let tasks: Vec<PromptTask> = (0..)
        .zip(read_rows(&args.rows)?)
        .map(|(number, row)| PromptTask {
            number,
            ids: row.prompt_token_ids,
        })
        .collect();
    let config = GenerationConfig {
        num_generations: samples,
        max_new_tokens,
        min_new_tokens: max_new_tokens,
        ..GenerationConfig::default()
    };
    let seconds = timed(args.repeats, || {
        policy
            .generate(&tasks, &config, (0, 0), &mut |_| {})
            .map(drop)
    })?;
    emit(
        "generate",
        tasks.len() * samples * max_new_tokens,
        &seconds,
        load,
    );
    Ok(())
}
