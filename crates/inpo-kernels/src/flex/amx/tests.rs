use super::*;

/// Repeatable values in [-1, 1) that use every bit of an f32.
fn values(count: usize, salt: u64) -> Vec<f32> {
    let value = |i: usize| {
        let mut z = (i as u64 + salt * 0x0123_4567).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z >> 11) as f64 / (1u64 << 52) as f64 - 1.0) as f32
    };
    (0..count).map(value).collect()
}

/// `shape` within `values`, row by row, column by column or with gaps.
fn matrix(values: &[f32], [rows, columns]: [usize; 2], layout: usize) -> Matrix<'_> {
    match layout {
        0 => Matrix::rows(values, [rows, columns]),
        1 => Matrix::rows(values, [columns, rows]).transposed(),
        _ => Matrix::new(values, [rows, columns], [2 * columns + 6, 2]),
    }
}

/// Sums in f64 of the f32 numbers as they are: every layout of both factors, sizes that fill no tile, more than one
/// turn, pass and task, both writes, a scale, columns of a wider matrix.
#[test]
fn products_are_as_good_as_f32_can_hold() {
    if !takes(FEWEST[0], FEWEST[2], FEWEST[1]) {
        eprintln!("this machine has no tile unit (AMX): its products were not checked");
        return;
    }
    for [m, k, n] in [
        [128, 64, 128],
        [130, 77, 200],
        [257, 1200, 129],
        [700, 97, 300],
    ] {
        for (left, right) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)] {
            let (a, b) = (values(m * (2 * k + 6), 1), values(k * (2 * n + 6), 2));
            let (lhs, rhs) = (matrix(&a, [m, k], left), matrix(&b, [k, n], right));
            let (stride, scale) = (n + 3, 0.7_f32);
            let start = values(m * stride, 3);
            for write in [Write::Replace, Write::Add] {
                let mut out = [start.clone(), start.clone()];
                for (out, threads) in out.iter_mut().zip([Threads::All, Threads::One]) {
                    let to = Out {
                        first: out.as_mut_ptr(),
                        row_stride: stride,
                    };
                    // SAFETY: `m x n` with rows that far apart is what the buffer holds.
                    unsafe {
                        products(
                            &[Right {
                                factor: rhs,
                                out: to,
                            }],
                            write,
                            scale,
                            lhs,
                            threads,
                        )
                    };
                }
                let [all, one] = out;
                assert_eq!(all, one, "the bits depend on the threads");
                let at = |m: Matrix<'_>, i: usize, j: usize| {
                    f64::from(m.values()[i * m.strides()[0] + j * m.strides()[1]])
                };
                for i in (0..m).step_by(7).chain([m - 1]) {
                    for j in 0..stride {
                        let before = start[i * stride + j];
                        if j >= n {
                            assert_eq!(all[i * stride + j], before, "written beyond the columns");
                            continue;
                        }
                        let terms = (0..k).map(|p| at(lhs, i, p) * at(rhs, p, j));
                        let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), term: f64| {
                            (sum + term, size + term.abs())
                        });
                        let kept = match write {
                            Write::Replace => 0.0,
                            Write::Add => f64::from(before),
                        };
                        let expected = kept + f64::from(scale) * sum;
                        // A sum of k rounded terms is off by some sqrt(k) halves of the last bit of its size.
                        let allowed = 2.0_f64.powi(-24) * (size + kept.abs()) * 2.0;
                        let error = (f64::from(all[i * stride + j]) - expected).abs();
                        assert!(error <= allowed, "[{m}, {k}, {n}] {left} {right}: {error}");
                    }
                }
            }
        }
    }
}

/// The error against f64, root of the mean square, is no larger than that of f32 products summed one by one in f32.
#[test]
fn the_error_is_no_larger_than_that_of_f32_arithmetic() {
    if !takes(FEWEST[0], FEWEST[2], FEWEST[1]) {
        eprintln!("this machine has no tile unit (AMX): its products were not checked");
        return;
    }
    let [m, k, n] = [128, 576, 128];
    let (a, b) = (values(m * k, 1), values(k * n, 2));
    let mut out = vec![0.0; m * n];
    let to = Out {
        first: out.as_mut_ptr(),
        row_stride: n,
    };
    let (lhs, factor) = (Matrix::rows(&a, [m, k]), Matrix::rows(&b, [k, n]));
    // SAFETY: the buffer is `m x n`.
    unsafe {
        products(
            &[Right { factor, out: to }],
            Write::Replace,
            1.0,
            lhs,
            Threads::One,
        )
    };
    let (mut tiles, mut plain) = (0.0, 0.0);
    for (i, row) in out.chunks(n).enumerate() {
        for (j, &got) in row.iter().enumerate() {
            let terms = || (0..k).map(|p| (a[i * k + p], b[p * n + j]));
            let exact: f64 = terms().map(|(x, y)| f64::from(x) * f64::from(y)).sum();
            let in_f32 = terms().fold(0.0_f32, |sum, (x, y)| x.mul_add(y, sum));
            tiles += (f64::from(got) - exact).powi(2);
            plain += (f64::from(in_f32) - exact).powi(2);
        }
    }
    assert!(tiles <= plain, "{} > {}", tiles.sqrt(), plain.sqrt());
}

/// A second right factor of few columns: to the bit the first columns of a wider one, as they are alone, and the first
/// factor's product is what it is without the second.
#[test]
fn a_left_factor_is_packed_once_for_several() {
    if !takes(FEWEST[0], FEWEST[2], FEWEST[1]) {
        eprintln!("this machine has no tile unit (AMX): its products were not checked");
        return;
    }
    let [m, k, n, few] = [300, 700, 200, 16];
    let (a, b, c) = (values(m * k, 1), values(k * n, 2), values(k * n, 3));
    let lhs = Matrix::rows(&a, [m, k]);
    let run = |factors: &[Matrix<'_>]| {
        let mut outs: Vec<Vec<f32>> = factors
            .iter()
            .map(|factor| vec![f32::NAN; m * factor.shape()[1]])
            .collect();
        let rights = outs.iter_mut().zip(factors).map(|(out, &factor)| Right {
            factor,
            out: Out {
                first: out.as_mut_ptr(),
                row_stride: factor.shape()[1],
            },
        });
        let rights: Vec<Right<'_>> = rights.collect();
        // SAFETY: each buffer is of `m` rows and its factor's columns.
        unsafe { products(&rights, Write::Replace, 1.0, lhs, Threads::All) };
        outs
    };
    let wide = [Matrix::rows(&b, [k, n]), Matrix::rows(&c, [k, n])];
    let narrow = Matrix::new(&c, [k, few], [n, 1]);
    let both = run(&[wide[0], narrow]);
    assert_eq!(both[0], run(&wide[..1])[0]);
    let expected = run(&wide[1..]).remove(0);
    for (row, expected) in both[1].chunks(few).zip(expected.chunks(n)) {
        assert_eq!(row, &expected[..few]);
    }
}

/// What the vector units would make NaN is NaN here too, in its row or column alone.
#[test]
fn numbers_that_are_not_finite_do_not_pass() {
    if !takes(FEWEST[0], FEWEST[2], FEWEST[1]) {
        eprintln!("this machine has no tile unit (AMX): its products were not checked");
        return;
    }
    let [m, k, n] = [128, 64, 128];
    for bad in [
        f32::NAN,
        f32::from_bits(0x7fff_ffff),
        f32::INFINITY,
        f32::MAX,
    ] {
        let (mut a, b) = (values(m * k, 1), values(k * n, 2));
        a[5 * k + 9] = bad;
        let mut out = vec![0.0; m * n];
        let to = Out {
            first: out.as_mut_ptr(),
            row_stride: n,
        };
        let (lhs, rhs) = (Matrix::rows(&a, [m, k]), Matrix::rows(&b, [k, n]));
        // SAFETY: the buffer is `m x n`.
        unsafe {
            products(
                &[Right {
                    factor: rhs,
                    out: to,
                }],
                Write::Replace,
                1.0,
                lhs,
                Threads::One,
            )
        };
        for (i, row) in out.chunks(n).enumerate() {
            assert!(row.iter().all(|v| v.is_finite() == (i != 5)), "row {i}");
        }
    }
}
