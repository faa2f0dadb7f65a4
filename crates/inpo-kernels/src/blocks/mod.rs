//! Weights as their files hold them, in blocks of quantised numbers or in bf16, multiplied as they are.

#[cfg(all(feature = "flex", target_arch = "x86_64"))]
mod fused;

use std::sync::Arc;

use burn::tensor::Tensor;

/// Weights of a block: they follow each other in the input's order and share a scale and a minimum, where they have any.
pub const BLOCK: usize = 32;
/// Columns of a panel, as the kernels have it.
pub(crate) const PANEL: usize = 48;

/// How the numbers of a matrix are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// `d q + m` with `q` from 0 to 15: ggml's Q4_0, Q4_1, Q4_K.
    Nibbles,
    /// `d q` with `q` from -128 to 127: ggml's Q8_0, Q5_0.
    Bytes,
    /// `d q + m` with `q` from -128 to 127: ggml's Q5_1, Q5_K.
    OffsetBytes,
    /// bf16 numbers.
    Halves,
}

impl BlockKind {
    /// Numbers in f32 that a block has beside `q`.
    fn scales(self) -> usize {
        match self {
            Self::Nibbles | Self::OffsetBytes => 2,
            Self::Bytes => 1,
            Self::Halves => 0,
        }
    }

    /// Bytes of the numbers of a column of a block.
    fn bytes(self) -> usize {
        match self {
            Self::Nibbles => BLOCK / 2,
            Self::Bytes | Self::OffsetBytes => BLOCK,
            Self::Halves => 0,
        }
    }

    /// Cache lines of a block of a panel.
    fn lines(self) -> usize {
        match self {
            Self::Halves => BLOCK / 2 * PANEL / 16,
            _ => 0,
        }
    }
}

/// A block as it is read: `d`, `m` (left out where the kind has none) and the 32 numbers `q`, signed ones in two's complement.
#[derive(Debug, Clone, Copy)]
pub struct QuantisedBlock {
    /// `d`.
    pub scale: f32,
    /// `m`.
    pub minimum: f32,
    /// `q`.
    pub numbers: [u8; BLOCK],
}

/// A matrix `W`, `[in, out]`, whose values are those of quantised blocks, or bf16 numbers.
///
/// Nothing is quantised: `d q + m` is computed in f32 where a value is needed, as the readers of such files do, or, on a tile unit,
/// `d sum x q + m sum x` for the 32 of a block. What is
/// gained is what is not read: decoding a few rows is bound by reading the weights, here 0.75 bytes (nibbles), 1.1 (bytes) or 2
/// instead of 4. Where the processor has a tile unit, most of the arithmetic of many rows is gained as well: on it such numbers
/// are one factor where an f32 number is three.
#[derive(Debug)]
pub struct BlockMatrix {
    kind: BlockKind,
    shape: [usize; 2],
    /// Of each panel and block: 48 scales, and 48 minima where there are any.
    scales: Vec<f32>,
    /// Of each panel and block: row after row of 48 numbers; with nibbles two rows in one, the first in the low halves.
    numbers: Vec<u8>,
    /// Of each panel and block of bf16 numbers: the 48 pairs of two rows, the first in the low halves.
    halves: Vec<Line>,
}

/// 64 bytes: a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u32; 16]);

impl BlockMatrix {
    /// The matrix of `blocks`, those of the first output first; `shape` is `[in, out]`.
    ///
    /// # Panics
    ///
    /// If the input is no multiple of 32 wide, `blocks` are not as many as the shape has, or the kind has no blocks.
    pub fn new(
        kind: BlockKind,
        shape: [usize; 2],
        blocks: impl ExactSizeIterator<Item = QuantisedBlock>,
    ) -> Self {
        assert!(kind != BlockKind::Halves, "bf16 numbers are no blocks");
        let mut matrix = Self::empty(kind, shape);
        let of_column = shape[0] / BLOCK;
        let count = of_column * shape[1];
        assert!(
            blocks.len() == count,
            "{} blocks for {shape:?}",
            blocks.len()
        );
        for (place, block) in blocks.enumerate() {
            let (at, lane) = matrix.place(place / of_column, place % of_column);
            let scales = &mut matrix.scales[at * kind.scales() * PANEL..];
            scales[lane] = block.scale;
            if kind.scales() == 2 {
                scales[PANEL + lane] = block.minimum;
            }
            let size = kind.bytes() * PANEL;
            let numbers = &mut matrix.numbers[at * size..][..size];
            for (i, &number) in block.numbers.iter().enumerate() {
                match kind {
                    BlockKind::Nibbles => {
                        numbers[i / 2 * PANEL + lane] |= (number & 15) << (i % 2 * 4);
                    }
                    _ => numbers[i * PANEL + lane] = number,
                }
            }
        }
        matrix
    }

    /// The matrix of bf16 numbers, given by their bits, those of the first output first; `shape` is `[in, out]`.
    ///
    /// # Panics
    ///
    /// If the input is no multiple of 32 wide or `numbers` are not as many as the shape has.
    pub fn from_halves(shape: [usize; 2], numbers: impl ExactSizeIterator<Item = u16>) -> Self {
        let mut matrix = Self::empty(BlockKind::Halves, shape);
        let input = shape[0];
        assert!(
            numbers.len() == input * shape[1],
            "{} numbers for {shape:?}",
            numbers.len()
        );
        for (place, number) in numbers.enumerate() {
            let (column, row) = (place / input, place % input);
            let (at, lane) = matrix.place(column, row / BLOCK);
            let pair = at * BLOCK / 2 + row % BLOCK / 2;
            let word = pair * PANEL + lane;
            matrix.halves[word / 16].0[word % 16] |= u32::from(number) << (row % 2 * 16);
        }
        matrix
    }

    fn empty(kind: BlockKind, shape: [usize; 2]) -> Self {
        let [input, output] = shape;
        assert!(input.is_multiple_of(BLOCK), "{input} inputs are no blocks");
        let blocks = output.div_ceil(PANEL) * (input / BLOCK);
        Self {
            kind,
            shape,
            scales: vec![0.0; blocks * kind.scales() * PANEL],
            numbers: vec![0; blocks * kind.bytes() * PANEL],
            halves: vec![Line([0; 16]); blocks * kind.lines()],
        }
    }

    /// Where a column's block lies: the number of its panel's block, and its lane there.
    fn place(&self, column: usize, block: usize) -> (usize, usize) {
        let blocks = self.shape[0] / BLOCK;
        (column / PANEL * blocks + block, column % PANEL)
    }

    /// `[in, out]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        let halves = self.halves.len() * size_of::<Line>();
        self.scales.len() * size_of::<f32>() + self.numbers.len() + halves
    }

    /// Whether [`BlockMatrix::product`] takes inputs of the kind of `tensor` where they have few rows: f32 on the CPU backend without
    /// autodiff, a processor with AVX-512. `INPO_BLOCKS=0` in the environment says never.
    pub fn supports<const D: usize>(tensor: &Tensor<D>) -> bool {
        #[cfg(all(feature = "flex", target_arch = "x86_64"))]
        return fused::supports(tensor);
        #[cfg(not(all(feature = "flex", target_arch = "x86_64")))]
        {
            let _ = tensor;
            false
        }
    }

    /// Whether [`BlockMatrix::product`] takes `x`: it is [supported](Self::supports) and has no more rows than are better off with
    /// the f32 matrix.
    pub fn takes(x: &Tensor<2>) -> bool {
        #[cfg(all(feature = "flex", target_arch = "x86_64"))]
        return crate::flex::blocks::takes(x.dims()[0]) && Self::supports(x);
        #[cfg(not(all(feature = "flex", target_arch = "x86_64")))]
        {
            let _ = x;
            false
        }
    }

    /// `x W`, `[rows, out]`, of `x`, `[rows, in]`.
    ///
    /// # Panics
    ///
    /// If [`BlockMatrix::takes`] says no, or the widths differ.
    pub fn product(self: &Arc<Self>, x: Tensor<2>) -> Tensor<2> {
        let mut products = Self::products(&[self], x);
        products.pop().expect("a product for each matrix")
    }

    /// [`BlockMatrix::product`] of each of `matrices`, which read `x` once together.
    ///
    /// # Panics
    ///
    /// If [`BlockMatrix::takes`] says no, or the widths differ.
    pub fn products(matrices: &[&Arc<Self>], x: Tensor<2>) -> Vec<Tensor<2>> {
        let dims = x.dims();
        let shapes = || matrices.iter().map(|matrix| matrix.shape);
        assert!(
            Self::takes(&x) && shapes().all(|shape| shape[0] == dims[1]),
            "{dims:?} x {:?}",
            shapes().collect::<Vec<_>>()
        );
        #[cfg(all(feature = "flex", target_arch = "x86_64"))]
        return fused::products(x, matrices);
        #[cfg(not(all(feature = "flex", target_arch = "x86_64")))]
        unreachable!("nothing is taken here")
    }
}

#[cfg(all(feature = "flex", target_arch = "x86_64"))]
impl BlockMatrix {
    pub(crate) fn kind(&self) -> BlockKind {
        self.kind
    }

    /// Scales and numbers of a panel's block.
    pub(crate) fn block(&self, panel: usize, block: usize) -> (&[f32], &[u8]) {
        let at = panel * (self.shape[0] / BLOCK) + block;
        let (scales, numbers) = (self.kind.scales() * PANEL, self.kind.bytes() * PANEL);
        (
            &self.scales[at * scales..][..scales],
            &self.numbers[at * numbers..][..numbers],
        )
    }

    /// The cache lines of a panel of bf16 numbers, block after block.
    pub(crate) fn halves(&self, panel: usize) -> &[Line] {
        let each = self.shape[0] / BLOCK * self.kind.lines();
        &self.halves[panel * each..][..each]
    }
}

#[cfg(all(test, feature = "flex", target_arch = "x86_64"))]
mod tests;
