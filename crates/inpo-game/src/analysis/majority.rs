//! Who beats whom, one bit a pair.

use crate::{Preference, PreferenceGame};

/// The relation "beats": P(i beats j) > 1/2. Rows of bits, so that a whole row is combined with
/// another in n / 64 operations.
pub(super) struct Majority {
    pub(super) n: usize,
    words: usize,
    /// Bit j of row i: i beats j.
    wins: Vec<u64>,
    /// Bit j of row i: j beats i.
    losses: Vec<u64>,
}

impl Majority {
    /// Asks the game for each pair once.
    pub(super) fn new<G: PreferenceGame + ?Sized>(game: &G) -> Self {
        let n = game.num_actions();
        let words = n.div_ceil(64);
        let mut relation = Self {
            n,
            words,
            wins: vec![0; n * words],
            losses: vec![0; n * words],
        };
        for i in 0..n {
            for j in i + 1..n {
                let p = game.preference(i, j).get();
                if p > 0.5 {
                    relation.insert(i, j);
                } else if p < 0.5 {
                    relation.insert(j, i);
                }
            }
        }
        relation
    }

    fn insert(&mut self, winner: usize, loser: usize) {
        self.wins[winner * self.words + loser / 64] |= 1 << (loser % 64);
        self.losses[loser * self.words + winner / 64] |= 1 << (winner % 64);
    }

    /// Whether `i` beats `j`.
    pub(super) fn beats(&self, i: usize, j: usize) -> bool {
        self.wins(i)[j / 64] >> (j % 64) & 1 == 1
    }

    /// The bits of those whom `i` beats.
    pub(super) fn wins(&self, i: usize) -> &[u64] {
        &self.wins[i * self.words..(i + 1) * self.words]
    }

    /// The bits of those who beat `i`.
    pub(super) fn losses(&self, i: usize) -> &[u64] {
        &self.losses[i * self.words..(i + 1) * self.words]
    }

    /// How many `i` beats.
    pub(super) fn num_wins(&self, i: usize) -> u64 {
        self.wins(i).iter().map(|w| u64::from(w.count_ones())).sum()
    }

    /// How many beat `i`.
    pub(super) fn num_losses(&self, i: usize) -> u64 {
        let losses = self.losses(i).iter();
        losses.map(|w| u64::from(w.count_ones())).sum()
    }
}

/// The game in which only who beats whom counts: wins 1, ties 1/2.
impl PreferenceGame for Majority {
    fn num_actions(&self) -> usize {
        self.n
    }

    fn win_rates_into(&self, strategy: &[f64], out: &mut [f64]) {
        for (i, rate) in out.iter_mut().enumerate() {
            let terms = strategy.iter().enumerate();
            *rate = terms.map(|(j, p)| self.preference(i, j).get() * p).sum();
        }
    }

    fn preference(&self, first: usize, second: usize) -> Preference {
        if self.beats(first, second) {
            Preference::WIN
        } else if self.beats(second, first) {
            Preference::LOSS
        } else {
            Preference::HALF
        }
    }
}
