//! One optimisation phase on given pairs: the offline form of INPO, DPO, IPO, SPPO and their kin.

use inpo_data::Place;
use inpo_policy::Policy;

use crate::anchors::digests;
use crate::batches::Order;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::header::TrainHeader;
use crate::models::Models;
use crate::objective::Objective;
use crate::observer::Observer;
use crate::pair_source::PairSource;
use crate::pairs::{PairOptions, read_pairs};
use crate::phases::{Phase, PolicyId};
use crate::policies::Policies;
use crate::run::{Plan, play};
use crate::run_dir::{Identity, Layout, RunDir};
use crate::session::{PhasePairs, Session};

/// Pairs of a file.
struct GivenPairs {
    pairs: PhasePairs,
    digest: String,
}

impl PairSource for GivenPairs {
    fn digest(&self) -> String {
        self.digest.clone()
    }

    fn pairs(
        &mut self,
        _: &mut Session<'_>,
        _: &Phase,
        _: &Objective,
    ) -> Result<PhasePairs, TrainError> {
        Ok(self.pairs.clone())
    }
}

/// Trains on the pairs of `config.data` and returns the trained policy. Writes `train.toml`,
/// `manifest.json`, `anchors.safetensors`, `metrics.jsonl`, `trainer_state.json` and `policy/` into
/// `config.common.output_dir`. With `resume`, a training that was cut off is continued at its last
/// checkpoint, and a complete one is read; files that are not what was written are computed again.
///
/// # Errors
///
/// Bad settings or rows, log-probs in the file that are not sums or not of the model they should be of, a
/// loss that is not finite.
pub fn train(
    config: &TrainConfig,
    models: impl Into<Models>,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Policy, TrainError> {
    config.validate()?;
    let (common, path) = (&config.common, &config.data.pairs);
    let objective = common.objective.offline()?;
    let policies = Policies::new(common, config.previous.is_some(), models.into())?.scored_once();
    let options = PairOptions {
        max_length: common.policy.max_length,
        template: config.data.template()?,
    };
    let mut pairs = read_pairs(path, &policies.start()?, &options)
        .map_err(|error| error.named_by("data.pairs"))?;
    if objective.exploration.is_none() {
        // Another method's.
        for record in &mut pairs.records {
            record.explored_token_ids = None;
        }
    }
    pairs.require(objective.label, path)?;

    let plan = Plan::offline(config);
    let phase = plan.phases(1, &objective).swap_remove(0);
    let given = |id| policies.given_digest(id);
    let scorers = digests(&phase, &objective, |source| pairs.logps.has(source), given)?;
    let header = TrainHeader::new(config, &policies, &objective, &pairs, &scorers)?;
    let identity = Identity {
        inputs: &header.inputs,
        other_prompts: "other pairs",
        content: Some(&header.content),
    };
    let root = &common.output_dir;
    let mut dir = RunDir::open(root, Layout::OnePhase, config, &header, &identity, resume)?;
    dir.draw(common.train.draws());
    observer.header(&header);
    let result = PolicyId::After(1);
    let complete = dir.has(result) && !dir.is_damaged(&phase);
    let digest = header.inputs.prompts.clone();
    let steps = common.train.steps(pairs.records.len());
    if complete && dir.is_checked() {
        dir.save_state(&common.train, steps)?;
    }
    let mut session = Session::new(common, policies, dir, observer);
    session.tell();
    if !complete {
        let place = |place: &Place| format!("{}, {place}", path.display());
        let order = if config.data.shuffle {
            Order::Shuffled(common.seed)
        } else {
            Order::Given(common.seed)
        };
        let pairs = PhasePairs {
            names: pairs.places.iter().map(place).collect(),
            records: pairs.records,
            given: pairs.logps,
            order,
        };
        play(&plan, &mut session, &mut GivenPairs { pairs, digest })?;
    }
    session.policy(result)
}
