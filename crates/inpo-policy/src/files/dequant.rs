//! Element types and their conversion to `f32`.
//!
//! The quantised types are those of ggml: blocks of 32 weights with an f16 scale `d` and, for the
//! types that end in 1, an f16 minimum `m`; and "K" blocks of 256 weights with scales of their own
//! for each 16 or 32. All numbers are little endian.

use half::{bf16, f16};
use rayon::prelude::*;

pub use stored::StoredMatrix;

mod blocks;
mod stored;
#[cfg(test)]
mod tests;

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
    /// Blocks of 22 bytes: `d`, 4 bytes of fifth bits, 16 bytes of nibbles; value `d (q - 16)`.
    Q5_0,
    /// Blocks of 24 bytes: `d`, `m`, 4 bytes of fifth bits, 16 bytes of nibbles; value `d q + m`.
    Q5_1,
    /// Blocks of 34 bytes: `d`, 32 signed bytes; value `d q`.
    Q8_0,
    /// Blocks of 144 bytes for 256 values: `d`, `m`, 12 bytes of 6-bit scales and minima, one pair
    /// for each 32 values, 128 bytes of nibbles; value `d s q - m t`.
    Q4K,
    /// Blocks of 176 bytes for 256 values: as [`ElementType::Q4K`], with 32 bytes of fifth bits.
    Q5K,
    /// Blocks of 210 bytes for 256 values: 128 bytes of nibbles, 64 bytes of the two bits above, 16
    /// signed scales, one for each 16 values, `d`; value `d s (q - 32)`.
    Q6K,
}

/// Blocks that one task converts: large enough to be worth a task, small enough that what all tasks
/// hold at once is nothing beside a model.
const VALUES_PER_TASK: usize = 1 << 17;

impl ElementType {
    /// The values of a block.
    #[must_use]
    pub fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
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
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 2 + 2 + 4 + 16,
            Self::Q8_0 => 2 + 32,
            Self::Q4K => 2 + 2 + 12 + 128,
            Self::Q5K => 2 + 2 + 12 + 32 + 128,
            Self::Q6K => 128 + 64 + 16 + 2,
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
        let count = bytes.len() / self.block_bytes() * self.block_len();
        let read = |at: usize, len: usize| Ok::<_, std::convert::Infallible>(&bytes[at..at + len]);
        let Ok(values) = self.dequantise_pieces(count, read);
        values
    }

    /// `count` values, whole blocks of them, whose bytes `read(at, len)` gives, piece by piece and in
    /// parallel: no more than a piece for each thread is held beside the values.
    ///
    /// # Errors
    /// The first that `read` returns.
    pub(crate) fn dequantise_pieces<B: AsRef<[u8]>, E: Send>(
        self,
        count: usize,
        read: impl Fn(usize, usize) -> Result<B, E> + Sync,
    ) -> Result<Vec<f32>, E> {
        let blocks = VALUES_PER_TASK / self.block_len();
        let mut values = vec![0.0; count / self.block_len() * self.block_len()];
        values
            .par_chunks_mut(blocks * self.block_len())
            .enumerate()
            .try_for_each(|(piece, values)| {
                let len = values.len() / self.block_len() * self.block_bytes();
                let bytes = read(piece * blocks * self.block_bytes(), len)?;
                self.convert(bytes.as_ref(), values);
                Ok(())
            })?;
        Ok(values)
    }

    fn convert(self, bytes: &[u8], values: &mut [f32]) {
        let pairs = values
            .chunks_exact_mut(self.block_len())
            .zip(bytes.chunks_exact(self.block_bytes()));
        match self {
            Self::F32 => {
                pairs.for_each(|(v, b)| v[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            }
            Self::F16 => pairs.for_each(|(v, b)| v[0] = f16::from_le_bytes([b[0], b[1]]).to_f32()),
            Self::BF16 => {
                pairs.for_each(|(v, b)| v[0] = bf16::from_le_bytes([b[0], b[1]]).to_f32())
            }
            Self::Q4_0 => pairs.for_each(|(v, b)| blocks::q4_0(b, v)),
            Self::Q4_1 => pairs.for_each(|(v, b)| blocks::q4_1(b, v)),
            Self::Q5_0 => pairs.for_each(|(v, b)| blocks::q5_0(b, v)),
            Self::Q5_1 => pairs.for_each(|(v, b)| blocks::q5_1(b, v)),
            Self::Q8_0 => pairs.for_each(|(v, b)| blocks::q8_0(b, v)),
            Self::Q4K => pairs.for_each(|(v, b)| blocks::q4_k(b, v)),
            Self::Q5K => pairs.for_each(|(v, b)| blocks::q5_k(b, v)),
            Self::Q6K => pairs.for_each(|(v, b)| blocks::q6_k(b, v)),
        }
    }
}

/// Finds the first value that is not a finite number.
#[must_use]
pub(crate) fn first_not_finite(values: &[f32]) -> Option<usize> {
    values
        .par_chunks(VALUES_PER_TASK)
        .enumerate()
        .find_map_first(|(piece, values)| {
            let at = values.iter().position(|v| !v.is_finite())?;
            Some(piece * VALUES_PER_TASK + at)
        })
}
