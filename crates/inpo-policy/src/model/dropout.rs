//! Masks of dropout, drawn on the host.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

/// The key of the dropout masks of one pass, one layer or one projection: the same key gives the same mask, so
/// that a pass computed twice is the same twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DropoutKey(u64);

/// Values of a mask that one thread draws.
const PART: usize = 1 << 16;

impl DropoutKey {
    pub(super) fn new(key: u64) -> Self {
        Self(splitmix64(key))
    }

    /// The key of part `index`.
    pub(super) fn part(self, index: usize) -> Self {
        Self(splitmix64(self.0 ^ splitmix64(index as u64)))
    }

    /// Draws a mask of the shape of `x`: 0 with probability `rate`, else `1 / (1 - rate)`, so that the mean of
    /// what it multiplies stays.
    pub(super) fn mask(self, x: &Tensor<2>, rate: f64) -> Tensor<2> {
        let [rows, columns] = x.dims();
        let kept = (1.0 / (1.0 - rate)) as f32;
        let mut mask = vec![0.0_f32; rows * columns];
        mask.par_chunks_mut(PART)
            .enumerate()
            .for_each(|(part, values)| {
                let base = (part * PART) as u64;
                for (value, count) in values.iter_mut().zip(base..) {
                    let uniform = (splitmix64(self.0.wrapping_add(count)) >> 11) as f64
                        / (1_u64 << 53) as f64;
                    *value = if uniform < rate { 0.0 } else { kept };
                }
            });
        let device = x.device().without_autodiff();
        Tensor::from_data(TensorData::new(mask, [rows, columns]), (&device, x.dtype()))
    }
}

/// A step of SplitMix64 (Steele, Lea and Flood 2014): its counter and its output function.
fn splitmix64(counter: u64) -> u64 {
    let mut z = counter.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    /// A quarter is dropped within five standard errors, sqrt(0.25 * 0.75 / 200000) = 0.00097, the rest is
    /// 4/3; the same key draws the same, another one another.
    #[test]
    fn a_mask_keeps_the_mean_and_belongs_to_its_key() {
        let x = Tensor::<2>::zeros([500, 400], &Device::flex());
        let draw = |key: DropoutKey| {
            let mask = key.mask(&x, 0.25);
            mask.try_into_vec_as::<f32>().unwrap()
        };
        let key = DropoutKey::new(7).part(3);
        let mask = draw(key);
        let dropped = mask.iter().filter(|&&m| m == 0.0).count() as f64 / 200_000.0;
        assert!((dropped - 0.25).abs() < 0.005, "{dropped}");
        assert!(mask.iter().all(|&m| m == 0.0 || m == 4.0 / 3.0));
        assert_eq!(mask, draw(key));
        assert_ne!(mask, draw(DropoutKey::new(7).part(4)));
        assert_ne!(mask, draw(DropoutKey::new(8).part(3)));
    }
}
