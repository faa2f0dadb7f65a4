//! Products of f32 matrices on the tile unit (AMX) of recent Intel servers.
//!
//! The unit multiplies bf16 numbers and sums in f32, some sixteen times as many a cycle as the vector units do in
//! f32. An f32 number is the sum of three bf16 numbers to 2^-24 of itself, `x = x1 + x2 + x3`, each part the rounding of
//! what the ones before leave. Of the nine products of the parts of two numbers the six that matter,
//!
//! ```text
//! x y ~ x1 y1 + (x1 y2 + x2 y1) + (x1 y3 + x2 y2 + x3 y1),
//! ```
//!
//! are exact in f32, and the rest is below 2^-24 of `x y`. So a sum of such products is as good as one of f32 products
//! (the tests compare both with f64), faster by what docs/performance.md says. A result does not depend on how many
//! threads compute it.
//!
//! What differs from the vector units: subnormal numbers count as 0, and a factor that is infinite, or so large that
//! bf16 has no finite number for it (3.39e38), makes NaN where f32 arithmetic may make infinity.

#![allow(unsafe_code)]

pub(super) mod blocks;
mod pack;
mod tiles;

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::matrix::{Matrix, Out, Right, Threads, Write};
use super::panels::Line;
use pack::{Lines, Side, pack};
use tiles::{BLOCK, BLOCK_LINES, Edge, PANEL, Unit};

/// Most rows of one task, columns of one turn and depth of one pass: what a core's second-level cache holds
/// of both factors.
const ROWS: usize = 256;
const COLUMNS: usize = 128;
const DEPTH: usize = 576;
/// Most bytes of the right factor that are packed at a time.
const PACKED: usize = 64 << 20;

/// Fewest rows, columns and depth of a product: below, the packing costs more than the unit saves.
const FEWEST: [usize; 3] = [128, 128, 64];

/// Whether a product of `[rows, depth]` and `[depth, columns]` is computed here.
pub(super) fn takes(rows: usize, depth: usize, columns: usize) -> bool {
    let large = rows >= FEWEST[0] && columns >= FEWEST[1] && depth >= FEWEST[2];
    large && tiles::ready()
}

/// `out = scale * lhs rhs` for each right factor, or adds that to `out`. The left one is packed once for all of them.
///
/// # Safety
///
/// [`takes`] must have said yes to one of them; `lhs` is `[rows, depth]` and every right factor `[depth, columns]`; its
/// `out` is a matrix of those rows and columns that nobody else reads or writes and whose rows do not overlap; where it
/// is added to, its values are initialised.
pub(super) unsafe fn products(
    rights: &[Right<'_>],
    write: Write,
    scale: f32,
    lhs: Matrix<'_>,
    threads: Threads,
) {
    let lhs = Lines::rows(lhs, scale);
    let blocks = lhs.depth.div_ceil(BLOCK);
    let most = (PACKED / (blocks * BLOCK_LINES * size_of::<Line>())).max(1) * PANEL;
    let parts = rights.iter().flat_map(|right| {
        let columns = Lines::columns(right.factor);
        (0..columns.count).step_by(most).map(move |first| {
            // SAFETY: columns of `out` from `first` on, as many as the part has lines.
            let out = unsafe { right.out.from(0, first) };
            (columns.slice(first, most.min(columns.count - first)), out)
        })
    });
    let mut parts = parts.peekable();
    while parts.peek().is_some() {
        // As many as fit, and one at least.
        let (mut turn, mut room) = (Vec::new(), most);
        while let Some((columns, out)) = parts.next_if(|(columns, _)| columns.count <= room) {
            room -= columns.count;
            turn.push((columns, out));
        }
        let panels: usize = turn.iter().map(|(columns, _)| columns.panels()).sum();
        with_scratch(panels * blocks * BLOCK_LINES, |mut rest| {
            let mut packed = Vec::with_capacity(turn.len());
            for (columns, out) in turn {
                let (buffer, more) = rest.split_at_mut(columns.panels() * blocks * BLOCK_LINES);
                rest = more;
                pack_columns(columns, buffer, threads);
                packed.push(Packed {
                    panels: buffer,
                    columns: columns.count,
                    out,
                });
            }
            let each = rows_of_a_task(lhs.count, threads);
            let task = |number: usize| {
                let first = number * each;
                let lhs = lhs.slice(first, each.min(lhs.count - first));
                // SAFETY: rows from `first` on, which no other task has.
                unsafe { rows(&packed, first, write, lhs) };
            };
            let tasks = lhs.count.div_ceil(each);
            match threads {
                Threads::One => (0..tasks).for_each(task),
                Threads::All => (0..tasks).into_par_iter().with_max_len(1).for_each(task),
            }
        });
    }
}

/// Whole panels, four tasks a thread where there are rows enough.
fn rows_of_a_task(rows: usize, threads: Threads) -> usize {
    let tasks = match threads {
        Threads::One => 1,
        Threads::All => 4 * rayon::current_num_threads(),
    };
    rows.div_ceil(tasks)
        .next_multiple_of(PANEL)
        .clamp(PANEL, ROWS)
}

/// A packed right factor and where its product goes.
struct Packed<'a> {
    panels: &'a [Line],
    columns: usize,
    out: Out,
}

/// Packs the right factor, panel after panel.
fn pack_columns(rhs: Lines<'_>, packed: &mut [Line], threads: Threads) {
    const PANELS: usize = 2;
    let blocks = rhs.depth.div_ceil(BLOCK);
    let each = PANELS * blocks * BLOCK_LINES;
    let run = |(piece, out)| {
        let first = piece * PANELS * PANEL;
        let lines = rhs.slice(first, (PANELS * PANEL).min(rhs.count - first));
        // SAFETY: the unit is there (`products`'s contract), and with it the vector instructions.
        unsafe { pack(lines, 0..blocks, out, Side::Right) };
    };
    match threads {
        Threads::One => packed.chunks_mut(each).enumerate().for_each(run),
        Threads::All => packed.par_chunks_mut(each).enumerate().for_each(run),
    }
}

/// The products of the rows of `lhs`, which are those from `first` on, on the calling thread.
///
/// # Safety
///
/// As [`products`], for rows that no other thread has.
unsafe fn rows(rights: &[Packed<'_>], first: usize, write: Write, lhs: Lines<'_>) {
    const BLOCKS: usize = DEPTH / BLOCK;
    let blocks = lhs.depth.div_ceil(BLOCK);
    let panels = lhs.panels();
    with_scratch(panels * blocks.min(BLOCKS) * BLOCK_LINES, |left| {
        let mut edge = Edge::new();
        for block in (0..blocks).step_by(BLOCKS) {
            let depth = BLOCKS.min(blocks - block);
            let each = depth * BLOCK_LINES;
            let left = &mut left[..panels * each];
            // SAFETY: as in `pack_columns`.
            unsafe { pack(lhs, block..block + depth, left, Side::Left) };
            let unit = Unit::configured();
            let add = write == Write::Add || block > 0;
            for right in rights {
                let panel = |panel| &right.panels[(panel * blocks + block) * BLOCK_LINES..][..each];
                for column in (0..right.columns).step_by(COLUMNS) {
                    let end = right.columns.min(column + COLUMNS);
                    for (row, left) in (0..lhs.count).step_by(PANEL).zip(left.chunks_exact(each)) {
                        for column in (column..end).step_by(PANEL) {
                            let shape = [lhs.count - row, end - column].map(|rest| rest.min(PANEL));
                            // SAFETY: a part of `out`, of the rows and columns that are left.
                            unsafe {
                                let out = right.out.from(first + row, column);
                                unit.run([left, panel(column / PANEL)], out, shape, add, &mut edge);
                            }
                        }
                    }
                }
            }
        }
    });
}

/// Calls `body` with a buffer of `lines` lines with any content, which is kept for the next call.
fn with_scratch<R>(lines: usize, body: impl FnOnce(&mut [Line]) -> R) -> R {
    static POOL: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());
    let pool = || POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let mut buffer = {
        let mut pool = pool();
        // The smallest that is large enough, else the largest, which grows.
        let place = pool.partition_point(|buffer| buffer.len() < lines);
        match pool.len() {
            0 => Vec::new(),
            count => pool.remove(place.min(count - 1)),
        }
    };
    if buffer.len() < lines {
        buffer.resize(lines, Line([0; 16]));
    }
    let result = body(&mut buffer[..lines]);
    let mut pool = pool();
    let place = pool.partition_point(|other| other.len() < buffer.len());
    pool.insert(place, buffer);
    result
}

#[cfg(test)]
mod tests;
