//! Element types and their conversion to `f32`.
//!
//! The quantised types are those of ggml: blocks of 32 weights with an f16 scale `d`, and for
//! `Q4_1` an f16 minimum `m`. Nibble `j` of byte `i` is weight `i` for the low half and `i + 16`
//! for the high half of the byte. All numbers are little endian.

use half::{bf16, f16};
use rayon::prelude::*;

/// How the values of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// 4 bytes a value.
    F32,
    /// 2 bytes a value, IEEE half precision.
    F16,
    /// 2 bytes a value, the upper half of an `f32`.
    BF16,
    /// Blocks of 18 bytes: `d`, 16 bytes of nibbles; value `d (q - 8)`.
    Q4_0,
    /// Blocks of 20 bytes: `d`, `m`, 16 bytes of nibbles; value `d q + m`.
    Q4_1,
    /// Blocks of 34 bytes: `d`, 32 signed bytes; value `d q`.
    Q8_0,
}

impl ElementType {
    /// The values of a block.
    #[must_use]
    pub fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q8_0 => 32,
        }
    }

    /// The bytes of a block.
    #[must_use]
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 2 + 2 + 16,
            Self::Q8_0 => 2 + 32,
        }
    }

    /// The bytes of `values` values; `None` when they do not fill whole blocks or overflow.
    #[must_use]
    pub fn bytes_of(self, values: usize) -> Option<usize> {
        if !values.is_multiple_of(self.block_len()) {
            return None;
        }
        (values / self.block_len()).checked_mul(self.block_bytes())
    }

    /// The values stored in `bytes`, which must be whole blocks; a rest is left out.
    #[must_use]
    pub fn dequantise(self, bytes: &[u8]) -> Vec<f32> {
        /// Blocks that one task converts: large enough to be worth a task.
        const BLOCKS: usize = 4096;
        let blocks = bytes.len() / self.block_bytes();
        let mut values = vec![0.0; blocks * self.block_len()];
        values
            .par_chunks_mut(BLOCKS * self.block_len())
            .zip(bytes.par_chunks(BLOCKS * self.block_bytes()))
            .for_each(|(values, bytes)| self.convert(bytes, values));
        values
    }

    fn convert(self, bytes: &[u8], values: &mut [f32]) {
        let blocks = bytes.chunks_exact(self.block_bytes());
        match self {
            Self::F32 => {
                for (value, b) in values.iter_mut().zip(blocks) {
                    *value = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                }
            }
            Self::F16 => {
                for (value, b) in values.iter_mut().zip(blocks) {
                    *value = half_at(b, 0);
                }
            }
            Self::BF16 => {
                for (value, b) in values.iter_mut().zip(blocks) {
                    *value = bf16::from_le_bytes([b[0], b[1]]).to_f32();
                }
            }
            Self::Q4_0 => {
                for (out, b) in values.chunks_exact_mut(32).zip(blocks) {
                    let d = half_at(b, 0);
                    nibbles(&b[2..], out, |q| d * (q - 8.0));
                }
            }
            Self::Q4_1 => {
                for (out, b) in values.chunks_exact_mut(32).zip(blocks) {
                    let (d, m) = (half_at(b, 0), half_at(b, 2));
                    nibbles(&b[4..], out, |q| d * q + m);
                }
            }
            Self::Q8_0 => {
                for (out, b) in values.chunks_exact_mut(32).zip(blocks) {
                    let d = half_at(b, 0);
                    for (value, byte) in out.iter_mut().zip(&b[2..]) {
                        *value = d * f32::from(byte.cast_signed());
                    }
                }
            }
        }
    }
}

fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

fn nibbles(packed: &[u8], out: &mut [f32], value: impl Fn(f32) -> f32) {
    let (low, high) = out.split_at_mut(16);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(packed) {
        *low = value(f32::from(byte & 15));
        *high = value(f32::from(byte >> 4));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Binary16: 0.5 is sign 0, exponent 14, so 14 << 10 = 0x3800; 2.0 is 0x4000; -1.5 is 0xbe00.
    const HALF: [u8; 2] = [0x00, 0x38];
    const TWO: [u8; 2] = [0x00, 0x40];
    const MINUS_ONE_AND_A_HALF: [u8; 2] = [0x00, 0xbe];

    #[test]
    fn floats() {
        assert_eq!(ElementType::F32.dequantise(&1.5f32.to_le_bytes()), [1.5]);
        assert_eq!(
            ElementType::F16.dequantise(&[HALF, MINUS_ONE_AND_A_HALF].concat()),
            [0.5, -1.5]
        );
        // The upper half of the f32 1.0 = 0x3f800000 is 0x3f80; of -2.0 = 0xc0000000 it is 0xc000.
        assert_eq!(
            ElementType::BF16.dequantise(&[0x80, 0x3f, 0x00, 0xc0]),
            [1.0, -2.0]
        );
    }

    #[test]
    fn q8_0_is_scale_times_signed_byte() {
        let mut block = HALF.to_vec();
        block.extend([3, 0xff, 0x80]); // 3, -1, -128
        block.extend([0; 29]);
        let values = ElementType::Q8_0.dequantise(&block);
        assert_eq!(values[..4], [1.5, -0.5, -64.0, 0.0]);
        assert_eq!(values.len(), 32);
    }

    #[test]
    fn q4_0_is_scale_times_nibble_less_eight() {
        let mut block = TWO.to_vec();
        block.push(0xf0); // weight 0: 0, weight 16: 15
        block.push(0x19); // weight 1: 9, weight 17: 1
        block.extend([0x88; 14]); // all others 8
        let values = ElementType::Q4_0.dequantise(&block);
        assert_eq!(values[..3], [-16.0, 2.0, 0.0]); // 2 (0 - 8), 2 (9 - 8), 2 (8 - 8)
        assert_eq!(values[16..19], [14.0, -14.0, 0.0]); // 2 (15 - 8), 2 (1 - 8)
    }

    #[test]
    fn q4_1_is_scale_times_nibble_plus_minimum() {
        let mut block = [HALF, MINUS_ONE_AND_A_HALF].concat();
        block.push(0xf0); // weight 0: 0, weight 16: 15
        block.push(0x19); // weight 1: 9, weight 17: 1
        block.extend([0x33; 14]); // all others 3
        let values = ElementType::Q4_1.dequantise(&block);
        assert_eq!(values[..3], [-1.5, 3.0, 0.0]); // 0.5 q - 1.5 at 0, 9, 3
        assert_eq!(values[16..19], [6.0, -1.0, 0.0]); // at 15, 1, 3
    }

    #[test]
    fn many_blocks_are_converted_in_order() {
        let bytes: Vec<u8> = (0..10_000u32)
            .flat_map(|i| (i as f32).to_le_bytes())
            .collect();
        let expected: Vec<f32> = (0..10_000u32).map(|i| i as f32).collect();
        assert_eq!(ElementType::F32.dequantise(&bytes), expected);
    }

    #[test]
    fn sizes_are_whole_blocks() {
        // 576 values of Q4_1 are 18 blocks of 20 bytes.
        assert_eq!(ElementType::Q4_1.bytes_of(576), Some(360));
        assert_eq!(ElementType::Q4_1.bytes_of(570), None);
        assert_eq!(ElementType::F32.bytes_of(usize::MAX), None);
    }
}
