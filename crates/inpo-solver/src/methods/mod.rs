//! The methods, one file each: the update as an equation, what it requires, what it guarantees and
//! where that is proved.

mod comal;
mod egpo;
mod fictitious_play;
mod inpo;
mod iterative_dpo;
mod iterative_ipo;
mod mnpo;
mod mpo;
mod nash_ema;
mod nash_md;
mod onpo;
mod regret_matching;
mod replicator;
mod sppo;

pub use comal::Comal;
pub use egpo::Egpo;
pub use fictitious_play::{FictitiousPlay, FictitiousPlayState};
pub use inpo::Inpo;
pub use iterative_dpo::{DpoState, IterativeDpo};
pub use iterative_ipo::{IterativeIpo, Reference};
pub use mnpo::{Mnpo, MnpoState, Opponents};
pub use mpo::Mpo;
pub use nash_ema::NashEma;
pub use nash_md::NashMd;
pub use onpo::Onpo;
pub use regret_matching::{RegretMatching, RegretState};
pub use replicator::Replicator;
pub use sppo::Sppo;
