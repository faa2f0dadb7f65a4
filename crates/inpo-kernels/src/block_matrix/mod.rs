//! Products with weights in the blocks or bf16 numbers of their file.

use burn::tensor::Tensor;

use crate::blocks::{BLOCK, BlockKind, QuantisedBlock};
#[cfg(all(feature = "flex", target_arch = "x86_64"))]
use crate::flex::{block_ops, blocks, panels::Panels};
use crate::kernels::Kernels;

/// A matrix `W`, `[in, out]`, whose values are those of quantised blocks, or bf16 numbers.
///
/// Nothing is quantised here: `d q + m` is computed in f32 where a value is needed, as the readers of such files do, or, on a
/// tile unit, `d sum x q + m sum x` over the 32 weights of a block. The gain is in reading: decoding a few rows is bound by
/// reading the weights, here 0.75 bytes each (nibbles), 1.1 (bytes) or 2 (bf16) instead of 4. A processor with a tile unit
/// also saves most of the arithmetic of many rows: such a number is one factor there, an f32 number three.
///
/// Cheap to clone. Only a build with kernels for blocks keeps the weights; elsewhere [`BlockMatrix::takes`] is false.
#[derive(Debug, Clone)]
pub struct BlockMatrix {
    shape: [usize; 2],
    #[cfg(all(feature = "flex", target_arch = "x86_64"))]
    panels: std::sync::Arc<Panels>,
}

impl BlockMatrix {
    /// The matrix of `blocks`, those of the first output first; `shape` is `[in, out]`. The blocks are read once and laid
    /// out as they come.
    ///
    /// # Panics
    ///
    /// If the input is no multiple of 32 wide, `blocks` are not as many as the shape has, or the kind has no blocks.
    pub fn new(
        kind: BlockKind,
        shape: [usize; 2],
        blocks: impl ExactSizeIterator<Item = QuantisedBlock>,
    ) -> Self {
        assert!(kind != BlockKind::Bf16, "bf16 numbers are no blocks");
        let count = Self::blocks_of(shape);
        assert!(
            blocks.len() == count,
            "{} blocks for {shape:?}",
            blocks.len()
        );
        Self {
            shape,
            #[cfg(all(feature = "flex", target_arch = "x86_64"))]
            panels: Panels::new(kind, shape, blocks).into(),
        }
    }

    /// The matrix of bf16 numbers, given by their bits, those of the first output first; `shape` is `[in, out]`.
    ///
    /// # Panics
    ///
    /// If the input is no multiple of 32 wide or `numbers` are not as many as the shape has.
    pub fn from_bf16(shape: [usize; 2], numbers: impl ExactSizeIterator<Item = u16>) -> Self {
        let count = Self::blocks_of(shape) * BLOCK;
        assert!(
            numbers.len() == count,
            "{} numbers for {shape:?}",
            numbers.len()
        );
        Self {
            shape,
            #[cfg(all(feature = "flex", target_arch = "x86_64"))]
            panels: Panels::of_bf16(shape, numbers).into(),
        }
    }

    fn blocks_of([input, output]: [usize; 2]) -> usize {
        assert!(input.is_multiple_of(BLOCK), "{input} inputs are no blocks");
        input / BLOCK * output
    }

    /// `[in, out]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Bytes that the weights take.
    pub fn bytes(&self) -> usize {
        #[cfg(all(feature = "flex", target_arch = "x86_64"))]
        return self.panels.bytes();
        #[cfg(not(all(feature = "flex", target_arch = "x86_64")))]
        0
    }

    /// Checks that [`BlockMatrix::product`] takes `x`: its kernels [multiply blocks](Kernels::multiplies_blocks) and it has no
    /// more rows than are better off with the f32 matrix.
    pub fn takes(x: &Tensor<2>) -> bool {
        #[cfg(all(feature = "flex", target_arch = "x86_64"))]
        let rows = blocks::takes(x.dims()[0]);
        #[cfg(not(all(feature = "flex", target_arch = "x86_64")))]
        let rows = false;
        rows && Kernels::of(x).multiplies_blocks()
    }

    /// `x W`, `[rows, out]`, of `x`, `[rows, in]`.
    ///
    /// # Panics
    ///
    /// If [`BlockMatrix::takes`] says no, or the widths differ.
    pub fn product(&self, x: Tensor<2>) -> Tensor<2> {
        let mut products = Self::products(&[self], x);
        products.pop().expect("a product for each matrix")
    }

    /// [`BlockMatrix::product`] of each of `matrices`, which read `x` once together.
    ///
    /// # Panics
    ///
    /// If [`BlockMatrix::takes`] says no, or the widths differ.
    pub fn products(matrices: &[&Self], x: Tensor<2>) -> Vec<Tensor<2>> {
        let dims = x.dims();
        let shapes = || matrices.iter().map(|matrix| matrix.shape);
        assert!(
            Self::takes(&x) && shapes().all(|shape| shape[0] == dims[1]),
            "{dims:?} x {:?}",
            shapes().collect::<Vec<_>>()
        );
        #[cfg(all(feature = "flex", target_arch = "x86_64"))]
        {
            let panels: Vec<_> = matrices.iter().map(|matrix| &matrix.panels).collect();
            block_ops::products(x, &panels)
        }
        #[cfg(not(all(feature = "flex", target_arch = "x86_64")))]
        unreachable!("nothing is taken here")
    }
}

#[cfg(all(test, feature = "flex", target_arch = "x86_64"))]
mod tests;
