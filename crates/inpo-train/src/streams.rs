//! The streams of random numbers of a run, by what they are drawn for. Equal settings draw equal numbers.

use inpo_policy::sample::{DrawKey, SampleKey};

use crate::phases::Phase;

/// The number of the first held-out prompt: training prompts are numbered from 0.
pub(crate) const FIRST_HELD_OUT: u64 = 1 << 32;

/// The number of the draw of a winner among a prompt's draws: samples are numbered from 0.
const WINNER: u64 = u64::MAX;

/// Tells the first of an iteration's two phases from the second.
const FIRST_PHASE: u64 = 1 << 32;

/// What random numbers are drawn for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream<'p> {
    /// The responses of a phase's sampler.
    Responses(&'p Phase),
    /// The responses to held-out prompts after an iteration.
    HeldOut(usize),
    /// The winners of a phase's i.i.d. pairs.
    Winners(&'p Phase),
}

impl Stream<'_> {
    /// The key of its draws in a run of `seed`.
    pub(crate) fn key(self, seed: u64) -> DrawKey {
        let of_phase = |phase: &Phase, own: bool| {
            let first = if own { FIRST_PHASE } else { 0 };
            phase.iteration as u64 | first
        };
        let stream = match self {
            Self::Responses(phase) => of_phase(phase, phase.pairs_folder().is_some()),
            Self::HeldOut(iteration) => iteration as u64,
            Self::Winners(phase) => of_phase(phase, phase.folder.is_some()),
        };
        DrawKey::new(seed, stream)
    }
}

/// The draw that decides the winner of the i.i.d. pair of a prompt.
pub(crate) fn winner(draws: DrawKey, prompt: u64) -> SampleKey {
    draws.sample(prompt, WINNER)
}

/// The seed of the order in which a phase takes its pairs, and of its dropout masks.
pub(crate) fn order_seed(seed: u64, phase: &Phase) -> u64 {
    seed ^ ((phase.iteration as u64) << 32 | u64::from(phase.folder.is_some()))
}
