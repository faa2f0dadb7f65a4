//! The softmax of one row of logits whose words arrive in blocks.

use crate::flex::vector::{exp, tanh};

/// f32 sums and maxima of a row are kept in this many lanes.
const LANES: usize = 32;
/// Words this far below the largest logit count as impossible: e^-80 is 2e-35. The exponential would not
/// get smaller than the smallest normal number, and its products with weights would be denormal and slow.
const IMPOSSIBLE: f32 = -80.0;

/// Largest logit and sum so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    largest: f32,
    /// `sum e^(l - largest)` over all words but the chosen one, so that the chosen word's `1 - p` is
    /// exact also where `p` is nearly 1.
    others: f64,
    chosen: f32,
}

impl Running {
    pub(super) fn new() -> Self {
        Self {
            largest: f32::NEG_INFINITY,
            others: 0.0,
            chosen: f32::NEG_INFINITY,
        }
    }

    /// Takes the next block of logits, `target` being the chosen word's place in it, and writes
    /// `e^(l - largest) dl/dz` over them, 0 for the chosen word. Returns the factor that brings earlier
    /// blocks' exponentials to the new largest logit.
    #[inline(always)]
    pub(super) fn advance(
        &mut self,
        row: &mut [f32],
        target: Option<usize>,
        softcap: Option<f32>,
    ) -> f32 {
        if let Some(cap) = softcap {
            let inverse = 1.0 / cap;
            row.iter_mut().for_each(|z| *z = cap * tanh(*z * inverse));
        }
        if let Some(target) = target {
            self.chosen = row[target];
        }
        let largest = maximum(row, self.largest);
        let mut scale = 1.0;
        if largest > self.largest {
            scale = f64::from(self.largest - largest).exp() as f32;
            self.others *= f64::from(self.largest - largest).exp();
            self.largest = largest;
        }
        if let Some(target) = target {
            row[target] = f32::NEG_INFINITY;
        }
        // A block of impossible words alone must not become NaN.
        let shift = if largest == f32::NEG_INFINITY {
            0.0
        } else {
            largest
        };
        self.others += match softcap {
            None => exponentials(
                row,
                shift,
                #[inline(always)]
                |_| 1.0,
            ),
            Some(cap) => {
                let inverse = 1.0 / cap;
                exponentials(
                    row,
                    shift,
                    #[inline(always)]
                    |l| slope(l * inverse),
                )
            }
        };
        if let Some(target) = target {
            row[target] = 0.0;
        }
        scale
    }

    /// Log-prob of the chosen word and logsumexp.
    pub(super) fn finish(&self) -> (f64, f64) {
        let below = f64::from(self.chosen) - f64::from(self.largest);
        let own = below.exp();
        let total = (self.others + own).ln();
        // A likely word's log-prob without cancellation, an unlikely one's without underflow.
        let logp = if own > self.others {
            -(self.others / own).ln_1p()
        } else {
            below - total
        };
        (logp, f64::from(self.largest) + total)
    }

    /// What a direction is made of: the factor of the sum over the other words, and that of the chosen
    /// word's weight, `(1 - p) dl/dz`.
    pub(super) fn coefficients(&self, softcap: Option<f32>) -> (f32, f32) {
        let own = (f64::from(self.chosen) - f64::from(self.largest)).exp();
        let total = self.others + own;
        let slope = softcap.map_or(1.0, |cap| slope(self.chosen / cap));
        let chosen = (self.others / total) as f32 * slope;
        ((1.0 / total) as f32, chosen)
    }
}

/// Writes `coefficient d log p / dz` over a block of logits, `(logp, logsumexp)` being the row's.
#[inline(always)]
pub(super) fn slopes(
    row: &mut [f32],
    target: Option<usize>,
    softcap: Option<f32>,
    (logp, logsumexp): (f64, f64),
    coefficient: f64,
) {
    // e^(l - logsumexp) with the part of logsumexp that f32 cannot hold as a factor.
    let shift = logsumexp as f32;
    let scale = (-coefficient * (f64::from(shift) - logsumexp).exp()) as f32;
    let own = (coefficient * -logp.exp_m1()) as f32;
    let mut chosen = own;
    match softcap {
        None => {
            for l in row.iter_mut() {
                *l = scale * exponential(*l - shift);
            }
        }
        Some(cap) => {
            let inverse = 1.0 / cap;
            if let Some(target) = target {
                chosen *= slope(tanh(row[target] * inverse));
            }
            for z in row.iter_mut() {
                let ratio = tanh(*z * inverse);
                *z = scale * exponential(cap * ratio - shift) * slope(ratio);
            }
        }
    }
    if let Some(target) = target {
        row[target] = chosen;
    }
}

/// `dl/dz = 1 - (l / cap)^2`, given `l / cap`.
#[inline(always)]
fn slope(ratio: f32) -> f32 {
    1.0 - ratio * ratio
}

/// `e^x`, 0 where that is [`IMPOSSIBLE`].
#[inline(always)]
fn exponential(x: f32) -> f32 {
    if x < IMPOSSIBLE { 0.0 } else { exp(x) }
}

#[inline(always)]
fn maximum(row: &[f32], start: f32) -> f32 {
    #[inline(always)]
    fn larger(a: f32, b: f32) -> f32 {
        if b > a { b } else { a }
    }
    let (groups, rest) = row.as_chunks::<LANES>();
    let mut lanes = [start; LANES];
    for group in groups {
        for (lane, &value) in lanes.iter_mut().zip(group) {
            *lane = larger(*lane, value);
        }
    }
    lanes.iter().chain(rest).copied().fold(start, larger)
}

/// Writes `e^(l - shift) factor(l)` over each value and returns the sum of the exponentials: in f32 lanes
/// over this block, which is short, in f64 over the lanes.
#[inline(always)]
fn exponentials(row: &mut [f32], shift: f32, factor: impl Fn(f32) -> f32) -> f64 {
    let (groups, rest) = row.as_chunks_mut::<LANES>();
    let mut lanes = [0.0_f32; LANES];
    for group in groups {
        for (lane, value) in lanes.iter_mut().zip(group) {
            let e = exponential(*value - shift);
            *lane += e;
            *value = e * factor(*value);
        }
    }
    let mut sum: f64 = lanes.iter().map(|&lane| f64::from(lane)).sum();
    for value in rest {
        let e = exponential(*value - shift);
        sum += f64::from(e);
        *value = e * factor(*value);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row in blocks of any size, and the chosen word in any of them, is the row at once:
    /// logits 0, 1, .., 6, whose logsumexp is 6 + ln((1 - e^-7) / (1 - e^-1)) = 6.457762847082...
    #[test]
    fn blocks_are_the_whole_row() {
        let row = [0.0_f32, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let logsumexp = 6.0 + ((1.0 - (-7.0_f64).exp()) / (1.0 - (-1.0_f64).exp())).ln();
        for size in 1..=7 {
            for target in 0..7_usize {
                let mut running = Running::new();
                for (block, values) in row.chunks(size).enumerate() {
                    let mut values = values.to_vec();
                    let place = target
                        .checked_sub(block * size)
                        .filter(|&p| p < values.len());
                    running.advance(&mut values, place, None);
                }
                let (logp, sum) = running.finish();
                assert!((sum - logsumexp).abs() < 1e-6, "{sum}");
                let expected = target as f64 - logsumexp;
                assert!((logp - expected).abs() < 1e-6, "{logp}, {expected}");
            }
        }
    }

    /// The scale brings earlier exponentials to the new largest logit: e^(1 - 3).
    #[test]
    fn a_larger_block_scales_earlier_ones_down() {
        let mut running = Running::new();
        assert_eq!(running.advance(&mut [1.0, 0.0], Some(1), None), 0.0);
        let mut block = [3.0, 2.0];
        let scale = running.advance(&mut block, None, None);
        assert!((f64::from(scale) - (-2.0_f64).exp()).abs() < 1e-7);
        assert_eq!(block[0], 1.0);
        assert!((f64::from(block[1]) - (-1.0_f64).exp()).abs() < 1e-7);
        assert_eq!(running.advance(&mut [-5.0], None, None), 1.0);
    }

    /// A block of words that cannot be chosen at all, before two that are equally likely.
    #[test]
    fn impossible_words_count_nothing() {
        let mut running = Running::new();
        running.advance(&mut [f32::NEG_INFINITY; 3], None, None);
        running.advance(&mut [7.0, 7.0], Some(0), None);
        let (logp, logsumexp) = running.finish();
        assert!((logp + std::f64::consts::LN_2).abs() < 1e-12);
        assert!((logsumexp - 7.0 - std::f64::consts::LN_2).abs() < 1e-12);
    }
}
