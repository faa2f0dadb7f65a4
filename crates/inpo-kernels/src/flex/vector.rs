//! Loops over f32 slices with the machine's widest vector instructions, and the exponential they share.

use pulp::Arch;

use super::{FlexFloat, contiguous};

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

/// `e^x` for f32, good to 3e-7 relative on [-87.3, 88]; below it is `e^-87.3 = 1.2e-38`, above it `e^88`.
/// NaN stays NaN.
///
/// Cody and Waite's reduction `x = n ln 2 + r`, `|r| <= ln 2 / 2`, and a polynomial of degree 6 in `r`
/// (Cephes' `expf`). Plain arithmetic, so that loops over it are vectorised.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN2_HIGH: f32 = 0.693_359_4;
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
    p = p.mul_add(r, 5e-1);
    let value = (p * r).mul_add(r, r) + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    value * power
}

/// Writes `e^((x_i - max) * scale)` of each `x_i` to `out`, 0 where that is below `e^-87`, and returns the sum. No `x_i` is above
/// `max`.
#[inline(always)]
pub(crate) fn exponentials(x: &[f32], max: f32, scale: f32, out: &mut [f32]) -> f64 {
    for (out, &x) in out.iter_mut().zip(x) {
        let shifted = (x - max) * scale;
        let value = exp(shifted);
        *out = if shifted < -87.0 { 0.0 } else { value };
    }
    const LANES: usize = 16;
    let mut sums = [0.0_f64; LANES];
    let (chunks, rest) = out.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(value);
        }
    }
    let rest: f64 = rest.iter().map(|&value| f64::from(value)).sum();
    sums.iter().sum::<f64>() + rest
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `tanh x` for f32, good to 3e-7 relative. NaN stays NaN.
///
/// Up to 0.625 an odd polynomial (Cephes' `tanhf`), beyond it `1 - 2 / (e^(2|x|) + 1)` with x's sign.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let size = x.abs();
    let square = x * x;
    let mut p = -5.704_988_7e-3_f32;
    p = p.mul_add(square, 2.063_909e-2);
    p = p.mul_add(square, -5.373_971_6e-2);
    p = p.mul_add(square, 1.333_144_2e-1);
    p = p.mul_add(square, -3.333_328e-1);
    let near = (p * square).mul_add(x, x);
    let far = (1.0 - 2.0 / (exp(2.0 * size) + 1.0)).copysign(x);
    if size < 0.625 { near } else { far }
}

/// `sum a_i b_i`, with the terms spread over 32 f32 sums that are added in f64: for the widths of a
/// model as exact as its terms. The slices have equal lengths.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 32;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum = a.mul_add(b, *sum);
        }
    }
    let rest = a_rest.iter().zip(b_rest);
    let rest: f64 = rest.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() + rest
}

/// `tensor`'s values one after the other with nothing before or behind, so that they are its whole
/// `storage_mut`, which copies them first where somebody else holds the buffer.
pub(crate) fn owned(tensor: FlexFloat) -> FlexFloat {
    let contiguous = contiguous(&tensor);
    // The second handle would make the buffer look shared.
    drop(tensor);
    contiguous
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the f64 hyperbolic tangent, on both sides of the two branches' border, and at the edges.
    #[test]
    fn the_hyperbolic_tangent_is_that_of_f64() {
        let steps = 100_000;
        for i in 0..=steps {
            let x = -12.0 + 24.0 * i as f32 / steps as f32;
            let expected = f64::from(x).tanh();
            let error = (f64::from(tanh(x)) - expected).abs();
            assert!(error <= 3e-7 * expected.abs(), "{x}: off by {error}");
        }
        assert_eq!([tanh(1e30), tanh(-1e30), tanh(0.0)], [1.0, -1.0, 0.0]);
        assert!(tanh(f32::NAN).is_nan());
    }

    /// 70 terms: two whole groups of lanes and a rest. sum i (70 - i) = 70 * 69 * 71 / 6 = 57155.
    #[test]
    fn the_dot_product_takes_every_term() {
        let a: Vec<f32> = (0..70).map(|i| i as f32).collect();
        let b: Vec<f32> = (0..70).map(|i| 70.0 - i as f32).collect();
        assert_eq!(dot(&a, &b), 57_155.0);
        assert_eq!(dot(&[], &[]), 0.0);
    }

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
