use inpo_loss::DpoLossConfig;

use super::{Key, Kl, Method, Step};
use crate::phases::from_reference;

pub(super) const METHOD: Method = Method {
    name: "dpo",
    // TRL's name.
    aliases: &["sigmoid"],
    source: "2305.18290",
    step: Step::Beta(0.1),
    kl: Kl::None,
    keys: &[Key::LabelSmoothing],
    ref_update_every: 0,
    anchors: "ref",
    phases: from_reference,
    loss: |s| {
        let config = DpoLossConfig {
            beta: s.step,
            label_smoothing: s.label_smoothing,
        };
        Ok(config.init()?.into())
    },
};
