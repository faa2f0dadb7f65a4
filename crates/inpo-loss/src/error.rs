/// What can be wrong with a loss's settings or its inputs.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum LossError {
    /// `eta` is not a positive number.
    #[error("eta is {0}; it is INPO's inverse step size and must be positive")]
    Eta(f64),
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
    /// The anchors' weights do not add up to one.
    #[error("the anchors' weights add up to {0}, not to 1")]
    AnchorWeights(f64),
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
