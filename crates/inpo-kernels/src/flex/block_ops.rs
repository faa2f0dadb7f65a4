//! Products with weights in blocks as operations of Flex.

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

use super::panels::Panels;
use super::{FlexFloat, blocks, contiguous, dims2, tensor, values};

#[backend_extension(Flex)]
pub(crate) trait BlockOps: Backend {
    fn block_product(x: FloatTensor<Self>, weight: Arc<Panels>) -> FloatTensor<Self>;

    fn two_block_products(
        x: FloatTensor<Self>,
        weights: [Arc<Panels>; 2],
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    fn three_block_products(
        x: FloatTensor<Self>,
        weights: [Arc<Panels>; 3],
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// `x` times each of `weights`, which read `x` once together where there are two or three.
pub(crate) fn products(x: Tensor<2>, weights: &[&Arc<Panels>]) -> Vec<Tensor<2>> {
    let x = x.into_dispatch();
    let products = match *weights {
        [a, b] => {
            let weights = [a, b].map(Arc::clone);
            let (a, b) = <Dispatch as BlockOps>::two_block_products(x, weights);
            vec![a, b]
        }
        [a, b, c] => {
            let weights = [a, b, c].map(Arc::clone);
            let (a, b, c) = <Dispatch as BlockOps>::three_block_products(x, weights);
            vec![a, b, c]
        }
        _ => weights
            .iter()
            .map(|&weight| <Dispatch as BlockOps>::block_product(x.clone(), weight.clone()))
            .collect(),
    };
    products.into_iter().map(Tensor::from_dispatch).collect()
}

fn compute<const N: usize>(x: &FlexFloat, weights: [Arc<Panels>; N]) -> [FlexFloat; N] {
    let (rows, x) = (dims2(x)[0], contiguous(x));
    let rights = weights.each_ref().map(Arc::as_ref);
    let mut products = blocks::products(values(&x), rows, &rights).into_iter();
    rights.map(|weight| {
        let product = products.next().expect("a product for each factor");
        tensor(product, [rows, weight.shape()[1]])
    })
}

impl BlockOps for Flex {
    fn block_product(x: FlexFloat, weight: Arc<Panels>) -> FlexFloat {
        let [product] = compute(&x, [weight]);
        product
    }

    fn two_block_products(x: FlexFloat, weights: [Arc<Panels>; 2]) -> (FlexFloat, FlexFloat) {
        compute(&x, weights).into()
    }

    fn three_block_products(
        x: FlexFloat,
        weights: [Arc<Panels>; 3],
    ) -> (FlexFloat, FlexFloat, FlexFloat) {
        compute(&x, weights).into()
    }
}
