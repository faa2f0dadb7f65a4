//! From people's votes to an aligned model: trains a judge on votes, aligns SmolLM2-135M-Instruct to it, and asks who else
//! likes the result: a judge trained on other votes, and rules that saw none.
//!
//! ```text
//! python3 scripts/votes.py pandalm testset-v1.json train.jsonl test.jsonl
//! cargo run --release --example align_to_votes -- --votes train.jsonl --other-votes test.jsonl
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use inpo_console::{Console, find_model};
use inpo_core::data::ResponseRecord;
use inpo_core::data::rows::read_jsonl;
use inpo_core::eval::{bootstrap, win_rates};
use inpo_core::oracle::{OracleConfig, Surroundings, TextOracle};
use inpo_core::policy::Policy;
use inpo_core::train::judge::{JudgeForm, JudgeTrainConfig, load_base, train_oracle};
use inpo_core::train::{Players, RunConfig, run};
use inpo_examples::{EVAL_PROMPTS, TRAIN_PROMPTS, table};

/// Aligns SmolLM2-135M-Instruct to a judge that it is made into by people's votes.
#[derive(Debug, Parser)]
struct Args {
    /// Votes that the judge learns from.
    #[arg(long)]
    votes: PathBuf,
    /// Votes on other prompts: the judge is measured on them, and a second judge learns from them.
    #[arg(long)]
    other_votes: PathBuf,
    /// Where everything goes.
    #[arg(long, default_value = "runs/align_to_votes")]
    output_dir: PathBuf,
    /// Seed of every draw.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Override a setting of configs/align_smollm2.toml.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

fn main() -> ExitCode {
    match align(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Trains a judge in `dir`, unless it is there, and returns the settings by which it is read.
fn judge(
    dir: PathBuf,
    form: JudgeForm,
    votes: &Path,
    other_votes: Option<&Path>,
    seed: u64,
) -> Result<OracleConfig, Box<dyn Error>> {
    let text = include_str!("../configs/judge_from_votes.toml");
    let mut config = JudgeTrainConfig::parse(text, "configs/judge_from_votes.toml", &[])?;
    config.output_dir = dir;
    config.seed = seed;
    config.judge.form = form;
    config.data.votes = votes.to_owned();
    config.data.eval_votes = other_votes.map(Path::to_owned);
    let device = inpo_core::device(&config.device)?;
    let base = load_base(&config, &device, find_model)?;
    let evaluation = train_oracle(&config, base, find_model, true, &mut Console::default())?;
    if let Some(evaluation) = evaluation {
        println!("{evaluation}");
    }
    Ok(OracleConfig::read(&config.output_dir.join("oracle.toml"))?)
}

fn align(args: &Args) -> Result<(), Box<dyn Error>> {
    let dir = |name: &str| args.output_dir.join(name);
    let (votes, others) = (&args.votes, &args.other_votes);
    let trained = judge(
        dir("judge"),
        JudgeForm::Hybrid,
        votes,
        Some(others),
        args.seed,
    )?;
    let held_out = judge(
        dir("other_judge"),
        JudgeForm::BradleyTerry,
        others,
        None,
        args.seed + 1,
    )?;

    // The main job, with another judge.
    let data = dir("data");
    std::fs::create_dir_all(&data)?;
    std::fs::write(data.join("train.jsonl"), TRAIN_PROMPTS)?;
    std::fs::write(data.join("eval.jsonl"), EVAL_PROMPTS)?;
    let text = include_str!("../configs/align_smollm2.toml");
    let mut config = RunConfig::parse(text, "configs/align_smollm2.toml", &args.overrides)?;
    config.data.prompts = data.join("train.jsonl");
    config.data.eval_prompts = Some(data.join("eval.jsonl"));
    config.common.output_dir = dir("run");
    config.common.seed = args.seed;
    config.oracle = trained;
    let device = inpo_core::device(&config.common.device)?;
    let policy = Policy::load(&find_model(&config.common.policy.model)?, &device)?;
    let oracle = config.init_oracle(&device, find_model)?;
    let players = Players::new(policy, &oracle);
    let evaluations = run(&config, players, true, &mut Console::interruptible())?;
    println!("{}\n", table(&evaluations));

    // Who else prefers the aligned model's answers to held-out prompts.
    let last = config.iteration.num_iterations;
    let responses = |iteration: usize| -> Result<Vec<ResponseRecord>, Box<dyn Error>> {
        let iteration = format!("iteration-{iteration:04}/eval_responses.jsonl");
        Ok(read_jsonl(&dir("run").join(iteration))?)
    };
    let (before, after) = (responses(0)?, responses(last)?);
    let find = |name: &str| find_model(name).map_err(|error| error.to_string());
    let around = Surroundings {
        find_model: &find,
        device: Some(&device),
        ..Surroundings::default()
    };
    let rules = RunConfig::parse(text, "configs/align_smollm2.toml", &[])?.oracle;
    println!("| judge | win rate of the aligned model (95 %) |\n|---|---|");
    for (who, judge) in [
        ("that trained it", &oracle as &TextOracle<'_>),
        ("trained on other votes", &held_out.init(&around)?),
        ("rules, which saw no vote", &rules.init(&around)?),
    ] {
        let rates = win_rates(judge, &after, &before)?;
        let rate = bootstrap(&rates, config.eval.confidence, args.seed);
        println!("| {who}: {} | {rate} |", judge.name());
    }
    Ok(())
}
