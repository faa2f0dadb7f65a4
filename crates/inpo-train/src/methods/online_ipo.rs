use inpo_loss::OnlineIpoLossConfig;

use super::{Kl, Method, Step};
use crate::phases::from_previous;

pub(super) const METHOD: Method = Method {
    name: "online_ipo",
    aliases: &[],
    source: "2403.08635",
    step: Step::Either(0.1),
    kl: Kl::Step,
    keys: &[],
    ref_update_every: 0,
    anchors: "ref",
    phases: from_previous,
    loss: |s| Ok(OnlineIpoLossConfig { beta: s.step }.init()?.into()),
};
