//! Cyclic triads: how often three actions go round in a circle.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::majority::Majority;
use crate::PreferenceGame;

/// [`triads`] counts all triads of games with at most so many actions, and samples larger ones.
pub const EXACT_TRIADS_UP_TO: usize = 4096;

/// How many triads [`triads`] samples: a standard error of at most 0.0005.
pub const TRIAD_SAMPLES: u64 = 1_000_000;

/// How many triads of actions are cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triads {
    /// Triads i, j, k in which each beats the next with a probability above 1/2, around the circle.
    /// A tie breaks the circle.
    pub cyclic: u64,
    /// All triads: n (n - 1) (n - 2) / 6.
    pub total: u64,
}

impl Triads {
    /// cyclic / total; 0 for fewer than three actions. Among tournaments of n actions the largest
    /// is (n + 1) / (4 (n - 2)) for odd n, which tends to 1/4: the share where all is chance.
    #[must_use]
    pub fn cyclic_share(&self) -> f64 {
        if self.total == 0 {
            return 0.0;
        }
        self.cyclic as f64 / self.total as f64
    }
}

/// The share of cyclic triads, estimated from some of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriadEstimate {
    /// The share p of the sampled triads that are cycles.
    pub cyclic_share: f64,
    /// sqrt(p (1 - p) / samples). If no cycle was met it is 0, and the share is below 3 / samples
    /// with a confidence of 95 %.
    pub standard_error: f64,
    /// How many triads were drawn.
    pub samples: u64,
}

/// What [`triads`] found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum TriadCount {
    /// All triads were visited.
    Exact(Triads),
    /// There were too many.
    Sampled(TriadEstimate),
}

impl TriadCount {
    /// The share of triads that are cycles.
    #[must_use]
    pub fn cyclic_share(&self) -> f64 {
        match self {
            Self::Exact(triads) => triads.cyclic_share(),
            Self::Sampled(estimate) => estimate.cyclic_share,
        }
    }
}

/// Counts the cyclic triads exactly, if there are at most [`EXACT_TRIADS_UP_TO`] actions, and else
/// estimates their share from [`TRIAD_SAMPLES`] of them, drawn with `seed`.
///
/// ```
/// use inpo_game::analysis::{self, TriadCount, Triads};
///
/// let count = analysis::triads(&inpo_game::games::cyclic_three(), 0);
/// assert_eq!(count, TriadCount::Exact(Triads { cyclic: 1, total: 1 }));
/// ```
#[must_use]
pub fn triads<G: PreferenceGame + ?Sized>(game: &G, seed: u64) -> TriadCount {
    if game.num_actions() <= EXACT_TRIADS_UP_TO {
        TriadCount::Exact(cyclic_triads(game))
    } else {
        TriadCount::Sampled(cyclic_triads_sampled(game, TRIAD_SAMPLES, seed))
    }
}

/// Counts the cyclic triads, exactly.
///
/// Without ties a triad is either a cycle or has one action that beats the two others, and action
/// i with d_i wins is that one in d_i (d_i - 1) / 2 of them (Kendall and Babington Smith,
/// Biometrika 31, 1940):
///
/// ```text
/// cyclic = n (n - 1) (n - 2) / 6 - sum_i d_i (d_i - 1) / 2
/// ```
///
/// With ties, the k that close a circle i beats j beats k beats i are counted 64 at a time, by the
/// bits of "j beats k" and "k beats i", in parallel over i. The cost is n^2 preferences, and with
/// ties n^3 / 128 operations.
///
/// ```
/// use inpo_game::{analysis, games};
///
/// let triads = analysis::cyclic_triads(&games::cyclic_three());
/// assert_eq!((triads.cyclic, triads.total), (1, 1));
/// ```
#[must_use]
pub fn cyclic_triads<G: PreferenceGame + ?Sized>(game: &G) -> Triads {
    let majority = Majority::new(game);
    let n = majority.n as u64;
    let pairs = |d: u64| d * d.saturating_sub(1) / 2;
    // n (n - 1) / 2 times (n - 2) is divisible by 3, and fits where the n x n bits do.
    let total = pairs(n) * n.saturating_sub(2) / 3;
    let wins: Vec<u64> = (0..majority.n).map(|i| majority.num_wins(i)).collect();
    let cyclic = if wins.iter().sum::<u64>() == pairs(n) {
        total - wins.iter().map(|&d| pairs(d)).sum::<u64>()
    } else {
        let around = |i: usize| -> u64 {
            let closing = majority.losses(i);
            let beaten = (0..majority.n).filter(|&j| majority.beats(i, j));
            beaten
                .map(|j| {
                    let both = majority.wins(j).iter().zip(closing).map(|(a, b)| a & b);
                    both.map(|bits| u64::from(bits.count_ones())).sum::<u64>()
                })
                .sum()
        };
        // Each circle is met from each of its three actions.
        (0..majority.n).into_par_iter().map(around).sum::<u64>() / 3
    };
    Triads { cyclic, total }
}

/// Estimates the share of cyclic triads from `samples` triads, drawn with replacement, each three
/// different actions being equally likely. The same seed gives the same estimate everywhere. The
/// cost is three preferences a sample.
///
/// With fewer than three actions or no samples the share is 0 with `samples` = 0.
#[must_use]
pub fn cyclic_triads_sampled<G: PreferenceGame + ?Sized>(
    game: &G,
    samples: u64,
    seed: u64,
) -> TriadEstimate {
    let n = game.num_actions();
    let samples = if n < 3 { 0 } else { samples };
    let beats = |i: usize, j: usize| game.preference(i, j).get() > 0.5;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut cyclic = 0_u64;
    for _ in 0..samples {
        // The second of n - 1 that are left, the third of n - 2.
        let i = rng.random_range(0..n as u64) as usize;
        let mut j = rng.random_range(0..n as u64 - 1) as usize;
        let mut k = rng.random_range(0..n as u64 - 2) as usize;
        j += usize::from(j >= i);
        k += usize::from(k >= i.min(j));
        k += usize::from(k >= i.max(j));
        let (onwards, back) = if beats(i, j) { (j, i) } else { (i, j) };
        // A tie of i and j fails the last of the three.
        let circle = beats(onwards, k) && beats(k, back) && beats(back, onwards);
        cyclic += u64::from(circle);
    }
    if samples == 0 {
        return TriadEstimate {
            cyclic_share: 0.0,
            standard_error: 0.0,
            samples,
        };
    }
    let share = cyclic as f64 / samples as f64;
    TriadEstimate {
        cyclic_share: share,
        standard_error: (share * (1.0 - share) / samples as f64).sqrt(),
        samples,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MatrixGame;
    use crate::games::cyclic_three;

    /// P(i beats j) = f(i, j) for i < j.
    fn game(n: usize, f: impl Fn(usize, usize) -> f64) -> MatrixGame {
        let entry = |i: usize, j: usize| match i.cmp(&j) {
            std::cmp::Ordering::Less => f(i, j),
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Greater => 1.0 - f(j, i),
        };
        let rows = (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect());
        MatrixGame::new(rows.collect()).unwrap()
    }

    /// Wins, ties and losses from a fixed sequence without pattern.
    fn mixed(n: usize) -> MatrixGame {
        game(n, |i, j| {
            ((i * i * 7 + j * j * 3 + i * j * 5) % 11 % 3) as f64 / 2.0
        })
    }

    #[test]
    fn the_cyclic_game_is_one_cycle() {
        let want = Triads {
            cyclic: 1,
            total: 1,
        };
        assert_eq!(cyclic_triads(&cyclic_three()), want);
        assert_eq!(triads(&cyclic_three(), 0).cyclic_share(), 1.0);
    }

    #[test]
    fn a_regular_tournament_has_the_most_cycles_there_can_be() {
        // i beats the (n - 1) / 2 that follow it on a circle: n (n^2 - 1) / 24 cycles.
        let n = 131;
        let regular = game(n, |i, j| if j - i <= n / 2 { 0.7 } else { 0.3 });
        let got = cyclic_triads(&regular);
        assert_eq!(got.cyclic, 131 * (131 * 131 - 1) / 24);
        assert_eq!(got.total, 131 * 130 * 129 / 6);
        assert!((got.cyclic_share() - 132.0 / (4.0 * 129.0)).abs() < 1e-15);
    }

    #[test]
    fn ties_break_circles() {
        // By the definition, one triad after the other; 70 actions need two words of bits.
        let n = 70;
        let game = mixed(n);
        let beats = |i: usize, j: usize| game.preference(i, j).get() > 0.5;
        let circle = |i, j, k| beats(i, j) && beats(j, k) && beats(k, i);
        let mut want = 0;
        for i in 0..n {
            for j in i + 1..n {
                for k in j + 1..n {
                    want += u64::from(circle(i, j, k) || circle(k, j, i));
                }
            }
        }
        assert!(want > 1000, "{want}");
        assert_eq!(cyclic_triads(&game).cyclic, want);
        let flat = MatrixGame::new(vec![vec![0.5; 3]; 3]).unwrap();
        assert_eq!(cyclic_triads(&flat).cyclic, 0);
    }

    #[test]
    fn the_estimate_is_within_four_standard_errors() {
        let game = mixed(70);
        let exact = cyclic_triads(&game).cyclic_share();
        let estimate = cyclic_triads_sampled(&game, 40_000, 7);
        assert_eq!(estimate.samples, 40_000);
        // sqrt(p (1 - p) / m) with the exact share
        let error = (exact * (1.0 - exact) / 40_000.0).sqrt();
        assert!((estimate.cyclic_share - exact).abs() < 4.0 * error);
        assert!((estimate.standard_error - error).abs() < 0.1 * error);
        assert_eq!(estimate, cyclic_triads_sampled(&game, 40_000, 7));
        assert_ne!(estimate, cyclic_triads_sampled(&game, 40_000, 8));
    }

    #[test]
    fn samples_are_three_different_actions() {
        // Of three actions there is one triad, and every sample is it.
        let estimate = cyclic_triads_sampled(&cyclic_three(), 100, 1);
        assert_eq!((estimate.cyclic_share, estimate.standard_error), (1.0, 0.0));
    }

    #[test]
    fn fewer_than_three_actions_have_no_triads() {
        for n in [1, 2] {
            let game = game(n, |_, _| 0.9);
            let none = Triads {
                cyclic: 0,
                total: 0,
            };
            assert_eq!(cyclic_triads(&game), none);
            assert_eq!(none.cyclic_share(), 0.0);
            assert_eq!(cyclic_triads_sampled(&game, 10, 0).samples, 0);
        }
    }

    #[test]
    fn many_actions_are_sampled() {
        struct Circle(usize);
        impl PreferenceGame for Circle {
            fn num_actions(&self) -> usize {
                self.0
            }
            fn win_rates_into(&self, _: &[f64], _: &mut [f64]) {
                unreachable!("counting asks for pairs only")
            }
            fn preference(&self, i: usize, j: usize) -> crate::Preference {
                let ahead = (j + self.0 - i) % self.0;
                crate::Preference::new(match ahead {
                    0 => 0.5,
                    _ if ahead <= self.0 / 2 => 0.6,
                    _ => 0.4,
                })
                .unwrap()
            }
        }
        // A regular tournament: (n + 1) / (4 (n - 2)), a quarter and a little.
        let n = EXACT_TRIADS_UP_TO + 1;
        let TriadCount::Sampled(estimate) = triads(&Circle(n), 3) else {
            panic!("{n} actions are too many to count");
        };
        let share = (n + 1) as f64 / (4 * (n - 2)) as f64;
        assert!((estimate.cyclic_share - share).abs() < 0.002); // four standard errors
    }
}
