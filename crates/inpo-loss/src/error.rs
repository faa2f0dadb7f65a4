use crate::{LabelKind, Role};

/// What can be wrong with a loss's settings or its inputs.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum LossError {
    /// `eta` or `beta` is not a positive number.
    #[error("{setting} is {value}; it is the inverse step size and must be positive")]
    InverseStep {
        /// `eta` or `beta`.
        setting: &'static str,
        /// Its value.
        value: f64,
    },
    /// `tau` is negative, or not a number.
    #[error("tau is {0}; the KL weight must be at least 0 (0 means no reference)")]
    Tau(f64),
    /// `tau` exceeds `eta`.
    #[error(
        "tau = {tau} exceeds eta = {eta}: the previous policy would get the negative weight \
         {weight}; choose 0 <= tau <= eta",
        weight = 1.0 - tau / eta
    )]
    TauAboveEta {
        /// The KL weight.
        tau: f64,
        /// The inverse step size.
        eta: f64,
    },
    /// DPO's label smoothing leaves its range.
    #[error(
        "label_smoothing is {0}; it is the share of flipped labels and must be from 0 to below 1/2"
    )]
    LabelSmoothing(f64),
    /// The coefficient of an addend is negative, or not a number.
    #[error("{setting} is {value}; it must be a finite number, 0 or more")]
    Coefficient {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: f64,
    },
    /// MNPO's weights are no weights.
    #[error(
        "history_weights has {value} at place {place}; the weights of the history must be positive"
    )]
    HistoryWeight {
        /// The place, from 0 (the newest policy).
        place: usize,
        /// The weight.
        value: f64,
    },
    /// MNPO's weights do not add up to one.
    #[error("history_weights add up to {0}, not to 1")]
    HistorySum(f64),
    /// The anchors' weights do not add up to one.
    #[error("the anchors' weights add up to {0}, not to 1")]
    AnchorWeights(f64),
    /// The log-probs under an anchor were not given.
    #[error(
        "{method} needs the log-probs under {role} (columns {chosen}, {rejected})",
        chosen = role.columns()[0],
        rejected = role.columns()[1]
    )]
    MissingAnchor {
        /// The method.
        method: &'static str,
        /// The anchor.
        role: Role,
    },
    /// A method cannot use this kind of label.
    #[error("{method} cannot use {got} labels; allowed: {allowed}", allowed = list(allowed))]
    Label {
        /// The method.
        method: &'static str,
        /// What was given.
        got: LabelKind,
        /// What the method takes.
        allowed: &'static [LabelKind],
    },
    /// Two inputs speak of different numbers of pairs.
    #[error("{what} has {found} pairs, the policy has {expected}")]
    PairCount {
        /// The input.
        what: String,
        /// Its number of pairs.
        found: usize,
        /// The policy's number of pairs.
        expected: usize,
    },
}

fn list(kinds: &[LabelKind]) -> String {
    let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    kinds.join(", ")
}
