use inpo_loss::MnpoLossConfig;

use super::{Key, Kl, Method, Step};
use crate::phases::from_previous;

pub(super) const METHOD: Method = Method {
    name: "mnpo",
    aliases: &[],
    source: "2509.23102",
    step: Step::Eta(0.005),
    kl: Kl::None,
    keys: &[Key::HistoryWeights],
    ref_update_every: 0,
    anchors: "h0, h1, h2, as many as there are; in `train` h1, .. must be in the file",
    phases: from_previous,
    loss: |s| {
        let config = MnpoLossConfig {
            eta: s.step,
            history_weights: s.history_weights.to_vec(),
        };
        // All weights are checked, also those of policies that do not exist yet.
        config.clone().init()?;
        Ok(config.truncated(s.policies).init()?.into())
    },
};
