//! What is played.

use crate::Preference;

/// A finite symmetric game of preferences: n actions, and P(i beats j) for each two of them.
///
/// Implementors promise the complement law P(i > j) + P(j > i) = 1 and P(i > i) = 1/2. No
/// transitivity is assumed. A game need not hold its matrix: the solvers ask for
/// [`win_rates_into`](Self::win_rates_into) only.
pub trait PreferenceGame {
    /// The number n >= 1 of actions.
    fn num_actions(&self) -> usize;

    /// Writes the win rates P(y > pi) = sum_y' P(y > y') pi(y'), that is P pi, to `out`.
    ///
    /// It is linear in `strategy`, which need not be on the simplex: measures call it with
    /// differences of strategies too.
    ///
    /// # Panics
    /// Implementations may panic if a length differs from [`num_actions`](Self::num_actions).
    fn win_rates_into(&self, strategy: &[f64], out: &mut [f64]);

    /// P(`first` beats `second`).
    ///
    /// # Panics
    /// Implementations may panic if an index is not below [`num_actions`](Self::num_actions).
    fn preference(&self, first: usize, second: usize) -> Preference;

    /// [`win_rates_into`](Self::win_rates_into) a new vector of n entries.
    fn win_rates(&self, strategy: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.num_actions()];
        self.win_rates_into(strategy, &mut out);
        out
    }
}

impl<G: PreferenceGame + ?Sized> PreferenceGame for &G {
    fn num_actions(&self) -> usize {
        (**self).num_actions()
    }

    fn win_rates_into(&self, strategy: &[f64], out: &mut [f64]) {
        (**self).win_rates_into(strategy, out);
    }

    fn preference(&self, first: usize, second: usize) -> Preference {
        (**self).preference(first, second)
    }
}
