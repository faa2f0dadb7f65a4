//! The methods as settings of one loss, each a small configuration whose `init` checks it.
//!
//! | configuration | anchors | pairs from | penalty |
//! |---|---|---|---|
//! | [`InpoLossConfig`] | (tau/eta, ref), (1 - tau/eta, pi_t) | pi_t | squared |
//! | [`EgpoLossConfig`], two steps | as INPO | pi_t, then the half step | squared |
//! | [`NashMdLossConfig`] | as INPO | their mixture | squared |
//! | [`ComalLossConfig`], [`MpoLossConfig`] | as INPO, ref moves | pi_t | squared |
//! | [`EnpoLossConfig`] | as INPO | pi_t | squared on win rates, and an exploration term |
//! | [`IpoLossConfig`], [`OnlineIpoLossConfig`], [`IterativeIpoLossConfig`] | ref | fixed data; pi; pi_t | squared |
//! | [`DpoLossConfig`], [`IterativeDpoLossConfig`] | ref | fixed data; pi_t | logistic |
//! | [`HingeLossConfig`] | ref | fixed data | hinge |
//! | [`SppoLossConfig`] | pi_t | pi_t | squared, each response by itself |
//! | [`DnoLossConfig`], [`DnoPrctLossConfig`] | pi_t | pi_t | logistic, on win rates; on labels |
//! | [`RebelLossConfig`] | pi_t | pi_t | squared on rewards |
//! | [`OnpoLossConfig`], two steps | aux | pi_t | squared |
//! | [`MnpoLossConfig`] | the last policies | pi_t | squared |
//! | [`IpoMeanLossConfig`] | ref, per token | fixed data | squared |

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

use serde::{Deserialize, Serialize};

use crate::{Anchor, Kernel, LossError, MethodLoss, PairLoss, Role};

/// Writes [`LossConfig`] from the table.
macro_rules! losses {
    ($($variant:ident($config:ident)),+ $(,)?) => {
        /// The settings of any method, which `name` tells apart: `{"name": "dno_prct", "eta": 0.005}`.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "name", rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum LossConfig {
            $(#[doc = concat!("[`", stringify!($config), "`].")] $variant($config)),+
        }

        impl LossConfig {
            /// Checks the settings.
            ///
            /// # Errors
            ///
            /// Those of the method.
            pub fn init(self) -> Result<MethodLoss, LossError> {
                match self {
                    $(Self::$variant(config) => config.init().map(MethodLoss::from)),+
                }
            }
        }
    };
}

losses! {
    Inpo(InpoLossConfig),
    Ipo(IpoLossConfig),
    OnlineIpo(OnlineIpoLossConfig),
    IterativeIpo(IterativeIpoLossConfig),
    IpoMean(IpoMeanLossConfig),
    Dpo(DpoLossConfig),
    IterativeDpo(IterativeDpoLossConfig),
    Hinge(HingeLossConfig),
    Sppo(SppoLossConfig),
    Dno(DnoLossConfig),
    DnoPrct(DnoPrctLossConfig),
    Rebel(RebelLossConfig),
    NashMd(NashMdLossConfig),
    Onpo(OnpoLossConfig),
    Egpo(EgpoLossConfig),
    Comal(ComalLossConfig),
    Mpo(MpoLossConfig),
    Mnpo(MnpoLossConfig),
    Enpo(EnpoLossConfig),
}

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
