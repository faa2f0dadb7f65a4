//! The fused attention as an operation of Flex, with its backward pass.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

use super::kernel;
use super::plan::Plan;
use crate::flex::{FlexFloat, contiguous, dims2, tensor, values};

#[backend_extension(Flex, Autodiff)]
pub(super) trait AttentionOps: Backend {
    fn packed_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        plan: Arc<Plan>,
    ) -> FloatTensor<Self>;
}

pub(super) fn attend(q: Tensor<2>, k: Tensor<2>, v: Tensor<2>, plan: Arc<Plan>) -> Tensor<2> {
    let [q, k, v] = [q, k, v].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as AttentionOps>::packed_attention(q, k, v, plan))
}

/// The output and what the backward pass needs beside it; the inputs contiguous.
fn forward(plan: &Plan, inputs: &[FlexFloat; 3]) -> (FlexFloat, Vec<Vec<f32>>) {
    let (out, sums) = kernel::forward(plan, inputs.each_ref().map(values));
    (tensor(out, dims2(&inputs[0])), sums)
}

impl AttentionOps for Flex {
    fn packed_attention(q: FlexFloat, k: FlexFloat, v: FlexFloat, plan: Arc<Plan>) -> FlexFloat {
        forward(&plan, &[q, k, v].each_ref().map(contiguous)).0
    }
}

#[derive(Debug)]
struct PackedAttention;

/// Kept for the backward pass.
#[derive(Debug, Clone)]
struct Kept {
    inputs: [FlexFloat; 3],
    out: FlexFloat,
    sums: Arc<Vec<Vec<f32>>>,
    plan: Arc<Plan>,
}

impl Backward<Flex, 3> for PackedAttention {
    type State = Kept;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = contiguous(&grads.consume::<Flex>(&ops.node));
        let kept = &ops.state;
        let inputs = kept.inputs.each_ref();
        let parts = kernel::backward(
            &kept.plan,
            inputs.map(values),
            values(&kept.out),
            &kept.sums,
            values(&grad),
        );
        for ((parent, part), input) in ops.parents.iter().zip(parts).zip(inputs) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, tensor(part, dims2(input)));
            }
        }
    }
}

impl<C: CheckpointStrategy> AttentionOps for Autodiff<Flex, C> {
    fn packed_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        plan: Arc<Plan>,
    ) -> FloatTensor<Self> {
        let nodes = [q.node(), k.node(), v.node()];
        let inputs = [q, k, v].map(|tensor| contiguous(tensor.primitive()));
        let (out, sums) = forward(&plan, &inputs);
        match PackedAttention
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let kept = Kept {
                    inputs,
                    out: out.clone(),
                    sums: Arc::new(sums),
                    plan,
                };
                prep.finish(kept, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}
