//! Weights in blocks of quantised numbers, multiplied as they are.

use std::sync::Arc;

use burn::tensor::Tensor;

/// Weights of a block: they share a scale and a minimum, and follow each other in the input's order.
pub const BLOCK: usize = 32;
/// Columns of a panel, as the kernels for few rows have it.
pub(crate) const PANEL: usize = 48;

/// How the numbers of a block are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// `d q + m` with `q` from 0 to 15: ggml's Q4_1.
    Nibbles,
    /// `d q` with `q` from -128 to 127: ggml's Q8_0.
    Bytes,
}

/// A block as it is read: `d`, `m` (0 for [`BlockKind::Bytes`]) and the 32 numbers `q`, signed ones in two's complement.
#[derive(Debug, Clone, Copy)]
pub struct QuantisedBlock {
    /// `d`.
    pub scale: f32,
    /// `m`.
    pub minimum: f32,
    /// `q`.
    pub numbers: [u8; BLOCK],
}

/// A matrix `W`, `[in, out]`, whose values are those of quantised blocks.
///
/// Nothing is rounded: [`BlockMatrix::product`] computes `d q + m` in f32 where a value is needed, as the readers of such
/// files do, and gives the bits of the product with the f32 matrix. What is gained is what is not read: decoding
/// a few rows is bound by reading the weights, here 0.75 bytes (nibbles) or 1.1 bytes instead of 4.
#[derive(Debug)]
pub struct BlockMatrix {
    kind: BlockKind,
    shape: [usize; 2],
    /// Of each panel and block: 48 scales, and 48 minima where there are any.
    scales: Vec<f32>,
    /// Of each panel and block: row after row of 48 bytes; with nibbles two rows in one, the first in the low halves.
    numbers: Vec<u8>,
}

impl BlockMatrix {
    /// The matrix of `blocks`, those of the first output first; `shape` is `[in, out]`.
    ///
    /// # Panics
    ///
    /// If the input is no multiple of 32 wide or `blocks` are not as many as the shape has.
    pub fn new(
        kind: BlockKind,
        shape: [usize; 2],
        blocks: impl ExactSizeIterator<Item = QuantisedBlock>,
    ) -> Self {
        let [input, output] = shape;
        let of_column = input / BLOCK;
        assert!(
            input.is_multiple_of(BLOCK) && blocks.len() == of_column * output,
            "{} blocks for {shape:?}",
            blocks.len()
        );
        let panels = output.div_ceil(PANEL);
        let mut matrix = Self {
            kind,
            shape,
            scales: vec![0.0; panels * of_column * kind.scales() * PANEL],
            numbers: vec![0; panels * of_column * kind.rows() * PANEL],
        };
        for (place, block) in blocks.enumerate() {
            let (column, block_number) = (place / of_column, place % of_column);
            let (panel, lane) = (column / PANEL, column % PANEL);
            let at = panel * of_column + block_number;
            let scales = &mut matrix.scales[at * kind.scales() * PANEL..];
            scales[lane] = block.scale;
            if kind == BlockKind::Nibbles {
                scales[PANEL + lane] = block.minimum;
            }
            let numbers = &mut matrix.numbers[at * kind.rows() * PANEL..];
            for (i, &number) in block.numbers.iter().enumerate() {
                match kind {
                    BlockKind::Nibbles => {
                        numbers[i / 2 * PANEL + lane] |= (number & 15) << (i % 2 * 4);
                    }
                    BlockKind::Bytes => numbers[i * PANEL + lane] = number,
                }
            }
        }
        matrix
    }

    /// `[in, out]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.scales.len() * size_of::<f32>() + self.numbers.len()
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

    /// Whether [`BlockMatrix::product`] takes `x`: it is [supported](Self::supports) and has fewer rows than are better off with the f32
    /// matrix.
    pub fn takes(&self, x: &Tensor<2>) -> bool {
        #[cfg(all(feature = "flex", target_arch = "x86_64"))]
        return crate::flex::few::takes_blocks(x.dims()[0]) && Self::supports(x);
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
        let dims = x.dims();
        assert!(
            self.takes(&x) && dims[1] == self.shape[0],
            "{dims:?} x {:?}",
            self.shape
        );
        #[cfg(all(feature = "flex", target_arch = "x86_64"))]
        return fused::product(x, self.clone());
        #[cfg(not(all(feature = "flex", target_arch = "x86_64")))]
        unreachable!("nothing is taken here")
    }

    #[cfg(all(feature = "flex", target_arch = "x86_64"))]
    pub(crate) fn kind(&self) -> BlockKind {
        self.kind
    }

    /// Scales and numbers of a panel's block.
    #[cfg(all(feature = "flex", target_arch = "x86_64"))]
    pub(crate) fn block(&self, panel: usize, block: usize) -> (&[f32], &[u8]) {
        let at = panel * (self.shape[0] / BLOCK) + block;
        let (scales, numbers) = (self.kind.scales() * PANEL, self.kind.rows() * PANEL);
        (
            &self.scales[at * scales..][..scales],
            &self.numbers[at * numbers..][..numbers],
        )
    }
}

impl BlockKind {
    /// Numbers in f32 that a block has beside `q`.
    fn scales(self) -> usize {
        match self {
            Self::Nibbles => 2,
            Self::Bytes => 1,
        }
    }

    /// Bytes of a block's numbers.
    fn rows(self) -> usize {
        match self {
            Self::Nibbles => BLOCK / 2,
            Self::Bytes => BLOCK,
        }
    }
}

#[cfg(all(feature = "flex", target_arch = "x86_64"))]
mod fused {
    use std::sync::{Arc, OnceLock};

    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, Dispatch, Flex, backend_extension};
    use burn::tensor::Tensor;

    use super::BlockMatrix;
    use crate::flex::few;
    use crate::flex::{FlexFloat, contiguous, dims2, takes_without_autodiff, tensor, values};

    #[backend_extension(Flex)]
    pub(super) trait BlockOps: Backend {
        fn block_product(x: FloatTensor<Self>, weight: Arc<BlockMatrix>) -> FloatTensor<Self>;
    }

    pub(super) fn supports<const D: usize>(tensor: &Tensor<D>) -> bool {
        static WANTED: OnceLock<bool> = OnceLock::new();
        let wanted = || std::env::var_os("INPO_BLOCKS").is_none_or(|value| value != "0");
        *WANTED.get_or_init(wanted) && few::takes_blocks(1) && takes_without_autodiff(tensor)
    }

    pub(super) fn product(x: Tensor<2>, weight: Arc<BlockMatrix>) -> Tensor<2> {
        let x = x.into_dispatch();
        Tensor::from_dispatch(<Dispatch as BlockOps>::block_product(x, weight))
    }

    impl BlockOps for Flex {
        fn block_product(x: FlexFloat, weight: Arc<BlockMatrix>) -> FlexFloat {
            let (rows, x) = (dims2(&x)[0], contiguous(&x));
            let out = few::block_product(values(&x), rows, &weight);
            tensor(out, [rows, weight.shape()[1]])
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    /// Blocks of every scale, sign and number.
    fn blocks(kind: BlockKind, [input, output]: [usize; 2]) -> Vec<QuantisedBlock> {
        let block = |place: usize| QuantisedBlock {
            scale: ((place * 37) % 101) as f32 / 4096.0 - 0.01,
            minimum: match kind {
                BlockKind::Nibbles => ((place * 53) % 89) as f32 / 512.0 - 0.08,
                BlockKind::Bytes => 0.0,
            },
            numbers: std::array::from_fn(|i| {
                let number = (place * 7919 + i * 104_729) % 256;
                match kind {
                    BlockKind::Nibbles => (number % 16) as u8,
                    BlockKind::Bytes => number as u8,
                }
            }),
        };
        (0..input / BLOCK * output).map(block).collect()
    }

    /// The bits of the product with the f32 matrix, for numbers of rows on both sides of every border; columns that fill no
    /// panel, depths of less and more than a pass.
    #[test]
    fn a_product_is_that_of_the_values() {
        let device = Device::flex();
        for (kind, shape) in [
            (BlockKind::Nibbles, [576, 192]),
            (BlockKind::Nibbles, [96, 1000]),
            (BlockKind::Bytes, [224, 301]),
        ] {
            let [input, output] = shape;
            let blocks = blocks(kind, shape);
            let mut dense = vec![0.0_f32; input * output];
            for (place, block) in blocks.iter().enumerate() {
                let (column, first) = (place / (input / BLOCK), place % (input / BLOCK) * BLOCK);
                for (i, &number) in block.numbers.iter().enumerate() {
                    let value = match kind {
                        BlockKind::Nibbles => block.scale * f32::from(number) + block.minimum,
                        BlockKind::Bytes => block.scale * f32::from(number.cast_signed()),
                    };
                    dense[(first + i) * output + column] = value;
                }
            }
            let matrix = Arc::new(BlockMatrix::new(kind, shape, blocks.into_iter()));
            let dense = Tensor::<2>::from_data(TensorData::new(dense, shape), &device);
            for rows in [1, 2, 3, 8, 9, 70] {
                let x = |i: usize| ((i * 7919) % 4001) as f32 / 2000.5 - 1.0;
                let x: Vec<f32> = (0..rows * input).map(x).collect();
                let x = Tensor::<2>::from_data(TensorData::new(x, [rows, input]), &device);
                if !matrix.takes(&x) {
                    eprintln!("no AVX-512 here: blocks are not multiplied");
                    return;
                }
                let got = matrix.product(x.clone()).try_into_vec_as::<f32>().unwrap();
                let expected = crate::linear(x, dense.clone(), None);
                let expected = expected.try_into_vec_as::<f32>().unwrap();
                assert_eq!(got, expected, "{kind:?} {shape:?}, {rows} rows");
            }
        }
    }
}
