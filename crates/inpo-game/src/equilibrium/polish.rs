//! A Nash policy to rounding, and whether it is the only one, once its support is known.

use crate::linalg::{Lu, dot};

/// A ridge is added to the diagonal, in units of the largest |A_ij|: it lets a singular system
/// through, and its effect vanishes over the corrections. It moves the solution by rounding / ridge
/// along the kernel, so this small one is for systems that have none.
pub(super) const FINE: f64 = 1e-10;

/// The ridge for systems with a kernel.
pub(super) const COARSE: f64 = 1e-6;

const CORRECTIONS: usize = 6;

/// The conditions of a Nash policy x on its support S, with A = P - 1/2 there:
///
/// ```text
/// [  A    1 ] [ x ]   [ 0 ]
/// [ -1^T  0 ] [ v ] = [ -1 ]
/// ```
///
/// The matrix K is skew-symmetric. It is regular exactly if there is one x with A x = 0 and
/// sum x = 1: if K (d, v) = 0 then 0 = x^T (A d + v 1) = v, so A d = 0 and sum d = 0.
pub(super) struct SupportSystem {
    /// k + 1 rows and columns, in units of the largest |A_ij|.
    matrix: Vec<f64>,
    size: usize,
    factors: Option<Lu>,
}

impl SupportSystem {
    /// `skew` is A on the support, k x k in row-major order.
    pub(super) fn new(skew: &[f64], k: usize, ridge: f64) -> Self {
        let largest = skew.iter().fold(0.0_f64, |most, a| most.max(a.abs()));
        let scale = if largest > 0.0 { largest } else { 1.0 };
        let size = k + 1;
        let mut matrix = vec![1.0; size * size];
        for (i, row) in matrix.chunks_exact_mut(size).take(k).enumerate() {
            let payoffs = &skew[i * k..(i + 1) * k];
            row.iter_mut()
                .zip(payoffs)
                .for_each(|(m, a)| *m = a / scale);
        }
        matrix[k * size..].fill(-1.0);
        matrix[k * size + k] = 0.0;
        let mut shifted = matrix.clone();
        (0..size).for_each(|i| shifted[i * size + i] += ridge);
        Self {
            factors: Lu::new(shifted, size),
            matrix,
            size,
        }
    }

    /// The solution nearest to `start`: each correction solves (K + ridge) d = miss, which leaves
    /// the kernel of K alone but for rounding / ridge, and shrinks the miss elsewhere by ridge / sigma.
    pub(super) fn solve(&self, start: &[f64]) -> Option<Vec<f64>> {
        let factors = self.factors.as_ref()?;
        let mut unknown = start.to_vec();
        unknown.push(0.0);
        for _ in 0..CORRECTIONS {
            let rows = self.matrix.chunks_exact(self.size);
            let mut miss: Vec<f64> = rows.map(|row| -dot(row, &unknown)).collect();
            miss[self.size - 1] -= 1.0;
            factors.solve(&mut miss);
            unknown.iter_mut().zip(&miss).for_each(|(u, d)| *u += d);
        }
        unknown.pop();
        unknown.iter().all(|x| x.is_finite()).then_some(unknown)
    }

    /// The smallest singular value of K, in units of the largest |A_ij|, but not below the ridge:
    /// how far the nearest game is in which the support has more than one Nash policy. By inverse
    /// iteration: K is normal, so the growth of a vector tends to 1 / sigma.
    pub(super) fn smallest_singular_value(&self) -> f64 {
        const ITERATIONS: usize = 12;

        let Some(factors) = &self.factors else {
            return 0.0;
        };
        // No symmetry of its own, so that it meets every direction.
        let mut v: Vec<f64> = (1..=self.size)
            .map(|i| (i as f64 * 0.618_033_988_749_894_9).fract() - 0.3)
            .collect();
        let mut growth = 0.0_f64;
        for _ in 0..ITERATIONS {
            let norm = dot(&v, &v).sqrt();
            v.iter_mut().for_each(|x| *x /= norm);
            factors.solve(&mut v);
            growth = growth.max(dot(&v, &v).sqrt());
        }
        1.0 / growth
    }
}
