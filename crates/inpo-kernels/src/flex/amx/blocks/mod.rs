//! Products with weights in blocks (see [`crate::blocks`] and [`super::super::panels`]) on the tile unit.
//!
//! The numbers `q` of a block are small integers, which bf16 holds as they are; those of a matrix in bf16 anyway. So only the left
//! factor is split in three parts, and three products of tiles are as good as the six of two f32 factors. The scales are
//! applied to the sums: with `c` the middle of the numbers' range,
//!
//! ```text
//! sum_i x_i (d q_i + m) = d sum_i x_i (q_i - c) + (m + c d) sum_i x_i      over the 32 of a block.
//! ```
//!
//! What a row of the result is depends, to the bit, neither on the other rows nor on the threads.

mod operands;

use std::arch::x86_64::*;
use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use operands::{MIDDLE, bytes, nibbles, put, split_rows};

use super::super::matrix::Out;
use super::super::panels::{Line, PANEL, Panels};
use super::tiles::{self, LANES, LEFT_LINES, RIGHT_LINES, TILES, Unit};
use crate::blocks::{BLOCK, BlockKind};

/// Most rows of a task: their sums for a panel stay in a core's first cache.
const ROWS: usize = 128;
/// Multiplications from which on the work is split among threads.
const PARALLEL_FROM: usize = 1 << 18;

/// Whether such products are computed here.
pub(in super::super) fn takes() -> bool {
    tiles::ready()
}

/// `lhs rhs` for `rows` rows, one after the other, and each right factor, in one turn of all threads.
///
/// # Panics
///
/// If `lhs` is not as long as the rows and a right factor's depth say, or [`takes`] says no.
pub(in super::super) fn products(lhs: &[f32], rows: usize, rights: &[&Panels]) -> Vec<Vec<f32>> {
    let depth = rights.first().map_or(0, |right| right.shape()[0]);
    let depths = rights.iter().map(|right| right.shape()[0]);
    assert!(
        takes() && lhs.len() == rows * depth && depths.into_iter().all(|d| d == depth),
        "{rows} rows of depth {depth}"
    );
    let columns = |right: &Panels| right.shape()[1];
    let mut out: Vec<Vec<f32>> = rights
        .iter()
        .map(|right| Vec::with_capacity(rows * columns(right)))
        .collect();
    let targets: Vec<Target<'_>> = rights
        .iter()
        .zip(&mut out)
        .map(|(matrix, out)| Target {
            matrix,
            out: Out {
                first: out.as_mut_ptr(),
                row_stride: columns(matrix),
            },
        })
        .collect();
    let panels: usize = targets.iter().map(|target| target.matrix.count()).sum();
    // To unpack the numbers takes about as long as to use them for eight rows.
    let work = depth * panels * PANEL * (rows + 8);
    let threads = if work >= PARALLEL_FROM {
        rayon::current_num_threads()
    } else {
        1
    };
    // Few chunks of rows, so that a panel is unpacked for many, and as many parts of the panels as threads are left. Chunks
    // in turns of all threads where there are more of them.
    let chunks = match rows.div_ceil(ROWS).max(1) {
        chunks if chunks > threads => chunks.next_multiple_of(threads),
        chunks => chunks,
    };
    let each_rows = rows.div_ceil(chunks).next_multiple_of(LANES).max(LANES);
    let parts = threads.div_ceil(chunks);
    let each_panels = panels.div_ceil(parts).max(1);
    let task = |number: usize| {
        let (chunk, part) = (number / parts, number % parts);
        let first = (chunk * each_rows).min(rows);
        let count = each_rows.min(rows - first);
        let panels = part * each_panels..panels.min((part + 1) * each_panels);
        if count == 0 || panels.is_empty() {
            return;
        }
        let lhs = &lhs[first * depth..][..count * depth];
        // SAFETY: the unit is there, and with it the vector instructions; rows and columns that no other task has.
        unsafe { rows_and_panels(lhs, depth, first, &targets, panels) };
    };
    match chunks * parts {
        1 => task(0),
        tasks => (0..tasks).into_par_iter().with_max_len(1).for_each(task),
    }
    for (right, out) in rights.iter().zip(&mut out) {
        // SAFETY: the tasks have written all rows of all panels, and there is room for them.
        unsafe { out.set_len(rows * columns(right)) };
    }
    out
}

/// A right factor and where its product goes.
struct Target<'a> {
    matrix: &'a Panels,
    out: Out,
}

/// The product of some rows, which are those from `first` on, with `panels` of the targets, counted through all of them.
///
/// # Safety
///
/// The targets' `out` have these rows and all columns; nobody else reads or writes these rows of these panels.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn rows_and_panels(
    lhs: &[f32],
    depth: usize,
    first: usize,
    targets: &[Target<'_>],
    panels: Range<usize>,
) {
    let (rows, blocks) = (lhs.len() / depth, depth / BLOCK);
    let tall = rows.div_ceil(LANES);
    // The left factor's parts, the sums of its blocks, a block of the right factor, and the sums.
    let lines = [
        tall * blocks * LEFT_LINES,
        tall * blocks,
        RIGHT_LINES,
        tall * RIGHT_LINES,
    ];
    with_scratch(lines.iter().sum(), |scratch| {
        let (left, scratch) = scratch.split_at_mut(lines[0]);
        let (sums, scratch) = scratch.split_at_mut(lines[1]);
        let (right, results) = scratch.split_at_mut(lines[2]);
        split_rows(lhs, depth, left, sums);
        let unit = Unit::configured_for(rows.min(LANES));
        let mut before = 0;
        for Target { matrix, out } in targets {
            let end = before + matrix.count();
            for panel in panels.start.max(before)..panels.end.min(end) {
                let panel = panel - before;
                let column = panel * PANEL;
                match matrix.kind() {
                    BlockKind::Bf16 => whole_panel(&unit, matrix, panel, left, results),
                    _ => scaled_panel(&unit, matrix, panel, rows, (left, sums), right, results),
                }
                let columns = PANEL.min(matrix.shape()[1] - column);
                for (row, results) in results.chunks_exact(TILES).enumerate().take(rows) {
                    // SAFETY: a part of `out`.
                    unsafe { write(out.from(first + row, column).first, columns, results) };
                }
            }
            before = end;
        }
    });
}

/// Calls `body` with a buffer of this thread of `lines` lines with any content: it stays in its core's cache.
fn with_scratch<R>(lines: usize, body: impl FnOnce(&mut [Line]) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < lines {
            scratch.resize(lines, Line([0; LANES]));
        }
        body(&mut scratch[..lines])
    })
}

/// The products with a panel of blocks with scales: row after row in `results`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn scaled_panel(
    unit: &Unit,
    matrix: &Panels,
    panel: usize,
    rows: usize,
    (left, sums): (&[Line], &[Line]),
    right: &mut [Line],
    results: &mut [Line],
) {
    let blocks = matrix.shape()[0] / BLOCK;
    // While the unit works on a product, the one before is added.
    let mut products = [[Line([0; LANES]); RIGHT_LINES]; 2];
    let (mut turn, mut pending) = (0, None::<Pending>);
    results.fill(Line([0; LANES]));
    let tall = rows.div_ceil(LANES);
    for block in 0..blocks {
        let (scales, numbers) = matrix.block(panel, block);
        let (scales, minima) = scales.split_at(PANEL);
        let scales = vectors(scales);
        let minima = match matrix.kind() {
            BlockKind::Nibbles => {
                nibbles(numbers, right);
                let middle = _mm512_set1_ps(MIDDLE);
                let minima = vectors(minima);
                Some([0, 1, 2].map(|i| _mm512_fmadd_ps(middle, scales[i], minima[i])))
            }
            _ => {
                bytes(numbers, right);
                (!minima.is_empty()).then(|| vectors(minima))
            }
        };
        for number in 0..tall {
            let at = number * blocks + block;
            let left = &left[at * LEFT_LINES..][..LEFT_LINES];
            let [even, odd] = &mut products;
            let (now, before) = match turn % 2 {
                0 => (even, odd),
                _ => (odd, even),
            };
            unit.block(left, right, now);
            if let Some(pending) = pending {
                pending.add(before, sums, rows, results);
            }
            pending = Some(Pending {
                number,
                at,
                scales,
                minima,
            });
            turn += 1;
        }
    }
    if let Some(pending) = pending {
        pending.add(&products[(turn + 1) % 2], sums, rows, results);
    }
}

/// Products of 16 rows with a block that are not added yet.
#[derive(Clone, Copy)]
struct Pending {
    /// Which 16 rows.
    number: usize,
    /// Where the sums of their numbers lie.
    at: usize,
    scales: [__m512; TILES],
    minima: Option<[__m512; TILES]>,
}

impl Pending {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn add(&self, products: &[Line], sums: &[Line], rows: usize, results: &mut [Line]) {
        let count = LANES.min(rows - self.number * LANES);
        let results = &mut results[self.number * RIGHT_LINES..][..count * TILES];
        let sums = &sums[self.at].0;
        for (row, (results, &sum)) in results.chunks_exact_mut(TILES).zip(sums).enumerate() {
            let sum = _mm512_set1_ps(f32::from_bits(sum));
            for (tile, result) in results.iter_mut().enumerate() {
                let product = load(&products[tile * LANES + row]);
                let mut value = _mm512_fmadd_ps(product, self.scales[tile], load(result));
                if let Some(minima) = self.minima {
                    value = _mm512_fmadd_ps(sum, minima[tile], value);
                }
                store(result, value);
            }
        }
    }
}

/// The products with a panel of bf16 numbers: row after row in `results`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn whole_panel(unit: &Unit, matrix: &Panels, panel: usize, left: &[Line], results: &mut [Line]) {
    let blocks = matrix.shape()[0] / BLOCK;
    let mut products = [Line([0; LANES]); RIGHT_LINES];
    let left = left.chunks_exact(blocks * LEFT_LINES);
    for (left, results) in left.zip(results.chunks_exact_mut(RIGHT_LINES)) {
        unit.panel(left, matrix.pairs(panel), &mut products);
        for (row, results) in results.chunks_exact_mut(TILES).enumerate() {
            for (tile, result) in results.iter_mut().enumerate() {
                *result = products[tile * LANES + row];
            }
        }
    }
}

/// Writes the first `columns` numbers of `results`, a row of a panel.
///
/// # Safety
///
/// `to` has room for them.
#[target_feature(enable = "avx512f")]
unsafe fn write(to: *mut f32, columns: usize, results: &[Line]) {
    for (tile, result) in results.iter().enumerate() {
        let column = tile * LANES;
        if column >= columns {
            break;
        }
        let mask = match columns - column {
            left if left >= LANES => u16::MAX,
            left => (1 << left) - 1,
        };
        // SAFETY: the lanes of the mask lie where the caller says.
        unsafe { _mm512_mask_storeu_ps(to.add(column), mask, load(result)) };
    }
}

/// 48 numbers.
#[inline]
#[target_feature(enable = "avx512f")]
fn vectors(numbers: &[f32]) -> [__m512; TILES] {
    let (chunks, _) = numbers.as_chunks::<LANES>();
    // SAFETY: a chunk is as long as a vector.
    [0, 1, 2].map(|tile| unsafe { _mm512_loadu_ps(chunks[tile].as_ptr()) })
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(line: &Line) -> __m512 {
    // SAFETY: a line is 64 aligned bytes.
    unsafe { _mm512_load_ps(std::ptr::from_ref(line).cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(line: &mut Line, value: __m512) {
    put(line, _mm512_castps_si512(value));
}
