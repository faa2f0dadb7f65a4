//! Where a run's settings are not the paper's.

use inpo_oracle::PairStrategy;
use serde::Serialize;

use crate::config::{RunConfig, Schedule};
use crate::error::TrainError;
use crate::methods::Algorithm;

/// A setting that is not the paper's (arXiv 2407.00617, section 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The key, or the keys that decide it.
    pub key: &'static str,
    /// What it is here.
    pub here: String,
    /// What it is in the paper.
    pub paper: &'static str,
}

/// Prompts of each of the paper's iterations.
const PROMPTS: usize = 20_000;

/// The settings that the paper states and that are others here. `prompts` are those of an iteration.
///
/// # Errors
///
/// An objective that cannot be.
pub(super) fn differences(
    config: &RunConfig,
    prompts: usize,
) -> Result<Vec<Difference>, TrainError> {
    let (common, train) = (&config.common, &config.common.train);
    let section = &common.objective;
    let objective = section.online(config.iteration.num_iterations)?;
    let strategy = config.selection_for(objective.label).strategy();
    let warmup = match (train.warmup_steps, train.warmup_ratio) {
        (Some(steps), _) => format!("warmup_steps {steps}"),
        (None, ratio) => ratio.unwrap_or(0.03).to_string(),
    };
    let inpo = section.algorithm == Algorithm::Inpo;
    let eta = section.inverse_step()?;
    let tau = section.tau()?.unwrap_or(0.0);
    let all = [
        (
            "objective.algorithm",
            section.algorithm.name().to_owned(),
            "inpo",
            inpo,
        ),
        (
            "objective.eta",
            eta.to_string(),
            "0.005",
            !inpo || eta == 0.005,
        ),
        (
            "objective.tau",
            format!("{:.3} eta", tau / eta),
            "eta / 3",
            !inpo || (tau / eta - 1.0 / 3.0).abs() < 1e-9,
        ),
        (
            "iteration.num_iterations",
            config.iteration.num_iterations.to_string(),
            "3",
            config.iteration.num_iterations == 3,
        ),
        (
            "iteration.prompts_per_iteration",
            prompts.to_string(),
            "20000",
            prompts == PROMPTS,
        ),
        (
            "generation.num_generations",
            config.generation.num_generations.to_string(),
            "8",
            config.generation.num_generations == 8,
        ),
        (
            "selection.strategy",
            strategy.name().to_owned(),
            "tournament",
            strategy == PairStrategy::Tournament,
        ),
        (
            "train.learning_rate",
            format!("{:e}", train.learning_rate),
            "5e-7",
            train.learning_rate == 5e-7,
        ),
        (
            "train.lr_scheduler_type",
            format!("{:?}", train.lr_scheduler_type).to_lowercase(),
            "cosine",
            train.lr_scheduler_type == Schedule::Cosine,
        ),
        (
            "train.warmup_ratio",
            warmup.clone(),
            "0.03",
            warmup == "0.03",
        ),
        (
            "train.per_device_train_batch_size * gradient_accumulation_steps",
            train.pairs_per_step().to_string(),
            "128",
            train.pairs_per_step() == 128,
        ),
    ];
    let others = all.into_iter().filter(|(.., same)| !same);
    Ok(others
        .map(|(key, here, paper, _)| Difference { key, here, paper })
        .collect())
}
