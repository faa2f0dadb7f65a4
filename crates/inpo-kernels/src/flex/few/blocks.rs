//! A right factor in quantised blocks: its panels are computed instead of copied.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::panels::{Line as Pairs, PANEL, Panels};
use super::lines::{LANES, Line};
use crate::blocks::{BLOCK, BlockKind};

const VECTORS: usize = PANEL / LANES;

/// Writes the values of `depth`, whole blocks, of `panels`: panel after panel, in each row after row.
#[target_feature(enable = "avx512f")]
pub(super) fn unpack(matrix: &Panels, panels: Range<usize>, depth: Range<usize>, out: &mut [Line]) {
    let count = depth.len() / BLOCK;
    let first = depth.start / BLOCK;
    let (out, _) = out.as_chunks_mut::<{ BLOCK * VECTORS }>();
    let mut out = out.iter_mut();
    for panel in panels {
        for (block, out) in (first..first + count).zip(&mut out) {
            let (scales, numbers) = matrix.block(panel, block);
            match matrix.kind() {
                BlockKind::Nibbles => nibbles(scales, numbers, out),
                BlockKind::Bytes | BlockKind::OffsetBytes => bytes(scales, numbers, out),
                BlockKind::Bf16 => {
                    let lines = matrix.pairs(panel).as_chunks::<{ BLOCK / 2 * VECTORS }>().0;
                    pairs(&lines[block], out);
                }
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
fn nibbles(scales: &[f32], numbers: &[u8], out: &mut [Line; BLOCK * VECTORS]) {
    let (scales, minima) = scales.split_at(PANEL);
    let (scales, minima) = (vectors(scales), vectors(minima));
    let low = _mm_set1_epi8(15);
    let (pairs, _) = out.as_chunks_mut::<{ 2 * VECTORS }>();
    for (numbers, out) in numbers.chunks_exact(PANEL).zip(pairs) {
        for vector in 0..VECTORS {
            let both = sixteen(numbers, vector);
            let halves = [both, _mm_srli_epi16::<4>(both)];
            for (row, half) in halves.into_iter().enumerate() {
                let number = _mm512_cvtepu8_epi32(_mm_and_si128(half, low));
                // Product and sum are rounded each, as where such a file is read.
                let value = _mm512_mul_ps(scales[vector], _mm512_cvtepi32_ps(number));
                let value = _mm512_add_ps(value, minima[vector]);
                store(&mut out[row * VECTORS + vector], value);
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
fn bytes(scales: &[f32], numbers: &[u8], out: &mut [Line; BLOCK * VECTORS]) {
    let (scales, minima) = scales.split_at(PANEL);
    let minima = (!minima.is_empty()).then(|| vectors(minima));
    let scales = vectors(scales);
    for (numbers, out) in numbers
        .chunks_exact(PANEL)
        .zip(out.chunks_exact_mut(VECTORS))
    {
        for vector in 0..VECTORS {
            let number = _mm512_cvtepi8_epi32(sixteen(numbers, vector));
            let mut value = _mm512_mul_ps(scales[vector], _mm512_cvtepi32_ps(number));
            if let Some(minima) = minima {
                value = _mm512_add_ps(value, minima[vector]);
            }
            store(&mut out[vector], value);
        }
    }
}

/// Pairs of bf16 numbers, which are the upper halves of f32 numbers.
#[target_feature(enable = "avx512f")]
fn pairs(lines: &[Pairs; BLOCK / 2 * VECTORS], out: &mut [Line; BLOCK * VECTORS]) {
    let upper = _mm512_set1_epi32(-0x1_0000);
    let (pairs, _) = out.as_chunks_mut::<{ 2 * VECTORS }>();
    for (lines, out) in lines.chunks_exact(VECTORS).zip(pairs) {
        for (vector, line) in lines.iter().enumerate() {
            // SAFETY: 64 bytes.
            let both = unsafe { _mm512_loadu_si512(line.0.as_ptr().cast()) };
            let halves = [_mm512_slli_epi32::<16>(both), _mm512_and_si512(both, upper)];
            for (row, half) in halves.into_iter().enumerate() {
                store(&mut out[row * VECTORS + vector], _mm512_castsi512_ps(half));
            }
        }
    }
}

/// 48 numbers.
#[inline]
#[target_feature(enable = "avx512f")]
fn vectors(numbers: &[f32]) -> [__m512; VECTORS] {
    let (chunks, _) = numbers.as_chunks::<LANES>();
    // SAFETY: a chunk is as long as a vector.
    [0, 1, 2].map(|vector| unsafe { _mm512_loadu_ps(chunks[vector].as_ptr()) })
}

/// Bytes of a vector.
#[inline]
#[target_feature(enable = "avx512f")]
fn sixteen(bytes: &[u8], vector: usize) -> __m128i {
    let (chunks, _) = bytes.as_chunks::<LANES>();
    // SAFETY: 16 bytes.
    unsafe { _mm_loadu_si128(chunks[vector].as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(line: &mut Line, value: __m512) {
    // SAFETY: a line is 64 aligned bytes.
    unsafe { _mm512_store_ps(line.0.as_mut_ptr(), value) }
}
