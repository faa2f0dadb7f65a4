//! A right factor that is stored row by row.
//!
//! `DEPTH` of its rows at a time are copied to panels of 48 columns, which stay in the second-level cache: eight rows
//! next to each other, from the first column to the last, is the order that the processor's prefetching keeps up
//! with. Then the kernel sums eight rows of the result by 48 columns in registers.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::matrix::{Matrix, Out, Write};
use super::super::panels::PANEL;
use super::lines::{LANES, Left, Line, with_scratch};

/// Vectors of a panel: the layout that weights in blocks have too.
const VECTORS: usize = PANEL / LANES;
/// Rows of the result in registers: with three vectors each 24 of the 32 there are.
const GROUP: usize = 8;
/// Depth of one pass, and panels of one pass: half a megabyte.
const DEPTH: usize = 192;
const ACROSS: usize = 16;
/// Rows of the right factor that are read side by side.
const ABREAST: usize = 8;
/// Up to so many rows of the left factor nothing is copied: there is too little work to win that back.
const DIRECT: usize = 2;

/// `out = lhs rhs`, or adds that to `out`.
///
/// # Safety
///
/// As [`super::products`], on the calling thread; the rows of `rhs` lie in order.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn product(out: Out, write: Write, lhs: Left<'_>, rhs: Matrix<'_>) {
    if lhs.rows > DIRECT {
        let [_, columns] = rhs.shape();
        let panels = |panels: Range<usize>, depth: Range<usize>, packed: &mut [Line]| {
            let (first, end) = (panels.start * PANEL, columns.min(panels.end * PANEL));
            let rows = rhs.slice_rows(depth.start, depth.len());
            pack(rows.slice_columns(first, end - first), packed);
        };
        // SAFETY: what the caller promises.
        return unsafe { passes(out, write, lhs, rhs.shape(), panels) };
    }
    let [depth, columns] = rhs.shape();
    with_scratch(columns.div_ceil(LANES), |sums| {
        for first in (0..depth).step_by(DEPTH) {
            let rhs = rhs.slice_rows(first, DEPTH.min(depth - first));
            let add = write == Write::Add || first > 0;
            for row in 0..lhs.rows {
                let factors = &lhs.values[row * depth + first..][..rhs.shape()[0]];
                // SAFETY: a row of `out`, initialised where it is added to.
                unsafe { one_row(out.from(row, 0).first, add, factors, rhs, sums) };
            }
        }
    });
}

/// [`product`] with a right factor of `[depth, columns]` of which `fill` writes the panels of a range over a range of the depth:
/// panel after panel, in each row after row.
///
/// # Safety
///
/// As [`product`].
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn passes(
    out: Out,
    write: Write,
    lhs: Left<'_>,
    [depth, columns]: [usize; 2],
    mut fill: impl FnMut(Range<usize>, Range<usize>, &mut [Line]),
) {
    let panels = columns.div_ceil(PANEL);
    with_scratch(DEPTH.min(depth) * ACROSS.min(panels) * VECTORS, |scratch| {
        for across in (0..panels).step_by(ACROSS) {
            let across = across..panels.min(across + ACROSS);
            for first in (0..depth).step_by(DEPTH) {
                let count = DEPTH.min(depth - first);
                let add = write == Write::Add || first > 0;
                let packed = &mut scratch[..count * across.len() * VECTORS];
                fill(across.clone(), first..first + count, packed);
                let packed = packed.chunks_exact(count * VECTORS);
                for (panel, packed) in across.clone().zip(packed) {
                    let column = panel * PANEL;
                    for row in (0..lhs.rows).step_by(GROUP) {
                        let shape = [GROUP.min(lhs.rows - row), PANEL.min(columns - column)];
                        let left = &lhs.values[row * depth + first..];
                        // SAFETY: the part of `out` of these rows and columns.
                        unsafe {
                            let out = out.from(row, column);
                            group(out, add, shape, (left, depth), packed);
                        }
                    }
                }
            }
        }
    });
}

/// `out = factors rhs` for one row. `sums` has room for it.
///
/// # Safety
///
/// `out` is as long as the rows of `rhs`; where it is added to, it is initialised.
#[target_feature(enable = "avx512f")]
unsafe fn one_row(out: *mut f32, add: bool, factors: &[f32], rhs: Matrix<'_>, sums: &mut [Line]) {
    let [depth, columns] = rhs.shape();
    sums.fill(Line([0.0; LANES]));
    for first in (0..depth).step_by(ABREAST) {
        let count = ABREAST.min(depth - first);
        // Rows beyond the last are the last, times 0.
        let factor = |i: usize| if i < count { factors[first + i] } else { 0.0 };
        let factors: [__m512; ABREAST] = std::array::from_fn(|i| _mm512_set1_ps(factor(i)));
        let rows: [&[f32]; ABREAST] = std::array::from_fn(|i| row(rhs, first + i.min(count - 1)));
        for (vector, sum) in sums.iter_mut().enumerate() {
            let column = vector * LANES;
            let Some(mask) = mask(columns, column) else {
                break;
            };
            // SAFETY: aligned, and the lanes of the mask lie in the rows.
            unsafe {
                let mut value = _mm512_load_ps(sum.0.as_ptr());
                for (row, factor) in rows.iter().zip(factors) {
                    let weights = _mm512_maskz_loadu_ps(mask, row.as_ptr().add(column));
                    value = _mm512_fmadd_ps(weights, factor, value);
                }
                _mm512_store_ps(sum.0.as_mut_ptr(), value);
            }
        }
    }
    for (vector, sum) in sums.iter().enumerate() {
        let column = vector * LANES;
        let Some(mask) = mask(columns, column) else {
            break;
        };
        // SAFETY: the lanes of the mask lie in `out`.
        unsafe { put(out.add(column), mask, add, _mm512_load_ps(sum.0.as_ptr())) };
    }
}

/// A row of a matrix whose rows lie in order.
fn row(matrix: Matrix<'_>, row: usize) -> &[f32] {
    &matrix.values()[row * matrix.strides()[0]..][..matrix.shape()[1]]
}

/// The lanes of the vector from `column` on that lie before the end; `None` without any.
#[inline]
fn mask(columns: usize, column: usize) -> Option<__mmask16> {
    match columns.checked_sub(column)? {
        0 => None,
        left if left >= LANES => Some(u16::MAX),
        left => Some((1 << left) - 1),
    }
}

/// Writes the lanes of `mask`, or adds them to what is there.
///
/// # Safety
///
/// These lanes may be written, and are initialised where they are added to.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn put(to: *mut f32, mask: __mmask16, add: bool, value: __m512) {
    // SAFETY: other lanes are not touched.
    unsafe {
        let value = if add {
            _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), value)
        } else {
            value
        };
        _mm512_mask_storeu_ps(to, mask, value);
    }
}

/// Panel after panel, in each row after row; columns beyond the last are 0.
#[target_feature(enable = "avx512f")]
fn pack(rhs: Matrix<'_>, out: &mut [Line]) {
    let [depth, columns] = rhs.shape();
    for first in (0..depth).step_by(ABREAST) {
        let rows = first..depth.min(first + ABREAST);
        for (panel, out) in out.chunks_exact_mut(depth * VECTORS).enumerate() {
            let from = panel * PANEL;
            for (row_number, out) in rows
                .clone()
                .zip(out[first * VECTORS..].chunks_exact_mut(VECTORS))
            {
                let row = row(rhs, row_number);
                for (vector, out) in out.iter_mut().enumerate() {
                    let column = from + vector * LANES;
                    // SAFETY: the lanes of the mask lie in the row; a line is aligned.
                    unsafe {
                        let value = match mask(columns, column) {
                            Some(mask) => _mm512_maskz_loadu_ps(mask, row.as_ptr().add(column)),
                            None => _mm512_setzero_ps(),
                        };
                        _mm512_store_ps(out.0.as_mut_ptr(), value);
                    }
                }
            }
        }
    }
}

/// Rows of the result, at most [`GROUP`], by the columns of a panel. `left` begins with the rows' factors of this pass, one row
/// `depth` numbers behind the other.
///
/// # Safety
///
/// `out` is a matrix of `shape`; where it is added to, it is initialised.
#[target_feature(enable = "avx512f")]
unsafe fn group(
    out: Out,
    add: bool,
    [rows, columns]: [usize; 2],
    left: (&[f32], usize),
    packed: &[Line],
) {
    // SAFETY: what the caller promises.
    unsafe {
        match rows {
            1 => kernel::<1>(out, add, columns, left, packed),
            2 => kernel::<2>(out, add, columns, left, packed),
            3 => kernel::<3>(out, add, columns, left, packed),
            4 => kernel::<4>(out, add, columns, left, packed),
            5 => kernel::<5>(out, add, columns, left, packed),
            6 => kernel::<6>(out, add, columns, left, packed),
            7 => kernel::<7>(out, add, columns, left, packed),
            _ => kernel::<GROUP>(out, add, columns, left, packed),
        }
    }
}

/// A function of its own, so that its sums stay in registers.
///
/// # Safety
///
/// As [`group`], of `M` rows.
#[inline(never)]
#[target_feature(enable = "avx512f")]
unsafe fn kernel<const M: usize>(
    out: Out,
    add: bool,
    columns: usize,
    (left, depth): (&[f32], usize),
    packed: &[Line],
) {
    let (steps, _) = packed.as_chunks::<VECTORS>();
    assert!(left.len() >= (M - 1) * depth + steps.len());
    let mut factors = left.as_ptr();
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; M];
    for lines in steps {
        // SAFETY: lines are aligned; the factors lie in `left`, checked above.
        unsafe {
            let weights = lines.each_ref().map(|line| _mm512_load_ps(line.0.as_ptr()));
            for (row, sums) in sums.iter_mut().enumerate() {
                let factor = _mm512_set1_ps(*factors.add(row * depth));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_fmadd_ps(weights, factor, *sum);
                }
            }
            factors = factors.add(1);
        }
    }
    for (row, sums) in sums.into_iter().enumerate() {
        for (vector, sum) in sums.into_iter().enumerate() {
            let column = vector * LANES;
            let Some(mask) = mask(columns, column) else {
                break;
            };
            // SAFETY: the lanes of the mask lie in `out`.
            unsafe { put(out.from(row, column).first, mask, add, sum) };
        }
    }
}
