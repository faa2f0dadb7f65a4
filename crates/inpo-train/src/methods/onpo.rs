use inpo_loss::OnpoLossConfig;

use super::{Kl, Method, Step};
use crate::phases::{Phase, PolicyId, Round};

pub(super) const METHOD: Method = Method {
    name: "onpo",
    aliases: &[],
    source: "2502.16852",
    step: Step::Eta(0.005),
    kl: Kl::None,
    keys: &[],
    ref_update_every: 0,
    anchors: "aux_t, then aux_(t+1)",
    phases: auxiliary_then_policy,
    loss: |s| Ok(OnpoLossConfig { eta: s.step }.init()?.into()),
};

/// The auxiliary policy's step from aux_t, then the policy's from aux_(t+1), on the same pairs from pi_t.
fn auxiliary_then_policy(round: &Round) -> Vec<Phase> {
    let next = PolicyId::Intermediate(round.iteration);
    let first = Phase {
        folder: Some("aux"),
        start: PolicyId::Intermediate(round.iteration - 1),
        result: next,
        ..round.phase()
    };
    let second = Phase {
        start: next,
        auxiliary: next,
        ..round.phase()
    };
    vec![first, second]
}
