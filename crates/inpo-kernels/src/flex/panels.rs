//! The layout of weights in blocks that the kernels read: panels of 48 columns, in each block after block.

use crate::blocks::{BLOCK, BlockKind, QuantisedBlock};

/// Columns of a panel: three vectors of 16 numbers.
pub(super) const PANEL: usize = 48;

/// 64 bytes: a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u32; 16]);

/// The weights `[in, out]` of a matrix, the outputs in panels of [`PANEL`]; columns behind the last are 0.
#[derive(Debug)]
pub(crate) struct Panels {
    kind: BlockKind,
    shape: [usize; 2],
    /// Of each panel and block: 48 scales, and 48 minima where the kind has them.
    scales: Vec<f32>,
    /// Of each panel and block: rows of 48 numbers; with nibbles two rows in one, the first in the low halves.
    numbers: Vec<u8>,
    /// Of each panel and block of bf16 numbers: 48 pairs from two rows, the first in the low half of a word.
    pairs: Vec<Line>,
}

/// What a block of a panel takes in each of the three arrays.
#[derive(Debug, Clone, Copy)]
struct BlockSizes {
    scales: usize,
    numbers: usize,
    pairs: usize,
}

impl BlockSizes {
    fn of(kind: BlockKind) -> Self {
        let (scales, bytes, lines) = match kind {
            BlockKind::Nibbles => (2, BLOCK / 2, 0),
            BlockKind::Bytes => (1, BLOCK, 0),
            BlockKind::OffsetBytes => (2, BLOCK, 0),
            BlockKind::Bf16 => (0, 0, BLOCK / 2 * PANEL / 16),
        };
        Self {
            scales: scales * PANEL,
            numbers: bytes * PANEL,
            pairs: lines,
        }
    }
}

impl Panels {
    /// The panels of `blocks`, those of the first output first.
    pub(crate) fn new(
        kind: BlockKind,
        shape: [usize; 2],
        blocks: impl Iterator<Item = QuantisedBlock>,
    ) -> Self {
        let mut panels = Self::empty(kind, shape);
        let sizes = BlockSizes::of(kind);
        let of_column = shape[0] / BLOCK;
        for (place, block) in blocks.enumerate() {
            let (at, lane) = panels.place(place / of_column, place % of_column);
            let scales = &mut panels.scales[at * sizes.scales..][..sizes.scales];
            scales[lane] = block.scale;
            if let Some(minimum) = scales.get_mut(PANEL + lane) {
                *minimum = block.minimum;
            }
            let numbers = &mut panels.numbers[at * sizes.numbers..][..sizes.numbers];
            for (i, &number) in block.numbers.iter().enumerate() {
                if kind == BlockKind::Nibbles {
                    numbers[i / 2 * PANEL + lane] |= (number & 15) << (i % 2 * 4);
                } else {
                    numbers[i * PANEL + lane] = number;
                }
            }
        }
        panels
    }

    /// The panels of bf16 numbers, given by their bits, those of the first output first.
    pub(crate) fn of_bf16(shape: [usize; 2], numbers: impl Iterator<Item = u16>) -> Self {
        let mut panels = Self::empty(BlockKind::Bf16, shape);
        let input = shape[0];
        for (place, number) in numbers.enumerate() {
            let (column, row) = (place / input, place % input);
            let (at, lane) = panels.place(column, row / BLOCK);
            let pair = at * BLOCK / 2 + row % BLOCK / 2;
            let word = pair * PANEL + lane;
            panels.pairs[word / 16].0[word % 16] |= u32::from(number) << (row % 2 * 16);
        }
        panels
    }

    fn empty(kind: BlockKind, shape: [usize; 2]) -> Self {
        let [input, output] = shape;
        let blocks = output.div_ceil(PANEL) * (input / BLOCK);
        let sizes = BlockSizes::of(kind);
        Self {
            kind,
            shape,
            scales: vec![0.0; blocks * sizes.scales],
            numbers: vec![0; blocks * sizes.numbers],
            pairs: vec![Line([0; 16]); blocks * sizes.pairs],
        }
    }

    /// Where a column's block lies: the number of its panel's block, and its lane there.
    fn place(&self, column: usize, block: usize) -> (usize, usize) {
        let blocks = self.shape[0] / BLOCK;
        (column / PANEL * blocks + block, column % PANEL)
    }

    /// Bytes that the weights take.
    pub(crate) fn bytes(&self) -> usize {
        let pairs = self.pairs.len() * size_of::<Line>();
        self.scales.len() * size_of::<f32>() + self.numbers.len() + pairs
    }

    pub(super) fn kind(&self) -> BlockKind {
        self.kind
    }

    /// `[in, out]`.
    pub(super) fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// How many panels there are.
    pub(super) fn count(&self) -> usize {
        self.shape[1].div_ceil(PANEL)
    }

    /// Scales, with the minima behind them, and numbers of a panel's block.
    pub(super) fn block(&self, panel: usize, block: usize) -> (&[f32], &[u8]) {
        let at = panel * (self.shape[0] / BLOCK) + block;
        let sizes = BlockSizes::of(self.kind);
        (
            &self.scales[at * sizes.scales..][..sizes.scales],
            &self.numbers[at * sizes.numbers..][..sizes.numbers],
        )
    }

    /// The cache lines of a panel of bf16 numbers, block after block.
    pub(super) fn pairs(&self, panel: usize) -> &[Line] {
        let each = self.shape[0] / BLOCK * BlockSizes::of(self.kind).pairs;
        &self.pairs[panel * each..][..each]
    }
}
