//! A right factor that is stored column by column, as the vocabulary's head is: scalar products of its columns
//! with the rows of the left factor.

use std::arch::x86_64::*;

use super::super::matrix::{Matrix, Out, Write};
use super::lines::{LANES, Left};

/// Columns that are done for all rows before the next ones: they stay in the second-level cache.
pub(super) const BLOCK: usize = 64;
/// Columns and rows of a tile of sums in registers: 24 of the 32 there are.
const COLUMNS: usize = 4;
const GROUP: usize = 6;

/// `out = lhs rhs`, or adds that to `out`.
///
/// # Safety
///
/// As [`super::product`], on the calling thread; the columns of `rhs` lie in order.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn product(out: Out, write: Write, lhs: Left<'_>, rhs: Matrix<'_>) {
    let add = write == Write::Add;
    let [depth, columns] = rhs.shape();
    let stride = rhs.strides()[1];
    // Groups of about the same size: a small one is bound by reading the columns.
    let group = lhs.rows.div_ceil(lhs.rows.div_ceil(GROUP));
    for block in (0..columns).step_by(BLOCK) {
        let end = columns.min(block + BLOCK);
        for row in (0..lhs.rows).step_by(group) {
            let rows = group.min(lhs.rows - row);
            let left = &lhs.values[row * depth..][..rows * depth];
            for column in (block..end).step_by(COLUMNS) {
                // Columns beyond the last are the last again, and are not written.
                let number = |i: usize| (column + i).min(columns - 1);
                let weights: [&[f32]; COLUMNS] =
                    std::array::from_fn(|i| &rhs.values()[number(i) * stride..][..depth]);
                let count = COLUMNS.min(end - column);
                // SAFETY: the part of `out` of these rows and columns.
                unsafe {
                    let out = out.from(row, column);
                    match rows {
                        1 => kernel::<1>(out, add, count, left, weights),
                        2 => kernel::<2>(out, add, count, left, weights),
                        3 => kernel::<3>(out, add, count, left, weights),
                        4 => kernel::<4>(out, add, count, left, weights),
                        5 => kernel::<5>(out, add, count, left, weights),
                        _ => kernel::<GROUP>(out, add, count, left, weights),
                    }
                }
            }
        }
    }
}

/// A function of its own, so that its sums stay in registers.
///
/// # Safety
///
/// `out` is a matrix of `M` rows and `columns` columns; where it is added to, it is initialised.
#[inline(never)]
#[target_feature(enable = "avx512f")]
unsafe fn kernel<const M: usize>(
    out: Out,
    add: bool,
    columns: usize,
    left: &[f32],
    weights: [&[f32]; COLUMNS],
) {
    let depth = left.len() / M;
    assert!(weights.iter().all(|weights| weights.len() == depth));
    let mut sums = [[_mm512_setzero_ps(); COLUMNS]; M];
    let whole = depth / LANES * LANES;
    let mut step = |at: usize, mask: __mmask16| {
        // SAFETY: the lanes of the mask lie within `depth` numbers of each column and row.
        unsafe {
            let weights =
                weights.map(|column| _mm512_maskz_loadu_ps(mask, column.as_ptr().add(at)));
            for (row, sums) in sums.iter_mut().enumerate() {
                let values = _mm512_maskz_loadu_ps(mask, left.as_ptr().add(row * depth + at));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_fmadd_ps(weights, values, *sum);
                }
            }
        }
    };
    for at in (0..whole).step_by(LANES) {
        step(at, u16::MAX);
    }
    if whole < depth {
        step(whole, (1 << (depth - whole)) - 1);
    }
    for (row, sums) in sums.into_iter().enumerate() {
        let mut values = [0.0_f32; COLUMNS];
        // SAFETY: four numbers.
        unsafe { _mm_storeu_ps(values.as_mut_ptr(), totals(sums)) };
        for (column, value) in values.into_iter().enumerate().take(columns) {
            // SAFETY: an element of `out`.
            unsafe {
                let to = out.from(row, column).first;
                *to = if add { *to + value } else { value };
            }
        }
    }
}

/// The sum of the lanes of each of four vectors.
#[inline]
#[target_feature(enable = "avx512f")]
fn totals([a, b, c, d]: [__m512; COLUMNS]) -> __m128 {
    let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    // Lanes of 128 bits now hold a, b, a, b and c, d, c, d.
    const LOW: i32 = 0b01_00_01_00;
    const HIGH: i32 = 0b11_10_11_10;
    let low = _mm512_shuffle_ps::<LOW>(ab, cd);
    let high = _mm512_shuffle_ps::<HIGH>(ab, cd);
    let sums = _mm512_add_ps(low, high);
    let halves = [
        _mm512_castps512_ps256(sums),
        _mm512_castps512_ps256(_mm512_shuffle_f32x4::<0b11_10_11_10>(sums, sums)),
    ];
    let sums = _mm256_add_ps(halves[0], halves[1]);
    _mm_add_ps(
        _mm256_castps256_ps128(sums),
        _mm256_extractf128_ps::<1>(sums),
    )
}
