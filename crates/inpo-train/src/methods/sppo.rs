use inpo_loss::SppoLossConfig;

use super::{Kl, Method, Step};
use crate::phases::from_previous;

pub(super) const METHOD: Method = Method {
    name: "sppo",
    aliases: &[],
    source: "2405.00675",
    // Of the published code.
    step: Step::Either(0.001),
    kl: Kl::None,
    keys: &[],
    ref_update_every: 0,
    anchors: "pi_t",
    phases: from_previous,
    loss: |s| Ok(SppoLossConfig { eta: s.step }.init()?.into()),
};
