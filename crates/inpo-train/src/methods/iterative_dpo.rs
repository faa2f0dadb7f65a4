use inpo_loss::IterativeDpoLossConfig;

use super::{Key, Kl, Method, Step};
use crate::phases::from_previous;

pub(super) const METHOD: Method = Method {
    name: "iterative_dpo",
    aliases: &[],
    source: "2305.18290",
    step: Step::Beta(0.1),
    kl: Kl::None,
    keys: &[Key::LabelSmoothing],
    ref_update_every: 1,
    anchors: "ref",
    phases: from_previous,
    loss: |s| {
        let config = IterativeDpoLossConfig {
            beta: s.step,
            label_smoothing: s.label_smoothing,
        };
        Ok(config.init()?.into())
    },
};
