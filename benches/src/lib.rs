//! What the benches of games share: the game that both sides of a comparison build, and the measure of the machine's reading.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use inpo_core::game::{MatrixGame, Strategy};
use pulp::{Arch, Simd, WithSimd};

/// The game of `benches/peers/numpy_win_rates.py`.
pub fn game(n: usize) -> MatrixGame {
    let below = |i: usize, j: usize| ((i * 7919 + j * 104_729) % 1000) as f64 / 1000.0;
    MatrixGame::from_fn(n, |i, j| 1.0 - below(j, i)).expect("probabilities")
}

/// The strategy of `benches/peers/numpy_win_rates.py`: weights 1 to 7, over and over.
pub fn strategy(n: usize) -> Strategy {
    let weights: Vec<f64> = (0..n).map(|j| (1 + j % 7) as f64).collect();
    let sum: f64 = weights.iter().sum();
    Strategy::new(weights.into_iter().map(|w| w / sum).collect()).expect("a strategy")
}

/// The numbers that a game of n actions holds.
pub fn pairs(n: usize) -> usize {
    n * (n - 1) / 2
}

/// An array to be read as fast as the machine can: one addition a number, in 64 partial sums a
/// thread and the widest instructions there are.
pub struct Reading(Vec<f64>);

impl Reading {
    /// So many numbers.
    pub fn new(len: usize) -> Self {
        Self((0..len).map(|k| (k % 1000) as f64).collect())
    }

    /// Their sum, with all threads if that is worth it.
    pub fn sum(&self) -> f64 {
        // What is not worth a second thread is read by one, as a product of that size is.
        if self.0.len() < 1 << 18 {
            return fast_sum(&self.0);
        }
        // This thread begins at once, the others join, and each free one takes the next part.
        let parts: Vec<&[f64]> = self.0.chunks(self.0.len().div_ceil(32)).collect();
        let (next, total) = (AtomicUsize::new(0), Mutex::new(0.0));
        let work = || {
            let mut sum = 0.0;
            while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                sum += fast_sum(part);
            }
            *total.lock().expect("no thread panics") += sum;
        };
        rayon::in_place_scope(|scope| {
            for _ in 1..rayon::current_num_threads() {
                scope.spawn(|_| work());
            }
            work();
        });
        total.into_inner().expect("no thread panics")
    }
}

fn fast_sum(numbers: &[f64]) -> f64 {
    Arch::new().dispatch(Sum(numbers))
}

struct Sum<'a>(&'a [f64]);

impl WithSimd for Sum<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let (chunks, tail) = self.0.as_chunks::<64>();
        // Eight vectors by name, so that they stay in registers.
        let mut sums = [[0.0; 8]; 8];
        for chunk in chunks {
            for r in 0..8 {
                for k in 0..8 {
                    sums[r][k] += chunk[8 * r + k];
                }
            }
        }
        sums.as_flattened().iter().sum::<f64>() + tail.iter().sum::<f64>()
    }
}
