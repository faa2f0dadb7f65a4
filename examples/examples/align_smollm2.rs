//! Aligns SmolLM2-135M-Instruct with INPO against a preference that no score explains, on the CPU.
//!
//! ```text
//! cargo run --release --example align_smollm2
//! ```
//!
//! Fetches the model (100 MB) on the first run. Every iteration samples 8 responses a prompt, lets the
//! rules oracle play the paper's tournament, and moves LoRA adapters by the INPO loss; held-out
//! prompts measure the win rate against the unaligned model.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use inpo_console::{Console, find_model, write_report};
use inpo_core::oracle::OracleConfig;
use inpo_core::policy::Policy;
use inpo_core::train::{Players, RunConfig, run};
use inpo_examples::{EVAL_PROMPTS, TRAIN_PROMPTS, table};

/// Aligns SmolLM2-135M-Instruct with INPO.
#[derive(Debug, Parser)]
struct Args {
    /// Seed of every draw.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the run's files go; default: runs/align_smollm2-SEED.
    #[arg(long)]
    output_dir: Option<PathBuf>,
    /// flex, cpu, cuda:N, tch, wgpu:N.
    #[arg(long, default_value = "flex")]
    device: String,
    /// Go on with an interrupted run.
    #[arg(long)]
    resume: bool,
    /// A few prompts and one iteration, to see that everything works.
    #[arg(long)]
    smoke: bool,
    /// TOML file with the keys of `[oracle]`, for another judge than the rules.
    #[arg(long, value_name = "FILE")]
    oracle: Option<PathBuf>,
    /// Override a setting of configs/align_smollm2.toml, for instance `objective.eta=0.1`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

const SMOKE: [&str; 6] = [
    "iteration.num_iterations=1",
    "iteration.prompts_per_iteration=4",
    "generation.num_generations=4",
    "generation.max_new_tokens=24",
    "eval.num_prompts=4",
    "eval.num_generations=2",
];

fn main() -> ExitCode {
    match align(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn align(args: Args) -> Result<(), Box<dyn Error>> {
    let name = if args.smoke { "smoke" } else { "align_smollm2" };
    let default_dir = PathBuf::from(format!("runs/{name}-{}", args.seed));
    let output_dir = args.output_dir.unwrap_or(default_dir);

    // The prompts are part of the program; the loop reads files, which are none of the run's.
    let mut data = output_dir.clone().into_os_string();
    data.push("-data");
    let data = PathBuf::from(data);
    std::fs::create_dir_all(&data)?;
    std::fs::write(data.join("train.jsonl"), TRAIN_PROMPTS)?;
    std::fs::write(data.join("eval.jsonl"), EVAL_PROMPTS)?;

    let smoke = SMOKE.iter().filter(|_| args.smoke).map(ToString::to_string);
    let overrides: Vec<String> = smoke.chain(args.overrides).collect();
    let text = include_str!("../configs/align_smollm2.toml");
    let mut config = RunConfig::parse(text, "configs/align_smollm2.toml", &overrides)?;
    config.data.prompts = data.join("train.jsonl");
    config.data.eval_prompts = Some(data.join("eval.jsonl"));
    config.common.output_dir = output_dir;
    config.common.seed = args.seed;
    config.common.device = args.device;

    if let Some(path) = &args.oracle {
        config.oracle = OracleConfig::read(path)?;
    }

    let device = inpo_core::device(&config.common.device)?;
    let policy = Policy::load(&find_model(&config.common.policy.model)?, &device)?;
    let oracle = config.init_oracle(&device, find_model)?;
    let players = Players::new(policy, &oracle);
    let evaluations = run(&config, players, args.resume, &mut Console::interruptible())?;
    write_report(&config.common.output_dir)?;
    println!("{}", table(&evaluations));
    println!(
        "The run's files are in {}.",
        config.common.output_dir.display()
    );
    Ok(())
}
