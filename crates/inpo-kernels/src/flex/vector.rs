//! Loops over f32 slices with the machine's widest vector instructions, and the exponential they share.

use pulp::Arch;
use rayon::prelude::*;

/// Values of one part of a loop that is split among threads: enough to pay for the hand-over, small
/// enough for a core's cache.
pub(crate) const PART: usize = 16 * 1024;

/// Runs `body` compiled for the widest vector instructions that this machine has.
///
/// `body` and all it calls must be `#[inline(always)]` closures or functions for that to matter: the
/// compiler then vectorises their loops.
#[inline(always)]
pub(crate) fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    struct Body<F>(F);
    impl<R, F: FnOnce() -> R> pulp::NullaryFnOnce for Body<F> {
        type Output = R;
        #[inline(always)]
        fn call(self) -> R {
            self.0()
        }
    }
    Arch::new().dispatch(Body(body))
}

/// Rows per part for rows of `width` values.
pub(crate) fn rows_per_part(width: usize) -> usize {
    (PART / width.max(1)).max(1)
}

/// Splits `out` into parts of whole rows of `width` values among the threads and calls `body` with
/// the first row's number and the part, in vector instructions.
pub(crate) fn for_rows(out: &mut [f32], width: usize, body: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = rows_per_part(width);
    out.par_chunks_mut(rows * width.max(1))
        .enumerate()
        .for_each(|(part, values)| vectorised(|| body(part * rows, values)));
}

/// `e^x` for f32, good to 2 units in the last place on [-87.3, 88.7]; below it is the smallest
/// normal number or 0, above it the largest finite number's neighbourhood. NaN stays NaN.
///
/// Cody and Waite's reduction `x = n ln 2 + r`, `|r| <= ln 2 / 2`, and a polynomial of degree 6 in `r`
/// (Cephes' `expf`). Plain arithmetic, so that loops over it are vectorised.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN2_HIGH: f32 = 0.693_359_375;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > 88.0 { 88.0 } else { x };
    let x = if x < -87.3 { -87.3 } else { x };
    let shifted = x.mul_add(LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_HIGH, x);
    let r = n.mul_add(-LN2_LOW, r);
    let mut p = 1.987_569_1e-4_f32;
    p = p.mul_add(r, 1.398_2e-3);
    p = p.mul_add(r, 8.333_452e-3);
    p = p.mul_add(r, 4.166_579_6e-2);
    p = p.mul_add(r, 1.666_666_5e-1);
    p = p.mul_add(r, 5.000_000_1e-1);
    let value = (p * r).mul_add(r, r) + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    value * power
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the f64 exponential over the whole range, and at the edges.
    #[test]
    fn the_exponential_is_that_of_f64() {
        let steps = 200_000;
        for i in 0..=steps {
            let x = -87.0 + 175.0 * i as f32 / steps as f32;
            let expected = f64::from(x).exp();
            let got = f64::from(exp(x));
            assert!(
                (got - expected).abs() <= 3e-7 * expected,
                "{x}: {got}, {expected}"
            );
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(1000.0).is_finite());
    }
}
