use inpo_loss::DnoPrctLossConfig;

use super::{Kl, Method, Step};
use crate::phases::from_previous;

pub(super) const METHOD: Method = Method {
    name: "dno_prct",
    aliases: &[],
    source: "2404.03715",
    step: Step::Eta(0.005),
    kl: Kl::None,
    keys: &[],
    ref_update_every: 0,
    anchors: "pi_t",
    phases: from_previous,
    loss: |s| Ok(DnoPrctLossConfig { eta: s.step }.init()?.into()),
};
