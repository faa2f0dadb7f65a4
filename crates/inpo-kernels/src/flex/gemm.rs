//! Matrix products that may add to what is there: the tile unit, the kernels for few rows or the `gemm` crate behind
//! the checked views of `matrix`.
//!
//! With `amx`, `few`, `matrix` and `memory` the only modules with unsafe code. `gemm::gemm` takes pointers and strides; the views
//! are made from slices and check at construction that every element they can name lies inside, so that
//! no call can read or write beyond. A writable view has rows that do not overlap and borrows its
//! slice exclusively.

#![allow(unsafe_code)]

use gemm::Parallelism;
use rayon::prelude::*;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use super::amx;
#[cfg(target_arch = "x86_64")]
use super::few;
#[cfg(target_arch = "x86_64")]
use super::matrix::Right;
use super::matrix::{Matrix, MatrixMut, Out, Threads, Write};

/// From this many multiplications on a product is split among the threads (as Burn's own).
const PARALLEL_FROM: usize = 192 * 192 * 192;
/// Products with fewer columns than this are split by rows here: `gemm` splits them badly.
const NARROW: usize = 128;
/// Rows of one such part.
const ROWS: usize = 64;

/// `out = scale * lhs rhs`, or adds that to `out`.
///
/// # Panics
///
/// If the shapes do not fit each other.
pub(crate) fn multiply(
    out: MatrixMut<'_>,
    write: Write,
    scale: f32,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    threads: Threads,
) {
    let [m, k] = lhs.shape();
    let n = rhs.shape()[1];
    assert!(
        rhs.shape()[0] == k && out.shape() == [m, n],
        "{:?} x {:?} is not {:?}",
        lhs.shape(),
        rhs.shape(),
        out.shape()
    );
    let large = m.saturating_mul(n).saturating_mul(k) >= PARALLEL_FROM;
    if few_rows(m, rhs, threads) {
        return run(out, write, scale, lhs, rhs, Threads::All);
    }
    if threads == Threads::One || !large {
        return run(out, write, scale, lhs, rhs, Threads::One);
    }
    if n >= NARROW || m < 2 * ROWS {
        return run(out, write, scale, lhs, rhs, Threads::All);
    }
    let stride = out.row_stride();
    let parts = out.into_values().par_chunks_mut(ROWS * stride).enumerate();
    parts.for_each(|(part, values)| {
        let first = part * ROWS;
        if first >= m {
            return;
        }
        let count = ROWS.min(m - first);
        let out = MatrixMut::new(values, [count, n], stride);
        let lhs = lhs.slice_rows(first, count);
        run(out, write, scale, lhs, rhs, Threads::One);
    });
}

/// Rows of one part of [`multiply_tall`]: fixed, so that a result does not depend on how many threads there
/// are.
const TALL: usize = 256;

/// `out = scale * lhs^T rhs` for matrices of many rows, `[rows, m]` and `[rows, n]`.
///
/// A small result is summed from parts of the rows, one thread each: too little for `gemm` to split.
///
/// # Panics
///
/// If the shapes do not fit each other.
pub(crate) fn multiply_tall(out: MatrixMut<'_>, scale: f32, lhs: Matrix<'_>, rhs: Matrix<'_>) {
    let [rows, m] = lhs.shape();
    let n = rhs.shape()[1];
    assert!(
        rhs.shape()[0] == rows && out.shape() == [m, n],
        "shapes differ"
    );
    if m.min(n) >= NARROW || rows <= TALL {
        let lhs = lhs.transposed();
        return multiply(out, Write::Replace, scale, lhs, rhs, Threads::All);
    }
    let parts: Vec<Vec<f32>> = (0..rows.div_ceil(TALL))
        .into_par_iter()
        .map(|part| {
            let first = part * TALL;
            let count = TALL.min(rows - first);
            let mut sum = vec![0.0; m * n];
            let to = MatrixMut::rows(&mut sum, [m, n]);
            let lhs = lhs.slice_rows(first, count).transposed();
            let rhs = rhs.slice_rows(first, count);
            run(to, Write::Replace, scale, lhs, rhs, Threads::One);
            sum
        })
        .collect();
    let stride = out.row_stride();
    for (row, values) in out
        .into_values()
        .chunks_mut(stride.max(1))
        .take(m)
        .enumerate()
    {
        let values = &mut values[..n];
        values.fill(0.0);
        for part in &parts {
            let part = &part[row * n..(row + 1) * n];
            for (value, part) in values.iter_mut().zip(part) {
                *value += part;
            }
        }
    }
}

/// `lhs rhs` row by row in a buffer of its own, computed by all threads. A large buffer is not filled with
/// zeros first: that takes one thread as long as it takes all of them to compute a twentieth of the product.
///
/// # Panics
///
/// If the shapes do not fit each other.
pub(crate) fn product(lhs: Matrix<'_>, rhs: Matrix<'_>) -> Vec<f32> {
    let ([m, k], n) = (lhs.shape(), rhs.shape()[1]);
    assert_eq!(rhs.shape()[0], k, "{:?} x {:?}", lhs.shape(), rhs.shape());
    let large = m.saturating_mul(n).saturating_mul(k) >= PARALLEL_FROM;
    if !large || n < NARROW {
        let mut out = vec![0.0; m * n];
        let to = MatrixMut::rows(&mut out, [m, n]);
        multiply(to, Write::Replace, 1.0, lhs, rhs, Threads::All);
        return out;
    }
    let mut out = Vec::with_capacity(m * n);
    let to = Out {
        first: out.as_mut_ptr(),
        row_stride: n,
    };
    // SAFETY: the buffer has room for `m x n` values, is ours alone and `k > 0` (the product is large), so that
    // the product, which does not read what it replaces, writes every one of them before they count.
    unsafe {
        call(to, Write::Replace, 1.0, lhs, rhs, Threads::All);
        out.set_len(m * n);
    }
    out
}

/// `lhs rhs` and `lhs narrow`, as [`product`] computes them; together where that is less work.
///
/// # Panics
///
/// If the shapes do not fit each other.
pub(crate) fn two_products(lhs: Matrix<'_>, rhs: Matrix<'_>, narrow: Matrix<'_>) -> [Vec<f32>; 2] {
    #[cfg(target_arch = "x86_64")]
    if let Some(outs) = together(lhs, rhs, narrow) {
        return outs;
    }
    [product(lhs, rhs), product(lhs, narrow)]
}

/// [`two_products`] where one of our own kernels computes them.
#[cfg(target_arch = "x86_64")]
fn together(lhs: Matrix<'_>, rhs: Matrix<'_>, narrow: Matrix<'_>) -> Option<[Vec<f32>; 2]> {
    let ([m, k], n) = (lhs.shape(), rhs.shape()[1]);
    let few = few_rows(m, rhs, Threads::All) && narrow.strides().contains(&1);
    #[cfg(target_os = "linux")]
    let tiles = !few && amx::takes(m, k, n);
    #[cfg(not(target_os = "linux"))]
    let tiles = false;
    if !few && !tiles {
        return None;
    }
    for factor in [rhs, narrow] {
        assert_eq!(
            factor.shape()[0],
            k,
            "{:?} x {:?}",
            lhs.shape(),
            factor.shape()
        );
    }
    let mut outs = [rhs, narrow].map(|factor| Vec::with_capacity(m * factor.shape()[1]));
    let rights = [(rhs, 0), (narrow, 1)].map(|(factor, place)| Right {
        factor,
        out: Out {
            first: outs[place].as_mut_ptr(),
            row_stride: factor.shape()[1],
        },
    });
    // SAFETY: the instructions are there, each buffer has room for its product and is ours alone, and every value of
    // it is written before it counts, since `k > 0`.
    unsafe {
        if few {
            few::products(&rights, Write::Replace, 1.0, lhs);
        }
        #[cfg(target_os = "linux")]
        if tiles {
            amx::products(&rights, Write::Replace, 1.0, lhs, Threads::All);
        }
        for (out, factor) in outs.iter_mut().zip([rhs, narrow]) {
            out.set_len(m * factor.shape()[1]);
        }
    }
    Some(outs)
}

fn run(
    out: MatrixMut<'_>,
    write: Write,
    scale: f32,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    threads: Threads,
) {
    if out.shape().contains(&0) {
        return;
    }
    let row_stride = out.row_stride();
    let to = Out {
        first: out.into_values().as_mut_ptr(),
        row_stride,
    };
    // SAFETY: all elements of `out` lie in its slice (checked when it was made), which is borrowed exclusively
    // and whose rows do not overlap; the shapes fit, checked by the caller.
    unsafe { call(to, write, scale, lhs, rhs, threads) }
}

/// Whether the kernels for few rows compute a product with `rhs`. Inside work that is split already the factors are at
/// hand, which is what the `gemm` crate is best at.
fn few_rows(rows: usize, rhs: Matrix<'_>, threads: Threads) -> bool {
    #[cfg(target_arch = "x86_64")]
    return threads == Threads::All && few::takes(rows, rhs);
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (rows, rhs, threads);
        false
    }
}

/// # Safety
///
/// `out` must be a matrix of `lhs`'s rows and `rhs`'s columns, none of them 0, that nobody else reads or writes and
/// whose rows do not overlap; where it is added to, its values must be initialised.
unsafe fn call(
    out: Out,
    write: Write,
    scale: f32,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    threads: Threads,
) {
    let ([m, k], n) = (lhs.shape(), rhs.shape()[1]);
    #[cfg(target_arch = "x86_64")]
    if few_rows(m, rhs, threads) {
        // SAFETY: as the caller promises.
        let right = Right { factor: rhs, out };
        return unsafe { few::products(&[right], write, scale, lhs) };
    }
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    if amx::takes(m, k, n) {
        // SAFETY: the unit is there, and the rest is what the caller promises.
        let right = Right { factor: rhs, out };
        return unsafe { amx::products(&[right], write, scale, lhs, threads) };
    }
    let parallelism = match threads {
        Threads::All => Parallelism::Rayon(0),
        Threads::One => Parallelism::None,
    };
    let [lhs_row, lhs_column] = lhs.strides().map(|stride| stride as isize);
    let [rhs_row, rhs_column] = rhs.strides().map(|stride| stride as isize);
    // SAFETY: `lhs` and `rhs` are `m x k` and `k x n` matrices whose elements all lie in their slices (checked
    // when they were made); `out` is as the caller promises.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.first,
            1,
            out.row_stride as isize,
            write == Write::Add,
            lhs.values().as_ptr(),
            lhs_column,
            lhs_row,
            rhs.values().as_ptr(),
            rhs_column,
            rhs_row,
            1.0_f32,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Repeatable values in [-1, 1).
    fn values([rows, columns]: [usize; 2], salt: usize) -> Vec<f32> {
        let value = |i: usize| ((i * 7919 + salt * 104_729) % 4001) as f32 / 2000.5 - 1.0;
        (0..rows * columns).map(value).collect()
    }

    /// Against sums in f64: shapes that split by rows, by gemm and not at all, both writes, transposes.
    #[test]
    fn products_are_sums() {
        for [m, k, n] in [
            [1, 1, 1],
            [5, 7, 3],
            [300, 200, 16],
            [250, 300, 200],
            [70, 900, 130],
        ] {
            let (a, b, start) = (values([m, k], 1), values([n, k], 2), values([m, n], 3));
            for write in [Write::Replace, Write::Add] {
                for threads in [Threads::All, Threads::One] {
                    let mut out = start.clone();
                    let rhs = Matrix::rows(&b, [n, k]).transposed();
                    let to = MatrixMut::rows(&mut out, [m, n]);
                    multiply(to, write, 0.5, Matrix::rows(&a, [m, k]), rhs, threads);
                    for i in 0..m {
                        for j in 0..n {
                            let product =
                                |p: usize| f64::from(a[i * k + p]) * f64::from(b[j * k + p]);
                            let sum: f64 = (0..k).map(product).sum();
                            let kept = match write {
                                Write::Replace => 0.0,
                                Write::Add => f64::from(start[i * n + j]),
                            };
                            let got = f64::from(out[i * n + j]);
                            let error = (got - kept - 0.5 * sum).abs();
                            assert!(
                                error < 1e-5 + 1e-6 * k as f64,
                                "{m} {k} {n}: {i} {j}: {error}"
                            );
                        }
                    }
                }
            }
        }
    }

    /// A product in a buffer of its own is the same as one that is written over a buffer, to the bit.
    #[test]
    fn a_fresh_buffer_holds_the_product() {
        for [m, k, n] in [
            [0, 3, 2],
            [3, 0, 2],
            [5, 7, 3],
            [250, 300, 200],
            [300, 200, 16],
        ] {
            let (a, b) = (values([m, k], 1), values([k, n], 2));
            let (lhs, rhs) = (Matrix::rows(&a, [m, k]), Matrix::rows(&b, [k, n]));
            let mut expected = vec![f32::NAN; m * n];
            let to = MatrixMut::rows(&mut expected, [m, n]);
            multiply(to, Write::Replace, 1.0, lhs, rhs, Threads::All);
            assert_eq!(product(lhs, rhs), expected);
        }
    }

    /// Columns 1..3 of a 2 x 4 matrix, written in place; its other columns stay.
    #[test]
    fn a_view_writes_only_its_own_values() {
        let mut out = [9.0_f32; 8];
        let to = MatrixMut::new(&mut out[1..], [2, 2], 4);
        let lhs = [1.0, 2.0];
        let rhs = [3.0, 4.0];
        let lhs = Matrix::rows(&lhs, [2, 1]);
        multiply(
            to,
            Write::Replace,
            1.0,
            lhs,
            Matrix::rows(&rhs, [1, 2]),
            Threads::One,
        );
        assert_eq!(out, [9.0, 3.0, 4.0, 9.0, 9.0, 6.0, 8.0, 9.0]);
    }
}
