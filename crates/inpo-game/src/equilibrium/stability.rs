//! When mirror descent with a constant step is attracted by the regularised Nash policy.

use crate::linalg::dot;
use crate::{PreferenceGame, Strategy};

/// s^2, the square of the largest rotation speed of the game around `strategy`.
///
/// With S = diag(pi) - pi pi^T the matrix P S has the imaginary eigenvalues +- i s; this is the
/// square of the largest s. It is 0 for a pure strategy and at most 1/4.
///
/// Computed matrix-free: S = B^T B with B = diag(sqrt pi)(I - 1 pi^T), so K = B (P - 1/2) B^T is
/// skew-symmetric with the same nonzero eigenvalues and s^2 is the largest eigenvalue of K^T K, found
/// by power iteration on its Rayleigh quotient.
#[must_use]
pub fn rotation_squared<G: PreferenceGame + ?Sized>(game: &G, strategy: &Strategy) -> f64 {
    const MAX_ITERATIONS: usize = 20_000;
    const CONVERGED: f64 = 1e-15;

    let n = game.num_actions();
    let root: Vec<f64> = strategy.iter().map(|p| p.sqrt()).collect();
    let mut inner = vec![0.0; n];
    let mut rates = vec![0.0; n];
    // out <- K v
    let mut apply = |v: &[f64], out: &mut [f64]| {
        // B^T v = sqrt(pi) v - pi (sqrt(pi) . v), whose entries add to 0.
        let along = dot(&root, v);
        for ((x, r), v) in inner.iter_mut().zip(&root).zip(v) {
            *x = r * (v - r * along);
        }
        game.win_rates_into(&inner, &mut rates);
        let mean = dot(strategy, &rates);
        for ((out, r), rate) in out.iter_mut().zip(&root).zip(&rates) {
            *out = r * (rate - mean);
        }
    };
    // A start with no symmetry of its own, so that it meets the leading eigenvector.
    let mut v: Vec<f64> = (1..=n)
        .map(|i| (i as f64 * 0.618_033_988_749_894_9).fract() - 0.3)
        .collect();
    let (mut once, mut twice) = (vec![0.0; n], vec![0.0; n]);
    let mut previous = 0.0;
    for _ in 0..MAX_ITERATIONS {
        let norm = dot(&v, &v).sqrt();
        if norm == 0.0 {
            return 0.0;
        }
        v.iter_mut().for_each(|x| *x /= norm);
        apply(&v, &mut once);
        let quotient = dot(&once, &once);
        if (quotient - previous).abs() <= CONVERGED * quotient {
            return quotient;
        }
        previous = quotient;
        apply(&once, &mut twice);
        // K^T K v = -K K v.
        v.iter_mut().zip(&twice).for_each(|(v, t)| *v = -t);
    }
    previous
}

/// The smallest constant eta (INVERSE step size) with which INPO's exact iteration is attracted by
/// the regularised Nash policy `nash`: it is locally stable if and only if
///
/// ```text
/// eta > tau / 2 + s^2 / (2 tau)
/// ```
///
/// with s^2 of [`rotation_squared`]. Linearising the step at `nash` gives the eigenvalues
/// (1 - tau / eta) +- i s / eta, whose modulus is below 1 under that condition. Derived in this
/// project, not in the paper. Below it the iteration ends in a cycle. Infinite at tau = 0 unless
/// nothing rotates.
#[must_use]
pub fn stability_threshold<G: PreferenceGame + ?Sized>(game: &G, nash: &Strategy, tau: f64) -> f64 {
    let rotation = rotation_squared(game, nash);
    if tau == 0.0 {
        return if rotation < f64::EPSILON {
            0.0
        } else {
            f64::INFINITY
        };
    }
    tau / 2.0 + rotation / (2.0 * tau)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::games::cyclic_three;
    use crate::regularised_nash;

    /// The tables of docs/theory.md 11.2 and 11.3 give all digits of f64.
    const TABLE: f64 = 1e-12;

    #[test]
    fn the_thresholds_of_the_text() {
        let game = cyclic_three();
        let reference = Strategy::new(vec![0.25, 0.45, 0.30]).unwrap();
        for (reference, tau, squared, threshold) in [
            (
                Strategy::uniform(3),
                0.1,
                0.04387183084291667,
                0.26935915421458334,
            ),
            (
                Strategy::uniform(3),
                0.01,
                0.043639329252814454,
                2.1869664626407226,
            ),
            (reference, 0.2, 0.04195494045022535, 0.2048873511255634),
        ] {
            let nash = regularised_nash(&game, &reference, tau).unwrap();
            let got = rotation_squared(&game, &nash);
            assert!((got - squared).abs() < TABLE, "{got} is not {squared}");
            let got = stability_threshold(&game, &nash, tau);
            assert!(
                (got - threshold).abs() < 1e2 * TABLE,
                "{got} is not {threshold}"
            );
        }
    }

    #[test]
    fn nothing_rotates_around_a_pure_strategy() {
        let pure = Strategy::pure(3, 1);
        assert!(rotation_squared(&cyclic_three(), &pure) < 1e-30);
    }

    #[test]
    fn agrees_with_the_minors_on_four_actions() {
        // K is skew and S has rank 3, so K has rank 2: one rotation, and s^2 is the sum of the
        // principal 2x2 minors of P S. Transcribed from its definition.
        let game = crate::MatrixGame::new(vec![
            vec![0.5, 0.1, 0.8, 0.4],
            vec![0.9, 0.5, 0.1, 0.7],
            vec![0.2, 0.9, 0.5, 0.35],
            vec![0.6, 0.3, 0.65, 0.5],
        ])
        .unwrap();
        let pi = [0.1, 0.2, 0.3, 0.4];
        let entry = |i: usize, j: usize| {
            let mean: f64 = (0..4).map(|k| game.preference(i, k).get() * pi[k]).sum();
            (game.preference(i, j).get() - mean) * pi[j]
        };
        let mut minors = 0.0;
        for i in 0..4 {
            for j in i + 1..4 {
                minors += entry(i, i) * entry(j, j) - entry(i, j) * entry(j, i);
            }
        }
        let got = rotation_squared(&game, &Strategy::new(pi.to_vec()).unwrap());
        assert!((got - minors).abs() < TABLE, "{got} is not {minors}");
    }
}
