use inpo_loss::HingeLossConfig;

use super::{Kl, Method, Step};
use crate::phases::from_reference;

pub(super) const METHOD: Method = Method {
    name: "hinge",
    aliases: &[],
    source: "2305.10425",
    step: Step::Beta(0.1),
    kl: Kl::None,
    keys: &[],
    ref_update_every: 0,
    anchors: "ref",
    phases: from_reference,
    loss: |s| Ok(HingeLossConfig { beta: s.step }.init()?.into()),
};
