//! The gates of gated linear units (arXiv 2002.05202).

use burn::tensor::{Tensor, activation::sigmoid};

/// `silu(gate) * up`, elementwise, with `silu(x) = x sigmoid(x)`; both `[rows, width]`.
///
/// # Panics
///
/// If the shapes differ.
pub fn silu_mul(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    gate_mul(gate, up, Gate::Silu)
}

/// `gelu(gate) * up`, elementwise, with the tanh form of GELU (arXiv 1606.08415),
/// `gelu(x) = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`; both `[rows, width]`.
///
/// # Panics
///
/// If the shapes differ.
pub fn gelu_mul(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    gate_mul(gate, up, Gate::GeluTanh)
}

/// `x sigmoid(u(x))`: both gates are of that form, since `(1 + tanh(y)) / 2 = sigmoid(2 y)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    /// `u(x) = x`.
    Silu,
    /// `u(x) = SLOPE (x + CUBIC x^3)`.
    GeluTanh,
}

/// `2 sqrt(2 / pi)`.
const SLOPE: f64 = 1.595_769_121_605_730_7;
const CUBIC: f64 = 0.044_715;

fn gate_mul(gate: Tensor<2>, up: Tensor<2>, kind: Gate) -> Tensor<2> {
    let [of_gate, of_up] = [gate.dims(), up.dims()];
    assert!(of_gate == of_up, "a gate {of_gate:?} for values {of_up:?}");
    #[cfg(feature = "flex")]
    if crate::flex::takes(&gate) && crate::flex::takes(&up) {
        return fused::gate_mul(gate, up, kind);
    }
    plain(gate, up, kind)
}

fn plain(gate: Tensor<2>, up: Tensor<2>, kind: Gate) -> Tensor<2> {
    let inner = match kind {
        Gate::Silu => gate.clone(),
        Gate::GeluTanh => {
            let square = gate.clone() * gate.clone();
            let factor = square.mul_scalar(SLOPE * CUBIC).add_scalar(SLOPE);
            gate.clone() * factor
        }
    };
    gate * sigmoid(inner) * up
}

#[cfg(feature = "flex")]
mod fused {
    use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
    use burn::tensor::Tensor;

    use rayon::prelude::*;

    use super::{CUBIC, Gate, SLOPE};
    use crate::flex::vector::{PART, exp, sigmoid, vectorised};
    use crate::flex::{FlexFloat, contiguous, dims2, tensor, values};

    /// The inner function of a gate and its slope, chosen when compiled, so that loops stay simple.
    trait Inner {
        fn value(x: f32) -> f32;
        fn slope(x: f32) -> f32;
    }

    struct Silu;
    struct GeluTanh;

    impl Inner for Silu {
        #[inline(always)]
        fn value(x: f32) -> f32 {
            x
        }

        #[inline(always)]
        fn slope(_: f32) -> f32 {
            1.0
        }
    }

    impl Inner for GeluTanh {
        #[inline(always)]
        fn value(x: f32) -> f32 {
            x * (SLOPE as f32 + (SLOPE * CUBIC) as f32 * x * x)
        }

        #[inline(always)]
        fn slope(x: f32) -> f32 {
            SLOPE as f32 + (3.0 * SLOPE * CUBIC) as f32 * x * x
        }
    }

    #[backend_extension(Flex, Autodiff)]
    pub(super) trait SwigluOps: Backend {
        fn gate_mul(
            gate: FloatTensor<Self>,
            up: FloatTensor<Self>,
            kind: Gate,
        ) -> FloatTensor<Self>;
    }

    pub(super) fn gate_mul(gate: Tensor<2>, up: Tensor<2>, kind: Gate) -> Tensor<2> {
        let (gate, up) = (gate.into_dispatch(), up.into_dispatch());
        let out = <Dispatch as SwigluOps>::gate_mul(gate, up, kind);
        Tensor::from_dispatch(out)
    }

    impl SwigluOps for Flex {
        fn gate_mul(gate: FlexFloat, up: FlexFloat, kind: Gate) -> FlexFloat {
            match kind {
                Gate::Silu => forward::<Silu>(&gate, &up),
                Gate::GeluTanh => forward::<GeluTanh>(&gate, &up),
            }
        }
    }

    fn forward<I: Inner>(gate: &FlexFloat, up: &FlexFloat) -> FlexFloat {
        let shape = dims2(gate);
        let (gate, up) = (contiguous(gate), contiguous(up));
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
                            *out = g * sigmoid(I::value(g)) * u;
                        }
                    },
                );
            });
        tensor(out, shape)
    }

    /// `d gate = d * up * s (1 + gate (1 - s) u'(gate))` and `d up = d * gate s`, `s = sigmoid(u(gate))`.
    fn backward<I: Inner>(gate: &FlexFloat, up: &FlexFloat, grad: &FlexFloat) -> [FlexFloat; 2] {
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
                            let e = exp(-I::value(g));
                            let s = 1.0 / (1.0 + e);
                            *d_up = d * g * s;
                            *d_gate = d * u * s * (1.0 + g * (e * s) * I::slope(g));
                        }
                    },
                );
            });
        [tensor(d_gate, shape), tensor(d_up, shape)]
    }

    #[derive(Debug)]
    struct GateMul;

    impl Backward<Flex, 2> for GateMul {
        type State = ([FlexFloat; 2], Gate);

        fn backward(
            self,
            ops: Ops<Self::State, 2>,
            grads: &mut Gradients,
            _checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<Flex>(&ops.node);
            let ([gate, up], kind) = &ops.state;
            let parts = match kind {
                Gate::Silu => backward::<Silu>(gate, up, &grad),
                Gate::GeluTanh => backward::<GeluTanh>(gate, up, &grad),
            };
            for (parent, part) in ops.parents.iter().zip(parts) {
                if let Some(parent) = parent {
                    grads.register::<Flex>(parent.id, part);
                }
            }
        }
    }

    impl<C: CheckpointStrategy> SwigluOps for Autodiff<Flex, C> {
        fn gate_mul(
            gate: FloatTensor<Self>,
            up: FloatTensor<Self>,
            kind: Gate,
        ) -> FloatTensor<Self> {
            let nodes = [gate.node(), up.node()];
            let (gate, up) = (contiguous(gate.primitive()), contiguous(up.primitive()));
            let out = <Flex as SwigluOps>::gate_mul(gate.clone(), up.clone(), kind);
            match GateMul.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish(([gate, up], kind), out),
                OpsKind::UnTracked(prep) => prep.finish(out),
            }
        }
    }
}
