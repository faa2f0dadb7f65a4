//! What drawing a token needs of a row of logits, on the host.

/// The largest of `logits`; `None` when one is NaN or plus infinity, or all are minus infinity.
pub fn largest(logits: &[f32]) -> Option<f32> {
    let (max, bad) = vectorised(
        #[inline(always)]
        || {
            let mut max = [f32::NEG_INFINITY; LANES];
            let mut bad = [false; LANES];
            let (chunks, rest) = logits.as_chunks::<LANES>();
            let mut see = |lane: usize, logit: f32| {
                bad[lane] |= logit.is_nan();
                max[lane] = if logit > max[lane] { logit } else { max[lane] };
            };
            for chunk in chunks {
                for (lane, &logit) in chunk.iter().enumerate() {
                    see(lane, logit);
                }
            }
            for (lane, &logit) in rest.iter().enumerate() {
                see(lane, logit);
            }
            let max = max.into_iter().fold(f32::NEG_INFINITY, f32::max);
            (max, bad.contains(&true))
        },
    );
    (!bad && max.is_finite()).then_some(max)
}

/// Replaces `weights` with `exp((x_i - max) * scale)` of each logit and returns the sum of each run of [`RUN`] of them. What is below
/// `e^-87` is 0, minus infinity among it.
pub fn exponentials(logits: &[f32], max: f32, scale: f32, weights: &mut Vec<f32>) -> Vec<f64> {
    weights.clear();
    weights.resize(logits.len(), 0.0);
    let runs = weights.chunks_mut(RUN).zip(logits.chunks(RUN));
    runs.map(|(weights, logits)| {
        vectorised(
            #[inline(always)]
            || sum_of_exponentials(logits, max, scale, weights),
        )
    })
    .collect()
}

/// Weights that are summed together.
pub const RUN: usize = 256;

const LANES: usize = 16;

#[cfg(feature = "flex")]
use crate::flex::vector::{exponentials as sum_of_exponentials, vectorised};

#[cfg(not(feature = "flex"))]
fn sum_of_exponentials(x: &[f32], max: f32, scale: f32, out: &mut [f32]) -> f64 {
    for (out, &x) in out.iter_mut().zip(x) {
        let shifted = (x - max) * scale;
        *out = if shifted < -87.0 { 0.0 } else { shifted.exp() };
    }
    out.iter().map(|&value| f64::from(value)).sum()
}

#[cfg(not(feature = "flex"))]
fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    body()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_logit_is_finite_or_none() {
        let mut logits: Vec<f32> = (0..100).map(|i| ((i * 37) % 100) as f32 - 50.0).collect();
        assert_eq!(largest(&logits), Some(49.0));
        logits[3] = f32::NEG_INFINITY;
        assert_eq!(largest(&logits), Some(49.0));
        for (place, bad) in [(0, f32::NAN), (99, f32::NAN), (50, f32::INFINITY)] {
            let mut logits = logits.clone();
            logits[place] = bad;
            assert_eq!(largest(&logits), None, "{bad} at {place}");
        }
        assert_eq!(largest(&[f32::NEG_INFINITY; 40]), None);
        assert_eq!(largest(&[]), None);
    }

    /// 600 logits, two runs and a rest, against f64; minus infinity weighs nothing.
    #[test]
    fn weights_are_exponentials_and_their_sums() {
        let mut logits: Vec<f32> = (0..600).map(|i| ((i * 37) % 601) as f32 / 20.0).collect();
        logits[17] = f32::NEG_INFINITY;
        let (max, scale) = (largest(&logits).unwrap(), 0.7);
        let mut weights = vec![1.0; 3];
        let sums = exponentials(&logits, max, scale, &mut weights);
        let exact = |&x: &f32| (f64::from(x - max) * f64::from(scale)).exp();
        let expected: Vec<f64> = logits.iter().map(exact).collect();
        for (weight, expected) in weights.iter().zip(&expected) {
            assert!((f64::from(*weight) - expected).abs() <= 1e-6 * expected);
        }
        assert_eq!(weights[17], 0.0);
        assert_eq!(sums.len(), 3);
        for (sum, expected) in sums.iter().zip(expected.chunks(RUN)) {
            let expected: f64 = expected.iter().sum();
            assert!((sum - expected).abs() < 1e-6 * expected);
        }
    }
}
