use inpo_loss::IterativeIpoLossConfig;

use super::{Kl, Method, Step};
use crate::phases::from_previous;

pub(super) const METHOD: Method = Method {
    name: "iterative_ipo",
    aliases: &[],
    source: "2310.12036",
    step: Step::Either(0.1),
    kl: Kl::Step,
    keys: &[],
    ref_update_every: 1,
    anchors: "ref",
    phases: from_previous,
    loss: |s| Ok(IterativeIpoLossConfig { beta: s.step }.init()?.into()),
};
