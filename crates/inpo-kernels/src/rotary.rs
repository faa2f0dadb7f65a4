//! The rotation of rotary position embedding.

use burn::tensor::Tensor;

/// Rotates each head of each row by the row's own angles: `y = x * cos + swap(x) * sin`, where `swap`
/// exchanges the two halves of a head (arXiv 2104.09864 in Hugging Face's half-split layout).
///
/// The first half of `sin` holds the sines negated, so that pair `i` of a head is
/// `(x_i, x_{i + head_dim/2})`. The tables are constants: they get no gradient.
///
/// # Shapes
///
/// `x` and the result `[rows, heads * head_dim]`, `cos` and `sin` `[rows, head_dim]`; `head_dim` is even.
///
/// # Panics
///
/// If the tables have another number of rows or different widths, or heads of that width, which is even, do not
/// fit.
pub fn rotate(x: Tensor<2>, cos: Tensor<2>, sin: Tensor<2>) -> Tensor<2> {
    let [of_x, of_cos, of_sin] = [x.dims(), cos.dims(), sin.dims()];
    let ([rows, width], [positions, head_dim]) = (of_x, of_cos);
    assert!(
        of_cos == of_sin
            && positions == rows
            && head_dim > 0
            && head_dim.is_multiple_of(2)
            && width.is_multiple_of(head_dim),
        "tables {of_cos:?} and {of_sin:?} for rows {of_x:?}"
    );
    #[cfg(feature = "flex")]
    if [&x, &cos, &sin].into_iter().all(crate::flex::takes) {
        return fused::rotate(x, cos, sin);
    }
    plain(x, cos, sin)
}

fn plain(x: Tensor<2>, cos: Tensor<2>, sin: Tensor<2>) -> Tensor<2> {
    let [rows, width] = x.dims();
    let head_dim = cos.dims()[1];
    let half = head_dim / 2;
    let table = |table: Tensor<2>| {
        let table = table.inner().unsqueeze_dim::<3>(1);
        if x.device().is_autodiff() {
            Tensor::from_inner(table)
        } else {
            table
        }
    };
    let (cos, sin) = (table(cos), table(sin));
    let x = x.reshape([rows, width / head_dim, head_dim]);
    let halves = [(half, half), (0, half)];
    let swapped = halves.map(|(start, count)| x.clone().narrow(2, start, count));
    let swapped = Tensor::cat(swapped.to_vec(), 2);
    (x * cos + swapped * sin).reshape([rows, width])
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

    use crate::flex::vector::{owned, rows_per_part, vectorised};
    use crate::flex::{FlexFloat, contiguous, dims2, values};

    #[backend_extension(Flex, Autodiff)]
    pub(super) trait RotaryOps: Backend {
        fn rotate(
            x: FloatTensor<Self>,
            cos: FloatTensor<Self>,
            sin: FloatTensor<Self>,
        ) -> FloatTensor<Self>;
    }

    pub(super) fn rotate(x: Tensor<2>, cos: Tensor<2>, sin: Tensor<2>) -> Tensor<2> {
        let [x, cos, sin] = [x, cos, sin].map(Tensor::into_dispatch);
        Tensor::from_dispatch(<Dispatch as RotaryOps>::rotate(x, cos, sin))
    }

    /// Whether a rotation goes forward or is the transpose of that.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Direction {
        Forward,
        Transposed,
    }

    /// Rotates in place where `x` has no other owner.
    ///
    /// The map of one pair is `[[cos_a, sin_a], [sin_b, cos_b]]` with `a` the pair's place in the first
    /// half of the tables and `b` in the second; its transpose exchanges `sin_a` and `sin_b`.
    fn turn(x: FlexFloat, cos: &FlexFloat, sin: &FlexFloat, direction: Direction) -> FlexFloat {
        let width = dims2(&x)[1].max(1);
        let head_dim = dims2(cos)[1];
        let half = head_dim / 2;
        let rows = rows_per_part(width);
        let mut x = owned(x);
        x.storage_mut::<f32>()
            .par_chunks_mut(rows * width)
            .zip(values(cos).par_chunks(rows * head_dim))
            .zip(values(sin).par_chunks(rows * head_dim))
            .for_each(|((x, cos), sin)| {
                vectorised(
                    #[inline(always)]
                    || {
                        let tables = cos.chunks_exact(head_dim).zip(sin.chunks_exact(head_dim));
                        for (row, (cos, sin)) in x.chunks_exact_mut(width).zip(tables) {
                            let (cos_a, cos_b) = cos.split_at(half);
                            let (sin_a, sin_b) = match direction {
                                Direction::Forward => sin.split_at(half),
                                Direction::Transposed => (&sin[half..], &sin[..half]),
                            };
                            for head in row.chunks_exact_mut(head_dim) {
                                let (a, b) = head.split_at_mut(half);
                                let pairs = a.iter_mut().zip(b);
                                let cos = cos_a.iter().zip(cos_b);
                                let sin = sin_a.iter().zip(sin_b);
                                for (((a, b), (ca, cb)), (sa, sb)) in pairs.zip(cos).zip(sin) {
                                    let (old_a, old_b) = (*a, *b);
                                    *a = old_a * ca + old_b * sa;
                                    *b = old_b * cb + old_a * sb;
                                }
                            }
                        }
                    },
                );
            });
        x
    }

    impl RotaryOps for Flex {
        fn rotate(x: FlexFloat, cos: FlexFloat, sin: FlexFloat) -> FlexFloat {
            turn(x, &contiguous(&cos), &contiguous(&sin), Direction::Forward)
        }
    }

    #[derive(Debug)]
    struct Rotate;

    impl Backward<Flex, 1> for Rotate {
        type State = [FlexFloat; 2];

        fn backward(
            self,
            ops: Ops<Self::State, 1>,
            grads: &mut Gradients,
            _checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<Flex>(&ops.node);
            let [cos, sin] = &ops.state;
            if let [Some(parent)] = ops.parents {
                let part = turn(grad, cos, sin, Direction::Transposed);
                grads.register::<Flex>(parent.id, part);
            }
        }
    }

    impl<C: CheckpointStrategy> RotaryOps for Autodiff<Flex, C> {
        fn rotate(
            x: FloatTensor<Self>,
            cos: FloatTensor<Self>,
            sin: FloatTensor<Self>,
        ) -> FloatTensor<Self> {
            let node = x.node();
            let tables = [cos, sin].map(|table| contiguous(table.primitive()));
            let [cos, sin] = &tables;
            let out = turn(x.into_primitive(), cos, sin, Direction::Forward);
            match Rotate.prepare::<C>([node]).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish(tables, out),
                OpsKind::UnTracked(prep) => prep.finish(out),
            }
        }
    }
}
