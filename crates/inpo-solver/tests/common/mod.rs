//! Every method, for the laws that all of them share.

use inpo_solver::{
    Comal, Egpo, FictitiousPlay, Inpo, IterativeDpo, IterativeIpo, Method, Mnpo, Mpo, NashEma,
    NashMd, Onpo, Reference, RegretMatching, Replicator, Sppo, StepSize,
};

/// Every method, and the tau of a problem that fits it.
pub(crate) fn methods() -> Vec<(Method, f64)> {
    let step = StepSize::Constant(2.0);
    vec![
        (Inpo::new(step).into(), 0.1),
        (NashMd::new(step).into(), 0.1),
        (NashEma::new(step, 0.5).into(), 0.1),
        (Sppo::new(step).into(), 0.0),
        (IterativeIpo::new(step, Reference::Fixed).into(), 0.0),
        (IterativeDpo::new(step, Reference::Fixed).into(), 0.0),
        (Onpo::new(step).into(), 0.0),
        (Egpo::new(step).into(), 0.1),
        (Mpo::new(step, 0.1, 7).into(), 0.0),
        (Comal::new(step, 0.1, 7).into(), 0.0),
        (Mnpo::new(step, vec![0.5, 0.3, 0.2]).into(), 0.0),
        (RegretMatching::new().into(), 0.0),
        (RegretMatching::plus().into(), 0.0),
        (FictitiousPlay::new().into(), 0.0),
        (FictitiousPlay::new().into(), 0.1),
        (Replicator::new(0.5).into(), 0.1),
    ]
}
