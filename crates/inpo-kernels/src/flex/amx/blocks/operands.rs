//! Both factors of a product with blocks as the tile unit reads them.

use std::arch::x86_64::*;

use super::super::super::panels::{Line, PANEL};
use super::super::tiles::{LANES, LEFT_LINES, TILES};
use crate::blocks::BLOCK;

/// The middle of the numbers that a nibble may be, whole.
pub(super) const MIDDLE: f32 = 8.0;

/// Numbers less [`MIDDLE`], in bf16: tile after tile, in each pair of rows after pair.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn nibbles(numbers: &[u8], right: &mut [Line]) {
    // bf16 of -8 to 7.
    const VALUES: [u16; 16] = [
        0xC100, 0xC0E0, 0xC0C0, 0xC0A0, 0xC080, 0xC040, 0xC000, 0xBF80, 0x0000, 0x3F80, 0x4000,
        0x4040, 0x4080, 0x40A0, 0x40C0, 0x40E0,
    ];
    // SAFETY: 16 words.
    let values = unsafe { _mm256_loadu_si256(VALUES.as_ptr().cast()) };
    let values = _mm512_broadcast_i64x4(values);
    let low = _mm512_set1_epi32(0x000F_000F);
    for (pair, numbers) in numbers.chunks_exact(PANEL).enumerate() {
        let (numbers, _) = numbers.as_chunks::<LANES>();
        for (tile, numbers) in numbers.iter().enumerate() {
            // SAFETY: 16 bytes.
            let both = unsafe { _mm_loadu_si128(numbers.as_ptr().cast()) };
            let both = _mm512_cvtepu8_epi32(both);
            let both = _mm512_or_si512(both, _mm512_slli_epi32::<12>(both));
            let words = _mm512_permutexvar_epi16(_mm512_and_si512(both, low), values);
            put(&mut right[tile * LANES + pair], words);
        }
    }
}

/// Signed numbers in bf16: tile after tile, in each pair of rows after pair.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn bytes(numbers: &[u8], right: &mut [Line]) {
    let upper = _mm512_set1_epi32(-0x1_0000);
    for (pair, numbers) in numbers.chunks_exact(2 * PANEL).enumerate() {
        let (numbers, _) = numbers.as_chunks::<LANES>();
        for tile in 0..TILES {
            let bits = |row: usize| {
                let numbers = &numbers[row * TILES + tile];
                // SAFETY: 16 bytes.
                let numbers = unsafe { _mm_loadu_si128(numbers.as_ptr().cast()) };
                _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(numbers)))
            };
            // The lower half of such a number's bits is 0.
            let first = _mm512_srli_epi32::<16>(bits(0));
            let second = _mm512_and_si512(bits(1), upper);
            put(
                &mut right[tile * LANES + pair],
                _mm512_or_si512(first, second),
            );
        }
    }
}

/// The three parts of each row, 16 rows at a time: block after block, in each part after part and row after row. `sums` are
/// those of the rows' blocks.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn split_rows(lhs: &[f32], depth: usize, left: &mut [Line], sums: &mut [Line]) {
    let blocks = depth / BLOCK;
    for (number, row) in lhs.chunks_exact(depth).enumerate() {
        let (tall, lane) = (number / LANES, number % LANES);
        let (numbers, _) = row.as_chunks::<BLOCK>();
        for (block, numbers) in numbers.iter().enumerate() {
            let at = tall * blocks + block;
            let (halves, _) = numbers.as_chunks::<LANES>();
            // SAFETY: 16 numbers each.
            let mut halves = [0, 1].map(|i| unsafe { _mm512_loadu_ps(halves[i].as_ptr()) });
            let sum = _mm512_reduce_add_ps(_mm512_add_ps(halves[0], halves[1]));
            sums[at].0[lane] = sum.to_bits();
            for part in 0..3 {
                let both = _mm512_cvtne2ps_pbh(halves[1], halves[0]);
                // SAFETY: both are 512 bits, and any of them are a value of either.
                let both: __m512i = unsafe { std::mem::transmute(both) };
                let line = &mut left[at * LEFT_LINES + part * LANES + lane];
                // SAFETY: a line is 64 aligned bytes.
                unsafe { _mm512_store_si512(std::ptr::from_mut(line).cast(), both) };
                // What the parts so far leave is exact in f32.
                let words = [
                    _mm512_castsi512_si256(both),
                    _mm512_extracti64x4_epi64::<1>(both),
                ];
                for (half, words) in halves.iter_mut().zip(words) {
                    let bits = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(words));
                    *half = _mm512_sub_ps(*half, _mm512_castsi512_ps(bits));
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn put(line: &mut Line, value: __m512i) {
    // SAFETY: a line is 64 aligned bytes, and any bits are a value of it.
    unsafe { _mm512_store_si512(std::ptr::from_mut(line).cast(), value) }
}
