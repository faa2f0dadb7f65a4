use inpo_loss::MpoLossConfig;

use super::{Kl, Method, Step};
use crate::phases::from_previous;

pub(super) const METHOD: Method = Method {
    name: "mpo",
    aliases: &[],
    source: "2410.16714",
    step: Step::Eta(0.005),
    kl: Kl::Weight,
    keys: &[],
    ref_update_every: 6,
    anchors: "tau ref, eta pi_t, both over eta + tau; any tau",
    phases: from_previous,
    loss: |s| {
        Ok(MpoLossConfig {
            eta: s.step,
            tau: s.tau,
        }
        .init()?
        .into())
    },
};
