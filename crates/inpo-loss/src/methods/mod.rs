//! The methods as settings of one loss, each a small configuration whose `init` checks it.

mod dno;
mod dpo;
mod egpo;
mod enpo;
mod inpo;
mod ipo;
mod mnpo;
mod moving;
mod nash_md;
mod onpo;
mod rebel;
mod sppo;

pub use dno::{DnoLossConfig, DnoPrctLossConfig};
pub use dpo::{DpoLossConfig, HingeLossConfig, IterativeDpoLossConfig};
pub use egpo::EgpoLossConfig;
pub use enpo::EnpoLossConfig;
pub use inpo::InpoLossConfig;
pub use ipo::{IpoLossConfig, IpoMeanLossConfig, IterativeIpoLossConfig, OnlineIpoLossConfig};
pub use mnpo::MnpoLossConfig;
pub use moving::{ComalLossConfig, MpoLossConfig};
pub use nash_md::NashMdLossConfig;
pub use onpo::OnpoLossConfig;
pub use rebel::RebelLossConfig;
pub use sppo::SppoLossConfig;

use crate::{Anchor, Kernel, LossError, PairLoss, Role};

/// The squared loss towards `ref^(tau/eta) pi_t^(1 - tau/eta)`, which INPO shares with its relatives.
fn regularised(name: &'static str, eta: f64, tau: f64) -> Result<PairLoss, LossError> {
    let kernel = Kernel::Squared { eta };
    kernel.validate("eta")?;
    if !(tau >= 0.0 && tau.is_finite()) {
        return Err(LossError::Tau(tau));
    }
    if tau > eta {
        return Err(LossError::TauAboveEta { tau, eta });
    }
    let reference = tau / eta;
    let anchors = [
        Anchor::new(Role::Reference, reference),
        Anchor::new(Role::Previous, 1.0 - reference),
    ];
    PairLoss::new(name, anchors, kernel)
}

/// A loss with one anchor; `setting` is what its inverse step size is called.
fn towards(
    role: Role,
    name: &'static str,
    kernel: Kernel,
    setting: &'static str,
) -> Result<PairLoss, LossError> {
    kernel.validate(setting)?;
    PairLoss::new(name, [Anchor::new(role, 1.0)], kernel)
}
