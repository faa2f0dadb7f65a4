//! A linear map with a low-rank side path.

use burn::tensor::Tensor;

/// The side path `s (x A) B` of LoRA (arXiv 2106.09685).
#[derive(Debug, Clone)]
pub struct SidePath {
    /// `A`, `[in, rank]`.
    pub a: Tensor<2>,
    /// `B`, `[rank, out]`.
    pub b: Tensor<2>,
    /// `s`.
    pub scale: f64,
}

/// `y = x W + s (x A) B` with `x` `[rows, in]` and `W` `[in, out]`.
///
/// The dense weight's gradient is formed only when that weight is trained, and the side path is never
/// merged into it.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, side: Option<SidePath>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    {
        let taken = |side: &SidePath| crate::flex::takes(&side.a) && crate::flex::takes(&side.b);
        if crate::flex::takes(&x) && crate::flex::takes(&weight) && side.as_ref().is_none_or(taken)
        {
            return fused::linear(x, weight, side);
        }
    }
    plain(x, weight, side)
}

fn plain(x: Tensor<2>, weight: Tensor<2>, side: Option<SidePath>) -> Tensor<2> {
    match side {
        None => x.matmul(weight),
        Some(SidePath { a, b, scale }) => {
            let side = x.clone().matmul(a).mul_scalar(scale);
            x.matmul(weight) + side.matmul(b)
        }
    }
}

#[cfg(feature = "flex")]
mod fused {
    use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
    use burn::tensor::Tensor;

    use super::SidePath;
    use crate::flex::gemm::{self, multiply, multiply_tall};
    use crate::flex::matrix::{Matrix, MatrixMut, Threads, Write};
    use crate::flex::{FlexFloat, contiguous, dims2, strided, tensor, values};

    #[backend_extension(Flex, Autodiff)]
    pub(super) trait LinearOps: Backend {
        fn dense(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

        fn adapted(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            a: FloatTensor<Self>,
            b: FloatTensor<Self>,
            scale: f32,
        ) -> FloatTensor<Self>;
    }

    pub(super) fn linear(x: Tensor<2>, weight: Tensor<2>, side: Option<SidePath>) -> Tensor<2> {
        let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
        Tensor::from_dispatch(match side {
            None => <Dispatch as LinearOps>::dense(x, weight),
            Some(SidePath { a, b, scale }) => {
                let (a, b) = (a.into_dispatch(), b.into_dispatch());
                <Dispatch as LinearOps>::adapted(x, weight, a, b, scale as f32)
            }
        })
    }

    /// `lhs rhs`, of any strides.
    fn product(lhs: &FlexFloat, rhs: &FlexFloat) -> (Vec<f32>, [usize; 2]) {
        let shape = [dims2(lhs)[0], dims2(rhs)[1]];
        (gemm::product(strided(lhs), strided(rhs)), shape)
    }

    /// `y` and the side path's `x A`.
    fn forward(
        x: &FlexFloat,
        weight: &FlexFloat,
        [a, b]: [&FlexFloat; 2],
        scale: f32,
    ) -> (FlexFloat, FlexFloat) {
        let [mut out, narrow] = gemm::two_products(strided(x), strided(weight), strided(a));
        let rows = dims2(x)[0];
        let narrow = tensor(narrow, [rows, dims2(a)[1]]);
        let shape = [rows, dims2(weight)[1]];
        let to = MatrixMut::rows(&mut out, shape);
        let (lhs, rhs) = (strided(&narrow), strided(b));
        multiply(to, Write::Add, scale, lhs, rhs, Threads::All);
        (tensor(out, shape), narrow)
    }

    impl LinearOps for Flex {
        fn dense(x: FlexFloat, weight: FlexFloat) -> FlexFloat {
            let (out, shape) = product(&x, &weight);
            tensor(out, shape)
        }

        fn adapted(
            x: FlexFloat,
            weight: FlexFloat,
            a: FlexFloat,
            b: FlexFloat,
            scale: f32,
        ) -> FlexFloat {
            forward(&x, &weight, [&a, &b], scale).0
        }
    }

    /// `x^T y`.
    fn gram(x: &FlexFloat, y: &FlexFloat, scale: f32) -> FlexFloat {
        let shape = [dims2(x)[1], dims2(y)[1]];
        let mut out = vec![0.0; shape[0] * shape[1]];
        let to = MatrixMut::rows(&mut out, shape);
        multiply_tall(to, scale, strided(x), strided(y));
        tensor(out, shape)
    }

    /// `d W^T`.
    fn back(grad: &FlexFloat, weight: &FlexFloat) -> (Vec<f32>, [usize; 2]) {
        let shape = [dims2(grad)[0], dims2(weight)[0]];
        let weight = strided(weight).transposed();
        (gemm::product(strided(grad), weight), shape)
    }

    #[derive(Debug)]
    struct Dense;

    impl Backward<Flex, 2> for Dense {
        /// `x` and `W`, where a gradient needs them.
        type State = [Option<FlexFloat>; 2];

        fn backward(
            self,
            ops: Ops<Self::State, 2>,
            grads: &mut Gradients,
            _checkpointer: &mut Checkpointer,
        ) {
            let grad = contiguous(&grads.consume::<Flex>(&ops.node));
            let [x, weight] = &ops.state;
            let [to_x, to_weight] = ops.parents;
            if let Some((node, weight)) = to_x.zip(weight.as_ref()) {
                let (d_x, shape) = back(&grad, weight);
                grads.register::<Flex>(node.id, tensor(d_x, shape));
            }
            if let Some((node, x)) = to_weight.zip(x.as_ref()) {
                grads.register::<Flex>(node.id, gram(x, &grad, 1.0));
            }
        }
    }

    #[derive(Debug, Clone)]
    struct AdaptedState {
        x: FlexFloat,
        weight: FlexFloat,
        a: FlexFloat,
        b: FlexFloat,
        /// `x A`.
        narrow: FlexFloat,
        scale: f32,
    }

    #[derive(Debug)]
    struct Adapted;

    impl Backward<Flex, 4> for Adapted {
        type State = AdaptedState;

        fn backward(
            self,
            ops: Ops<Self::State, 4>,
            grads: &mut Gradients,
            _checkpointer: &mut Checkpointer,
        ) {
            let grad = contiguous(&grads.consume::<Flex>(&ops.node));
            let state = &ops.state;
            let [to_x, to_weight, to_a, to_b] = ops.parents;
            if let Some(node) = to_b {
                let d_b = gram(&state.narrow, &grad, state.scale);
                grads.register::<Flex>(node.id, d_b);
            }
            if let Some(node) = to_weight {
                grads.register::<Flex>(node.id, gram(&state.x, &grad, 1.0));
            }
            if to_x.is_none() && to_a.is_none() {
                return;
            }
            // The gradient of x, the side path's part aside, and that of x A, without the scale.
            let (d_x, d_narrow) = match &to_x {
                Some(_) => {
                    let [weight, b] = [&state.weight, &state.b].map(|m| strided(m).transposed());
                    let [d_x, d_narrow] = gemm::two_products(strided(&grad), weight, b);
                    (d_x, d_narrow)
                }
                None => (Vec::new(), back(&grad, &state.b).0),
            };
            let d_narrow = tensor(d_narrow, [dims2(&grad)[0], dims2(&state.b)[0]]);
            if let Some(node) = to_a {
                let d_a = gram(&state.x, &d_narrow, state.scale);
                grads.register::<Flex>(node.id, d_a);
            }
            if let Some(node) = to_x {
                let mut d_x = d_x;
                let shape = [dims2(&grad)[0], dims2(&state.weight)[0]];
                let to = MatrixMut::rows(&mut d_x, shape);
                let a = strided(&state.a).transposed();
                let narrow = Matrix::rows(values(&d_narrow), dims2(&d_narrow));
                multiply(to, Write::Add, state.scale, narrow, a, Threads::All);
                grads.register::<Flex>(node.id, tensor(d_x, shape));
            }
        }
    }

    impl<C: CheckpointStrategy> LinearOps for Autodiff<Flex, C> {
        fn dense(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
            let nodes = [x.node(), weight.node()];
            let (x_tracked, weight_tracked) = (x.is_tracked(), weight.is_tracked());
            let (x, weight) = (x.into_primitive(), weight.into_primitive());
            let out = <Flex as LinearOps>::dense(x.clone(), weight.clone());
            match Dense.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => {
                    let state = [weight_tracked.then_some(x), x_tracked.then_some(weight)];
                    prep.finish(state, out)
                }
                OpsKind::UnTracked(prep) => prep.finish(out),
            }
        }

        fn adapted(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            a: FloatTensor<Self>,
            b: FloatTensor<Self>,
            scale: f32,
        ) -> FloatTensor<Self> {
            let nodes = [x.node(), weight.node(), a.node(), b.node()];
            let [x, weight, a, b] = [x, weight, a, b].map(|t| t.into_primitive());
            let (out, narrow) = forward(&x, &weight, [&a, &b], scale);
            match Adapted.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => {
                    let state = AdaptedState {
                        x,
                        weight,
                        a,
                        b,
                        narrow,
                        scale,
                    };
                    prep.finish(state, out)
                }
                OpsKind::UnTracked(prep) => prep.finish(out),
            }
        }
    }
}
