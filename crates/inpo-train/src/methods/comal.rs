use inpo_loss::ComalLossConfig;

use super::{Kl, Method, Step};
use crate::phases::from_previous;

pub(super) const METHOD: Method = Method {
    name: "comal",
    aliases: &[],
    source: "2410.23223",
    step: Step::Eta(0.005),
    kl: Kl::Weight,
    keys: &[],
    // Of the paper's text; its script has 12.
    ref_update_every: 6,
    anchors: "as inpo",
    phases: from_previous,
    loss: |s| {
        Ok(ComalLossConfig {
            eta: s.step,
            tau: s.tau,
        }
        .init()?
        .into())
    },
};
