//! Looking up rows of a table.

use burn::tensor::{Int, Tensor, TensorData};

/// Rows `ids` of `table`. The gradient of the table is dense: row `v` is the sum of the gradients of the
/// places where `v` was looked up.
///
/// # Shapes
///
/// `table` `[vocab, width]`, the result `[ids, width]`.
///
/// # Panics
///
/// If an id is not below `vocab`.
pub fn embedding(table: Tensor<2>, ids: &[u32]) -> Tensor<2> {
    let vocab = table.dims()[0];
    if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab) {
        panic!("id {id} is not below {vocab}, the number of rows of the embedding");
    }
    #[cfg(feature = "flex")]
    if crate::flex::takes(&table) {
        return fused::embedding(table, ids.to_vec());
    }
    plain(table, ids)
}

fn plain(table: Tensor<2>, ids: &[u32]) -> Tensor<2> {
    let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let count = ids.len();
    let data = TensorData::new(ids, [count]);
    let ids = Tensor::<1, Int>::from_data(data, &table.device());
    table.select(0, ids)
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

    use crate::flex::vector::{rows_per_part, vectorised};
    use crate::flex::{FlexFloat, contiguous, dims2, tensor, values};

    /// Rows of the table that one thread accumulates at a time.
    const ROWS: usize = 512;

    #[backend_extension(Flex, Autodiff)]
    pub(super) trait EmbeddingOps: Backend {
        fn embedding(table: FloatTensor<Self>, ids: Vec<u32>) -> FloatTensor<Self>;
    }

    pub(super) fn embedding(table: Tensor<2>, ids: Vec<u32>) -> Tensor<2> {
        let out = <Dispatch as EmbeddingOps>::embedding(table.into_dispatch(), ids);
        Tensor::from_dispatch(out)
    }

    fn look_up(table: &FlexFloat, ids: &[u32]) -> FlexFloat {
        let width = dims2(table)[1];
        let table = contiguous(table);
        let table = values(&table);
        let mut out = vec![0.0; ids.len() * width];
        let rows = rows_per_part(width);
        out.par_chunks_mut(rows * width.max(1))
            .zip(ids.par_chunks(rows))
            .for_each(|(out, ids)| {
                for (out, &id) in out.chunks_exact_mut(width).zip(ids) {
                    out.copy_from_slice(&table[id as usize * width..][..width]);
                }
            });
        tensor(out, [ids.len(), width])
    }

    impl EmbeddingOps for Flex {
        fn embedding(table: FlexFloat, ids: Vec<u32>) -> FlexFloat {
            look_up(&table, &ids)
        }
    }

    /// The dense gradient of a `[vocab, width]` table. Places are sorted by id, so that each thread owns a
    /// range of the table's rows and adds the places of a row in their order.
    fn backward(ids: &[u32], [vocab, width]: [usize; 2], grad: &FlexFloat) -> FlexFloat {
        let grad = contiguous(grad);
        let grad = values(&grad);
        let mut places: Vec<(u32, usize)> = ids.iter().copied().zip(0..).collect();
        places.sort_unstable();
        let mut table = vec![0.0_f32; vocab * width];
        table
            .par_chunks_mut(ROWS * width.max(1))
            .enumerate()
            .for_each(|(part, table)| {
                let first = part * ROWS;
                let from = places.partition_point(|&(id, _)| (id as usize) < first);
                let rest = &places[from..];
                let count = rest.partition_point(|&(id, _)| (id as usize) < first + ROWS);
                vectorised(
                    #[inline(always)]
                    || {
                        for &(id, place) in &rest[..count] {
                            let row = &mut table[(id as usize - first) * width..][..width];
                            let grad = &grad[place * width..][..width];
                            for (sum, &d) in row.iter_mut().zip(grad) {
                                *sum += d;
                            }
                        }
                    },
                );
            });
        tensor(table, [vocab, width])
    }

    #[derive(Debug)]
    struct Embedding;

    impl Backward<Flex, 1> for Embedding {
        type State = (Vec<u32>, [usize; 2]);

        fn backward(
            self,
            ops: Ops<Self::State, 1>,
            grads: &mut Gradients,
            _checkpointer: &mut Checkpointer,
        ) {
            let grad = grads.consume::<Flex>(&ops.node);
            let (ids, shape) = &ops.state;
            if let [Some(parent)] = ops.parents {
                grads.register::<Flex>(parent.id, backward(ids, *shape, &grad));
            }
        }
    }

    impl<C: CheckpointStrategy> EmbeddingOps for Autodiff<Flex, C> {
        fn embedding(table: FloatTensor<Self>, ids: Vec<u32>) -> FloatTensor<Self> {
            let node = table.node();
            let table = table.primitive();
            let out = look_up(table, &ids);
            let prep = Embedding.prepare::<C>([node]).compute_bound();
            match prep.stateful() {
                OpsKind::Tracked(prep) => prep.finish((ids, dims2(table)), out),
                OpsKind::UnTracked(prep) => prep.finish(out),
            }
        }
    }
}
