use inpo_loss::RebelLossConfig;

use super::{Kl, Method, Step};
use crate::phases::from_previous;

pub(super) const METHOD: Method = Method {
    name: "rebel",
    aliases: &[],
    source: "2404.16767",
    step: Step::Eta(0.005),
    kl: Kl::None,
    keys: &[],
    ref_update_every: 0,
    anchors: "pi_t",
    phases: from_previous,
    loss: |s| Ok(RebelLossConfig { eta: s.step }.init()?.into()),
};
