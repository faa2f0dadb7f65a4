//! The fused attention on slices: forward and backward.
//!
//! A tile's queries are packed, token by token and in each token head by head, `[queries, head_dim]`.
//! Scores are held transposed, `[keys, queries]`: softmax then runs along vectors of queries, without
//! sums across one.

use rayon::prelude::*;

use super::plan::{Piece, Plan, Task, Tile};
use super::scratch::{Pool, Scratch};
use super::softmax::{Part, differentiate, dot, soften, weigh};
use crate::flex::gemm::multiply;
use crate::flex::matrix::{Matrix, MatrixMut, Threads, Write};
use crate::flex::vector::vectorised;

/// The output, and each task's logarithms of its softmaxes' sums, in the order of its queries.
pub(super) fn forward(plan: &Plan, [q, k, v]: [&[f32]; 3]) -> (Vec<f32>, Vec<Vec<f32>>) {
    let mut out = vec![0.0; q.len()];
    let parts = plan.split(&mut out, plan.sharing * plan.head_dim);
    let pool = Pool::default();
    let sums = plan
        .tasks()
        .into_par_iter()
        .zip(parts)
        .with_max_len(1)
        .map(|(task, mut out)| {
            let mut sums = Vec::with_capacity(out.len() * plan.sharing);
            pool.with(plan, |scratch| {
                let mut rest = out.as_mut_slice();
                for tile in &task.unit.tiles {
                    let (out, later) = rest.split_at_mut(tile.tokens);
                    rest = later;
                    forward_tile(plan, &task, tile, [q, k, v], scratch, out, &mut sums);
                }
            });
            sums
        })
        .collect();
    (out, sums)
}

fn forward_tile(
    plan: &Plan,
    task: &Task<'_>,
    tile: &Tile,
    [q, k, v]: [&[f32]; 3],
    scratch: &mut Scratch,
    out: &mut [&mut [f32]],
    sums: &mut Vec<f32>,
) {
    let (queries, dim) = (tile.tokens * plan.sharing, plan.head_dim);
    let packed = &mut scratch.q[..queries * dim];
    pack(plan, task, tile, q, plan.scale, packed);
    let packed = Matrix::rows(packed, [queries, dim]);
    let mixed = &mut scratch.out[..queries * dim];
    let max = &mut scratch.first[..queries];
    let sum = &mut scratch.second[..queries];
    let factor = &mut scratch.third[..queries];
    let scores = &mut scratch.scores;
    max.fill(f32::MIN);
    sum.fill(0.0);
    let mut write = Write::Replace;
    for block in &tile.blocks {
        for piece in block {
            let part = Part::new(plan, tile, piece);
            let keys = keys(plan, task, k, piece);
            let queries = part.rows(packed).transposed();
            let to = part.matrix_mut(scores);
            multiply(to, Write::Replace, 1.0, keys, queries, Threads::One);
            adjust(plan, tile, piece, scores);
        }
        let parts = block.iter().map(|piece| Part::new(plan, tile, piece));
        vectorised(
            #[inline(always)]
            || {
                weigh(parts, scores, max, sum, factor);
                if write == Write::Add {
                    for (row, &factor) in mixed.chunks_exact_mut(dim).zip(&*factor) {
                        row.iter_mut().for_each(|value| *value *= factor);
                    }
                }
            },
        );
        for piece in block {
            let part = Part::new(plan, tile, piece);
            let weights = part.matrix(scores).transposed();
            let values = keys(plan, task, v, piece);
            let to = part.rows_mut(mixed, dim);
            multiply(to, write, 1.0, weights, values, Threads::One);
            write = Write::Add;
        }
    }
    vectorised(
        #[inline(always)]
        || {
            let rows = mixed.chunks_exact(dim).zip(&*sum);
            let places = out.iter_mut().flat_map(|out| out.chunks_exact_mut(dim));
            for (out, (row, sum)) in places.zip(rows) {
                let factor = 1.0 / sum;
                for (out, &value) in out.iter_mut().zip(row) {
                    *out = value * factor;
                }
            }
        },
    );
    sums.extend(max.iter().zip(&*sum).map(|(max, sum)| max + sum.ln()));
}

/// The gradients of queries, keys and values for `grad`, that of the output.
///
/// With the weights `p` of a query, `d p_j = grad . v_j` and `d score_j = p_j (d p_j - sum_i p_i d p_i)`,
/// where the sum is `grad . out`.
pub(super) fn backward(
    plan: &Plan,
    inputs: [&[f32]; 3],
    out: &[f32],
    sums: &[Vec<f32>],
    grad: &[f32],
) -> [Vec<f32>; 3] {
    let [q, k, _] = inputs;
    let mut d_q = vec![0.0; q.len()];
    let parts = plan.split(&mut d_q, plan.sharing * plan.head_dim);
    let pool = Pool::default();
    let tasks = plan.tasks();
    let grads: Vec<[Vec<f32>; 2]> = tasks
        .par_iter()
        .zip(parts)
        .zip(sums)
        .with_max_len(1)
        .map(|((task, mut d_q), sums)| {
            let count = task.unit.keys() * plan.head_dim;
            let mut d_kv = [vec![0.0; count], vec![0.0; count]];
            pool.with(plan, |scratch| {
                let (mut rest, mut sums) = (d_q.as_mut_slice(), sums.as_slice());
                for tile in &task.unit.tiles {
                    let (d_q, later) = rest.split_at_mut(tile.tokens);
                    let (own_sums, later_sums) = sums.split_at(tile.tokens * plan.sharing);
                    (rest, sums) = (later, later_sums);
                    let given = Given {
                        inputs,
                        out,
                        grad,
                        sums: own_sums,
                    };
                    backward_tile(plan, task, tile, &given, scratch, d_q, &mut d_kv);
                }
            });
            d_kv
        })
        .collect();
    let (mut d_k, mut d_v) = (vec![0.0; k.len()], vec![0.0; k.len()]);
    [(&mut d_k, 0), (&mut d_v, 1)]
        .into_par_iter()
        .for_each(|(to, which)| {
            for (task, grads) in tasks.iter().zip(&grads) {
                gather(plan, task, &grads[which], to);
            }
        });
    [d_q, d_k, d_v]
}

/// What the backward pass of a tile reads.
struct Given<'a> {
    inputs: [&'a [f32]; 3],
    out: &'a [f32],
    grad: &'a [f32],
    /// Those of the tile's queries.
    sums: &'a [f32],
}

fn backward_tile(
    plan: &Plan,
    task: &Task<'_>,
    tile: &Tile,
    given: &Given<'_>,
    scratch: &mut Scratch,
    d_q: &mut [&mut [f32]],
    [d_k, d_v]: &mut [Vec<f32>; 2],
) {
    let (queries, dim) = (tile.tokens * plan.sharing, plan.head_dim);
    let [q, k, v] = given.inputs;
    let packed = &mut scratch.q[..queries * dim];
    let grad = &mut scratch.grad[..queries * dim];
    let mixed = &mut scratch.out[..queries * dim];
    let delta = &mut scratch.first[..queries];
    pack(plan, task, tile, q, plan.scale, packed);
    pack(plan, task, tile, given.grad, 1.0, grad);
    pack(plan, task, tile, given.out, 1.0, mixed);
    vectorised(
        #[inline(always)]
        || {
            let rows = grad.chunks_exact(dim).zip(mixed.chunks_exact(dim));
            for (delta, (grad, out)) in delta.iter_mut().zip(rows) {
                *delta = dot(grad, out);
            }
        },
    );
    let packed = Matrix::rows(packed, [queries, dim]);
    let grad = Matrix::rows(grad, [queries, dim]);
    let (scores, d_scores) = (&mut scratch.scores, &mut scratch.d_scores);
    let mut write = Write::Replace;
    for piece in tile.blocks.iter().flatten() {
        let part = Part::new(plan, tile, piece);
        let (packed, grad) = (part.rows(packed), part.rows(grad));
        let (keys, values) = (keys(plan, task, k, piece), keys(plan, task, v, piece));
        let to = part.matrix_mut(scores);
        let of_queries = packed.transposed();
        multiply(to, Write::Replace, 1.0, keys, of_queries, Threads::One);
        adjust(plan, tile, piece, scores);
        let to = part.matrix_mut(d_scores);
        let of_queries = grad.transposed();
        multiply(to, Write::Replace, 1.0, values, of_queries, Threads::One);
        vectorised(
            #[inline(always)]
            || differentiate(part, scores, d_scores, given.sums, delta, plan.softcap),
        );
        let place = task.unit.place(piece.row) * dim;
        let weights = part.matrix(scores);
        let to = MatrixMut::rows(&mut d_v[place..], [piece.count, dim]);
        multiply(to, Write::Add, 1.0, weights, grad, Threads::One);
        let d_scores = part.matrix(d_scores);
        let to = MatrixMut::rows(&mut d_k[place..], [piece.count, dim]);
        multiply(to, Write::Add, 1.0, d_scores, packed, Threads::One);
        let to = part.rows_mut(mixed, dim);
        let d_scores = d_scores.transposed();
        multiply(to, write, plan.scale, d_scores, keys, Threads::One);
        write = Write::Add;
    }
    for (to, from) in d_q.iter_mut().zip(mixed.chunks_exact(plan.sharing * dim)) {
        to.copy_from_slice(from);
    }
}

/// Copies a tile's queries (or what has their shape), times `factor`.
fn pack(plan: &Plan, task: &Task<'_>, tile: &Tile, from: &[f32], factor: f32, to: &mut [f32]) {
    let width = plan.sharing * plan.head_dim;
    let rows = from
        .chunks_exact(plan.q_width())
        .skip(task.group.start + tile.row);
    for (to, from) in to.chunks_exact_mut(width).zip(rows) {
        let from = &from[task.kv_head * width..][..width];
        for (to, &from) in to.iter_mut().zip(from) {
            *to = factor * from;
        }
    }
}

/// The keys (or values) of a piece, for the task's head.
fn keys<'a>(plan: &Plan, task: &Task<'_>, values: &'a [f32], piece: &Piece) -> Matrix<'a> {
    let (width, dim) = (plan.kv_width(), plan.head_dim);
    let first = (task.group.start + piece.row) * width + task.kv_head * dim;
    Matrix::new(&values[first..], [piece.count, dim], [width, 1])
}

/// The cap, and minus infinity where a query does not see a key.
fn adjust(plan: &Plan, tile: &Tile, piece: &Piece, scores: &mut [f32]) {
    let part = Part::new(plan, tile, piece);
    if let Some(cap) = plan.softcap {
        vectorised(
            #[inline(always)]
            || part.of_keys(scores).for_each(|scores| soften(scores, cap)),
        );
    }
    for (place, scores) in part.of_keys(scores).enumerate() {
        let seen = plan.viewers(tile, piece, place);
        scores[..seen.start * plan.sharing - part.first].fill(f32::NEG_INFINITY);
        scores[seen.end * plan.sharing - part.first..].fill(f32::NEG_INFINITY);
    }
}

/// Adds a task's gradients of keys (or values) to those of all.
fn gather(plan: &Plan, task: &Task<'_>, from: &[f32], to: &mut [f32]) {
    let (width, dim) = (plan.kv_width(), plan.head_dim);
    let rows = task.unit.seen.iter().cloned().flatten();
    for (row, from) in rows.zip(from.chunks_exact(dim)) {
        let first = (task.group.start + row) * width + task.kv_head * dim;
        for (to, &from) in to[first..][..dim].iter_mut().zip(from) {
            *to += from;
        }
    }
}
