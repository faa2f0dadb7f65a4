use inpo_loss::{EnpoLossConfig, MethodLoss};

use super::{Key, Kl, Method, Step};
use crate::phases::from_previous;

pub(super) const METHOD: Method = Method {
    name: "enpo",
    aliases: &[],
    source: "2606.01382, step A",
    step: Step::Eta(0.005),
    kl: Kl::Weight,
    keys: &[Key::Alpha],
    ref_update_every: 0,
    anchors: "as inpo",
    phases: from_previous,
    loss: |s| {
        let config = EnpoLossConfig {
            eta: s.step,
            tau: s.tau,
            alpha: s.alpha,
        };
        let mut loss = MethodLoss::from(config.init()?);
        loss.exploration = loss.exploration.filter(|_| s.alpha > 0.0);
        Ok(loss)
    },
};
