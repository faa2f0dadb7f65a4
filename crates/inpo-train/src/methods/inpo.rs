use inpo_loss::InpoLossConfig;

use super::{Kl, Method, Step};
use crate::phases::from_previous;

pub(super) const METHOD: Method = Method {
    name: "inpo",
    aliases: &[],
    source: "2407.00617",
    step: Step::Eta(0.005),
    kl: Kl::Weight,
    keys: &[],
    ref_update_every: 0,
    anchors: "(tau/eta) ref, (1 - tau/eta) pi_t",
    phases: from_previous,
    loss: |s| {
        Ok(InpoLossConfig {
            eta: s.step,
            tau: s.tau,
        }
        .init()?
        .into())
    },
};
