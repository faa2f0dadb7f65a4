//! The fused attention over a cache on slices.
//!
//! Rows that see the same tokens of a prompt are worked on a few at a time, so that its keys and values come from a core's
//! cache for all of them but the first. Each number of a row is summed in an order of its own tokens, whatever is beside it.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::CachedRow;
use crate::flex::vector::{exponentials, tanh};

/// Multiplications from which on the work is split among threads.
const PARALLEL_FROM: usize = 1 << 17;
/// Queries that are worked on together.
const QUERIES: usize = 12;
/// Own slots whose values are added together.
const ABREAST: usize = 4;
/// Queries and vectors of numbers in registers.
const TALL: usize = 4;
const WIDE: usize = 2;

/// The rows of a step in the pieces that are worked on.
#[derive(Debug)]
pub(crate) struct Layout {
    rows: usize,
    /// Query heads that share a key head.
    sharing: usize,
    pieces: Vec<Piece>,
}

/// Rows that see the same tokens of one prompt.
#[derive(Debug)]
struct Piece {
    place: usize,
    prompt: Range<usize>,
    /// Each row with its own slots.
    rows: Vec<(usize, [Range<usize>; 2])>,
}

impl Piece {
    /// The largest number of tokens that one of its rows sees.
    fn tokens(&self) -> usize {
        let own = self.rows.iter().map(|(_, own)| own[0].len() + own[1].len());
        self.prompt.len() + own.max().unwrap_or(0)
    }
}

impl Layout {
    pub(super) fn new(rows: &[CachedRow], sharing: usize) -> Self {
        let together = QUERIES.div_ceil(sharing);
        let mut pieces: Vec<Piece> = Vec::new();
        for (number, row) in rows.iter().enumerate() {
            let joins = |piece: &&mut Piece| {
                piece.place == row.place
                    && piece.prompt == row.prompt
                    && piece.rows.len() < together
            };
            let row_of_piece = (number, row.own.clone());
            match pieces.iter_mut().rev().find(joins) {
                Some(piece) => piece.rows.push(row_of_piece),
                None => pieces.push(Piece {
                    place: row.place,
                    prompt: row.prompt.clone(),
                    rows: vec![row_of_piece],
                }),
            }
        }
        Self {
            rows: rows.len(),
            sharing,
            pieces,
        }
    }
}

/// Numbers of four axes, those of the last one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers<'a> {
    pub(super) values: &'a [f32],
    pub(super) shape: [usize; 4],
    pub(super) strides: [usize; 3],
}

impl<'a> Numbers<'a> {
    /// The matrix at the first two axes' places.
    fn at(self, first: usize, second: usize) -> Lines<'a> {
        let [of_first, of_second, stride] = self.strides;
        Lines {
            values: &self.values[first * of_first + second * of_second..],
            stride,
            width: self.shape[3],
        }
    }
}

/// The rows of a matrix.
#[derive(Clone, Copy)]
struct Lines<'a> {
    values: &'a [f32],
    stride: usize,
    width: usize,
}

impl<'a> Lines<'a> {
    #[inline(always)]
    fn at(self, line: usize) -> &'a [f32] {
        &self.values[line * self.stride..][..self.width]
    }
}

/// Keys and values of both kinds.
#[derive(Clone, Copy)]
pub(super) struct Caches<'a> {
    pub(super) prompts: [Numbers<'a>; 2],
    pub(super) own: [Numbers<'a>; 2],
}

/// The result for queries `[rows, heads * head_dim]`.
pub(super) fn attend(
    layout: &Layout,
    query: &[f32],
    caches: Caches<'_>,
    (scale, softcap): (f32, Option<f32>),
) -> Vec<f32> {
    let [_, heads, _, width] = caches.own[0].shape;
    let of_head = layout.sharing * width;
    let mut out = vec![0.0; layout.rows * heads * of_head];
    let mut parts: Vec<Option<&mut [f32]>> = out.chunks_exact_mut(of_head).map(Some).collect();
    let mut tasks = Vec::with_capacity(layout.pieces.len() * heads);
    let mut work = 0;
    for piece in &layout.pieces {
        work += piece.rows.len() * piece.tokens() * heads * of_head;
        for head in 0..heads {
            let place = |&(row, _): &(usize, _)| row * heads + head;
            let out = piece.rows.iter().map(|row| {
                let part = parts[place(row)].take();
                part.expect("a row is in one piece")
            });
            tasks.push(Task {
                piece,
                out: out.collect(),
                queries: piece
                    .rows
                    .iter()
                    .map(|row| &query[place(row) * of_head..][..of_head])
                    .collect(),
                prompt: caches.prompts.map(|numbers| numbers.at(piece.place, head)),
                own: caches.own,
                head,
                width,
                scale,
                softcap,
            });
        }
    }
    let run = |task: Task<'_, '_>| Arch::new().dispatch(task);
    if work >= PARALLEL_FROM {
        tasks.into_par_iter().with_max_len(1).for_each(run)
    } else {
        tasks.into_iter().for_each(run)
    }
    out
}

/// A piece for one key head.
struct Task<'a, 'o> {
    piece: &'a Piece,
    /// The queries of each row, one after the other, and their results.
    queries: Vec<&'a [f32]>,
    out: Vec<&'o mut [f32]>,
    /// The prompt's keys in columns, its values in rows.
    prompt: [Lines<'a>; 2],
    own: [Numbers<'a>; 2],
    head: usize,
    width: usize,
    scale: f32,
    softcap: Option<f32>,
}

impl WithSimd for Task<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = self.width;
        let sharing = self.out[0].len() / width;
        let count = self.out.len() * sharing;
        let padded = count.next_multiple_of(TALL);
        let tokens = self.piece.tokens();
        let prompt = self.piece.prompt.clone();
        let mut queries = vec![0.0_f32; padded * width];
        let given = self.queries.iter().copied().flatten();
        for (query, &value) in queries.iter_mut().zip(given) {
            *query = self.scale * value;
        }
        let mut scores = vec![0.0_f32; padded * tokens];
        let mut weights = scores.clone();
        let mut mixed = vec![0.0_f32; padded * width];
        let [keys, values] = self.prompt;
        let to = (scores.as_mut_slice(), tokens);
        products_with_columns(simd, &queries, keys, prompt.clone(), to);
        let rows = self.piece.rows.iter().enumerate();
        let mut lines = Vec::with_capacity(tokens - prompt.len());
        for (place, &(row, ref slots)) in rows.clone() {
            let keys = self.own[0].at(row, self.head);
            lines.clear();
            lines.extend(slots.iter().cloned().flatten().map(|slot| keys.at(slot)));
            let seen = prompt.len() + lines.len();
            for i in place * sharing..(place + 1) * sharing {
                let query = &queries[i * width..][..width];
                let scores = &mut scores[i * tokens..][..seen];
                for (score, key) in scores[prompt.len()..].iter_mut().zip(&lines) {
                    *score = dot(simd, query, key);
                }
                soften(scores, self.softcap, &mut weights[i * tokens..][..seen]);
            }
        }
        let to = (mixed.as_mut_slice(), width);
        products_with_rows(simd, (&weights, tokens), values, prompt.clone(), to);
        for (place, &(row, ref slots)) in rows {
            let values = self.own[1].at(row, self.head);
            lines.clear();
            lines.extend(slots.iter().cloned().flatten().map(|slot| values.at(slot)));
            for i in place * sharing..(place + 1) * sharing {
                let mixed = &mut mixed[i * width..][..width];
                let weights = &weights[i * tokens + prompt.len()..][..lines.len()];
                add_all(simd, mixed, weights, &lines);
            }
            let mixed = &mixed[place * sharing * width..][..sharing * width];
            self.out[place].copy_from_slice(mixed);
        }
    }
}

/// Writes the weights of scores, which sum to 1. The scores are capped in place.
#[inline(always)]
fn soften(scores: &mut [f32], softcap: Option<f32>, weights: &mut [f32]) {
    if let Some(cap) = softcap {
        for score in &mut *scores {
            *score = cap * tanh(*score / cap);
        }
    }
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total = exponentials(scores, largest, 1.0, weights);
    let inverse = (1.0 / total) as f32;
    for weight in weights {
        *weight *= inverse;
    }
}

/// `out[i][j - first] = sum_d x[i][d] columns[d][j]` for `j` from `first`, the range's start, to its end: `x` has a multiple of
/// [`TALL`] rows, `out` rows of its stride.
#[inline(always)]
fn products_with_columns<S: Simd>(
    simd: S,
    x: &[f32],
    columns: Lines<'_>,
    range: Range<usize>,
    (out, stride): (&mut [f32], usize),
) {
    let lanes = S::F32_LANES;
    let width = x.len() / (out.len() / stride);
    for from in range.clone().step_by(WIDE * lanes) {
        let count = (range.end - from).min(WIDE * lanes);
        let blocks = x.chunks_exact(TALL * width);
        for (x, out) in blocks.zip(out.chunks_exact_mut(TALL * stride)) {
            let mut sums = [[simd.splat_f32s(0.0); WIDE]; TALL];
            for d in 0..width {
                let column = &columns.values[d * columns.stride + from..][..count];
                let column = load(simd, column);
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = simd.splat_f32s(x[i * width + d]);
                    for (sum, column) in sums.iter_mut().zip(column) {
                        *sum = simd.mul_add_f32s(x, column, *sum);
                    }
                }
            }
            for (i, sums) in sums.into_iter().enumerate() {
                let out = &mut out[i * stride + from - range.start..][..count];
                store(simd, out, sums);
            }
        }
    }
}

/// `out[i] = sum_j x[i][j - first] rows[j]` for `j` from `first`, the range's start, to its end: `x` and `out` have a multiple of
/// [`TALL`] rows, of their strides.
#[inline(always)]
fn products_with_rows<S: Simd>(
    simd: S,
    (x, x_stride): (&[f32], usize),
    rows: Lines<'_>,
    range: Range<usize>,
    (out, stride): (&mut [f32], usize),
) {
    let lanes = S::F32_LANES;
    for from in (0..stride).step_by(WIDE * lanes) {
        let count = (stride - from).min(WIDE * lanes);
        let blocks = x.chunks_exact(TALL * x_stride);
        for (x, out) in blocks.zip(out.chunks_exact_mut(TALL * stride)) {
            let mut sums = [[simd.splat_f32s(0.0); WIDE]; TALL];
            for (j, row) in range.clone().enumerate() {
                let row = &rows.values[row * rows.stride + from..][..count];
                let row = load(simd, row);
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = simd.splat_f32s(x[i * x_stride + j]);
                    for (sum, row) in sums.iter_mut().zip(row) {
                        *sum = simd.mul_add_f32s(x, row, *sum);
                    }
                }
            }
            for (i, sums) in sums.into_iter().enumerate() {
                store(simd, &mut out[i * stride + from..][..count], sums);
            }
        }
    }
}

/// Up to [`WIDE`] vectors of numbers, 0 beyond the last.
#[inline(always)]
fn load<S: Simd>(simd: S, from: &[f32]) -> [S::f32s; WIDE] {
    let lanes = S::F32_LANES;
    if from.len() == WIDE * lanes {
        let (vectors, _) = S::as_simd_f32s(from);
        return [vectors[0], vectors[1]];
    }
    let (first, second) = from.split_at(from.len().min(lanes));
    [
        simd.partial_load_f32s(first),
        simd.partial_load_f32s(second),
    ]
}

/// Writes as many of the vectors' numbers as `to` has room for.
#[inline(always)]
fn store<S: Simd>(simd: S, to: &mut [f32], [first, second]: [S::f32s; WIDE]) {
    let lanes = S::F32_LANES;
    if to.len() == WIDE * lanes {
        let (vectors, _) = S::as_mut_simd_f32s(to);
        (vectors[0], vectors[1]) = (first, second);
        return;
    }
    let (to_first, to_second) = to.split_at_mut(to.len().min(lanes));
    simd.partial_store_f32s(to_first, first);
    simd.partial_store_f32s(to_second, second);
}

/// `out += sum_i weight_i line_i`, one term after the other.
#[inline(always)]
fn add_all<S: Simd>(simd: S, out: &mut [f32], weights: &[f32], lines: &[&[f32]]) {
    let ((fours, rest), (line_fours, line_rest)) =
        (weights.as_chunks::<ABREAST>(), lines.as_chunks::<ABREAST>());
    for (&weights, &lines) in fours.iter().zip(line_fours) {
        add(simd, out, weights, lines);
    }
    for (&weight, &line) in rest.iter().zip(line_rest) {
        add(simd, out, [weight], [line]);
    }
}

/// [`add_all`] of a fixed number.
#[inline(always)]
fn add<S: Simd, const N: usize>(simd: S, out: &mut [f32], weights: [f32; N], lines: [&[f32]; N]) {
    let (out, out_rest) = S::as_mut_simd_f32s(out);
    for (place, out) in out.iter_mut().enumerate() {
        let mut sum = *out;
        for (&weight, line) in weights.iter().zip(&lines) {
            let (line, _) = S::as_simd_f32s(line);
            sum = simd.mul_add_f32s(simd.splat_f32s(weight), line[place], sum);
        }
        *out = sum;
    }
    for (&weight, line) in weights.iter().zip(&lines) {
        let (_, line) = S::as_simd_f32s(line);
        for (out, &value) in out_rest.iter_mut().zip(line) {
            *out = weight.mul_add(value, *out);
        }
    }
}

/// `sum a_i b_i`, in as many sums as a vector has numbers.
#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let mut sums = simd.splat_f32s(0.0);
    for (&a, &b) in a.iter().zip(b) {
        sums = simd.mul_add_f32s(a, b, sums);
    }
    let rest = a_rest.iter().zip(b_rest);
    let mut sum = simd.reduce_sum_f32s(sums);
    for (&a, &b) in rest {
        sum = a.mul_add(b, sum);
    }
    sum
}
