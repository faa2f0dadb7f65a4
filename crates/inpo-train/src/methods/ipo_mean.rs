use inpo_loss::IpoMeanLossConfig;

use super::{Kl, Method, Step};
use crate::phases::from_reference;

pub(super) const METHOD: Method = Method {
    name: "ipo_mean",
    aliases: &[],
    source: "TRL's `ipo`",
    step: Step::Beta(0.1),
    kl: Kl::None,
    keys: &[],
    ref_update_every: 0,
    anchors: "ref, log-probs per token",
    phases: from_reference,
    loss: |s| Ok(IpoMeanLossConfig { beta: s.step }.init()?.into()),
};
