//! Root-mean-square normalisation.

use burn::tensor::Tensor;

/// `y = gain * x / sqrt(mean(x^2) + epsilon)` over each row (arXiv 1910.07467).
///
/// # Shapes
///
/// `x` and the result `[rows, width]`, `gain` `[width]`.
///
/// # Panics
///
/// If the gain has another width.
pub fn rms_norm(x: Tensor<2>, gain: Tensor<1>, epsilon: f64) -> Tensor<2> {
    let (rows, gains) = (x.dims(), gain.dims());
    assert!(rows[1] == gains[0], "gains {gains:?} for rows {rows:?}");
    #[cfg(feature = "flex")]
    if crate::flex::takes(&x) && crate::flex::takes(&gain) {
        return fused::rms_norm(x, gain, epsilon);
    }
    plain(x, gain, epsilon)
}

fn plain(x: Tensor<2>, gain: Tensor<1>, epsilon: f64) -> Tensor<2> {
    let mean_square = x.clone().square().mean_dim(1);
    let inverse = (mean_square + epsilon).sqrt().recip();
    x * inverse * gain.unsqueeze::<2>()
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

    use crate::flex::vector::{dot, owned, rows_per_part, vectorised};
    use crate::flex::{FlexFloat, contiguous, dims2, tensor, values};

    #[backend_extension(Flex, Autodiff)]
    pub(super) trait RmsNormOps: Backend {
        fn rms_norm(
            x: FloatTensor<Self>,
            gain: FloatTensor<Self>,
            epsilon: f64,
        ) -> FloatTensor<Self>;
    }

    pub(super) fn rms_norm(x: Tensor<2>, gain: Tensor<1>, epsilon: f64) -> Tensor<2> {
        let (x, gain) = (x.into_dispatch(), gain.into_dispatch());
        Tensor::from_dispatch(<Dispatch as RmsNormOps>::rms_norm(x, gain, epsilon))
    }

    /// `1 / sqrt(mean(x^2) + epsilon)` of one row.
    #[inline(always)]
    fn inverse_rms(row: &[f32], epsilon: f64) -> f32 {
        let mean_square = dot(row, row) / row.len() as f64;
        (mean_square + epsilon).sqrt().recip() as f32
    }

    impl RmsNormOps for Flex {
        fn rms_norm(x: FlexFloat, gain: FlexFloat, epsilon: f64) -> FlexFloat {
            let [rows, width] = dims2(&x);
            let (x, gain) = (contiguous(&x), contiguous(&gain));
            let gain = values(&gain);
            let mut out = vec![0.0; rows * width];
            let part = rows_per_part(width) * width.max(1);
            out.par_chunks_mut(part)
                .zip(values(&x).par_chunks(part))
                .for_each(|(out, x)| {
                    vectorised(
                        #[inline(always)]
                        || {
                            let rows = x.chunks_exact(width.max(1));
                            for (out, x) in out.chunks_exact_mut(width.max(1)).zip(rows) {
                                let inverse = inverse_rms(x, epsilon);
                                for ((out, &x), &g) in out.iter_mut().zip(x).zip(gain) {
                                    *out = x * inverse * g;
                                }
                            }
                        },
                    );
                });
            tensor(out, [rows, width])
        }
    }

    /// With `r` the inverse root mean square of a row and `h = d * gain`:
    /// `d x = r h - x r^3 mean(h x)`, written over `d`.
    fn backward_x(x: &FlexFloat, gain: &FlexFloat, grad: FlexFloat, epsilon: f64) -> FlexFloat {
        let width = dims2(x)[1].max(1);
        let gain = values(gain);
        let mut grad = owned(grad);
        let part = rows_per_part(width) * width;
        grad.storage_mut::<f32>()
            .par_chunks_mut(part)
            .zip(values(x).par_chunks(part))
            .for_each(|(grad, x)| {
                vectorised(
                    #[inline(always)]
                    || {
                        let rows = x.chunks_exact(width);
                        for (d, x) in grad.chunks_exact_mut(width).zip(rows) {
                            for (d, &g) in d.iter_mut().zip(gain) {
                                *d *= g;
                            }
                            let inverse = inverse_rms(x, epsilon);
                            let cubed = f64::from(inverse).powi(3);
                            let slope = (dot(d, x) / width as f64 * cubed) as f32;
                            for (d, &x) in d.iter_mut().zip(x) {
                                *d = inverse * *d - slope * x;
                            }
                        }
                    },
                );
            });
        grad
    }

    /// `d gain = sum over rows of d * x r`: in f32 within a part of the rows, in f64 over the parts.
    fn backward_gain(x: &FlexFloat, grad: &FlexFloat, epsilon: f64) -> FlexFloat {
        let [_, width] = dims2(x);
        let grad = contiguous(grad);
        let rows = width.max(1);
        let part = rows_per_part(width) * rows;
        let parts: Vec<Vec<f32>> = values(&grad)
            .par_chunks(part)
            .zip(values(x).par_chunks(part))
            .map(|(grad, x)| {
                let mut sums = vec![0.0_f32; width];
                vectorised(
                    #[inline(always)]
                    || {
                        for (d, x) in grad.chunks_exact(rows).zip(x.chunks_exact(rows)) {
                            let inverse = inverse_rms(x, epsilon);
                            for ((sum, &d), &x) in sums.iter_mut().zip(d).zip(x) {
                                *sum += d * (x * inverse);
                            }
                        }
                    },
                );
                sums
            })
            .collect();
        let mut sums = vec![0.0_f64; width];
        for part in parts {
            for (sum, value) in sums.iter_mut().zip(part) {
                *sum += f64::from(value);
            }
        }
        tensor(sums.into_iter().map(|sum| sum as f32).collect(), [width])
    }

    #[derive(Debug)]
    struct RmsNorm;

    impl Backward<Flex, 2> for RmsNorm {
        type State = (FlexFloat, FlexFloat, f64);

        fn backward(
            self,
            ops: Ops<Self::State, 2>,
            grads: &mut Gradients,
            _checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<Flex>(&ops.node);
            let (x, gain, epsilon) = ops.state;
            let [of_x, of_gain] = ops.parents;
            if let Some(parent) = of_gain {
                grads.register::<Flex>(parent.id, backward_gain(&x, &grad, epsilon));
            }
            if let Some(parent) = of_x {
                grads.register::<Flex>(parent.id, backward_x(&x, &gain, grad, epsilon));
            }
        }
    }

    impl<C: CheckpointStrategy> RmsNormOps for Autodiff<Flex, C> {
        fn rms_norm(
            x: FloatTensor<Self>,
            gain: FloatTensor<Self>,
            epsilon: f64,
        ) -> FloatTensor<Self> {
            let nodes = [x.node(), gain.node()];
            let (x, gain) = (contiguous(x.primitive()), contiguous(gain.primitive()));
            let out = <Flex as RmsNormOps>::rms_norm(x.clone(), gain.clone(), epsilon);
            match RmsNorm.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish((x, gain, epsilon), out),
                OpsKind::UnTracked(prep) => prep.finish(out),
            }
        }
    }
}
