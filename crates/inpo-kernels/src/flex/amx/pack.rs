//! Splitting f32 numbers into bf16 parts, in the order in which the tile unit reads them.
//!
//! A panel's block holds 32 lines of 32 numbers: two tiles of 16 lines, each in three parts, 16 cache lines a part. The
//! unit takes pairs of numbers that follow each other in depth: on the left a cache line is one line's 16 pairs, on the
//! right it is one pair of each of 16 lines.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::matrix::Matrix;
use super::super::panels::Line;
use super::tiles::{BLOCK, BLOCK_LINES, PANEL};

/// The rows of a left or the columns of a right factor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines<'a> {
    values: &'a [f32],
    /// How many there are, and how many numbers each has.
    pub(super) count: usize,
    pub(super) depth: usize,
    /// From one line to the next, and from one number of a line to the next.
    strides: [usize; 2],
    /// Every number is multiplied by this.
    scale: f32,
}

impl<'a> Lines<'a> {
    pub(super) fn rows(matrix: Matrix<'a>, scale: f32) -> Self {
        let ([count, depth], strides) = (matrix.shape(), matrix.strides());
        Self {
            values: matrix.values(),
            count,
            depth,
            strides,
            scale,
        }
    }

    pub(super) fn columns(matrix: Matrix<'a>) -> Self {
        Self::rows(matrix.transposed(), 1.0)
    }

    /// `count` lines from `first` on.
    pub(super) fn slice(self, first: usize, count: usize) -> Self {
        let values = &self.values[first * self.strides[0]..];
        Self {
            values,
            count,
            ..self
        }
    }

    pub(super) fn panels(&self) -> usize {
        self.count.div_ceil(PANEL)
    }
}

/// Which factor is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Packs `blocks` of each line: panel after panel, in each block after block. Lines and depths beyond the end are 0.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn pack(lines: Lines<'_>, blocks: Range<usize>, out: &mut [Line], side: Side) {
    let panels = lines.panels();
    let mut one = |panel: usize, block: usize| {
        let place = panel * blocks.len() + block - blocks.start;
        let out = &mut out[place * BLOCK_LINES..][..BLOCK_LINES];
        let (upper, lower) = out.split_at_mut(BLOCK_LINES / 2);
        let depth = block * BLOCK;
        tile(lines, [panel * PANEL, depth], upper, side);
        tile(lines, [panel * PANEL + PANEL / 2, depth], lower, side);
    };
    // In the order in which the numbers lie in memory.
    if lines.strides[1] == 1 {
        for panel in 0..panels {
            blocks.clone().for_each(|block| one(panel, block));
        }
    } else {
        for block in blocks.clone() {
            (0..panels).for_each(|panel| one(panel, block));
        }
    }
}

/// The three parts of 16 lines from `first` on, 32 numbers from `depth` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn tile(lines: Lines<'_>, [first, depth]: [usize; 2], out: &mut [Line], side: Side) {
    let [line, step] = lines.strides;
    let whole = first + 16 <= lines.count && depth + BLOCK <= lines.depth;
    if !whole || (line != 1 && step != 1) {
        return edge(lines, [first, depth], out, side);
    }
    let at = |i: usize, k: usize| (first + i) * line + (depth + k) * step;
    let scale = _mm512_set1_ps(lines.scale);
    let mut parts = [[_mm512_setzero_si512(); 16]; 3];
    let by_line = step == 1;
    for i in 0..16 {
        let (even, odd) = if by_line {
            deinterleaved(lines.values[at(i, 0)..].first_chunk().expect("32 numbers"))
        } else {
            let numbers = |k| lines.values[at(0, k)..].first_chunk().expect("16 numbers");
            (load(numbers(2 * i)), load(numbers(2 * i + 1)))
        };
        let split = split(_mm512_mul_ps(even, scale), _mm512_mul_ps(odd, scale));
        for (part, split) in parts.iter_mut().zip(split) {
            part[i] = split;
        }
    }
    for (part, out) in parts.into_iter().zip(out.chunks_exact_mut(16)) {
        let part = if by_line == (side == Side::Left) {
            part
        } else {
            transpose(part)
        };
        for (row, out) in part.into_iter().zip(out) {
            store(row, out);
        }
    }
}

/// [`tile`] where lines or depths end, or neither lie one after the other: by way of a copy.
#[cold]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn edge(lines: Lines<'_>, [first, depth]: [usize; 2], out: &mut [Line], side: Side) {
    let [line, step] = lines.strides;
    let mut values = [0.0; 16 * BLOCK];
    for (i, copy) in (first..lines.count).zip(values.chunks_exact_mut(BLOCK)) {
        for (k, copy) in (depth..lines.depth).zip(copy) {
            *copy = lines.values[i * line + k * step];
        }
    }
    let copy = Lines {
        values: &values,
        count: 16,
        depth: BLOCK,
        strides: [BLOCK, 1],
        ..lines
    };
    tile(copy, [0, 0], out, side);
}

/// The three parts of 16 pairs of numbers, from the first and the second of each: word `2 i` of a vector is the first
/// of pair `i`, word `2 i + 1` the second.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn split(mut first: __m512, mut second: __m512) -> [__m512i; 3] {
    let order = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
        19, 3, 18, 2, 17, 1, 16, 0,
    );
    let upper = _mm512_set1_epi32(-0x1_0000);
    let mut parts = [_mm512_setzero_si512(); 3];
    for part in &mut parts {
        let both = bits(_mm512_cvtne2ps_pbh(second, first));
        *part = _mm512_permutexvar_epi16(order, both);
        // What the parts so far leave is exact in f32.
        let taken = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(*part));
        first = _mm512_sub_ps(first, taken);
        let taken = _mm512_castsi512_ps(_mm512_and_si512(*part, upper));
        second = _mm512_sub_ps(second, taken);
    }
    parts
}

/// The transpose of a 16 x 16 matrix, one row a vector.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
    let mut pairs = rows;
    for i in 0..8 {
        let [a, b] = [rows[2 * i], rows[2 * i + 1]];
        pairs[2 * i] = _mm512_unpacklo_epi32(a, b);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(a, b);
    }
    // Lane l of `quads[4 g + c]` holds column 4 l + c of rows 4 g to 4 g + 3.
    let mut quads = pairs;
    for g in 0..4 {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| pairs[4 * g + i]);
        quads[4 * g] = _mm512_unpacklo_epi64(a, c);
        quads[4 * g + 1] = _mm512_unpackhi_epi64(a, c);
        quads[4 * g + 2] = _mm512_unpacklo_epi64(b, d);
        quads[4 * g + 3] = _mm512_unpackhi_epi64(b, d);
    }
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    let mut columns = quads;
    for c in 0..4 {
        let [a, b, d, e] = [0, 1, 2, 3].map(|g| quads[4 * g + c]);
        let [low, high] = [(a, b), (d, e)].map(|(x, y)| {
            [
                _mm512_shuffle_i32x4::<EVEN>(x, y),
                _mm512_shuffle_i32x4::<ODD>(x, y),
            ]
        });
        columns[c] = _mm512_shuffle_i32x4::<EVEN>(low[0], high[0]);
        columns[c + 4] = _mm512_shuffle_i32x4::<EVEN>(low[1], high[1]);
        columns[c + 8] = _mm512_shuffle_i32x4::<ODD>(low[0], high[0]);
        columns[c + 12] = _mm512_shuffle_i32x4::<ODD>(low[1], high[1]);
    }
    columns
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(numbers: &[f32; 16]) -> __m512 {
    // SAFETY: 16 numbers; no alignment is asked for.
    unsafe { _mm512_loadu_ps(numbers.as_ptr()) }
}

/// The numbers at even and at odd places.
#[inline]
#[target_feature(enable = "avx512f")]
fn deinterleaved(numbers: &[f32; 32]) -> (__m512, __m512) {
    let evens = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    let odds = _mm512_add_epi32(evens, _mm512_set1_epi32(1));
    let (halves, _) = numbers.as_chunks::<16>();
    let [low, high] = [load(&halves[0]), load(&halves[1])];
    (
        _mm512_permutex2var_ps(low, evens, high),
        _mm512_permutex2var_ps(low, odds, high),
    )
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(row: __m512i, line: &mut Line) {
    // SAFETY: a line is 64 aligned bytes, and any bits are a value of it.
    unsafe { _mm512_store_si512(std::ptr::from_mut(line).cast(), row) }
}

/// The bits of 32 bf16 numbers.
#[inline]
fn bits(numbers: __m512bh) -> __m512i {
    // SAFETY: both are 512 bits, and any of them are a value of either.
    unsafe { std::mem::transmute(numbers) }
}
