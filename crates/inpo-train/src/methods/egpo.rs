use inpo_loss::EgpoLossConfig;

use super::{Kl, Method, Step};
use crate::phases::{PairsFrom, Phase, PolicyId, Round};

pub(super) const METHOD: Method = Method {
    name: "egpo",
    aliases: &[],
    source: "2503.08942",
    step: Step::Eta(0.005),
    kl: Kl::Weight,
    keys: &[],
    ref_update_every: 0,
    anchors: "as inpo in both, from pi_t",
    phases: half_then_full,
    loss: |s| {
        Ok(EgpoLossConfig {
            eta: s.step,
            tau: s.tau,
        }
        .init()?
        .into())
    },
};

/// The half step on pairs from pi_t, then the full step on pairs from the half step; both start at pi_t.
fn half_then_full(round: &Round) -> Vec<Phase> {
    let half_step = PolicyId::Intermediate(round.iteration);
    let half = Phase {
        folder: Some("half"),
        shares_pairs: false,
        result: half_step,
        ..round.phase()
    };
    let full = Phase {
        pairs_from: PairsFrom::Policy(half_step),
        ..round.phase()
    };
    vec![half, full]
}
