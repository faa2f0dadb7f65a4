//! The streams of random numbers of a run, by what they are drawn for. Equal settings draw equal numbers.

use inpo_policy::sample::DrawKey;
use rand::RngExt;

use crate::phases::Phase;

/// The number of the first held-out prompt: training prompts are numbered from 0.
pub(crate) const FIRST_HELD_OUT: u64 = 1 << 32;

/// The number of the draw of a winner among a prompt's draws: samples are numbered from 0.
const WINNER: u64 = u64::MAX;

/// The number of the draw that seeds a prompt's selection.
const SELECTION: u64 = u64::MAX - 1;

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

/// The draws of the selections of one round, by the prompts' numbers: the same for the responses of a file as in the loop
/// that wrote it.
#[derive(Debug, Clone, Copy)]
pub struct SelectionDraws {
    players: DrawKey,
    winners: DrawKey,
}

impl SelectionDraws {
    /// Those of iteration `iteration` of a run of `seed`; outside a loop the iteration is 0.
    #[must_use]
    pub fn new(seed: u64, iteration: u64) -> Self {
        let key = DrawKey::new(seed, iteration);
        Self {
            players: key,
            winners: key,
        }
    }

    /// Those of a phase. Phases that share their pairs meet the same players.
    pub(crate) fn of_phase(seed: u64, phase: &Phase) -> Self {
        Self {
            players: Stream::Responses(phase).key(seed),
            winners: Stream::Winners(phase).key(seed),
        }
    }

    /// The seed of whatever a strategy draws for a prompt.
    #[must_use]
    pub fn seed(self, prompt: u64) -> u64 {
        self.players.sample(prompt, SELECTION).rng().random()
    }

    /// The draw, uniform on [0, 1), that decides the winner of a prompt's pair where the strategy leaves it to chance and
    /// labels are hard.
    #[must_use]
    pub fn winner(self, prompt: u64) -> f64 {
        self.winners.sample(prompt, WINNER).rng().random()
    }
}

/// The seed of the order in which a phase takes its pairs, and of its dropout masks.
pub(crate) fn order_seed(seed: u64, phase: &Phase) -> u64 {
    seed ^ ((phase.iteration as u64) << 32 | u64::from(phase.folder.is_some()))
}
