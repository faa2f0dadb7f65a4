//! SmolLM2-135M-Instruct through inpo: the figures of docs/performance.md, on rows that
//! `peers/torch_smollm2.py inputs` writes or of its own making, in the peer's JSON form.

mod inference;
mod judging;
mod kernels;
mod machine;
mod picture;
mod report;
mod training;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use inpo_core::policy::Policy;

/// Times SmolLM2 through inpo.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    common: Common,
}

/// What measurements share.
#[derive(Debug, clap::Args)]
struct Common {
    /// Timed repetitions after one that warms up.
    #[arg(long, default_value_t = 5, global = true, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Rows that both sides measure.
    #[arg(long, global = true)]
    rows: Option<PathBuf>,
    /// flex, cpu, cuda:N, tch, wgpu:N.
    #[arg(long, default_value = "flex", global = true)]
    device: String,
    /// SmolLM2-135M-Instruct in another form: a directory or a file.
    #[arg(long, default_value = "smollm2-135m-instruct", global = true)]
    model: String,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Log-probs without a gradient.
    Logps,
    /// INPO steps with cached anchors and AdamW at a constant rate: LoRA of rank 16 on all seven projections,
    /// or all weights. Each step is a line on stderr.
    Train(training::Train),
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
    /// A pairwise judge (`pair_lm`): every two responses of every prompt, in both orders.
    Judge,
    /// The machine's f32 peak: products of two square matrices, the best of the repetitions.
    Peak {
        /// Rows and columns.
        #[arg(long, default_value_t = 2048)]
        size: usize,
    },
    /// The picture of `growth.sh`: how a step's time and memory grow.
    Plot(picture::Plot),
}

type Error = Box<dyn std::error::Error>;

impl Common {
    fn device(&self) -> Result<inpo_core::burn::tensor::Device, Error> {
        Ok(inpo_core::device(&self.device)?)
    }

    fn policy(&self) -> Result<Policy, Error> {
        let path = inpo_console::find_model(&self.model)?;
        Ok(Policy::load(&path, &self.device()?)?)
    }

    fn rows(&self) -> Result<Vec<report::Row>, Error> {
        let path = self.rows.as_ref().ok_or("this measurement needs --rows")?;
        report::read_rows(path)
    }
}

fn main() -> Result<(), Error> {
    let Args { what, common } = Args::parse();
    match what {
        What::Logps => inference::logps(&common),
        What::Train(options) => training::train(&options, &common),
        What::Objectives { pairs, tokens } => training::objectives(&common, pairs, tokens),
        What::Generate {
            samples,
            max_new_tokens,
        } => inference::generate(&common, samples, max_new_tokens),
        What::Judge => judging::judge(&common),
        What::Peak { size } => machine::peak(&common, size),
        What::Plot(options) => picture::plot(&options),
    }
}
