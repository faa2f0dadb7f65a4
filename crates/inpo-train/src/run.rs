//! The loop, in the paper's order (arXiv 2407.00617, Algorithm 1).

use inpo_eval::Evaluation;
use inpo_oracle::TextOracle;
use inpo_policy::{Engine, LocalEngine};

use crate::config::{ObjectiveSection, RunConfig, TrainConfig};
use crate::error::TrainError;
use crate::header::{RunHeader, SelfPlayHeader};
use crate::models::Models;
use crate::objective::Objective;
use crate::observer::Observer;
use crate::pair_source::PairSource;
use crate::phases::{Phase, PolicyId, Round};
use crate::policies::Policies;
use crate::prompts::Prompts;
use crate::run_dir::{Identity, Layout, RunDir};
use crate::self_play::SelfPlay;
use crate::session::Session;

/// Who plays: the models, the oracle that compares their responses, and the engine that samples them.
pub struct Players<'a> {
    /// The policy and its reference.
    pub models: Models,
    /// P(one completion beats another | prompt).
    pub oracle: &'a TextOracle<'a>,
    /// A second oracle, which does not train: it scores the held-out responses against the reference's.
    pub eval_oracle: Option<&'a TextOracle<'a>>,
    /// Where the policies are sampled.
    pub engine: &'a dyn Engine,
}

impl<'a> Players<'a> {
    /// `models`, sampled in this process and judged by `oracle`.
    pub fn new(models: impl Into<Models>, oracle: &'a TextOracle<'a>) -> Self {
        Self {
            models: models.into(),
            oracle,
            eval_oracle: None,
            engine: &LocalEngine,
        }
    }
}

/// How many iterations a loop plays, with which objective and phases.
pub(crate) struct Plan<'a> {
    objective: &'a ObjectiveSection,
    iterations: usize,
    ref_update_every: usize,
    /// One phase on given pairs, whatever policy sampled them.
    given_pairs: bool,
}

impl<'a> Plan<'a> {
    pub(crate) fn online(config: &'a RunConfig) -> Self {
        Self {
            objective: &config.common.objective,
            iterations: config.iteration.num_iterations,
            ref_update_every: config.ref_update_every(),
            given_pairs: false,
        }
    }

    pub(crate) fn offline(config: &'a TrainConfig) -> Self {
        Self {
            objective: &config.common.objective,
            iterations: 1,
            ref_update_every: 0,
            given_pairs: true,
        }
    }

    pub(crate) fn objective(&self, t: usize) -> Result<Objective, TrainError> {
        if self.given_pairs {
            self.objective.offline()
        } else {
            self.objective.online(t)
        }
    }

    pub(crate) fn phases(&self, t: usize, objective: &Objective) -> Vec<Phase> {
        let round = Round {
            reference_weight: objective.reference_weight(),
            ..Round::new(t).with_moving_reference(self.ref_update_every)
        };
        if self.given_pairs {
            let previous = PolicyId::Previous;
            let phase = round.phase();
            return vec![Phase { previous, ..phase }];
        }
        self.objective.algorithm.phases(&round)
    }
}

/// The loop: pairs, anchors, optimisation, evaluation.
pub(crate) fn play(
    plan: &Plan<'_>,
    session: &mut Session<'_>,
    source: &mut dyn PairSource,
) -> Result<Vec<Evaluation>, TrainError> {
    let mut evaluations = Vec::from_iter(source.evaluate(session, 0)?);
    for t in 1..=plan.iterations {
        // INPO's loss towards pi_ref and pi_t; most methods take one phase, ONPO and EGPO two.
        let objective = plan.objective(t)?;
        for phase in plan.phases(t, &objective) {
            if session.skip(&phase)? {
                continue;
            }
            // K responses of pi_t for each prompt, judged and selected; or a file of pairs.
            let pairs = source.pairs(session, &phase, &objective)?;
            // log pi_ref and log pi_t of every pair, once.
            let anchors = session.anchors(&phase, &objective, &pairs)?;
            let rows = anchors.train_pairs(&pairs.records, &pairs.names, &objective)?;
            // pi_{t+1} = argmin mean (h_t - 1/(2 eta))^2, from pi_t.
            session.optimise(&phase, &objective, &rows, pairs.order)?;
        }
        // How good it is against the reference and against pi_t.
        evaluations.extend(source.evaluate(session, t)?);
    }
    session.finish()?;
    // Which of them to ship.
    source.conclude(session, &evaluations)?;
    Ok(evaluations)
}

/// Runs `config` with `players` and returns the evaluation of the reference (iteration 0) and of every
/// iteration.
///
/// Everything is written to `config.common.output_dir`; with `resume` the run continues at the first stage that
/// is not complete, and stages whose files are not what was written are computed again. `[oracle]` of the configuration is not read, but for `all_pairs`: [`RunConfig::init_oracle`] makes an oracle
/// of it.
///
/// # Errors
///
/// Bad settings or data, an oracle that fails, a loss that is not finite. What was computed stays in
/// the output directory.
pub fn run(
    config: &RunConfig,
    players: Players<'_>,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Vec<Evaluation>, TrainError> {
    config.validate()?;
    check_players(config, &players)?;
    let policies = Policies::new(&config.common, false, players.models)?;
    let prompts = Prompts::read(config, &policies.start()?, policies.context())?;
    let pairs = SelfPlayHeader::new(config, &prompts, players.oracle.name())?;
    pairs
        .comparisons
        .check(config.oracle.shared.max_comparisons)?;
    let oracles = (players.oracle, players.eval_oracle);
    let mut source = SelfPlay::new(config, oracles, players.engine, prompts);
    begin(config, policies, &mut source, Some(pairs), resume, observer)
}

/// Checks that the players are those of `[eval]`.
pub(crate) fn check_players(config: &RunConfig, players: &Players<'_>) -> Result<(), TrainError> {
    let (named, given) = (config.eval.named().count(), players.models.opponents.len());
    if named != given {
        let allowed =
            format!("as many paths as the models given to the run have opponents, {given}");
        return Err(TrainError::setting(
            "eval.opponents' paths",
            named,
            &allowed,
        ));
    }
    if config.eval.oracle.is_some() && players.eval_oracle.is_none() {
        let allowed = "absent, as the run was given no second oracle";
        return Err(TrainError::setting("eval.oracle", "set", allowed));
    }
    Ok(())
}

/// Runs `config` from `models` on pairs from `source`: the same loop for pairs of another origin. The
/// sections `[data]`, `[generation]`, `[oracle]`, `[selection]` and `[eval]` are not read.
///
/// # Errors
///
/// As [`run`], and those of `source`.
pub fn run_from(
    config: &RunConfig,
    models: impl Into<Models>,
    source: &mut dyn PairSource,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Vec<Evaluation>, TrainError> {
    config.validate()?;
    let policies = Policies::new(&config.common, false, models.into())?;
    begin(config, policies, source, None, resume, observer)
}

/// Opens the directory, shows the header and plays.
pub(crate) fn begin(
    config: &RunConfig,
    policies: Policies,
    source: &mut dyn PairSource,
    pairs: Option<SelfPlayHeader>,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Vec<Evaluation>, TrainError> {
    let header = RunHeader::new(config, &policies, &source.digest(), pairs)?;
    let identity = Identity {
        inputs: &header.inputs,
        other_prompts: "other prompts",
        content: None,
    };
    let plan = Plan::online(config);
    let first = plan.phases(1, &plan.objective(1)?).swap_remove(0);
    let layout = Layout::Iterations {
        first_phase: first.folder.unwrap_or_default(),
    };
    let root = &config.common.output_dir;
    let mut dir = RunDir::open(root, layout, config, &header, &identity, resume)?;
    dir.claim()?;
    dir.draw(config.common.train.draws());
    observer.header(&header);
    let mut session = Session::new(&config.common, policies, dir, observer);
    session.tell();
    play(&plan, &mut session, source)
}
