//! Matrices as their file stores them, for products that do not need the values in f32.

use half::f16;
use inpo_kernels::{BLOCK, BlockKind, QuantisedBlock};

use super::ElementType;
use super::blocks::scale_and_minimum;

/// A matrix in the quantised blocks or bf16 numbers of its file: the bytes as they are there, read block by block.
///
/// The values are those of [`ElementType::dequantise`], to the bit.
#[derive(Clone, Debug)]
pub struct StoredMatrix {
    element: ElementType,
    kind: BlockKind,
    shape: [usize; 2],
    bytes: Vec<u8>,
    /// Row `i` of the matrix is row `order[i]` of the bytes; in their own order where it is none.
    order: Option<Vec<usize>>,
}

impl StoredMatrix {
    /// The matrix of `shape`, `[out, in]`, whose rows lie in `bytes` one after the other. None where the type has
    /// no [`BlockKind`], the width fills no blocks of 32, or there are more or fewer bytes.
    #[must_use]
    pub fn new(element: ElementType, shape: [usize; 2], bytes: Vec<u8>) -> Option<Self> {
        let kind = element.block_kind()?;
        let [output, input] = shape;
        let whole = element.bytes_of(input)?.checked_mul(output)?;
        (input.is_multiple_of(BLOCK) && bytes.len() == whole).then_some(Self {
            element,
            kind,
            shape,
            bytes,
            order: None,
        })
    }

    /// This matrix with its rows in another order: row `i` is row `order[i]` of the bytes.
    #[must_use]
    pub(crate) fn with_order(self, order: Vec<usize>) -> Self {
        let order = Some(order);
        Self { order, ..self }
    }

    /// How the numbers are stored.
    #[must_use]
    pub fn kind(&self) -> BlockKind {
        self.kind
    }

    /// `[out, in]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// The quantised blocks, row after row.
    ///
    /// # Panics
    ///
    /// If the kind is [`BlockKind::Bf16`].
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = QuantisedBlock> {
        assert!(self.kind != BlockKind::Bf16, "bf16 numbers are no blocks");
        let [output, input] = self.shape;
        let (count, size) = (input / BLOCK, self.element.block_bytes());
        let parts = self.element.block_len() / BLOCK;
        (0..count * output).map(move |place| {
            let block = place % count;
            let stored = &self.row(place / count)[block / parts * size..][..size];
            self.element.block(stored, block % parts)
        })
    }

    /// The bits of the bf16 numbers, row after row.
    ///
    /// # Panics
    ///
    /// If the kind is another.
    pub fn bf16_bits(&self) -> impl ExactSizeIterator<Item = u16> {
        assert!(self.kind == BlockKind::Bf16, "blocks are no bf16 numbers");
        let [output, input] = self.shape;
        (0..input * output).map(move |place| {
            let number = &self.row(place / input)[place % input * 2..];
            u16::from_le_bytes([number[0], number[1]])
        })
    }

    fn row(&self, row: usize) -> &[u8] {
        let of_row = self.bytes.len() / self.shape[0];
        let row = self.order.as_ref().map_or(row, |order| order[row]);
        &self.bytes[row * of_row..][..of_row]
    }
}

impl ElementType {
    /// The kind of blocks whose values are those of this type to the bit; none where a matrix of it is multiplied in f32 only.
    pub(crate) fn block_kind(self) -> Option<BlockKind> {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q4K => Some(BlockKind::Nibbles),
            Self::Q5_0 | Self::Q8_0 => Some(BlockKind::Bytes),
            Self::Q5_1 | Self::Q5K => Some(BlockKind::OffsetBytes),
            Self::BF16 => Some(BlockKind::Bf16),
            Self::F32 | Self::F16 | Self::Q6K => None,
        }
    }

    /// The 32 numbers from `32 part` on of a stored block of a type with quantised [blocks](Self::block_kind).
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
            Self::F32 | Self::F16 | Self::BF16 | Self::Q6K => unreachable!("it has no blocks"),
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
