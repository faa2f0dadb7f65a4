//! The loop, in the paper's order (arXiv 2407.00617, Algorithm 1).

use inpo_policy::Policy;

use crate::anchors::AnchorKey;
use crate::config::RunConfig;
use crate::error::TrainError;
use crate::evaluate::Evaluation;
use crate::header::RunHeader;
use crate::judge::{Oracle, select_pairs};
use crate::observer::Observer;
use crate::run_dir::RunDir;
use crate::stages::{Prompts, Stages};

/// Runs `config` from `start`, the policy that is also the reference, and returns the evaluation of
/// the reference and of every iteration.
///
/// Everything is written to `config.output_dir`; with `resume` the run goes on at the first file that
/// is missing.
///
/// # Errors
///
/// Bad settings or data, an oracle that fails, a loss that is not finite. What was computed stays in
/// the output directory.
pub fn run(
    config: &RunConfig,
    start: Policy,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Vec<Evaluation>, TrainError> {
    config.validate()?;
    let loss = config.objective.loss()?;
    let oracle = Oracle::new(&config.oracle)?;
    let prompts = Prompts::read(config, &start)?;
    let reference = start.reference();
    let mut policy = match &config.policy.lora {
        Some(lora) => start.with_adapters(lora, config.seed)?,
        None => start,
    };
    let header = RunHeader::new(config, &prompts.digest(), &policy, &oracle, &loss);
    let dir = RunDir::open(config, &header, resume)?;
    observer.header(&header);
    let mut stages = Stages::new(config, &reference, &oracle, &dir, &prompts, observer);
    let mut evaluations = stages.evaluate_reference()?;

    for t in 1..=config.iteration.num_iterations {
        if let Some(done) = dir.finished(t, &policy)? {
            policy = done;
            evaluations.extend(stages.evaluate(t, &policy)?);
            continue;
        }
        // K responses of pi_t for each prompt of this round; token ids are kept.
        let responses = stages.generate(t, &policy)?;
        // The oracle plays the tournament; at most one pair a prompt stays.
        stages.report_preferences(t, &responses)?;
        let strategy = config.selection.strategy;
        let pairs = stages.pairs(t, || select_pairs(&oracle, strategy, &responses))?;
        // log pi_ref and log pi_t of every pair, once.
        let key = AnchorKey::new(reference.digest(), policy.digest(), &pairs);
        let anchors = stages.anchors(t, &key, &policy, &pairs)?;
        // pi_{t+1} = argmin mean (h_t - 1/(2 eta))^2, from pi_t.
        policy = stages.optimise(t, &policy, &anchors.train_pairs(&pairs), &loss)?;
        // How good it is against the reference and against pi_t.
        evaluations.extend(stages.evaluate(t, &policy)?);
    }
    Ok(evaluations)
}
