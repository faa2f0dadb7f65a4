//! Products of few rows: what decoding computes, where every weight is read for a handful of tokens.
//!
//! Such a product is bound by memory at one row and by arithmetic at a hundred, and the `gemm` crate reaches neither bound:
//! it reads a matrix that is stored row by row in columns, a page a row. Here the right factor is read as it lies in memory,
//! once, and whatever is reused lies in a core's cache. What a row of the result is does not depend, to the bit, on how
//! many other rows there are, nor on the number of threads: each of its values is summed in one order.
//!
//! Needs AVX-512; without it the `gemm` crate does the work.

#![allow(unsafe_code)]

mod blocks;
mod columns;
mod lines;
mod rows;

use std::ops::Range;

use rayon::prelude::*;

use super::matrix::{Matrix, Out, Right, Write};
use super::panels::{PANEL, Panels};
use lines::{Left, Line};

/// From this many rows on the tile unit is faster, and the `gemm` crate no slower.
const ROWS: usize = 384;
/// Fewest numbers of the right factor: below, a product costs no more elsewhere.
const SMALLEST: usize = 1 << 14;
/// Numbers of the right factor from which on it is split among threads.
const PARALLEL_FROM: usize = 1 << 16;
/// Multiplications from which on one with blocks is.
const PARALLEL_BLOCKS: usize = 1 << 20;

/// Whether a product of `rows` rows with `rhs` is computed here.
pub(super) fn takes(rows: usize, rhs: Matrix<'_>) -> bool {
    let [depth, columns] = rhs.shape();
    let lies = rhs.strides().contains(&1);
    let size = depth.saturating_mul(columns);
    (1..ROWS).contains(&rows) && lies && size >= SMALLEST && is_x86_feature_detected!("avx512f")
}

/// `out = scale * lhs rhs` for each right factor, or adds that to `out`, in one turn of all threads.
///
/// # Safety
///
/// [`takes`] must have said yes to one of them, and each has rows or columns in order; `lhs` is `[rows, depth]` and every right
/// factor `[depth, columns]`; its `out` is a matrix of those rows and columns that nobody else reads or writes and whose
/// rows do not overlap; where it is added to, its values are initialised.
pub(super) unsafe fn products(rights: &[Right<'_>], write: Write, scale: f32, lhs: Matrix<'_>) {
    let [rows, depth] = lhs.shape();
    let in_order = scale == 1.0 && lhs.strides() == [depth, 1];
    let copied: Vec<f32>;
    let values = if in_order {
        &lhs.values()[..rows * depth]
    } else {
        let [row, step] = lhs.strides();
        let value = |i: usize| scale * lhs.values()[i / depth * row + i % depth * step];
        copied = (0..rows * depth).map(value).collect();
        &copied
    };
    let lhs = Left { values, rows };
    let size: usize = rights.iter().map(|right| right.factor.shape()[1]).sum();
    let parts = if depth * size >= PARALLEL_FROM {
        rayon::current_num_threads()
    } else {
        1
    };
    let task = |part: usize| {
        for right in rights {
            // SAFETY: what the caller promises.
            unsafe { columns_of_a_task(right, write, lhs, [part, parts]) };
        }
    };
    each_part(parts, task);
}

/// Whether a product of `rows` rows with quantised blocks is computed here.
pub(super) fn takes_blocks(rows: usize) -> bool {
    (1..ROWS).contains(&rows) && is_x86_feature_detected!("avx512f")
}

/// `lhs rhs` for `rows` rows, one after the other.
///
/// # Panics
///
/// If `lhs` is not as long as they are, or [`takes_blocks`] says no.
pub(super) fn block_product(lhs: &[f32], rows: usize, rhs: &Panels) -> Vec<f32> {
    let [depth, columns] = rhs.shape();
    assert!(
        lhs.len() == rows * depth && takes_blocks(rows),
        "{rows} rows"
    );
    let lhs = Left { values: lhs, rows };
    let mut out = vec![0.0; rows * columns];
    let to = Out {
        first: out.as_mut_ptr(),
        row_stride: columns,
    };
    let panels = columns.div_ceil(PANEL);
    // To unpack a number takes about as long as to use it for four rows.
    let parts = if depth * columns * (rows + 4) >= PARALLEL_BLOCKS {
        rayon::current_num_threads()
    } else {
        1
    };
    let each = panels.div_ceil(parts).max(1);
    let task = |part: usize| {
        let panels = part * each..panels.min((part + 1) * each);
        let first = panels.start * PANEL;
        if panels.is_empty() {
            return;
        }
        let shape = [depth, (panels.len() * PANEL).min(columns - first)];
        // SAFETY: columns of `out` that no other task has; the vector instructions are there.
        unsafe {
            let values = |part: Range<usize>, depth: Range<usize>, packed: &mut [Line]| {
                let part = panels.start + part.start..panels.start + part.end;
                blocks::unpack(rhs, part, depth, packed);
            };
            rows::passes(to.from(0, first), Write::Replace, lhs, shape, values);
        }
    };
    each_part(parts, task);
    out
}

/// Calls `task` for each of `parts`, in parallel where there is more than one.
fn each_part(parts: usize, task: impl Fn(usize) + Send + Sync) {
    match parts {
        1 => task(0),
        _ => (0..parts).into_par_iter().with_max_len(1).for_each(task),
    }
}

/// One of `parts` equal parts of the columns of one product.
///
/// # Safety
///
/// As [`products`]; no other task has this part.
unsafe fn columns_of_a_task(
    right: &Right<'_>,
    write: Write,
    lhs: Left<'_>,
    [part, parts]: [usize; 2],
) {
    let [_, columns] = right.factor.shape();
    let by_rows = right.factor.strides()[1] == 1;
    let unit = if by_rows { PANEL } else { columns::BLOCK };
    let each = columns.div_ceil(parts).next_multiple_of(unit);
    let first = part * each;
    if first >= columns {
        return;
    }
    let factor = right.factor.slice_columns(first, each.min(columns - first));
    // SAFETY: columns of `out` that no other task has; the vector instructions are there.
    unsafe {
        let out = right.out.from(0, first);
        if by_rows {
            rows::product(out, write, lhs, factor)
        } else {
            columns::product(out, write, lhs, factor)
        }
    }
}

#[cfg(test)]
mod tests;
