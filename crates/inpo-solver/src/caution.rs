//! Warnings before a run: how a step acts near the equilibrium.
//!
//! Around a regularised Nash policy the game rotates: with S = diag(pi) - pi pi^T a deviation d of the
//! logits changes the win rates by P S d, whose eigenvalues are +- i s (docs/theory.md 6.3). A
//! step of a method therefore multiplies the deviation along the fastest rotation by a complex
//! number that the method's constants and s determine. If its modulus is 1 or more, the last
//! iterate does not settle. The multipliers of this module are derived in this project.

use std::fmt;

use inpo_game::{PreferenceGame, Strategy, rotation_squared};
use num_complex::Complex64;

use crate::Problem;

/// Rotations slower than this are rounding around a pure equilibrium.
const STILL: f64 = 1e-6;

/// Settings with which the last iterate does not end at the equilibrium.
#[derive(Clone, Debug, PartialEq)]
pub enum Caution {
    /// A constant inverse step size at or below the threshold of this game.
    Eta {
        /// The inverse step size.
        eta: f64,
        /// It would have to be above this.
        threshold: f64,
    },
    /// A deviation from the equilibrium grows.
    Grows {
        /// The method.
        algorithm: &'static str,
        /// By this factor an update (or, where the reference moves, a phase), 1 or more.
        factor: f64,
    },
    /// Nothing draws the last iterate of this method to a mixed equilibrium, whatever the step.
    Circles {
        /// The method.
        algorithm: &'static str,
    },
    /// With a constant step the method settles elsewhere.
    Biased {
        /// The method.
        algorithm: &'static str,
        /// The tau of the regularised Nash policy at which it ends.
        tau: f64,
    },
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eta { eta, threshold } => write!(
                f,
                "eta = {eta} is not above the stability threshold {threshold:.6} of this game: the \
                 last iterate will circle instead of converging"
            ),
            Self::Grows { algorithm, factor } => write!(
                f,
                "with these settings {algorithm} multiplies a deviation from the Nash policy of this \
                 game by {factor:.4}, which is not below 1: the last iterate will circle instead of \
                 converging"
            ),
            Self::Circles { algorithm } => write!(
                f,
                "without a KL the last iterate of {algorithm} circles around a mixed Nash policy, \
                 whatever the step: only the average converges"
            ),
            Self::Biased { algorithm, tau } => write!(
                f,
                "with a constant eta {algorithm} settles beside the Nash policy, where its mixture is \
                 that of tau = {tau:.6}: the theory schedule converges to the one asked for"
            ),
        }
    }
}

/// s: the fastest rotation around `nash`; 0 if nothing rotates.
pub(crate) fn rotation<G: PreferenceGame>(problem: &Problem<G>, nash: &Strategy) -> f64 {
    let s = rotation_squared(problem.game(), nash).sqrt();
    if s > STILL { s } else { 0.0 }
}

/// Play without a KL circles around `nash`, unless nothing rotates there.
pub(crate) fn circles<G: PreferenceGame>(
    algorithm: &'static str,
    problem: &Problem<G>,
    nash: &Strategy,
) -> Option<Caution> {
    (rotation(problem, nash) > 0.0).then_some(Caution::Circles { algorithm })
}

/// A caution if the multiplier of a deviation is not below 1 in modulus.
pub(crate) fn grows(algorithm: &'static str, factor: f64) -> Option<Caution> {
    (factor >= 1.0).then_some(Caution::Grows { algorithm, factor })
}

/// The larger modulus of the two roots of z^2 - b z + c.
pub(crate) fn largest_root(b: Complex64, c: Complex64) -> f64 {
    let root = (b * b - 4.0 * c).sqrt();
    ((b + root) / 2.0).norm().max(((b - root) / 2.0).norm())
}

/// The factor by which d_{t+1} = sum_j c_j d_{t-j} grows a step in the long run.
pub(crate) fn growth(coefficients: &[Complex64]) -> f64 {
    // Long enough for the largest root to stand out, by the geometric mean of the later half.
    const STEPS: usize = 4000;

    let mut recent = vec![Complex64::new(1.0, 0.0); coefficients.len()];
    let mut log_later = 0.0;
    for step in 0..STEPS {
        let next: Complex64 = recent.iter().zip(coefficients).map(|(d, c)| d * c).sum();
        recent.rotate_right(1);
        recent[0] = next;
        let size = recent.iter().map(|d| d.norm_sqr()).sum::<f64>().sqrt();
        if size == 0.0 {
            return 0.0;
        }
        recent.iter_mut().for_each(|d| *d /= size);
        if step >= STEPS / 2 {
            log_later += size.ln();
        }
    }
    (log_later / (STEPS / 2) as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_the_largest_root() {
        // d_{t+1} = d_t + d_{t-1}: the golden ratio. With i d_t alone: 1.
        let one = Complex64::new(1.0, 0.0);
        assert!((growth(&[one, one]) - 1.618_033_988_749_895).abs() < 1e-12);
        assert!((growth(&[Complex64::i()]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn roots_of_a_known_quadratic() {
        // (z - 2i)(z - 1) = z^2 - (1 + 2i) z + 2i
        let got = largest_root(Complex64::new(1.0, 2.0), Complex64::new(0.0, 2.0));
        assert!((got - 2.0).abs() < 1e-15);
    }
}
