//! The loop, in the paper's order (arXiv 2407.00617, Algorithm 1).

use crate::config::RunConfig;
use crate::error::TrainError;
use crate::evaluate::Evaluation;
use crate::header::RunHeader;
use crate::judge::{Oracle, select_pairs};
use crate::models::Models;
use crate::observer::Observer;
use crate::phases::phases;
use crate::policies::Policies;
use crate::prompts::Prompts;
use crate::run_dir::RunDir;
use crate::stages::Stages;

/// Runs `config` from `models` and returns the evaluation of the reference (iteration 0) and of every
/// iteration.
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
    models: impl Into<Models>,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Vec<Evaluation>, TrainError> {
    config.validate()?;
    let oracle = Oracle::new(&config.oracle)?;
    let policies = Policies::new(config, models.into())?;
    let prompts = Prompts::read(config, &policies.start()?, policies.context())?;
    let header = RunHeader::new(config, &prompts.digest(), &policies, &oracle)?;
    let dir = RunDir::open(config, &header, resume)?;
    observer.header(&header);
    let mut stages = Stages::new(config, policies, &oracle, &dir, &prompts, observer);
    let mut evaluations = stages.evaluate(0)?;

    let (algorithm, ref_update_every) = (config.objective.algorithm, config.ref_update_every());
    for t in 1..=config.iteration.num_iterations {
        // INPO's loss towards pi_ref and pi_t; most algorithms take one phase, ONPO and EGPO two.
        let objective = config.objective.online(t)?;
        for phase in phases(algorithm, t, ref_update_every, objective.reference_weight()) {
            if dir.has(phase.result) {
                stages.skip(&phase)?;
                continue;
            }
            // K responses of pi_t for each prompt of this round; token ids are kept.
            let responses = stages.generate(&phase)?;
            // What the oracle makes of them, and its tournament; at most one pair a prompt stays.
            let preferences = stages.preferences(&phase, &responses)?;
            let selection = config.selection(&objective, &phase);
            let pairs = stages.pairs(&phase, || {
                select_pairs(&oracle, selection, &responses, &preferences)
            })?;
            // log pi_ref and log pi_t of every pair, once.
            let anchors = stages.anchors(&phase, &objective, &pairs)?;
            // pi_{t+1} = argmin mean (h_t - 1/(2 eta))^2, from pi_t.
            let pairs = anchors.train_pairs(&pairs, &objective)?;
            stages.optimise(&phase, &objective, &pairs)?;
        }
        // How good it is against the reference and against pi_t.
        evaluations.extend(stages.evaluate(t)?);
    }
    stages.finish()?;
    Ok(evaluations)
}
