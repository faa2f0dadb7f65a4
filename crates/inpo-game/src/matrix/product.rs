//! A skew matrix, of which one triangle is stored, times a vector.
//!
//! The stored number of a pair is read once and used twice, for its row and for its column:
//!
//! ```text
//! y_i += a_ij x_j,     y_j -= a_ij x_i          for i < j
//! ```
//!
//! The triangle does not fit into a cache and is met once, so memory sets the pace and not the
//! arithmetic, provided that the latter uses vector registers: hence four rows at a time (one load
//! and store of y_j serves four entries), eight lanes, and code for AVX2 and AVX-512 that is chosen
//! at run time.
//!
//! The result has the same bits on every machine and with any number of threads. The order of all
//! additions is written down here: lanes and rows at a time are constants, the bands that threads
//! share depend on n alone, nothing is fused (a * b + c rounds twice).

use std::cell::Cell;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use pulp::{Arch, Simd, WithSimd};

use super::triangle::row_start;

/// Rows of the triangle that are read side by side.
const ROWS: usize = 4;

/// Partial sums of each row.
const LANES: usize = 8;

/// Pairs in a band, about: enough work (512 KiB) to be worth a thread's while.
const BAND: usize = 1 << 16;

/// With fewer bands than this, waking a thread takes longer than what it saves.
const MIN_BANDS: usize = 4;

/// Each band has a vector of sums of its own, and adding them must stay cheap.
const MAX_BANDS: usize = 32;

thread_local! {
    /// The sums of the bands. It is taken while in use: waiting for its bands, a thread of a pool
    /// may run another product.
    static SCRATCH: Cell<Vec<f64>> = const { Cell::new(Vec::new()) };
}

/// `out` = A x, where A is skew and its pairs above the diagonal are `triangle`.
pub(super) fn product(triangle: &[f64], x: &[f64], out: &mut [f64]) {
    let n = x.len();
    let bands = num_bands(n);
    out.fill(0.0);
    if bands == 1 {
        add_rows_fast(triangle, 0..n, x, out);
        return;
    }
    let mut scratch = SCRATCH.take();
    if scratch.len() < bands * n {
        scratch.resize(bands * n, 0.0);
    }
    let sums = &mut scratch[..bands * n];
    let queue = Mutex::new(sums.chunks_exact_mut(n).enumerate());
    let work = || {
        // The lock lasts until the end of a statement, so it is not held below.
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some((band, sums)) = next() {
            let rows = band_start(n, bands, band)..band_start(n, bands, band + 1);
            let sums = &mut sums[rows.start..];
            sums.fill(0.0);
            add_rows_fast(triangle, rows, x, sums);
        }
    };
    // This thread begins at once; the others join as they wake up.
    rayon::in_place_scope(|scope| {
        for _ in 1..rayon::current_num_threads().min(bands) {
            scope.spawn(|_| work());
        }
        work();
    });
    for (band, sums) in sums.chunks_exact(n).enumerate() {
        // Rows above a band have no pair in it.
        let start = band_start(n, bands, band);
        for (out, sum) in out[start..].iter_mut().zip(&sums[start..]) {
            *out += sum;
        }
    }
    SCRATCH.set(scratch);
}

/// The sum of `x`, in lanes.
pub(super) fn sum(x: &[f64]) -> f64 {
    let (chunks, tail) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for k in 0..LANES {
            lanes[k] += chunk[k];
        }
    }
    add_lanes(lanes) + tail.iter().sum::<f64>()
}

fn num_bands(n: usize) -> usize {
    match row_start(n, n - 1) / BAND {
        ..MIN_BANDS => 1,
        bands => bands.min(MAX_BANDS),
    }
}

/// The first row of a band, such that bands have about the same area: the rows from r on have
/// (n - r)^2 / 2 pairs, about.
fn band_start(n: usize, bands: usize, band: usize) -> usize {
    if band == bands {
        return n;
    }
    let left = ((bands - band) as f64 / bands as f64).sqrt();
    let row = (n as f64 * (1.0 - left)) as usize;
    row - row % ROWS
}

/// The pairs in `rows` of the triangle, added to `sums`, which begins with y of the first of them.
/// The same as [`add_rows`], in the widest instructions that this CPU has.
fn add_rows_fast(triangle: &[f64], rows: Range<usize>, x: &[f64], sums: &mut [f64]) {
    Arch::new().dispatch(AddRows {
        triangle,
        rows,
        x,
        sums,
    });
}

struct AddRows<'a> {
    triangle: &'a [f64],
    rows: Range<usize>,
    x: &'a [f64],
    sums: &'a mut [f64],
}

impl WithSimd for AddRows<'_> {
    type Output = ();

    // Compiled once for each instruction set: what is inlined here takes on its features.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        add_rows(self.triangle, self.rows, self.x, self.sums);
    }
}

#[inline(always)]
fn add_rows(triangle: &[f64], rows: Range<usize>, x: &[f64], sums: &mut [f64]) {
    let mut rest = &triangle[row_start(x.len(), rows.start)..];
    let mut x = &x[rows.start..];
    let mut sums = sums;
    let mut left = rows.len();
    while left >= ROWS {
        rest = add_block(rest, x, sums);
        x = &x[ROWS..];
        sums = &mut sums[ROWS..];
        left -= ROWS;
    }
    // Only the last band can end here, with rows of fewer than ROWS entries.
    for _ in 0..left {
        let (&own_x, far_x) = x.split_first().expect("a row has an action");
        let (own, far) = sums.split_first_mut().expect("a row has an action");
        let (row, below) = rest.split_at(far_x.len());
        for ((&kept, x), sum) in row.iter().zip(far_x).zip(far.iter_mut()) {
            let a = payoff(kept);
            *own += a * x;
            *sum -= a * own_x;
        }
        (rest, x, sums) = (below, far_x, far);
    }
}

/// The next [`ROWS`] rows of the triangle; `x` and `sums` begin with the first of them. Returns
/// what is below.
#[inline(always)]
fn add_block<'a>(mut rest: &'a [f64], x: &[f64], sums: &mut [f64]) -> &'a [f64] {
    let (own_x, far_x) = x.split_first_chunk::<ROWS>().expect("a block of rows");
    let (own, far) = sums
        .split_first_chunk_mut::<ROWS>()
        .expect("a block of rows");

    // The pairs within the block, and what is right of them: rows of one length.
    let mut dots = [0.0; ROWS];
    let mut rows = [[].as_slice(); ROWS];
    for r in 0..ROWS {
        let (row, below) = rest.split_at(x.len() - 1 - r);
        let (near, right) = row.split_at(ROWS - 1 - r);
        for (&kept, c) in near.iter().zip(r + 1..ROWS) {
            let a = payoff(kept);
            dots[r] += a * own_x[c];
            own[c] -= a * own_x[r];
        }
        (rows[r], rest) = (right, below);
    }

    let (x_chunks, x_tail) = far_x.as_chunks::<LANES>();
    let (sum_chunks, sum_tail) = far.as_chunks_mut::<LANES>();
    let rows = rows.map(|row| row.as_chunks::<LANES>());
    let chunks = rows.map(|(chunks, _)| &chunks[..x_chunks.len()]);
    let mut lanes = [[0.0; LANES]; ROWS];
    for (at, (x, sums)) in x_chunks.iter().zip(sum_chunks).enumerate() {
        let mut taken = [0.0; LANES];
        for r in 0..ROWS {
            for k in 0..LANES {
                let a = payoff(chunks[r][at][k]);
                lanes[r][k] += a * x[k];
                taken[k] += a * own_x[r];
            }
        }
        for k in 0..LANES {
            sums[k] -= taken[k];
        }
    }
    for r in 0..ROWS {
        dots[r] += add_lanes(lanes[r]);
    }
    let tails = rows.map(|(_, tail)| &tail[..x_tail.len()]);
    for (at, (x, sum)) in x_tail.iter().zip(sum_tail).enumerate() {
        for r in 0..ROWS {
            let a = payoff(tails[r][at]);
            dots[r] += a * x;
            *sum -= a * own_x[r];
        }
    }
    for r in 0..ROWS {
        own[r] += dots[r];
    }
    rest
}

/// a_ij = p_ij - 1/2 of the number kept for the pair.
#[inline(always)]
fn payoff(kept: f64) -> f64 {
    kept - 0.5f64.copysign(kept)
}

#[inline(always)]
fn add_lanes(l: [f64; LANES]) -> f64 {
    ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_cover_the_rows_in_about_equal_parts() {
        for n in [1, 2, 500, 800, 1025, 4096, 10_000] {
            let bands = num_bands(n);
            assert_eq!(band_start(n, bands, 0), 0);
            assert_eq!(band_start(n, bands, bands), n);
            let pairs = |r: usize| (n - r) * (n - r).saturating_sub(1) / 2;
            for band in 0..bands {
                let (start, end) = (band_start(n, bands, band), band_start(n, bands, band + 1));
                assert!(start < end);
                let area = pairs(start) - pairs(end);
                // Rounding moves either end by less than ROWS rows.
                assert!(
                    area.abs_diff(pairs(0) / bands) <= 2 * ROWS * n,
                    "{n} {band}"
                );
            }
        }
        assert_eq!([700, 800, 4096].map(num_bands), [1, 4, 32]);
    }

    #[test]
    fn wide_instructions_change_no_bit() {
        for n in (1..=40).chain([257, 1025]) {
            // Multiples of the golden ratio, less 1/2: kept numbers of either sign.
            let fraction = |k: usize| (k as f64 * 0.618_033_988_749_894_9).fract() - 0.5;
            let triangle: Vec<f64> = (0..row_start(n, n - 1)).map(fraction).collect();
            let x: Vec<f64> = (0..n).map(|k| fraction(3 * k + 1)).collect();
            for start in [0, n / 8 * ROWS] {
                let mut plain = vec![0.125; n - start];
                let mut fast = plain.clone();
                add_rows(&triangle, start..n, &x, &mut plain);
                add_rows_fast(&triangle, start..n, &x, &mut fast);
                let bits = |sums: Vec<f64>| sums.into_iter().map(f64::to_bits).collect::<Vec<_>>();
                assert_eq!(bits(plain), bits(fast), "n = {n}");
            }
        }
    }

    #[test]
    fn three_actions_by_hand() {
        // p_01 = 0.1, p_02 = 0.8 (0.2 is kept, of p_20), p_12 = 0.1: A = P - 1/2 has the rows
        // (0, -0.4, 0.3), (0.4, 0, -0.4), (-0.3, 0.4, 0); times (1, 2, 3).
        let mut out = [f64::NAN; 3];
        product(&[0.1, -0.2, 0.1], &[1.0, 2.0, 3.0], &mut out);
        for (got, want) in out.iter().zip([0.1, -0.8, 0.5]) {
            assert!((got - want).abs() < 1e-15, "{got} is not {want}");
        }
    }
}
