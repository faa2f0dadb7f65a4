use inpo_loss::IpoLossConfig;

use super::{Kl, Method, Step};
use crate::phases::from_reference;

pub(super) const METHOD: Method = Method {
    name: "ipo",
    aliases: &[],
    source: "2310.12036",
    step: Step::Either(0.1),
    kl: Kl::Step,
    keys: &[],
    ref_update_every: 0,
    anchors: "ref",
    phases: from_reference,
    loss: |s| Ok(IpoLossConfig { beta: s.step }.init()?.into()),
};
