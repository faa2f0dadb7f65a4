//! Stored blocks as they are multiplied without unpacking them.

use half::f16;
use inpo_kernels::{BLOCK, BlockKind, BlockMatrix, QuantisedBlock};

use super::ElementType;
use super::blocks::scale_and_minimum;

impl ElementType {
    /// The matrix `[in, out]` whose rows, one for each output, lie in `bytes` one after the other; output `i` is row `row_of(i)`.
    /// None where the type, or a width that fills no blocks, is multiplied in f32 only.
    pub(crate) fn block_matrix(
        self,
        shape: [usize; 2],
        bytes: &[u8],
        row_of: impl Fn(usize) -> usize,
    ) -> Option<BlockMatrix> {
        let [input, output] = shape;
        let of_row = self.bytes_of(input)?;
        if !input.is_multiple_of(BLOCK) || bytes.len() != of_row.checked_mul(output)? {
            return None;
        }
        let row = |output| &bytes[row_of(output) * of_row..][..of_row];
        if self == Self::BF16 {
            let halves = (0..input * output).map(|place| {
                let number = &row(place / input)[place % input * 2..];
                u16::from_le_bytes([number[0], number[1]])
            });
            return Some(BlockMatrix::from_halves(shape, halves));
        }
        let kind = self.block_kind()?;
        let parts = self.block_len() / BLOCK;
        let count = input / BLOCK;
        let blocks = (0..count * output).map(|place| {
            let (output, block) = (place / count, place % count);
            let stored = &row(output)[block / parts * self.block_bytes()..];
            self.block(&stored[..self.block_bytes()], block % parts)
        });
        Some(BlockMatrix::new(kind, shape, blocks))
    }

    /// Whether a matrix of this type may be multiplied as it is.
    pub(crate) fn has_blocks(self) -> bool {
        self == Self::BF16 || self.block_kind().is_some()
    }

    /// The kind of blocks whose values are those of this type to the bit.
    fn block_kind(self) -> Option<BlockKind> {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q4K => Some(BlockKind::Nibbles),
            Self::Q5_0 | Self::Q8_0 => Some(BlockKind::Bytes),
            Self::Q5_1 | Self::Q5K => Some(BlockKind::OffsetBytes),
            Self::F32 | Self::F16 | Self::BF16 | Self::Q6K => None,
        }
    }

    /// The 32 numbers from `32 part` on of a stored block of a type that has a [kind](Self::block_kind).
    fn block(self, bytes: &[u8], part: usize) -> QuantisedBlock {
        let half = |at: usize| f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32();
        let d = half(0);
        let (scale, minimum, numbers) = match self {
            // d (q - 8) and d q - 8 d are both exact.
            Self::Q4_0 => (d, -8.0 * d, nibbles(&bytes[2..])),
            Self::Q4_1 => (d, half(2), nibbles(&bytes[4..])),
            Self::Q5_0 => {
                let numbers = five_bits(&bytes[2..6], &bytes[6..]);
                (d, 0.0, numbers.map(|q| q.wrapping_sub(16)))
            }
            Self::Q5_1 => (d, half(2), five_bits(&bytes[4..8], &bytes[8..])),
            Self::Q8_0 => (d, 0.0, std::array::from_fn(|i| bytes[2 + i])),
            Self::Q4K | Self::Q5K => {
                let (scale, minimum) = scale_and_minimum(&bytes[4..16], part);
                let fifth = (self == Self::Q5K).then(|| &bytes[16..48]);
                let packed = &bytes[self.block_bytes() - 128 + part / 2 * BLOCK..];
                let numbers = std::array::from_fn(|i| {
                    let low = packed[i] >> (part % 2 * 4) & 15;
                    low | fifth.map_or(0, |fifth| (fifth[i] >> part & 1) << 4)
                });
                (d * scale, -(half(2) * minimum), numbers)
            }
            Self::F32 | Self::F16 | Self::BF16 | Self::Q6K => unreachable!("it has no kind"),
        };
        QuantisedBlock {
            scale,
            minimum,
            numbers,
        }
    }
}

/// Byte `i` holds number `i` in its low half and number `i + 16` in its high half.
fn nibbles(packed: &[u8]) -> [u8; BLOCK] {
    std::array::from_fn(|i| packed[i % 16] >> (i / 16 * 4) & 15)
}

/// As [`nibbles`], with bit `i` of `fifth` as the fifth bit of number `i`.
fn five_bits(fifth: &[u8], packed: &[u8]) -> [u8; BLOCK] {
    let low = nibbles(packed);
    std::array::from_fn(|i| low[i] | (fifth[i / 8] >> (i % 8) & 1) << 4)
}
