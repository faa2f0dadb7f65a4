//! The gate of SwiGLU.

use burn::tensor::{Tensor, activation::sigmoid};

/// `silu(gate) * up`, elementwise, with `silu(x) = x sigmoid(x)` (arXiv 2002.05202); both `[rows, width]`.
///
/// # Panics
///
/// If the shapes differ.
pub fn silu_mul(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    let [of_gate, of_up] = [gate.dims(), up.dims()];
    assert!(of_gate == of_up, "a gate {of_gate:?} for values {of_up:?}");
    #[cfg(feature = "flex")]
    if crate::flex::takes(&gate) && crate::flex::takes(&up) {
        return fused::silu_mul(gate, up);
    }
    plain(gate, up)
}

fn plain(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    gate.clone() * sigmoid(gate) * up
}

#[cfg(feature = "flex")]
mod fused {
    use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
    use burn::tensor::Tensor;

    use crate::flex::vector::{PART, exp, sigmoid, vectorised};
    use crate::flex::{FlexFloat, contiguous, dims2, tensor, values};
    use rayon::prelude::*;

    #[backend_extension(Flex, Autodiff)]
    pub(super) trait SwigluOps: Backend {
        fn silu_mul(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;
    }

    pub(super) fn silu_mul(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
        let out = <Dispatch as SwigluOps>::silu_mul(gate.into_dispatch(), up.into_dispatch());
        Tensor::from_dispatch(out)
    }

    impl SwigluOps for Flex {
        fn silu_mul(gate: FlexFloat, up: FlexFloat) -> FlexFloat {
            let shape = dims2(&gate);
            let (gate, up) = (contiguous(&gate), contiguous(&up));
            let mut out = vec![0.0; shape[0] * shape[1]];
            let inputs = values(&gate)
                .par_chunks(PART)
                .zip(values(&up).par_chunks(PART));
            out.par_chunks_mut(PART)
                .zip(inputs)
                .for_each(|(out, (gate, up))| {
                    vectorised(
                        #[inline(always)]
                        || {
                            for ((out, &g), &u) in out.iter_mut().zip(gate).zip(up) {
                                *out = g * sigmoid(g) * u;
                            }
                        },
                    );
                });
            tensor(out, shape)
        }
    }

    /// `d gate = d * up * s (1 + gate (1 - s))` and `d up = d * gate s`, `s = sigmoid(gate)`.
    fn backward(gate: &FlexFloat, up: &FlexFloat, grad: &FlexFloat) -> [FlexFloat; 2] {
        let shape = dims2(gate);
        let grad = contiguous(grad);
        let count = shape[0] * shape[1];
        let (mut d_gate, mut d_up) = (vec![0.0; count], vec![0.0; count]);
        let inputs = values(gate)
            .par_chunks(PART)
            .zip(values(up).par_chunks(PART));
        d_gate
            .par_chunks_mut(PART)
            .zip(d_up.par_chunks_mut(PART))
            .zip(inputs)
            .zip(values(&grad).par_chunks(PART))
            .for_each(|(((d_gate, d_up), (gate, up)), grad)| {
                vectorised(
                    #[inline(always)]
                    || {
                        let outputs = d_gate.iter_mut().zip(d_up);
                        let inputs = gate.iter().zip(up).zip(grad);
                        for ((d_gate, d_up), ((&g, &u), &d)) in outputs.zip(inputs) {
                            // 1 - s without cancellation: it is e^-g s.
                            let e = exp(-g);
                            let s = 1.0 / (1.0 + e);
                            *d_up = d * g * s;
                            *d_gate = d * u * s * (1.0 + g * (e * s));
                        }
                    },
                );
            });
        [tensor(d_gate, shape), tensor(d_up, shape)]
    }

    #[derive(Debug)]
    struct SiluMul;

    impl Backward<Flex, 2> for SiluMul {
        type State = [FlexFloat; 2];

        fn backward(
            self,
            ops: Ops<Self::State, 2>,
            grads: &mut Gradients,
            _checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<Flex>(&ops.node);
            let [gate, up] = &ops.state;
            let parts = backward(gate, up, &grad);
            for (parent, part) in ops.parents.iter().zip(parts) {
                if let Some(parent) = parent {
                    grads.register::<Flex>(parent.id, part);
                }
            }
        }
    }

    impl<C: CheckpointStrategy> SwigluOps for Autodiff<Flex, C> {
        fn silu_mul(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
            let nodes = [gate.node(), up.node()];
            let (gate, up) = (contiguous(gate.primitive()), contiguous(up.primitive()));
            let out = <Flex as SwigluOps>::silu_mul(gate.clone(), up.clone());
            match SiluMul.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish([gate, up], out),
                OpsKind::UnTracked(prep) => prep.finish(out),
            }
        }
    }
}
