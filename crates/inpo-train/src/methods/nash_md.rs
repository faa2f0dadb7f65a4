use inpo_loss::NashMdLossConfig;

use super::{Kl, Method, Step};
use crate::phases::{PairsFrom, Phase, Round};

pub(super) const METHOD: Method = Method {
    name: "nash_md",
    aliases: &[],
    source: "2312.00886",
    step: Step::Eta(0.005),
    kl: Kl::Weight,
    keys: &[],
    ref_update_every: 0,
    anchors: "as inpo",
    phases: from_mixture,
    loss: |s| {
        Ok(NashMdLossConfig {
            eta: s.step,
            tau: s.tau,
        }
        .init()?
        .into())
    },
};

/// One phase on pairs from the mixture of the reference and pi_t, token by token.
fn from_mixture(round: &Round) -> Vec<Phase> {
    vec![Phase {
        pairs_from: PairsFrom::Mixture {
            reference: round.reference,
            previous: round.previous(),
            weight: round.reference_weight,
        },
        ..round.phase()
    }]
}
