//! Products with blocks as operations of Flex.

use std::sync::{Arc, OnceLock};

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

use super::BlockMatrix;
use crate::flex::{FlexFloat, blocks, contiguous, dims2, takes_without_autodiff, tensor, values};

#[backend_extension(Flex)]
pub(super) trait BlockOps: Backend {
    fn block_product(x: FloatTensor<Self>, weight: Arc<BlockMatrix>) -> FloatTensor<Self>;
}

pub(super) fn supports<const D: usize>(tensor: &Tensor<D>) -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    let wanted = || std::env::var_os("INPO_BLOCKS").is_none_or(|value| value != "0");
    *WANTED.get_or_init(wanted) && blocks::takes(1) && takes_without_autodiff(tensor)
}

pub(super) fn product(x: Tensor<2>, weight: Arc<BlockMatrix>) -> Tensor<2> {
    let x = x.into_dispatch();
    Tensor::from_dispatch(<Dispatch as BlockOps>::block_product(x, weight))
}

impl BlockOps for Flex {
    fn block_product(x: FlexFloat, weight: Arc<BlockMatrix>) -> FlexFloat {
        let (rows, x) = (dims2(&x)[0], contiguous(&x));
        let out = blocks::product(values(&x), rows, &weight);
        tensor(out, [rows, weight.shape()[1]])
    }
}
