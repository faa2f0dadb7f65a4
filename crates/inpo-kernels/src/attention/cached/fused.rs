//! The fused attention over a cache as an operation of Flex.

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

use super::kernel::{Caches, Layout, Numbers, attend as kernel};
use crate::flex::{FlexFloat, contiguous, dims2, tensor, values};

#[backend_extension(Flex)]
pub(super) trait CachedAttentionOps: Backend {
    fn cached_attention(
        query: FloatTensor<Self>,
        prompt_keys: FloatTensor<Self>,
        prompt_values: FloatTensor<Self>,
        own_keys: FloatTensor<Self>,
        own_values: FloatTensor<Self>,
        layout: Arc<Layout>,
        scales: (f32, Option<f32>),
    ) -> FloatTensor<Self>;
}

pub(super) fn attend(
    query: Tensor<2>,
    prompts: [Tensor<4>; 2],
    own: [Tensor<4>; 2],
    layout: Arc<Layout>,
    scales: (f32, Option<f32>),
) -> Tensor<2> {
    let query = query.into_dispatch();
    let [prompt_keys, prompt_values] = prompts.map(Tensor::into_dispatch);
    let [own_keys, own_values] = own.map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as CachedAttentionOps>::cached_attention(
        query,
        prompt_keys,
        prompt_values,
        own_keys,
        own_values,
        layout,
        scales,
    ))
}

impl CachedAttentionOps for Flex {
    fn cached_attention(
        query: FlexFloat,
        prompt_keys: FlexFloat,
        prompt_values: FlexFloat,
        own_keys: FlexFloat,
        own_values: FlexFloat,
        layout: Arc<Layout>,
        scales: (f32, Option<f32>),
    ) -> FlexFloat {
        let query = contiguous(&query);
        let caches = [prompt_keys, prompt_values, own_keys, own_values].map(in_rows);
        let [prompt_keys, prompt_values, own_keys, own_values] = caches.each_ref().map(numbers);
        let caches = Caches {
            prompts: [prompt_keys, prompt_values],
            own: [own_keys, own_values],
        };
        let out = kernel(&layout, values(&query), caches, scales);
        tensor(out, dims2(&query))
    }
}

/// `cache` with the numbers of its last axis one after the other, as they lie in all but odd cases.
fn in_rows(cache: FlexFloat) -> FlexFloat {
    if cache.layout().strides()[3] == 1 {
        cache
    } else {
        contiguous(&cache)
    }
}

fn numbers(tensor: &FlexFloat) -> Numbers<'_> {
    let layout = tensor.layout();
    let (shape, strides) = (layout.shape(), layout.strides());
    let stride = |axis: usize| usize::try_from(strides[axis]).expect("no axis is reversed");
    Numbers {
        values: &tensor.storage::<f32>()[layout.start_offset()..],
        shape: [0, 1, 2, 3].map(|axis| shape[axis]),
        strides: [0, 1, 2].map(stride),
    }
}
