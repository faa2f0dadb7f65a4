//! The kernels against sums in f64, and row by row against themselves.

use super::super::gemm::{multiply, product};
use super::super::matrix::{MatrixMut, Threads};
use super::*;

/// Repeatable values in [-1, 1).
fn values([rows, columns]: [usize; 2], salt: usize) -> Vec<f32> {
    let value = |i: usize| ((i * 7919 + salt * 104_729) % 4001) as f32 / 2000.5 - 1.0;
    (0..rows * columns).map(value).collect()
}

fn ready() -> bool {
    let ready = is_x86_feature_detected!("avx512f");
    if !ready {
        eprintln!("no AVX-512 here: products of few rows are the gemm crate's");
    }
    ready
}

/// The right factor of `[depth, columns]`, by rows or by columns; its rows lie `gap` numbers further apart than they are
/// long.
fn right(values: &[f32], [depth, columns]: [usize; 2], gap: usize, by_rows: bool) -> Matrix<'_> {
    if by_rows {
        Matrix::new(values, [depth, columns], [columns + gap, 1])
    } else {
        Matrix::new(values, [depth, columns], [1, depth + gap])
    }
}

/// Every number of rows of a kernel, depths and columns that fill no vector, panel, pass or block, both forms of the right factor,
/// both writes, a scale, and a left factor in another order.
#[test]
fn products_are_sums() {
    if !ready() {
        return;
    }
    let shapes = [
        [1, 576, 192],
        [2, 200, 100],
        [3, 199, 97],
        [7, 385, 49],
        [8, 192, 96],
        [13, 130, 130],
        [20, 1001, 17],
        [127, 64, 258],
    ];
    for [m, k, n] in shapes {
        for (by_rows, gap) in [(true, 0), (false, 0), (true, 5), (false, 3)] {
            let (a, start) = (values([m, k], 1), values([m, n], 3));
            let b = values([k + gap, n + gap], 2);
            let rhs = right(&b, [k, n], gap, by_rows);
            assert!(takes(m, rhs), "{m} {k} {n}");
            for (write, scale, turned) in [
                (Write::Replace, 1.0, false),
                (Write::Add, 1.0, false),
                (Write::Add, 0.5, true),
            ] {
                let lhs = if turned {
                    Matrix::new(&a, [m, k], [1, m])
                } else {
                    Matrix::rows(&a, [m, k])
                };
                let mut out = start.clone();
                multiply(
                    MatrixMut::rows(&mut out, [m, n]),
                    write,
                    scale,
                    lhs,
                    rhs,
                    Threads::All,
                );
                let [row, step] = lhs.strides();
                let [depth, column] = rhs.strides();
                for (place, (&got, &start)) in out.iter().zip(&start).enumerate() {
                    let (i, j) = (place / n, place % n);
                    let term = |p: usize| {
                        f64::from(a[i * row + p * step]) * f64::from(b[p * depth + j * column])
                    };
                    let sum: f64 = (0..k).map(term).sum();
                    let size: f64 = (0..k).map(|p| term(p).abs()).sum();
                    let kept = if write == Write::Add {
                        f64::from(start)
                    } else {
                        0.0
                    };
                    let error = (f64::from(got) - kept - f64::from(scale) * sum).abs();
                    let allowed = 1e-6 + size / f64::from(1 << 22);
                    assert!(error < allowed, "{m} {k} {n} {by_rows}: {i} {j}: {error}");
                }
            }
        }
    }
}

/// A row's product has the same bits alone and among others, on one thread and on three.
#[test]
fn a_row_depends_on_no_other() {
    if !ready() {
        return;
    }
    let [m, k, n] = [77, 500, 301];
    let (a, b) = (values([m, k], 1), values([k, n], 2));
    for by_rows in [true, false] {
        let rhs = right(&b, [k, n], 0, by_rows);
        let of = |first: usize, count: usize| {
            product(Matrix::rows(&a, [m, k]).slice_rows(first, count), rhs)
        };
        let all = of(0, m);
        for (first, count) in [(0, 1), (3, 2), (10, 5), (20, 8), (30, 40)] {
            let part = of(first, count);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(
                bits(&part),
                bits(&all[first * n..(first + count) * n]),
                "{first} {count}"
            );
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(3)
            .build()
            .unwrap();
        assert_eq!(pool.install(|| of(0, m)), all);
    }
}
